import { describe, expect, it } from 'vitest';
import type { ServingEvent } from '../../source.js';
import { header, idleIn, iteration, reader, since, stepsIn, story } from './vllm.testing.js';

const DECODE = [0, 0, 20, 20] as const;
/** As many decodes in each second as it says, and what a step is said to have taken. */
const seconds = (counts: readonly (readonly [second: number, count: number])[], elapsed = 0.03): string[] => {
  let index = 0;
  return counts.flatMap(([second, count]) => Array.from({ length: count }, () => iteration(second, index++, DECODE, elapsed)));
};
const spans = (events: readonly ServingEvent[]): unknown => stepsIn(events).map(({ from, to, steps, timing }) => [since(from), since(to), steps, timing]);
const run = (...lines: readonly string[]): string[] => story(reader().all(...lines));
const tokensOf = (...lines: readonly string[]): unknown => stepsIn(reader().all(...lines)).map(({ tokens }) => [tokens.input, tokens.output]);

describe('iteration lines', () => {
  it('are steps with the work in them', () => {
    const [steps] = stepsIn(reader().all(iteration(0, 515, [1, 2048, 20, 20], 10.99)));
    expect(steps).toMatchObject({ steps: 1, prefills: 1, prefillTokens: 2048, decodes: 20, decodeTokens: 20, rank: '0', model: 'm' });
  });

  it.each([
    ['of the front end', iteration(0, 1, DECODE).replace('Iteration', 'Engine 003: Iteration').replace(/ ms$/, ' ms, GPU KV cache usage: 5.0%, encoder inputs: 1, encoder output embeddings: 2'), { rank: '3', kvTokens: 5000 }],
    ['of a process that is not numbered', iteration(0, 1, DECODE).replace('EngineCore_DP0', 'EngineCore'), {}],
    ['of another rank', iteration(0, 1, DECODE).replace('EngineCore_DP0', 'EngineCore_DP2'), { rank: '2' }],
    ['with tokens in the KV cache', iteration(0, 1, DECODE, 10, ', kv cache: 5.1% (3500/68959 blocks, 56000 tokens)'), { kvTokens: 56_000 }],
    ['cut off behind their tokens', iteration(0, 1, DECODE).replace(/, iteration.*/, ''), { rank: '0' }],
  ])('%s', (_, line, expected) => {
    expect(stepsIn(reader().all(`${header(-9)}GPU KV cache size: 100,000 tokens`, line))).toMatchObject([{ decodes: 20, ...expected }]);
  });

  it.each([' (dummy)', ' [DUMMY]', ' (dummy), GPU KV cache usage: 0.0%'])('of a dummy give no work: %s', (more) => {
    expect(stepsIn(reader().all(iteration(0, 1, DECODE, 9, more)))).toEqual([]);
  });

  it('of an idle rank and of no work at all give none', () => {
    expect(stepsIn(reader().all(iteration(0, 7, DECODE).replace('(7)', '(7) [dp-idle]'), iteration(0, 8, [0, 0, 0, 0])))).toEqual([]);
  });

  it('that are cut off in their middle are counted', () => {
    const { all, skipped } = reader();
    expect(stepsIn(all(iteration(0, 1, DECODE).slice(0, 90)))).toEqual([]);
    expect(skipped).toEqual(['1: an iteration line that is cut off or of an unknown form']);
  });
});

describe('the time of an iteration', () => {
  it('is a share of its second where elapsed times are next to nothing', () => {
    const events = reader().all(...seconds([[0, 10], [1, 40], [2, 40], [3, 10]]));
    expect(spans(events)).toEqual([[0, 1, 10, 'inferred'], [1, 2, 40, 'inferred'], [2, 3, 40, 'inferred'], [3, 3.25, 10, 'inferred']]);
  });

  it('is what it says where the times of a second fill it', () => {
    const events = reader().all(...seconds([[0, 10], [1, 40], [2, 40], [3, 10]], 25));
    expect(spans(events)).toEqual([[0, 1, 10, 'inferred'], [1, 2, 40, 'exact'], [2, 3, 40, 'exact'], [3, 3.25, 10, 'exact']]);
  });

  it('is shared out by work: a step of 2048 prompt tokens is as long as nine', () => {
    const lines = seconds([[0, 10], [1, 31], [2, 4]]).with(20, iteration(1, 20, [1, 2048, 20, 20]));
    const [, before, prefill, after] = stepsIn(reader().all(...lines));
    expect([before, prefill, after].map((each) => each && since(each.from))).toEqual([1, 1.256, 1.487]);
    expect((prefill?.to ?? 0) - (prefill?.from ?? 0)).toBeCloseTo(9 / 39, 6);
  });

  it('never overlaps another of its rank, leaves no gap while it goes on, and keeps its stamp', () => {
    const counts = Array.from({ length: 60 }, (_, second): [number, number] => [second, 30 + ((second * 7) % 11)]);
    const steps = stepsIn(reader().all(...seconds(counts)));
    expect(steps.slice(1).map(({ from }) => from)).toEqual(steps.slice(0, -1).map(({ to }) => to));
    expect(steps.slice(0, -1).map(({ to }) => since(to))).toEqual(counts.slice(1).map(([second]) => second));
    expect(steps.reduce((sum, each) => sum + each.steps, 0)).toBe(counts.reduce((sum, [, count]) => sum + count, 0));
  });

  it('reaches back to the one before it where only a pause lies between', () => {
    const slow = [0, 2, 4].map((second, index) => iteration(second, index, [1, 2000, 0, 0], 1900));
    const [first, second, third] = stepsIn(reader().all(...slow));
    expect([second?.from, third?.from]).toEqual([first?.to, second?.to]);
    expect(idleIn(reader().all(...slow))).toEqual([]);
  });

  it('is that of a container, which tells it to the nanosecond', () => {
    const stamped = [0.1, 0.125, 0.15].map((second, index) => `2026-06-01T12:00:0${second.toFixed(9)}Z ${iteration(0, index, DECODE, 25)}`);
    expect(spans(reader().all(...stamped))).toEqual([[0.075, 0.1, 1, 'exact'], [0.1, 0.125, 1, 'exact'], [0.125, 0.15, 1, 'exact']]);
  });

  it('of two ranks may overlap', () => {
    const lines = seconds([[0, 5], [1, 5]]).flatMap((line) => [line, line.replace('DP0', 'DP1')]);
    expect(new Set(stepsIn(reader().all(...lines)).map(({ rank }) => rank))).toEqual(new Set(['0', '1']));
  });
});

describe('a time without iterations', () => {
  it('is idle where no line is missing', () => {
    expect(run(iteration(0, 0, DECODE, 25), iteration(0, 1, [0, 0, 0, 0]), iteration(20, 2, DECODE, 25))).toEqual(['0.513 to 20.487 idle']);
  });

  it('is a hole where lines are missing', () => {
    expect(run(iteration(0, 0, DECODE, 25), iteration(20, 9, DECODE, 25))).toEqual(['0.513 to 20.487 hole']);
  });

  it('is neither before an engine that began again', () => {
    expect(run(iteration(0, 50, DECODE, 25), iteration(20, 0, DECODE, 25))).toEqual([]);
  });

  it('is not claimed to be idle as long as a prompt may have taken', () => {
    const [idle] = idleIn(reader().all(iteration(0, 0, DECODE, 25), iteration(60, 1, [1, 8192, 0, 0])));
    expect(idle && since(idle.to)).toBeCloseTo(60.5 - 8192 / 500, 1);
  });
});

describe('what is booked of iterations', () => {
  const CHUNK = `${header(-9)}Chunked prefill is enabled with max_num_batched_tokens=2048.`;

  it('is the prompt where it is computed, and its first token with its last chunk', () => {
    expect(tokensOf(CHUNK, iteration(0, 0, [1, 2048, 0, 0]), iteration(0, 1, [1, 2048, 0, 0]), iteration(0, 2, [1, 900, 0, 0]), iteration(0, 3, [0, 0, 1, 1]))).toEqual([[4096, 0], [900, 1], [0, 1]]);
  });

  it('takes an iteration of a round number for a full one where the size of chunks is not told', () => {
    expect(tokensOf(iteration(0, 0, [2, 8192 - 3, 3, 3]), iteration(0, 1, [1, 700, 3, 3]))).toEqual([[8189, 4], [700, 4]]);
  });

  it('is no output where drafts are in what was scheduled', () => {
    expect(tokensOf(iteration(0, 0, [0, 0, 5, 20]))).toEqual([[0, undefined]]);
  });

  it('is not what a preempted request computes again, though that is work', () => {
    const [steps] = stepsIn(reader().all(iteration(0, 0, [0, 0, 4, 3003])));
    expect(steps).toMatchObject({ prefillTokens: 2999, prefills: 1, decodes: 4, decodeTokens: 4, tokens: { input: 0, output: 4 } });
  });

  it('of drafts the work is what the last line of them says', () => {
    const line = `${header(0)}SpecDecoding metrics: Mean acceptance length: 2.50, Accepted throughput: 1.00 tokens/s, Drafted throughput: 1.00 tokens/s, Accepted: 150 tokens, Drafted: 300 tokens, Per-position acceptance rate: 0.8, 0.5, 0.2, Avg Draft acceptance rate: 50.0%`;
    expect(stepsIn(reader().all(line, iteration(0, 0, [0, 0, 10, 40]))).map(({ decodeTokens }) => decodeTokens)).toEqual([25]);
  });
});
