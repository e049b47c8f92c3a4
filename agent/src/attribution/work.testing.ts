/** Made-up evidence, loads and sensors for the tests of the attribution. */
import { runInNewContext } from 'node:vm';
import { setFlagsFromString } from 'node:v8';
import { instant, tokens, type Instant } from '@joulebook/shared/units.js';
import type { RequestEvidence, StepsEvidence, TokenCounts, WindowEvidence } from '../sources/source.js';
import { NO_LOAD, type Counts, type Load, type Stretch, type Work } from './work.js';

export const countsOf = (input?: number, output?: number): TokenCounts => ({ ...(input !== undefined && { input: tokens(input) }), ...(output !== undefined && { output: tokens(output) }) });

export const requestOf = (start: number, firstToken: number, end: number, input: number, output: number, scheduled?: number): RequestEvidence & { readonly firstToken: Instant } => ({
  kind: 'request',
  id: 'r',
  start: instant(start),
  ...(scheduled !== undefined && { scheduled: instant(scheduled) }),
  firstToken: instant(firstToken),
  end: instant(end),
  tokens: countsOf(input, output),
  outcome: 'ok',
});

/** One iteration, or a run of like ones. @param prompt its prompt tokens @param sequences that decode in each */
export const stepsOf = (from: number, to: number, prompt: number, sequences: number, rest: Partial<StepsEvidence> = {}): StepsEvidence => {
  const number = rest.steps ?? 1;
  return { kind: 'steps', from: instant(from), to: instant(to), steps: number, prefillTokens: prompt, prefills: prompt > 0 ? 1 : 0, decodes: sequences * number, decodeTokens: sequences * number, tokens: {}, timing: 'exact', ...rest };
};

export const windowOf = (from: number, to: number, rest: Partial<WindowEvidence>): WindowEvidence => ({ kind: 'window', from: instant(from), to: instant(to), tokens: {}, ...rest });

export const loadOf = (load: Partial<Load>): Load => ({ ...NO_LOAD, ...load });

export const stretchOf = (from: number, to: number, work: readonly Work[], rest: Partial<Stretch> = {}): Stretch => ({ from: instant(from), to: instant(to), state: 'work', work, doubt: 0, ...rest });

/** Counts of a window whose work is not known as time. */
export const countedOf = (from: number, to: number, prefillTokens: number, decodeTokens: number, decodeSteps: number, rest: Partial<Counts> = {}): Counts => ({ from: instant(from), to: instant(to), prefillTokens, decodeTokens, decodeSteps, counted: true, sequenceSeconds: (decodeTokens / decodeSteps) * (to - from), kvUsage: 0, ranks: 1, wholly: false, recomputes: false, ...rest });

/** Bytes that are really in use. */
export function heapInUse(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc()');
  return process.memoryUsage().heapUsed;
}
