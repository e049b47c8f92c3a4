/** Blocks for tests of the method: minutes, or pieces of any length, with chance that a seed decides. */
import { epochMicros } from '@joulebook/shared/units.js';
import type { Block } from './block.js';

export const MINUTE = 60e6;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
const START = Date.UTC(2026, 5, 1) * 1e3;

/** Standard normal numbers. */
export function chance(seed: number): () => number {
  let state = (seed * 7919 + 17) % 2_147_483_647;
  const uniform = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

interface Series {
  readonly count: number;
  /** µs after the start of all series, and of each block. */
  readonly at?: number;
  readonly step?: number;
  /** Figure of each block. */
  readonly figure: (index: number) => number;
  readonly denominator?: (index: number) => number;
  readonly covariates?: (index: number) => Block['covariates'];
  readonly unit?: string;
}

export const series = ({ count, at = 0, step = MINUTE, figure, denominator = () => 1000, covariates = () => ({}), unit }: Series): Block[] =>
  Array.from({ length: count }, (_, index) => ({
    from: epochMicros(START + at + index * step), to: epochMicros(START + at + (index + 1) * step),
    numerator: figure(index) * denominator(index), denominator: denominator(index), covariates: covariates(index), ...(unit !== undefined && { unit }),
  }));
