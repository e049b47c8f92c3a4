/**
 * What a change must not cost, beside what it is to bring: `usefulShare>=0.95`, `failedShare<=1%`, `ttftP95<=2s`. A limit is held
 * against the figure of B as a report has it; percentiles are known as a bucket, and one with the limit in it is neither in nor out.
 */
import { nearest, parseDuration } from '@joulebook/shared/settings.js';
import { FIGURE_NAMES, FIGURES } from '../figures/table.js';
import type { Row } from '../join/report.js';

const PERCENTILES = ['ttftP50', 'ttftP95', 'ttftP99', 'tpotP50', 'tpotP95', 'tpotP99'] as const;
const SHARES = ['failedShare', 'abortedShare'] as const;
const NAMES = [...FIGURE_NAMES, ...PERCENTILES, ...SHARES] as const;
type Name = (typeof NAMES)[number];

const SIGNS = ['<=', '>=', '<', '>'] as const;
export interface Guardrail {
  readonly figure: Name;
  readonly sign: (typeof SIGNS)[number];
  /** In the unit of the figure; s, and shares as parts of 1. */
  readonly limit: number;
}
export const STATUSES = ['ok', 'violated', 'unknown'] as const;
export type Status = (typeof STATUSES)[number];

type Unit = 'share' | 'seconds' | 'number';

function unitOf(figure: Name): Unit {
  if (PERCENTILES.some((each) => each === figure)) return 'seconds';
  const name = FIGURE_NAMES.find((each) => each === figure);
  return name === undefined || FIGURES[name].unit === '1' ? 'share' : 'number';
}

const EXPECTED: Readonly<Record<Unit, string>> = { share: 'a share between 0 and 1; write 0.95 or 95%', seconds: 'a time above zero; write 2s or 50ms', number: 'a plain number in its own unit' };

/** `2` of any, `1%` of shares only, `50ms` of times only. */
function limitOf(text: string, unit: Unit): number | undefined {
  const [, digits, percent] = /^(\d*\.?\d+(?:e[+-]?\d+)?)\s*(%?)$/i.exec(text.trim()) ?? [];
  if (unit === 'seconds') {
    const limit = percent === '%' ? undefined : digits === undefined ? parseDuration(text) : Number(digits);
    return limit !== undefined && limit > 0 ? limit : undefined;
  }
  if (digits === undefined || (percent === '%' && unit !== 'share')) return undefined;
  const limit = Number(digits) / (percent === '%' ? 100 : 1);
  return unit === 'share' && limit > 1 ? undefined : limit;
}

/** @returns what is wrong with it, in words after the text */
export function parseGuardrail(text: string): Guardrail | string {
  const sign = SIGNS.find((each) => text.includes(each));
  if (sign === undefined) return 'is no limit; write figure<=limit, e.g. failedShare<=1%';
  const [name = '', ...rest] = text.split(sign).map((part) => part.trim());
  const figure = NAMES.find((known) => known === name);
  if (figure === undefined) {
    const guess = nearest(name, NAMES);
    return `names no figure; ${guess === undefined ? `known are ${NAMES.join(', ')}` : `did you mean '${guess}'?`}`;
  }
  const unit = unitOf(figure);
  const limit = limitOf(rest.join(sign), unit);
  return limit === undefined ? `has no limit of ${figure}: it is ${EXPECTED[unit]}` : { figure, sign, limit };
}

export const isLatency = (read: Guardrail | string): boolean => typeof read !== 'string' && PERCENTILES.some((each) => each === read.figure);

const ofRequests = ({ requests }: Row, name: 'failed' | 'aborted'): number | null => {
  const all = Object.values(requests).reduce<number>((sum, count) => sum + (count ?? 0), 0);
  return all > 0 ? (requests[name] ?? 0) / all : null;
};

type Bounds = readonly [low: number, high: number];

/** Low and high end of what the figure may be; null where it was not measured. */
export function valueOf(row: Row, figure: Name): Bounds | null {
  const percentile = PERCENTILES.find((each) => each === figure);
  if (percentile) {
    const latency = percentile.startsWith('ttft') ? row.ttft : row.tpot;
    const bounds = percentile.endsWith('50') ? latency?.p50 : percentile.endsWith('95') ? latency?.p95 : latency?.p99;
    return bounds ?? null;
  }
  const name = FIGURE_NAMES.find((each) => each === figure);
  const value = name ? row[name] : ofRequests(row, figure === 'failedShare' ? 'failed' : 'aborted');
  return value === null ? null : [value, value];
}

const KEEPS: Readonly<Record<Guardrail['sign'], (value: number, limit: number) => boolean>> = { '<=': (value, limit) => value <= limit, '>=': (value, limit) => value >= limit, '<': (value, limit) => value < limit, '>': (value, limit) => value > limit };

export function statusOf(bounds: Bounds | null, { sign, limit }: Guardrail): Status {
  if (bounds === null) return 'unknown';
  const kept = bounds.filter((value) => KEEPS[sign](value, limit)).length;
  return kept === 2 ? 'ok' : kept === 0 ? 'violated' : 'unknown';
}
