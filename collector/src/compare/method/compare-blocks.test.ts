import { describe, expect, it } from 'vitest';
import { compareBlocks, type Block, type BlockAnswer, type BlockQuestion, type Design } from './compare-blocks.js';
import { chance, DAY, HOUR, MINUTE, series } from './method.testing.js';
import { twoSidedQuantile } from './student.js';

type Rest = Partial<Omit<BlockQuestion, 'a' | 'b' | 'design'>>;
const compare = (design: Design, a: readonly Block[], b: readonly Block[], rest: Rest = {}): BlockAnswer => compareBlocks({ a, b, design, sequential: false, covariates: [], lowerIsBetter: true, ...rest });
const codes = ({ reasons }: BlockAnswer): string[] => reasons.map(({ code }) => code);
const runs = (figures: readonly number[]): Block[] => series({ count: figures.length, figure: (index) => figures[index] ?? 0 });

/** Minutes that vary by 2 %, each by itself. */
function minutes(seed: number, level: number, rest: { readonly count?: number; readonly at?: number; readonly unit?: string; readonly step?: number } = {}): Block[] {
  const random = chance(seed);
  return series({ count: 480, ...rest, figure: () => level * Math.exp(0.02 * random()), denominator: () => 1000 + 200 * random() });
}

/** (s/mean)² of the mean of five. */
const squares = (values: readonly number[], mean: number): number => values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 20 / mean ** 2;
const node = (unit: string, seed: number, level: number): Block[] => minutes(seed, level, { unit, step: HOUR });

const warm = (temperatures: readonly number[]): Block[] =>
  series({ count: 3, figure: (index) => 2 + 0.1 * index, covariates: (index) => ({ inputLength: 100 + 7 * index, temperature: temperatures[index] ?? 0 }) });

/** Idle power is shared by fewer tokens at night. */
function served(seed: number, count: number, at: number, load: (index: number) => number, change: number): Block[] {
  const random = chance(seed);
  return series({ count, at, figure: (index) => change * (0.5 + 500 / load(index)) * Math.exp(0.01 * random()), denominator: load, covariates: (index) => ({ load: load(index), temperature: 60 }) });
}
const allDay = (index: number): number => 700 + 300 * Math.sin((2 * Math.PI * index) / 1440);
const night = (index: number): number => 420 + 120 * Math.sin((2 * Math.PI * index) / 720);
const constant = (): number => 500;

describe('runs, five a side', () => {
  const [a, b] = [runs([4.30, 4.36, 4.31, 4.43, 4.37]), runs([12.4, 12.6, 12.5, 12.5, 12.7])];

  it('have the ratio of the pooled ratios as their effect, inside an interval of Welch’s', () => {
    const { effect, verdict, adjustments, reasons, effectiveBlocks } = compare('runs', a, b);
    const [first, second] = [21.77 / 5, 62.7 / 5];
    expect(effect.relative).toBeCloseTo(second / first - 1, 12);
    expect(effect.unadjusted).toBeCloseTo(second / first - 1, 12);
    const [ofA, ofB] = [squares([4.30, 4.36, 4.31, 4.43, 4.37], first), squares([12.4, 12.6, 12.5, 12.5, 12.7], second)];
    const reach = twoSidedQuantile(0.05, (ofA + ofB) ** 2 / (ofA ** 2 / 4 + ofB ** 2 / 4)) * Math.sqrt(ofA + ofB);
    expect(effect.ci95?.[0]).toBeCloseTo((second / first) * Math.exp(-reach) - 1, 9);
    expect(effect.ci95?.[1]).toBeCloseTo((second / first) * Math.exp(reach) - 1, 9);
    expect([verdict, adjustments, reasons, effectiveBlocks]).toEqual(['a-better', [], [], 5]);
  });

  it('have an interval of each side around its own pooled ratio', () => {
    const { a: side } = compare('runs', a, b);
    expect(side).toMatchObject({ estimate: 21.77 / 5, blocks: 5 });
    // t of 4 degrees of freedom times the error of the mean.
    const reach = (2.776445 * Math.sqrt(0.01092 / 20)) / 4.354;
    expect(side.ci95?.[1]).toBeCloseTo(4.354 * Math.exp(reach), 5);
  });

  it('have no memory: in which order they came is all the same', () => {
    const [ordered, mixed] = [[1, 2, 3, 4, 5, 6, 7, 8], [4, 8, 1, 6, 2, 7, 3, 5]].map((order) => compare('runs', runs(order), b));
    expect(ordered?.a.ci95?.[0]).toBeCloseTo(mixed?.a.ci95?.[0] ?? 0, 9);
    expect(ordered?.effect.standardError).toBeCloseTo(mixed?.effect.standardError ?? 0, 9);
  });

  it('are better where more is better', () => expect(compare('runs', a, b, { lowerIsBetter: false }).verdict).toBe('b-better'));

  it('show nothing where they differ by less than they vary', () => {
    const { verdict, effect } = compare('runs', a, runs([4.31, 4.4, 4.5, 4.2, 4.41]));
    expect(verdict).toBe('no-difference-shown');
    expect(effect.pValue).toBeGreaterThan(0.05);
  });

  it('are refused of two runs a side, with what is seen and nothing concluded', () => {
    const answer = compare('runs', a, runs([12.4, 12.6]));
    expect(answer).toMatchObject({ verdict: 'not-comparable', effect: { relative: null, ci95: null, pValue: null }, b: { estimate: 12.5, ci95: null, blocks: 2 }, minimumDetectableEffect: null });
    expect(answer.effect.unadjusted).toBeCloseTo(12.5 / 4.354 - 1, 10);
    expect(answer.blocksFor(0.01)).toBeNull();
    expect(codes(answer)).toEqual(['TOO_FEW_BLOCKS']);
    expect(answer.reasons[0]?.detail).toMatch(/^B has 2 blocks/);
  });
});

describe('a verdict', () => {
  it('has a p-value below 5 % exactly where its interval leaves out 0, looked at once or all along', () => {
    for (const sequential of [false, true]) {
      for (const level of [2, 2.02, 2.1, 2.25]) {
        const { effect, verdict } = compare('before-after', minutes(1, 2, { step: HOUR }), minutes(2, level, { at: 20 * DAY, step: HOUR }), { sequential });
        expect((effect.pValue ?? 1) < 0.05).toBe(verdict === 'a-better');
      }
    }
  });

  it('rests on the wider interval where one looks again and again', () => {
    // 2.5 % apart, 3.2 standard errors: enough of 8 degrees of freedom for one look (2.3), not for any number of them.
    const sides = [runs([4.30, 4.36, 4.31, 4.43, 4.37]), runs([4.41, 4.47, 4.42, 4.54, 4.48])] as const;
    const [once, watched] = [compare('runs', ...sides), compare('runs', ...sides, { sequential: true })];
    expect([once.verdict, watched.verdict]).toEqual(['a-better', 'no-difference-shown']);
    expect([once.effect.pValue, watched.effect.pValue].map((p) => (p ?? 1) < 0.05)).toEqual([true, false]);
    expect(watched.effect.ci95).toEqual(once.effect.ci95);
    expect(watched.minimumDetectableEffect).toBeGreaterThan(once.minimumDetectableEffect ?? 1);
  });

  it('needs as much more data as it says', () => {
    const short = compare('before-after', minutes(3, 2, { step: HOUR }), minutes(4, 2, { at: 40 * DAY, step: HOUR }));
    const wanted = Math.expm1(Math.log1p(short.effect.ci95?.[1] ?? 0) - Math.log1p(short.effect.relative ?? 0)) / 2;
    const blocks = short.blocksFor(wanted) ?? 0;
    expect(blocks / 480).toBeCloseTo(4, 0);
    expect(short.blocksFor(0)).toBeNull();
  });

  it('is surer at a lower confidence', () => {
    const [narrow, wide] = [0.9, 0.99].map((confidence) => compare('runs', runs([1, 1.1, 1.2]), runs([2, 2.2, 2.3]), { confidence }).effect.ci95);
    expect(narrow?.[0]).toBeGreaterThan(wide?.[0] ?? 1);
  });
});

describe('what can not be told is refused', () => {
  it('sides of six seconds', () => {
    const answer = compare('before-after', minutes(1, 53, { count: 6, step: 1e6 }), minutes(2, 43, { count: 6, at: 60e6, step: 1e6 }));
    expect([answer.verdict, codes(answer)]).toEqual(['not-comparable', ['TOO_FEW_BLOCKS', 'TOO_FEW_BLOCKS']]);
    expect(answer.effect.unadjusted).toBeLessThan(-0.15);
  });

  it('a side without blocks, without work, without a numerator', () => {
    const a = minutes(1, 2);
    for (const b of [[], series({ count: 20, figure: () => 2, denominator: () => 0 }), series({ count: 20, figure: () => 0 })]) {
      const [answer, other] = [compare('before-after', a, b), compare('before-after', b, a)];
      expect([answer.verdict, codes(answer), codes(other)]).toEqual(['not-comparable', ['NO_FIGURE'], ['NO_FIGURE']]);
      expect([answer.reasons[0]?.detail, other.reasons[0]?.detail]).toEqual([expect.stringContaining('side B'), expect.stringContaining('side A')]);
    }
    expect(codes(compare('runs', [], []))).toEqual(['NO_FIGURE', 'NO_FIGURE']);
  });

  it('data without any spread, but not those of one side', () => {
    const flat = series({ count: 100, figure: () => 2.1, denominator: (index) => 100 + index });
    expect(codes(compare('parallel', flat, series({ count: 100, figure: () => 2.3 })))).toEqual(['CONSTANT_DATA']);
    expect(compare('runs', flat.slice(0, 5), runs([3, 3.1, 3.2])).verdict).toBe('a-better');
  });

  it('loads that hardly overlap, with the loads of both', () => {
    const random = chance(5);
    const at = (load: number, from: number): Block[] => series({ count: 200, at: from, figure: () => 2 * Math.exp(0.02 * random()), covariates: () => ({ load: load * Math.exp(0.1 * random()) }) });
    const answer = compare('before-after', at(800, 0), at(400, DAY), { covariates: ['load'] });
    expect(answer).toMatchObject({ verdict: 'not-comparable', reasons: [{ code: 'LITTLE_OVERLAP' }], a: { ci95: [expect.any(Number), expect.any(Number)] } });
    expect(answer.reasons[0]?.detail).toMatch(/^Only 0 % .*in the range of load .*\(A \d+, B \d+ on average/);
    expect(compare('before-after', at(800, 0), at(400, DAY)).verdict).not.toBe('not-comparable');
  });

  it('conditions that differ, where there are too few blocks to adjust for them', () => {
    const answer = compare('runs', warm([60, 61, 62]), warm([61.5, 62, 63]), { covariates: ['inputLength', 'temperature'] });
    expect([answer.verdict, codes(answer)]).toEqual(['not-comparable', ['CONDITIONS_DIFFER']]);
    expect(codes(compare('runs', warm([60, 61, 62]), warm([60.5, 61, 62]), { covariates: ['inputLength', 'temperature'] }))).toEqual(['TOO_FEW_TO_ADJUST']);
  });
});

describe('an adjusted effect', () => {
  it('is that of the change, where the plain one is that of the load, and says so', () => {
    const { effect, verdict, adjustments } = compare('before-after', served(1, 4320, 0, allDay, 1), served(2, 4320, 5 * DAY, night, 0.95), { covariates: ['load', 'temperature'] });
    expect(effect.unadjusted).toBeGreaterThan(0.2);
    expect(effect.relative).toBeCloseTo(-0.05, 2);
    expect([verdict, effect.adjusted, adjustments.length]).toEqual(['b-better', true, 1]);
    expect(adjustments[0]?.covariate).toBe('load');
    // At 600 tokens/s −(500/600) / (0.5 + 500/600).
    expect(adjustments[0]?.coefficient).toBeCloseTo(-0.62, 1);
    expect(adjustments[0]?.detail).toMatch(/^load: the figure changes by −0\.\d\d % per 1 % more \(A 7\d\d, B 4\d\d on average\)$/);
  });

  it('is not told as adjusted where nothing varied', () => {
    expect(compare('before-after', served(1, 480, 0, constant, 1), served(2, 480, DAY, constant, 1.2), { covariates: ['load', 'temperature'] }).effect.adjusted).toBe(false);
  });

  it('leaves out a condition that another one tells', () => {
    const random = chance(9);
    const twice = (at: number): Block[] => series({ count: 100, at, figure: () => 2 * Math.exp(0.02 * random()), covariates: (index) => ({ inputLength: 100 + index, outputLength: 300 + 3 * index }) });
    const answer = compare('before-after', twice(0), twice(DAY), { covariates: ['inputLength', 'outputLength'] });
    expect(answer.adjustments.map(({ covariate }) => covariate)).toEqual(['inputLength']);
    expect(codes(answer)).toContain('CONDITION_NOT_SEPARABLE');
  });
});

describe('what is not in the data is told, and allowed for', () => {
  it('what drifts over hours, in sides of less than two days', () => {
    const answer = compare('before-after', minutes(1, 2), minutes(2, 2.04, { at: DAY }));
    expect([answer.verdict, codes(answer)]).toEqual(['no-difference-shown', ['BEFORE_AFTER', 'SHORT_SIDES']]);
    expect(answer.effect.standardError).toBeGreaterThan(0.028);
    // Two days of minutes, from which on the drift would be seen.
    expect(answer.blocksFor(0.03)).toBe(2880);
    expect(compare('before-after', minutes(1, 2), minutes(2, 6, { at: DAY })).verdict).toBe('a-better');
    expect(codes(compare('before-after', minutes(1, 2, { count: 2880 }), minutes(2, 2, { at: 2 * DAY, count: 2880 })))).toEqual(['BEFORE_AFTER']);
  });

  it('how two nodes differ, however long they run; several of each show it', () => {
    const [one, other] = [compare('parallel', node('n1', 1, 2), node('n2', 2, 2.04)), compare('parallel', [...node('n1', 1, 2), ...node('n3', 3, 2.04)], [...node('n2', 2, 2.01), ...node('n4', 4, 2.05)])];
    expect([one.verdict, codes(one), one.blocksFor(0.02)]).toEqual(['no-difference-shown', ['UNITS_IN_EFFECT'], null]);
    expect(codes(other)).toEqual([]);
    // Nodes of a side are 2 % apart, so the error is that of two and two: 0.02/√2 · √(1/2 + 1/2) or so, and t of 2.
    expect(other.effect.standardError).toBeGreaterThan(0.01);
    expect([other.verdict, other.blocksFor(0.02)]).toEqual(['no-difference-shown', null]);
  });

  it('drift all along', () => {
    const climbing = series({ count: 200, step: HOUR, figure: (index) => 2 + 0.01 * index });
    const answer = compare('before-after', climbing, series({ count: 200, step: HOUR, at: 10 * DAY, figure: (index) => 4 + 0.01 * index }));
    expect(codes(answer)).toEqual(['BEFORE_AFTER', 'SLOW_DRIFT']);
    expect(answer.verdict).toBe('no-difference-shown');
  });

  it('too few turns, which are two periods; with enough of them what drifts by the hour is no matter', () => {
    const random = chance(11);
    const drift = (index: number): number => 2 * (1 + 0.02 * Math.sin(index / 300)) * Math.exp(0.02 * random());
    const all = series({ count: 2400, step: MINUTE, figure: drift });
    const turn = (side: number, cycles: number): Block[] => all.filter((_, index) => Math.floor(index / 60) % 2 === side && index < cycles * 120).map((block) => ({ ...block, numerator: block.numerator * (1 + 0.03 * side) }));
    const [few, many] = [compare('switchback', turn(0, 5), turn(1, 5)), compare('switchback', turn(0, 20), turn(1, 20))];
    expect([few.verdict, codes(few)]).toEqual(['no-difference-shown', expect.arrayContaining(['FEW_TURNS', 'SHORT_SIDES'])]);
    expect([many.verdict, codes(many)]).toEqual(['a-better', []]);
    expect(many.effect.relative).toBeCloseTo(0.03, 2);
  });
});
