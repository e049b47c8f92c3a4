import { describe, expect, it } from 'vitest';
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { ServingEvent, StepsEvidence } from '../../source.js';
import { at, header, idleIn, iteration, reader, since, stepsIn, story } from './vllm.testing.js';

const DECODE = [0, 0, 20, 20] as const;
/** As many decodes in each second as it says, and what a step is said to have taken. */
const seconds = (counts: readonly (readonly [second: number, count: number])[], elapsed = 0.03): string[] => {
  let index = 0;
  return counts.flatMap(([second, count]) => Array.from({ length: count }, () => iteration(second, index++, DECODE, elapsed)));
};
const spans = (events: readonly ServingEvent[]): unknown => stepsIn(events).map(({ from, to, steps, timing }) => [since(from), since(to), steps, timing]);
/** Of each iteration, those that are told together included. */
const endsOf = (steps: readonly StepsEvidence[]): Instant[] => steps.flatMap(({ from, to, steps: count }) => Array.from({ length: count }, (_, index) => instant(from + ((to - from) * (index + 1)) / count)));
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
  it('follows from how many there were in seconds where elapsed times are next to nothing', () => {
    const steps = stepsIn(reader().all(...seconds([[0, 10], [1, 40], [2, 40], [3, 40], [4, 40], [5, 10]])));
    expect(new Set(steps.map(({ timing }) => timing))).toEqual(new Set(['placed']));
    for (const { from, to, steps: count } of steps) expect((to - from) / count).toBeCloseTo(0.025, 3);
    expect(steps.map(({ from }) => since(from))[0]).toBeCloseTo(0.75, 1);
  });

  it('is what it says where that adds up to the time that passed', () => {
    const steps = stepsIn(reader().all(...seconds([[0, 10], [1, 40], [2, 40], [3, 40], [4, 40], [5, 10]], 24)));
    expect(new Set(steps.map(({ timing }) => timing))).toEqual(new Set(['exact']));
    for (const { from, to, steps: count } of steps.slice(0, -1)) expect((to - from) / count).toBeCloseTo(0.025, 3);
  });

  it.each([
    [15, 'placed'],
    [19, 'placed'],
    [22, 'exact'],
    [27, 'exact'],
    [32, 'placed'],
  ])('of %d ms, where 40 of them took a second, is %s', (elapsed, timing) => {
    const steps = stepsIn(reader().all(...seconds([[0, 10], [1, 40], [2, 40], [3, 40], [4, 40], [5, 10]], elapsed)));
    expect(new Set(steps.map((each) => each.timing))).toEqual(new Set([timing]));
  });

  it('is told of like ones together, for half a second at most', () => {
    const steps = stepsIn(reader().all(...seconds([[0, 40], [1, 40], [2, 40], [3, 40], [4, 40], [5, 40]], 24)));
    expect(Math.max(...steps.map(({ from, to }) => to - from))).toBeLessThanOrEqual(0.5);
    expect(Math.max(...steps.map((each) => each.steps))).toBeGreaterThan(15);
  });

  it('never overlaps another of its rank, leaves no gap while it goes on, and keeps its stamp', () => {
    const counts = Array.from({ length: 60 }, (_, second): [number, number] => [second, 30 + ((second * 7) % 11)]);
    const steps = stepsIn(reader().all(...seconds(counts)));
    expect(steps.slice(1).map(({ from }) => from)).toEqual(steps.slice(0, -1).map(({ to }) => to));
    const stamps = counts.flatMap(([second, count]) => Array.from({ length: count }, () => second));
    const off = endsOf(steps).map((end, index) => since(end) - (stamps[index] ?? 0));
    // Such a pace contradicts itself from second to second; of iterations told together all are as long.
    expect(Math.min(...off)).toBeGreaterThan(-0.01);
    expect(Math.max(...off)).toBeLessThan(1.01);
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

  it('is that of a container, even where its fraction is nothing', () => {
    const stamped = [0.95, 0.975, 1, 1.025, 1.05].map((second, index) => `2026-06-01T12:00:0${second.toFixed(3)}Z ${iteration(0, index, DECODE, 25)}`);
    expect(spans(reader().all(...stamped))).toEqual([[0.925, 0.95, 1, 'exact'], [0.95, 0.975, 1, 'exact'], [0.975, 1, 1, 'exact'], [1, 1.025, 1, 'exact'], [1.025, 1.05, 1, 'exact']]);
  });

  it('of two ranks may overlap', () => {
    const lines = seconds([[0, 5], [1, 5]]).flatMap((line) => [line, line.replace('DP0', 'DP1')]);
    expect(new Set(stepsIn(reader().all(...lines)).map(({ rank }) => rank))).toEqual(new Set(['0', '1']));
  });
});

describe('a time without iterations', () => {
  it('is idle where no line is missing', () => {
    expect(run(iteration(0, 0, DECODE, 25), iteration(0, 1, [0, 0, 0, 0]), iteration(20, 2, DECODE, 25))).toEqual(['0.5 to 20.475 idle']);
  });

  it('is a hole where lines are missing', () => {
    expect(run(iteration(0, 0, DECODE, 25), iteration(20, 9, DECODE, 25))).toEqual(['0.5 to 20.475 hole']);
  });

  it('is neither before an engine that began again', () => {
    expect(run(iteration(0, 50, DECODE, 25), iteration(20, 0, DECODE, 25))).toEqual([]);
  });

  it('is not claimed to be idle as long as a prompt may have taken', () => {
    const [idle] = idleIn(reader().all(iteration(0, 0, DECODE, 25), iteration(60, 1, [1, 8192, 0, 0])));
    expect(idle && since(idle.to)).toBeCloseTo(60.5 - 8192 / 500, 1);
  });
});

/** A longer one is idle time. */
const PAUSE = 0.02;

interface Made {
  readonly from: number;
  /** When its line is written. */
  readonly end: number;
  readonly work: readonly [number, number, number, number];
  readonly elapsed: number;
}

interface Engine {
  readonly length?: number;
  readonly gap?: number;
  readonly step?: number;
  readonly perToken?: number;
  readonly idleEvery?: number;
  readonly stallAt?: number;
  readonly pacing?: number;
  /** Of disaggregated serving: a pool for prompts, or one for requests whose prompt was computed elsewhere. */
  readonly only?: 'prompts' | 'decodes';
}

/** An engine that never was: decode steps of 25 ms and a bit, a prompt now and then, the same each time. */
function engine({ length = 60, gap = 0.0012, step = 0.0254, perToken = 0.000_09, idleEvery = Infinity, stallAt = Infinity, pacing = 0, only }: Engine = {}): Made[] {
  const made: Made[] = [];
  let dice = 7;
  const chance = (): number => (dice = (dice * 48_271) % 2_147_483_647) / 2_147_483_647;
  let now = 0.371;
  let idleAt = idleEvery;
  let stalled = false;
  while (now < length) {
    const rested = now > idleAt;
    if (rested) [now, idleAt] = [now + 0.2 + 1.5 * chance(), now + idleEvery];
    if (now > stallAt && !stalled) [now, stalled] = [now + 0.7, true];
    const prompt = only !== 'decodes' && (rested || only === 'prompts' || chance() < 0.06) ? Math.round(100 + 1800 * chance()) : 0;
    const sequences = only === 'prompts' || (only === undefined && (rested || made.length === 0)) ? 0 : 8 + Math.round(3 * Math.sin(now / 7));
    const lasts = (step + prompt * perToken + sequences * 0.000_06) * (1 + pacing * Math.sin(now / 5)) * (1 + 0.01 * (chance() - 0.5));
    made.push({ from: now, end: now + lasts, work: [prompt > 0 ? 1 : 0, prompt, sequences, sequences], elapsed: lasts * 1000 });
    now += lasts + gap;
  }
  return made;
}

const linesOf = (made: readonly Made[], elapsed = (each: Made): number => each.elapsed): string[] => made.map((each, index) => iteration(Math.floor(each.end), index, each.work, elapsed(each)));
const quantile = (values: readonly number[], share: number): number => values.toSorted((a, b) => a - b)[Math.floor(share * values.length)] ?? Number.NaN;

const NO_WAIT = (): number => 0.03;

/** Errors in ms. The pause to the next one belongs to an iteration. */
function errorsOf(events: readonly ServingEvent[], made: readonly Made[]): { readonly ends: number[]; readonly lengths: number[] } {
  const steps = stepsIn(events);
  const ends = endsOf(steps);
  const lengths = steps.flatMap(({ from, to, steps: count }) => Array.from({ length: count }, () => (to - from) / count));
  expect(ends).toHaveLength(made.length);
  const truth = made.map(({ from, end }, index) => {
    const next = made[index + 1]?.from ?? Infinity;
    return { from, end: next - end < PAUSE ? next : end };
  });
  return {
    ends: truth.map(({ end }, index) => 1000 * Math.abs((ends[index] ?? at(0)) - at(0) - end)),
    lengths: truth.map(({ from, end }, index) => 1000 * Math.abs((lengths[index] ?? 0) - (end - from))),
  };
}

describe('the moments of an engine whose moments are known', () => {
  it.each([
    ['it is busy', {}, undefined, 'exact', { ends: [2, 7], lengths: [0.2, 0.4] }],
    ['it is not always busy', { idleEvery: 9 }, undefined, 'exact', { ends: [5, 20], lengths: [0.2, 0.6] }],
    ['the gap between iterations is long', { gap: 0.005 }, undefined, 'exact', { ends: [6, 14], lengths: [0.2, 0.4] }],
    ['it stood still once, with requests', { stallAt: 31 }, undefined, 'exact', { ends: [5, 12], lengths: [0.2, 0.4] }],
    ['its iterations are longer than a second', { step: 1.31 }, undefined, 'exact', { ends: [80, 220], lengths: [12, 110] }],
    ['its pace changes', { pacing: 0.15 }, undefined, 'exact', { ends: [3, 14], lengths: [0.2, 0.6] }],
    ['it only decodes, and is not always busy', { only: 'decodes', idleEvery: 9 }, undefined, 'exact', { ends: [5, 25], lengths: [0.2, 0.6] }],
    ['it only computes prompts', { only: 'prompts' }, undefined, 'exact', { ends: [20, 60], lengths: [2.5, 12] }],
    ['it only computes prompts, and is not always busy', { only: 'prompts', step: 0.2, idleEvery: 0.7 }, undefined, 'inferred', { ends: [400, 900], lengths: [2, 30] }],
    ['elapsed times are next to nothing and prompts take long', { perToken: 0.0004 }, NO_WAIT, 'placed', { ends: [45, 250], lengths: [8, 60] }],
    ['elapsed times are next to nothing', {}, NO_WAIT, 'placed', { ends: [12, 40], lengths: [1, 6] }],
    ['elapsed times are next to nothing and it is not always busy', { idleEvery: 9 }, NO_WAIT, 'placed', { ends: [22, 100], lengths: [2, 14] }],
    ['elapsed times are next to nothing and its pace changes', { pacing: 0.15 }, NO_WAIT, 'placed', { ends: [20, 70], lengths: [2, 8] }],
  ] as const)('are near where %s', (_, options, elapsed, timing, bounds) => {
    const made = engine(options);
    const events = reader().all(...linesOf(made, elapsed));
    const { ends, lengths } = errorsOf(events, made);
    expect(quantile(ends, 0.5)).toBeLessThan(bounds.ends[0]);
    expect(quantile(ends, 0.95)).toBeLessThan(bounds.ends[1]);
    expect(quantile(lengths, 0.5)).toBeLessThan(bounds.lengths[0]);
    expect(quantile(lengths, 0.95)).toBeLessThan(bounds.lengths[1]);
    expect(new Set(stepsIn(events).map((each) => each.timing))).toEqual(new Set([timing]));
  });

  it('follow each other: nothing overlaps, and where nobody ran it is idle', () => {
    const made = engine({ idleEvery: 9 });
    const events = reader().all(...linesOf(made)).filter((event) => event.kind === 'steps' || event.kind === 'idle');
    expect(events.slice(1).map(({ from }) => since(from))).toEqual(events.slice(0, -1).map(({ to }) => since(to)));
    const idle = made.slice(1).reduce((sum, { from }, index) => sum + Math.max(0, from - (made[index]?.end ?? 0) - 0.002), 0);
    expect(idleIn(events).reduce((sum, { from, to }) => sum + to - from, 0)).toBeCloseTo(idle, 0);
  });

  it('of prompts alone, between which nobody may have run, keep their stamps', () => {
    const made = engine({ step: 0.2 }).map((each): Made => ({ ...each, work: [1, each.work[1] + 300, 0, 0] }));
    const ends = endsOf(stepsIn(reader().all(...linesOf(made))));
    const off = ends.map((end, index) => since(end) - Math.floor(made[index]?.end ?? 0));
    expect(Math.min(...off)).toBeGreaterThanOrEqual(0);
    // With the pause behind it.
    expect(Math.max(...off)).toBeLessThan(1.1);
  });

  it('are the same live, a few seconds later, and nothing is told of before the watermark', () => {
    const made = engine({ idleEvery: 9 });
    const { read, parser } = reader();
    const lines = linesOf(made);
    const said: ServingEvent[] = [];
    const lags: number[] = [];
    let watermark = at(-1000);
    let late = 0;
    const hear = (events: readonly ServingEvent[]): void => {
      late += events.filter((event) => (event.kind === 'steps' || event.kind === 'idle') && event.from < watermark).length;
      said.push(...events);
    };
    for (let second = 0; second < 70; second += 1) {
      hear(read(...lines.filter((_, index) => Math.floor(made[index]?.end ?? 0) === second)));
      const quiet = parser.quiet(at(second + 1));
      hear(quiet.filter(({ kind }) => kind !== 'watermark'));
      for (const event of quiet) if (event.kind === 'watermark') watermark = event.at;
      if (second > 30 && second < 60) lags.push(at(second + 1) - watermark);
    }
    expect(Math.max(...lags)).toBeLessThan(7);
    hear(parser.end());
    expect(late).toBe(0);
    expect(endsOf(stepsIn(said))).toEqual(endsOf(stepsIn(reader().all(...lines))));
  });
});

describe('an iteration of nothing at all', () => {
  it('says that nobody ran behind it', () => {
    const busy = engine({ length: 12 });
    const over = busy.findIndex(({ end }) => end > 6);
    // Written in 0.2 s without requests; whose requests follow is not told.
    const lines = busy.flatMap((each, index) => [...(index === over ? [iteration(Math.floor(each.from), index, [0, 0, 0, 0], 0)] : []), iteration(Math.floor(each.end + (index >= over ? 0.2 : 0)), index + (index >= over ? 1 : 0), each.work, each.elapsed)]);
    const [idle] = idleIn(reader().all(...lines));
    expect(idle && since(idle.to) - since(idle.from)).toBeCloseTo(0.2, 1);
    expect(idle && since(idle.from)).toBeCloseTo(busy[over - 1]?.end ?? 0, 1);
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
