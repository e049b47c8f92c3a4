/** Iteration lines whose moments are known → steps: the work in them, and what of it is booked. */
import { tokens } from '@joulebook/shared/units.js';
import type { StepsEvidence, TokenCounts } from '../../source.js';
import type { IterationLine } from './vllm-line.js';
import type { Placed } from './vllm-moments.js';

export interface IterationContext {
  readonly label: string;
  readonly rank?: string | undefined;
  readonly model?: string | undefined;
  readonly chunkTokens: () => number | undefined;
  readonly kvCacheTokens: () => number | undefined;
  /** Tokens per step and sequence, where drafts are accepted and a line said how many. */
  readonly perStep: () => number | undefined;
}

/** Like iterations are one piece of evidence for no longer. */
const LONGEST_PIECE = 0.5;
/** Drafts are at most 16 tokens; whoever schedules more per sequence computes a preempted request again. */
const MOST_PER_SEQUENCE = 17;

/** Consecutive iterations of the same kind are one piece of evidence. */
export function stepsOf({ from, ends, lines, timing }: Placed, context: IterationContext): StepsEvidence[] {
  const { rank, model } = context;
  const steps: StepsEvidence[] = [];
  let begin = from;
  let first = 0;
  for (const [index, line] of lines.entries()) {
    const [next, nextEnd, to = begin] = [lines[index + 1], ends[index + 1], ends[index]];
    if (next && nextEnd !== undefined && alike(line, next) && nextEnd - begin <= LONGEST_PIECE) continue;
    steps.push({ kind: 'steps', from: begin, to, ...workOf(line, index + 1 - first, context), timing, ...(rank !== undefined && { rank }), ...(model !== undefined && { model }) });
    begin = to;
    first = index + 1;
  }
  return steps;
}

/** The last prompt of a full iteration goes on in the next one and gives no token yet. */
export function goesOn({ contextRequests, contextTokens, generationTokens }: IterationLine, chunk: number | undefined): boolean {
  const scheduled = contextTokens + generationTokens;
  return contextRequests > 0 && (chunk === undefined ? scheduled >= 512 && Number.isInteger(Math.log2(scheduled)) : scheduled >= chunk);
}

function workOf(line: IterationLine, steps: number, context: IterationContext): Pick<StepsEvidence, 'steps' | 'prefillTokens' | 'prefills' | 'decodes' | 'decodeTokens' | 'kvTokens' | 'tokens'> {
  const { contextTokens, contextRequests, generationRequests, generationTokens } = line;
  const again = generationTokens > MOST_PER_SEQUENCE * generationRequests ? generationTokens - generationRequests : 0;
  const drafted = again === 0 && generationTokens > generationRequests;
  const yielded = drafted ? Math.min(generationTokens, generationRequests * (context.perStep() ?? 1)) : generationRequests;
  const size = context.kvCacheTokens();
  const kvTokens = line.kvTokens ?? (line.kvUsage !== undefined && size !== undefined ? Math.round(line.kvUsage * size) : undefined);
  return {
    steps,
    prefillTokens: steps * (contextTokens + again),
    prefills: steps * (contextRequests + (again > 0 ? 1 : 0)),
    decodes: steps * generationRequests,
    decodeTokens: steps * yielded,
    ...(kvTokens !== undefined && { kvTokens }),
    tokens: tokenCounts(line, steps, drafted, context.chunkTokens()),
  };
}

/** How many of the drafts were accepted no iteration line says: then the output is not known. */
function tokenCounts(line: IterationLine, steps: number, drafted: boolean, chunk: number | undefined): TokenCounts {
  const first = line.contextRequests - (goesOn(line, chunk) ? 1 : 0);
  return { input: tokens(steps * line.contextTokens), ...(!drafted && { output: tokens(steps * (line.generationRequests + first)) }) };
}

const alike = (one: IterationLine, other: IterationLine): boolean =>
  one.contextRequests === other.contextRequests && one.contextTokens === other.contextTokens && one.generationRequests === other.generationRequests && one.generationTokens === other.generationTokens;
