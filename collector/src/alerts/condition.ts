/** What a rule of the book is once it can be asked, and what it answers. */
import { UsageError } from '@joulebook/shared/errors.js';
import { epochMicros, toEpochMicros, type EpochMicros, type Instant } from '@joulebook/shared/units.js';
import type { Book } from '../book/book.js';
import type { Severity } from '../book/alerting.js';
import type { Where } from '../book/where.js';
import type { Row } from '../join/report.js';
import { buildReport } from '../report/build.js';
import { checkLabels, parseRequest, type Defaults, type ReportRequest } from '../report/request.js';
import type { Extent, Key, Store } from '../store/store.js';

/** One thing that may be wrong, of one group. */
export interface Condition {
  readonly labels: Readonly<Record<string, string>>;
  readonly severity: Severity;
  /** null: it can't be told now, which ends nothing and begins nothing. */
  readonly holds: boolean | null;
  readonly value: number | null;
  /** One sentence with the numbers, for whoever is woken by it. */
  readonly summary: string;
}

/** How budgets and targets stand, whether they alert or not. */
export interface BudgetStanding {
  readonly name: string;
  readonly group: Readonly<Record<string, string>>;
  readonly of: string;
  readonly amount: number;
  readonly from: string;
  readonly to: string;
  /** null: not known, e.g. no price for some of the energy. */
  readonly spent: number | null;
  /** Of the amount; of the period, what has passed; the first over the second; and the amount at this rate by its end. */
  readonly share: number | null;
  readonly passed: number;
  readonly burnRate: number | null;
  readonly forecast: number | null;
}
export interface TargetStanding {
  readonly name: string;
  readonly group: Readonly<Record<string, string>>;
  readonly figure: string;
  readonly value: number | null;
  readonly baseline: number | null;
  /** value / baseline − 1. */
  readonly change: number | null;
  readonly atMost: number | null;
  readonly atLeast: number | null;
  readonly met: boolean | null;
}

export interface Answer {
  readonly conditions: readonly Condition[];
  readonly budgets?: readonly BudgetStanding[];
  readonly targets?: readonly TargetStanding[];
}

export interface Rule {
  readonly name: string;
  readonly kind: string;
  /** s: how often it is worth asking. */
  readonly every: number;
  readonly for: number;
  readonly keepFiring: number;
  /** What a condition that is told no more means: it is over, or it is not known. */
  readonly absent: 'over' | 'unknown';
  /** @throws UsageError for labels that no fact carries; whatever the store throws */
  readonly evaluate: (at: Instant, store: Store) => Promise<Answer>;
}

/** By what rules are made. */
export interface Terms {
  readonly book: Book;
  readonly defaults: Defaults;
}

/** Facts are 10 s long and up to 10 s late; whole minutes can be read from sums. */
const LATE_SECONDS = 30;
const MINUTE = 60e6;
export const settledAt = (at: Instant, grid: number = MINUTE): EpochMicros => epochMicros(Math.floor((toEpochMicros(at) - LATE_SECONDS * 1e6) / grid) * grid);

/** A figure over a day need not be asked for each minute. */
export const paceOf = (over: number): number => Math.min(3600, Math.max(60, over / 60));

/** @throws UsageError naming the rule */
export function requestOf(rule: string, { where, by }: { readonly where: Where; readonly by: readonly string[] }, defaults: Defaults): ReportRequest {
  try {
    return parseRequest({ where: Object.entries(where).flatMap(([key, values]) => values.map((value) => `${key}=${value}`)), by }, defaults, '');
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(error.faults.map((fault) => `${rule}.${fault}`)) : error;
  }
}

/** Reports check it themselves. @throws UsageError for labels that no fact carries: a rule that is about nothing would never fire */
export async function checkKnown(store: Store, request: ReportRequest): Promise<void> {
  if ((await store.extent()) !== null) checkLabels(request, await store.labels(), '');
}

const NOBODY = '(none)';
export const keyName = (key: Key): string => (typeof key === 'string' ? key : key.label);
export const labelsOf = (by: readonly Key[], values: readonly (string | null)[]): Record<string, string> => Object.fromEntries(by.map((key, index) => [keyName(key), values[index] ?? NOBODY]));
const labelled = (group: Row['group']): Record<string, string> => Object.fromEntries(Object.entries(group).map(([key, value]) => [key, value ?? NOBODY]));

export interface LabelledRow {
  readonly labels: Record<string, string>;
  readonly row: Row;
}

/** The rows of a report, one of the whole where nothing divides it. */
export async function rowsOver(store: Store, book: Book, request: ReportRequest, { from, to }: Extent): Promise<LabelledRow[]> {
  const report = await buildReport(store, { ...request, from, to }, '', book);
  return (request.by.length === 0 ? [report.total] : report.rows).map((row) => ({ labels: labelled(row.group), row }));
}

export const groupText = (labels: Readonly<Record<string, string>>): string => {
  const entries = Object.entries(labels);
  return entries.length === 0 ? '' : ` of ${entries.map(([key, value]) => `${key} ${value}`).join(', ')}`;
};
export const sameGroup = (a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean => JSON.stringify(a) === JSON.stringify(b);

const plain = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 });
export const number = (value: number): string => (value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(3) : plain.format(value));
export const percent = (share: number): string => `${number(100 * share)} %`;
