/**
 * One request in a slot of a llama.cpp server, from the lines about it to evidence.
 *
 *     launch          first token           timings, release
 *       │ wait │ prompt eval │      eval        │
 *     start  scheduled    firstToken           end
 *
 * The timings printed at its end are exact durations; they are laid backwards from the moment of that line. A moment that
 * is only known to lie in some second is put where the durations fit between the launch and the end.
 */
import { tokens, type Instant } from '@joulebook/shared/units.js';
import type { Outcome } from '@joulebook/shared/slice.js';
import type { RequestEvidence, TokenCounts, WindowEvidence } from '../../source.js';
import type { Moment } from './llamacpp-times.js';

interface Timing {
  readonly took: number;
  readonly tokens: number;
}

/** What is known of a request so far. Times are on the axis of its log. */
export interface SlotRequest {
  readonly id: string;
  readonly task: number | undefined;
  /** Unknown for one that was running when the log began. */
  launch?: Moment | undefined;
  /** Its prompt was computed by another request with the same prompt. */
  readonly child: boolean;
  /** All tokens of its prompt. */
  promptTokens?: number | undefined;
  /** Of them, from the cache. */
  cached?: number | undefined;
  /** Prompt tokens that are in, the cached ones included. */
  context?: number | undefined;
  computed?: Timing | undefined;
  generated?: (Timing & { readonly at: Moment }) | undefined;
  prompt?: Timing | undefined;
  eval?: Timing | undefined;
  /** The last line about it. */
  heard?: Moment | undefined;
  /** When its timings were printed. */
  printed?: Moment | undefined;
  ended?: Extract<Outcome, 'aborted' | 'failed'> | undefined;
}

/** When a request ended, on the axis. */
export function endOf(request: SlotRequest, said: Moment, now: number): number {
  const { launch, printed, prompt, eval: decode } = request;
  const end = printed ?? said;
  if (end.slack === 0) return end.at;
  const lasted = decode ? (prompt?.took ?? 0) + decode.took : (request.computed?.took ?? 0) + (request.generated?.took ?? 0);
  if (end.slack === Infinity) return Math.max(now, (launch?.at ?? now) + lasted);
  const earliest = Math.max(end.at, launch && decode ? launch.at + lasted : end.at);
  const latest = Math.min(end.at + end.slack, launch && prompt ? launch.at + launch.slack + lasted : Infinity);
  // The request waited between its launch and its prompt: nothing narrows the second.
  return earliest <= latest ? (earliest + latest) / 2 : end.at + end.slack / 2;
}

/** @param context how many tokens the slot held at its end, where that is known and none were dropped */
export function requestEvidence(request: SlotRequest, end: number, context: number | undefined, toInstant: (at: number) => Instant, model: string | undefined): RequestEvidence {
  const { launch, prompt, eval: decode, generated } = request;
  const began = (at: number): number => (launch ? Math.min(Math.max(at, launch.at), launch.at + launch.slack, end) : Math.min(at, end));
  const firstToken = decode ? end - decode.took : generated ? generated.at.at - generated.took : undefined;
  const scheduled = prompt && firstToken !== undefined ? firstToken - prompt.took : undefined;
  const start = began(scheduled ?? launch?.at ?? firstToken ?? end);
  const within = (at: number): Instant => toInstant(Math.min(Math.max(at, start), end));
  return {
    kind: 'request',
    id: request.id,
    start: toInstant(start),
    ...(scheduled !== undefined && { scheduled: within(scheduled) }),
    ...(firstToken !== undefined && { firstToken: within(firstToken) }),
    end: toInstant(end),
    tokens: tokenCounts(request, context),
    outcome: request.ended ?? 'ok',
    ...(model !== undefined && { model }),
  };
}

/** Of a request whose end the log does not tell: what it had done when it was last heard of. */
export function unfinishedWindows(request: SlotRequest, last: number, toInstant: (at: number) => Instant, model: string | undefined): WindowEvidence[] {
  const { launch, heard, computed, generated } = request;
  const { input, cachedInput } = tokenCounts(request, undefined);
  const to = heard && heard.slack !== Infinity ? heard.at : last;
  const firstToken = generated && (generated.at.slack === Infinity ? last : generated.at.at) - generated.took;
  const prefilled = firstToken ?? to;
  const from = Math.min(launch?.at ?? prefilled - (computed?.took ?? 0), prefilled);
  const window = (begin: number, end: number, counts: TokenCounts): WindowEvidence[] =>
    end > begin ? [{ kind: 'window', from: toInstant(begin), to: toInstant(end), tokens: counts, busy: 1, ...(model !== undefined && { model }) }] : [];
  return [
    ...(input !== undefined && input > 0 ? window(from, prefilled, { input, ...(cachedInput !== undefined && { cachedInput }), output: tokens(0) }) : []),
    ...(generated && firstToken !== undefined ? window(firstToken, to, { input: tokens(0), output: tokens(generated.tokens) }) : []),
  ];
}

function tokenCounts(request: SlotRequest, context: number | undefined): TokenCounts {
  const output = request.eval?.tokens ?? outputSoFar(request, context);
  const counts = { input: inputOf(request, context), cachedInput: cachedOf(request, context, output), output };
  if (request.child && counts.input !== undefined) return tagged({ input: 0, cachedInput: counts.input + (counts.cachedInput ?? 0), output });
  return tagged(counts);
}

function inputOf(request: SlotRequest, context: number | undefined): number | undefined {
  const { prompt, promptTokens, cached, computed } = request;
  if (prompt) return prompt.tokens;
  const whole = promptTokens !== undefined && (request.generated !== undefined || (context ?? request.context ?? 0) >= promptTokens);
  const reached = whole ? promptTokens : request.context === undefined ? undefined : Math.max(request.context, context ?? 0);
  // A cache that is not known of is counted as input: nobody says what of it was computed.
  const behind = reached !== undefined && (whole || cached !== undefined) ? Math.max(0, reached - (cached ?? 0)) : undefined;
  return behind === undefined ? computed?.tokens : Math.max(behind, computed?.tokens ?? 0);
}

/** The last token of an answer is given, but not put into the context. */
function cachedOf({ cached, promptTokens, prompt }: SlotRequest, context: number | undefined, output: number | undefined): number | undefined {
  if (cached !== undefined || !prompt) return cached;
  if (promptTokens !== undefined) return Math.max(0, promptTokens - prompt.tokens);
  const before = context === undefined || output === undefined ? undefined : context - prompt.tokens - Math.max(0, output - 1);
  return before !== undefined && before >= 0 ? before : undefined;
}

/** A request without timings was broken off, or is an embedding and gives no tokens. */
function outputSoFar({ ended, promptTokens, generated }: SlotRequest, context: number | undefined): number | undefined {
  const held = ended === undefined || promptTokens === undefined || context === undefined ? undefined : Math.max(0, context - promptTokens + 1);
  return held === undefined ? generated?.tokens : Math.max(held, generated?.tokens ?? 0);
}

function tagged({ input, cachedInput, output }: { readonly input?: number | undefined; readonly cachedInput?: number | undefined; readonly output?: number | undefined }): TokenCounts {
  return { ...(input !== undefined && { input: tokens(input) }), ...(cachedInput !== undefined && { cachedInput: tokens(cachedInput) }), ...(output !== undefined && { output: tokens(output) }) };
}
