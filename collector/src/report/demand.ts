/**
 * Demand charge: money for the highest mean power of a month, which no joule of that month bears more than another. So it stands apart from
 * all costs. Of a whole site only: it is asked for where the question keeps no part of one.
 */
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { DEFAULT_SITE, type Book } from '../book/book.js';
import type { Flag, Report } from '../join/report.js';
import { formatTime } from '../join/times.js';
import { localMoment } from '../rates/local-time.js';
import type { Piece, Span } from '../rates/pieces.js';
import type { Demand } from '../rates/site-rates.js';
import { inBoundary, type GroupSum, type Store } from '../store/store.js';
import { UNTIMED_BEFORE_MICROS } from '../store/series.js';
import type { Boundary } from '@joulebook/shared/slice.js';
import type { ReportRequest } from './request.js';

type Charge = NonNullable<Report['demand']>[number];

interface Month {
  readonly peak: number;
  readonly at: EpochMicros;
  readonly seconds: number;
  readonly asked: number;
  readonly isTooCoarse: boolean;
}
export interface Demanded {
  readonly charges: readonly Charge[];
  readonly flags: readonly Flag[];
}

/** Of the interval: so far what begins in it may reach over its end, as a fact of ten seconds does. What reaches farther is longer than the interval, or a sum by the hour. */
const MOST_BEYOND = 0.1;

const valueAt = (pieces: readonly Piece<number | null>[], at: EpochMicros): number | null => (pieces.findLast(({ from }) => from <= at) ?? pieces[0])?.value ?? null;

/** All energy of what begins in an interval is taken for the interval's: of what is longer than it that would be too much power. */
function chargesOf(site: string | null, { pricePerKw, intervalSeconds, zone }: Demand, sums: readonly GroupSum<'booked'>[], pue: (at: EpochMicros) => number | null): Demanded {
  const months = new Map<string, Month>();
  for (const { step, to, sums: { microjoules, seconds, askedSeconds } } of sums) {
    const month = localMoment(zone, step).date.slice(0, 7);
    const known = months.get(month) ?? { peak: 0, at: step, seconds: 0, asked: 0, isTooCoarse: false };
    const kilowatts = (Number(microjoules) / 1e9 / intervalSeconds) * (pue(step) ?? Number.NaN);
    const higher = kilowatts > known.peak;
    const isTooCoarse = known.isTooCoarse || to - step > intervalSeconds * 1e6 * (1 + MOST_BEYOND);
    months.set(month, { peak: higher ? kilowatts : known.peak, at: higher ? step : known.at, seconds: known.seconds + seconds, asked: known.asked + askedSeconds, isTooCoarse });
  }
  const sorted = [...months].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    charges: sorted.map(([month, { peak, at, seconds, asked, isTooCoarse }]) => ({ site, month, ...(isTooCoarse ? { peakKw: null, at: null, cost: null } : { peakKw: peak, at: formatTime(at), cost: peak * pricePerKw }), coverage: asked > 0 ? seconds / asked : null })),
    flags: sorted.flatMap(([month, { isTooCoarse }]) => (isTooCoarse ? [{ code: 'DEMAND_TOO_COARSE', detail: `Demand of ${site ?? '(no site)'} in ${month}: some of its energy is known for times longer than the ${intervalSeconds / 60} min over which power is averaged (long facts, or sums of what is no longer kept), so the highest power is not known.` }] : [])),
  };
}

/** @returns undefined where no tariff has one, or the question is about a part of a site */
export async function demandOf(store: Store, { where, from, to, pue: said }: ReportRequest, boundary: Boundary | null, { sites }: Book, span: Span | undefined): Promise<Demanded | undefined> {
  const asked = [...sites].flatMap(([name, rates]) => (rates.demand ? [{ name, rates, demand: rates.demand }] : []));
  if (boundary === null || span === undefined || asked.length === 0 || where.some(({ key }) => key !== 'site')) return undefined;
  const found: Demanded[] = [];
  for (const { name, rates, demand } of asked) {
    const sums = await store.sum({ kind: 'booked', by: ['site'], step: epochMicros(demand.intervalSeconds * 1e6), where: [...where, inBoundary(boundary)], from: epochMicros(Math.max(from ?? 0, UNTIMED_BEFORE_MICROS)), to });
    const pue = rates.pue(span);
    const bySite = new Map<string | null, GroupSum<'booked'>[]>();
    for (const sum of sums) {
      const [site = null] = sum.values;
      const own = name === DEFAULT_SITE ? site === null || !sites.has(site) : site === name;
      const known = bySite.get(site) ?? [];
      if (own) bySite.set(site, known).get(site)?.push(sum);
    }
    for (const [site, own] of bySite) found.push(chargesOf(site, demand, own, (at) => said ?? valueAt(pue, at)));
  }
  return { charges: found.flatMap(({ charges }) => charges), flags: found.flatMap(({ flags }) => flags) };
}
