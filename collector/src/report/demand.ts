/**
 * Demand charge: money for the highest mean power of a month, which no joule of that month bears more than another. So it stands apart from
 * all costs. Of a whole site only: it is asked for where the question keeps no part of one.
 */
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { DEFAULT_SITE, type Book } from '../book/book.js';
import type { Report } from '../join/report.js';
import { formatTime } from '../join/times.js';
import { localMoment } from '../rates/local-time.js';
import type { Piece, Span } from '../rates/pieces.js';
import type { Demand } from '../rates/site-rates.js';
import { inBoundary, type BookedSums, type Store } from '../store/store.js';
import { UNTIMED_BEFORE_MICROS } from '../store/series.js';
import type { Boundary } from '@joulebook/shared/slice.js';
import type { ReportRequest } from './request.js';

type Charge = NonNullable<Report['demand']>[number];

interface Month {
  readonly peak: number;
  readonly at: EpochMicros;
  readonly seconds: number;
  readonly asked: number;
}

const valueAt = (pieces: readonly Piece<number | null>[], at: EpochMicros): number | null => (pieces.findLast(({ from }) => from <= at) ?? pieces[0])?.value ?? null;

function chargesOf(site: string | null, { pricePerKw, intervalSeconds, zone }: Demand, steps: ReadonlyMap<EpochMicros, BookedSums>, pue: (at: EpochMicros) => number | null): Charge[] {
  const months = new Map<string, Month>();
  for (const [step, { microjoules, seconds, askedSeconds }] of steps) {
    const month = localMoment(zone, step).date.slice(0, 7);
    const known = months.get(month) ?? { peak: 0, at: step, seconds: 0, asked: 0 };
    const kilowatts = (Number(microjoules) / 1e9 / intervalSeconds) * (pue(step) ?? Number.NaN);
    const higher = kilowatts > known.peak;
    months.set(month, { peak: higher ? kilowatts : known.peak, at: higher ? step : known.at, seconds: known.seconds + seconds, asked: known.asked + askedSeconds });
  }
  return [...months].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([month, { peak, at, seconds, asked }]) => ({ site, month, peakKw: peak, at: formatTime(at), cost: peak * pricePerKw, coverage: asked > 0 ? seconds / asked : null }));
}

/** @returns undefined where no tariff has one, or the question is about a part of a site */
export async function demandOf(store: Store, { where, from, to, pue: said }: ReportRequest, boundary: Boundary | null, { sites }: Book, span: Span | undefined): Promise<Report['demand']> {
  const asked = [...sites].flatMap(([name, rates]) => (rates.demand ? [{ name, rates, demand: rates.demand }] : []));
  if (boundary === null || span === undefined || asked.length === 0 || where.some(({ key }) => key !== 'site')) return undefined;
  const charges: Charge[] = [];
  for (const { name, rates, demand } of asked) {
    const found = await store.sum({ kind: 'booked', by: ['site'], step: epochMicros(demand.intervalSeconds * 1e6), where: [...where, inBoundary(boundary)], from: epochMicros(Math.max(from ?? 0, UNTIMED_BEFORE_MICROS)), to });
    const pue = rates.pue(span);
    const bySite = new Map<string | null, Map<EpochMicros, BookedSums>>();
    for (const { step, values: [site = null], sums } of found) {
      const own = name === DEFAULT_SITE ? site === null || !sites.has(site) : site === name;
      if (own) bySite.set(site, (bySite.get(site) ?? new Map<EpochMicros, BookedSums>()).set(step, sums));
    }
    for (const [site, steps] of bySite) charges.push(...chargesOf(site, demand, steps, (at) => said ?? valueAt(pue, at)));
  }
  return charges;
}
