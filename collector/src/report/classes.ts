/** What classes of time a question asks about: the periods of each site's tariff, and bands of load. */
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { DEFAULT_SITE, type Book } from '../book/book.js';
import type { Span } from '../rates/pieces.js';
import { gridOf } from '../book/valuation.js';
import type { Scope, Store } from '../store/store.js';
import { UNTIMED_BEFORE_MICROS } from '../store/series.js';
import { isTimeKey, withTimeClasses, type TimeClasses } from '../store/time-classes.js';
import type { ReportRequest } from './request.js';

/** Coarsest first. A tenth of fewer steps than these is hardly one. */
const LOAD_STEPS = [300e6, 60e6, 10e6] as const;
const FEWEST_STEPS = 20;
/** By output tokens in a step: the lower half of a window's steps, those above, and the highest tenth. */
const BANDS = ['below P50', 'P50–P90', 'P90 and above'] as const;

function periodsOf({ sites }: Book, span: Span): TimeClasses {
  const bySite = new Map([...sites].map(([site, { period }]) => [site, period(span)]));
  const grid = gridOf([...bySite.values()].flatMap((pieces) => pieces.slice(1).map(({ from }) => from)));
  return {
    key: 'tariffPeriod',
    grid: epochMicros(grid),
    classOf(at, site) {
      // Runs without a start have no hour.
      if (at < UNTIMED_BEFORE_MICROS) return null;
      const pieces = bySite.get(site ?? '') ?? bySite.get(DEFAULT_SITE) ?? [];
      // The first cell may begin before the span.
      return (pieces.findLast(({ from }) => from <= at) ?? pieces[0])?.value ?? null;
    },
  };
}

async function loadBands(store: Store, scope: Scope, { from, to }: Span): Promise<TimeClasses> {
  const length = epochMicros(LOAD_STEPS.find((step) => to - from > (FEWEST_STEPS - 1) * step) ?? LOAD_STEPS[2]);
  // Of turns of an experiment too the bands are those of all the time between.
  const made = await store.sum({ kind: 'tokens', by: [], step: length, ...scope, within: undefined, where: [...scope.where, { key: 'token', values: ['output'] }] });
  const byStep = new Map<number, number>(made.map(({ step, sums: { count } }) => [step, count]));
  const loads: number[] = [];
  for (let step = Math.floor(from / length) * length; step < to; step += length) loads.push(byStep.get(step) ?? 0);
  const sorted = loads.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  const [half, most] = [at(0.5), at(0.9)];
  const [low, middle, high] = BANDS;
  return {
    key: 'loadBand',
    grid: length,
    classOf(time: EpochMicros) {
      const load = byStep.get(Math.floor(time / length) * length) ?? 0;
      return load >= most && most > 0 ? high : load >= half && half > 0 ? middle : low;
    },
  };
}

/** @param scope of tokens, by the question's filters */
export async function withClasses(store: Store, { by, where }: ReportRequest, scope: Scope, book: Book, span: Span | undefined): Promise<Store> {
  const named = new Set([...by, ...where.map(({ key }) => key)].filter(isTimeKey));
  if (named.size === 0) return store;
  const none: TimeClasses = { key: 'tariffPeriod', grid: epochMicros(86_400e6), classOf: () => null };
  const classes = span === undefined ? [none, { ...none, key: 'loadBand' as const }] : [periodsOf(book, span), ...(named.has('loadBand') ? [await loadBands(store, scope, span)] : [])];
  return withTimeClasses(store, classes);
}
