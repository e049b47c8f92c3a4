import { describe, expect, it } from 'vitest';
import type { Block, Covariate } from './block.js';
import { adjustmentsOf, conditionsOf } from './conditions.js';
import { chance, series } from './method.testing.js';
import { regress, regressors } from './regression.js';

const of = (count: number, covariates: (index: number) => Block['covariates'], figure: (index: number) => number = () => 2): Block[] => series({ count, figure, covariates });

const load = (index: number): number => 100 * Math.exp(Math.sin(index));
const warm = (index: number): number => 60 + 10 * Math.sin(index);

/** Slope of a condition in blocks whose figure follows a law. */
function slopeOf(covariate: Covariate, value: (index: number) => number, figure: (index: number) => number): number {
  const blocks = of(400, (index) => ({ [covariate]: value(index) }), figure);
  const { taken } = conditionsOf(blocks.slice(0, 200), blocks.slice(200), [covariate], 64);
  const fit = regress(regressors(blocks, taken.flatMap(({ columns }) => columns)));
  return adjustmentsOf(taken, fit?.coefficients.slice(1) ?? [])[0]?.coefficient ?? Number.NaN;
}

describe('the slope that is told', () => {
  it('is an elasticity of load and lengths, a change per unit of the others', () => {
    expect(slopeOf('load', load, (index) => load(index) ** -0.4)).toBeCloseTo(-0.4, 4);
    expect(slopeOf('outputLength', load, (index) => 3 * load(index) ** 0.2)).toBeCloseTo(0.2, 4);
    expect(slopeOf('temperature', warm, (index) => Math.exp(0.003 * warm(index)))).toBeCloseTo(0.003, 6);
  });

  it('of a bend is the mean one of the middle', () => {
    const slope = slopeOf('temperature', warm, (index) => Math.exp(0.004 * Math.max(0, warm(index) - 60)));
    expect(slope).toBeGreaterThan(0.0015);
    expect(slope).toBeLessThan(0.0025);
  });
});

it('follows what is no straight line: idle power that is shared by the tokens', () => {
  const blocks = of(1000, (index) => ({ load: 200 + 9 * (index % 100) }), (index) => 0.5 + 400 / (200 + 9 * (index % 100)));
  const { taken } = conditionsOf(blocks.slice(0, 500), blocks.slice(500), ['load'], 64);
  const fit = regress(regressors(blocks, taken.flatMap(({ columns }) => columns)));
  const off = blocks.map(({ numerator }, index) => Math.abs((fit?.fitted[index] ?? 0) / numerator - 1));
  expect(Math.max(...off)).toBeLessThan(0.015);
});

describe('a condition is left out', () => {
  const random = chance(3);
  const known = of(50, () => ({ load: 100 * Math.exp(random()), temperature: 60 + random() }));

  it('and that is said, where many blocks of a side do not tell it', () => {
    const { taken, reasons } = conditionsOf(known, known.map((block, index) => (index < 10 ? { ...block, covariates: { load: 80 } } : block)), ['load', 'temperature'], 64);
    expect(taken.map(({ covariate }) => covariate)).toEqual(['load']);
    expect(reasons).toEqual([{ code: 'CONDITION_UNKNOWN', detail: 'Not adjusted for temperature: too few blocks of B tell it.' }]);
  });

  it('but not where a few do not, which are like the one before', () => {
    const { taken } = conditionsOf(known, known.map((block, index) => (index === 7 ? { ...block, covariates: {} } : block)), ['temperature'], 64);
    expect(taken[0]?.b.values[7]).toBe(taken[0]?.b.values[6]);
  });

  it('where it never changed, or was not asked for', () => {
    const constant = of(50, () => ({ load: 120 }));
    expect(conditionsOf(constant, constant, ['load'], 64)).toEqual({ known: [], taken: [], reasons: [] });
    expect(conditionsOf(known, known, ['temperature'], 64).taken.map(({ covariate }) => covariate)).toEqual(['temperature']);
  });

  it('and that is said, where there are too few pieces to tell it', () => {
    expect(conditionsOf(known, known, ['load', 'temperature'], 10).reasons).toEqual([]);
    const { taken, known: all, reasons } = conditionsOf(known, known, ['load', 'temperature'], 6);
    expect([all.length, taken.length, reasons.map(({ code }) => code)]).toEqual([2, 1, ['TOO_FEW_TO_ADJUST']]);
  });
});
