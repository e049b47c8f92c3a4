import fc from 'fast-check';
import { expect, it } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import { at } from '../store/sample-facts.js';
import { blocksFrom } from './blocks.js';
import type { Cell, CellSums } from './cells.js';
import { COVARIATES } from './method/compare-blocks.js';
import { METRICS, type Metric } from './metrics.js';

const METRIC: Metric = METRICS.get('joulesPerToken') ?? expect.fail();
const MINUTE = epochMicros(60e6);
const cell = (minute: number, sums: CellSums, unit?: string): Cell => ({ step: at(minute * 60), from: at(minute * 60), to: at(minute * 60 + 60), unit, sums });
const told = (cells: readonly Cell[], step: typeof MINUTE | null = MINUTE) => blocksFrom(cells, step, COVARIATES)(METRIC).map(({ from, to, numerator, denominator }) => [(from - at(0)) / 60e6, (to - at(0)) / 60e6, numerator, denominator]);

it('puts an idle minute on the bill of the one before it, or of the next where there is none', () => {
  expect(told([cell(0, { joules: 90 }), cell(1, { joules: 610, output: 49 }), cell(2, { joules: 580 }), cell(3, { joules: 602, output: 47 })])).toEqual([[0, 3, 1280, 49], [3, 4, 602, 47]]);
});

it('reaches over no gap: what is idle alone is counted and lengthens nothing', () => {
  // The other side's turn lies between minutes 1 and 9.
  expect(told([cell(0, { joules: 600, output: 50 }), cell(9, { joules: 90 }), cell(10, { joules: 610, output: 49 }), cell(20, { joules: 95 })])).toEqual([[0, 1, 600, 50], [9, 11, 795, 49]]);
});

it('keeps runs apart, also one that made nothing', () => {
  expect(told([cell(0, { joules: 600, output: 50 }), cell(1, { joules: 90 })], null)).toEqual([[0, 1, 600, 50], [1, 2, 90, 0]]);
});

it('loses no joule and no token, whatever is idle', () => {
  const cells = fc.array(fc.record({ minute: fc.nat(200), joules: fc.nat(1000), output: fc.nat(3) }), { minLength: 1 })
    .map((all) => [...new Map(all.map((each) => [each.minute, each])).values()].toSorted((a, b) => a.minute - b.minute).map(({ minute, ...sums }) => cell(minute, sums)));
  fc.assert(fc.property(cells, (all) => {
    const sum = (of: (each: Cell) => number): number => all.reduce((whole, each) => whole + of(each), 0);
    const blocks = told(all);
    const [joules, output] = [sum(({ sums }) => sums.joules ?? 0), sum(({ sums }) => sums.output ?? 0)];
    const ends = blocks.every(([from = 0, to = 0], index) => from < to && to <= (blocks[index + 1]?.[0] ?? Infinity));
    return blocks.reduce((whole, block) => whole + (block[2] ?? 0), 0) === joules && blocks.reduce((whole, block) => whole + (block[3] ?? 0), 0) === output && ends && (output === 0 || blocks.every((block) => (block[3] ?? 0) > 0));
  }));
});

it('tells load and lengths of each block; where no request was answered, those of the last ones; and no share of a cache that nobody told of', () => {
  const cells = [cell(0, { joules: 1, output: 120, input: 90 }), cell(1, { joules: 1, output: 60, input: 30, answeredRequests: 2, answeredInput: 100, answeredOutput: 40 }), cell(2, { joules: 1, output: 30, input: 30 })];
  const conditions = blocksFrom(cells, MINUTE, COVARIATES)(METRIC).map(({ covariates }) => covariates);
  expect(conditions).toEqual([{ load: 2, inputLength: 50, outputLength: 20 }, { load: 1, inputLength: 50, outputLength: 20 }, { load: 0.5, inputLength: 50, outputLength: 20 }]);
  const cached = cells.map((each, index) => (index === 0 ? { ...each, sums: { ...each.sums, cachedInput: 30 } } : each));
  expect(blocksFrom(cached, MINUTE, COVARIATES)(METRIC).map(({ covariates }) => covariates.cachedShare)).toEqual([1 / 3, 0, 0]);
});

it('has blocks of each node, and of all as one where a node lacks one side of the figure', () => {
  const nodes = [cell(0, { joules: 5, output: 1 }, 'n1'), cell(1, { joules: 6, output: 1 }, 'n1'), cell(0, { joules: 7, output: 2 }, 'n2')];
  expect(blocksFrom(nodes, MINUTE, [])(METRIC).map(({ unit, numerator }) => [unit, numerator])).toEqual([['n1', 5], ['n1', 6], ['n2', 7]]);
  expect(told([...nodes, cell(1, { joules: 8 }, 'n3')])).toEqual([[0, 1, 12, 3], [1, 2, 14, 1]]);
});
