/** A small engine and what happens to it, for the tests of dialects. */
import { instant, seconds } from '@joulebook/shared/units.js';
import { wallClock } from '../clock.js';
import { Random } from '../random.js';
import type { Iteration, SimulatedRequest } from '../trace.js';
import type { EngineParts, EngineWriter } from './format.js';

/** 2026-01-15 09:00:00 UTC */
export const START = instant(1_768_467_600);

export function engine(given: Partial<EngineParts> = {}): EngineParts {
  const dice = new Random(1, 'test');
  return { pool: 'serve', ranks: 1, gpusPerRank: 1, model: 'test/8b', chunkTokens: 512, kvCacheTokens: 10_000, seats: 8, draftTokens: 0, clock: wallClock(START, 'UTC'), draw: () => dice.next(), ...given };
}

type Chunk = Iteration['prefill'][number];
type DecodeStep = Iteration['decode'][number];

export const chunk = (request: number, tokens: number, more: Partial<Chunk> = {}): Chunk => ({ request, tokens, contextBefore: 0, cached: 0, recomputed: 0, last: true, ...more });
export const step = (request: number, tokens = 1): DecodeStep => ({ request, tokens, context: 100 });
export const iteration = (from: number, to: number, more: Partial<Iteration> = {}): Iteration => ({ from: seconds(from), to: seconds(to), rank: 0, pool: 'serve', prefill: [], decode: [], kvTokens: 0, running: 0, waiting: 0, ended: [], ...more });
export const request = (id: number, end: number, more: Partial<SimulatedRequest> = {}): SimulatedRequest => ({
  id, arrival: seconds(0), scheduled: seconds(0), firstToken: seconds(0), end: seconds(end), inputTokens: 0, cachedTokens: 0, computedTokens: 0, recomputedTokens: 0, outputTokens: 0, outcome: 'ok', preempted: 0, rank: 0, ...more,
});

/** Tells a writer iterations and requests in the order of their end. */
export function told(writer: EngineWriter, happened: readonly (Iteration | SimulatedRequest)[], end: number): string[] {
  let text = '';
  for (const each of happened) {
    const at = 'to' in each ? each.to : each.end;
    text += writer.until(at);
    text += 'to' in each ? writer.iteration(each) : writer.request(each);
  }
  return `${text}${writer.until(end)}`.split('\n').slice(0, -1);
}

/**
 * Request 1: 600 of 800 prompt tokens computed, in two chunks; 5 tokens. Request 2: 100 prompt tokens, broken off. Request 3
 * comes after a pause, to the same place.
 */
export const STORY: readonly (Iteration | SimulatedRequest)[] = [
  iteration(1, 1.5, { prefill: [chunk(1, 512, { cached: 200, last: false })], running: 1, waiting: 1, kvTokens: 712 }),
  iteration(1.501, 1.7, { prefill: [chunk(1, 88, { contextBefore: 712 }), chunk(2, 100)], running: 2, kvTokens: 900 }),
  iteration(1.701, 1.711, { decode: [step(1), step(2)], running: 2, kvTokens: 902 }),
  iteration(1.712, 1.722, { decode: [step(1), step(2)], running: 2, kvTokens: 904 }),
  request(2, 1.722, { arrival: seconds(1.2), scheduled: seconds(1.501), firstToken: seconds(1.7), inputTokens: 100, computedTokens: 100, outputTokens: 3, outcome: 'aborted' }),
  iteration(1.723, 1.733, { decode: [step(1, 2)], running: 1, kvTokens: 805, ended: [1] }),
  request(1, 1.733, { arrival: seconds(0.9), scheduled: seconds(1), firstToken: seconds(1.7), inputTokens: 800, cachedTokens: 200, computedTokens: 600, outputTokens: 5 }),
  iteration(45, 45.25, { prefill: [chunk(3, 300)], running: 1, kvTokens: 300, ended: [3] }),
  request(3, 45.25, { arrival: seconds(44.99), scheduled: seconds(45), firstToken: seconds(45.25), inputTokens: 300, computedTokens: 300, outputTokens: 1 }),
];
