/**
 * Is the energy per token out of the ordinary? Pure functions over points (time, J, tokens, load), one per 10 minutes of one deployment:
 *
 *     ln(J/token)                                   ratios are judged by their factor: halves and doubles alike
 *       − expected at this load                     J/token falls with load, since idle watts are shared by more tokens: medians of
 *                                                   ln(J/token) in bands of load, straight lines between them
 *       − level                                     median of the 24 h that ended 2 h ago: slow drift is no anomaly
 *       − season                                    median of this hour of the week, its neighbours with it, where 3 weeks tell it;
 *                                                   else of this hour of the day, where 3 days do; else 0: recent hours are all there is
 *       = deviation, in units of its spread at this load (1.4826 × MAD)
 *
 * Judged is the median of the last hour (6 points, 4 at least) against the medians of all hours that were learnt from: a Hampel identifier
 * (median ± k × 1.4826 × MAD) with k = 5. Medians of overlapping hours are as alike among what was learnt as they are now, so that noise
 * which lasts for a while widens the spread instead of raising alarms. What is smaller than 7 % is no alarm, however unusual.
 *
 * Rate of false alarms it is set to: at k = 5 a normal noise gives one in 200 years of independent hours (p = 5.7e-7); noise has heavier
 * tails and drifts, so the goal is at most one in 30 days, which the bench `alerts` counts. An anomaly that takes up more than half of an
 * hour moves the hour's median: it is told 30 to 50 minutes after it began. What stays becomes the new level in the course of a day.
 */
import type { EpochMicros } from '@joulebook/shared/units.js';
import { medianOf, spreadOf } from './statistics.js';

export interface Point {
  /** Its beginning. */
  readonly at: EpochMicros;
  readonly joules: number;
  readonly tokens: number;
  /** Whatever work there is at a time: tokens per second. */
  readonly load: number;
}

export const STEP_MICROS = 600e6;
const HOUR = 3600e6;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;
/** How far back learning looks. */
export const LEARNT_MICROS = 4 * WEEK;
/** Where the level of a moment comes from: the 24 h that ended 2 h before. */
const LEVEL_FROM = 26 * HOUR;
const LEVEL_TO = 2 * HOUR;
/** Points that a level, or learning at all, needs. */
const LEVEL_LEAST = 36;
const LEARN_LEAST = 3 * 144;
const BANDS = 12;
const JUDGED_MICROS = HOUR;
const JUDGED_LEAST = 4;
/** Beyond what was learnt, J/token at a load is a guess. */
const LOAD_MARGIN = Math.log(1.25);
/** A sensor that tells the same for days has no spread at all; a deviation of half a percent is then one unit. */
const LEAST_SPREAD = 0.005;

export const ALARM = { score: 5, effect: 0.07 } as const;

interface Knot {
  readonly load: number;
  readonly value: number;
}
type Curve = readonly Knot[];

/** What was learnt; nothing in it is a copy of a point. */
export interface Model extends Seasons {
  readonly expected: Curve;
  readonly spread: Curve;
  readonly loads: readonly [number, number];
  /** Of the medians of hours, in units of `spread`. */
  readonly centre: number;
  readonly scale: number;
}

export interface Judgement {
  /** In robust standard deviations of an hour's median. */
  readonly score: number;
  /** 0.15: 15 % more joules per token than expected. */
  readonly effect: number;
  /** J/token of the judged hour, and what would have been ordinary. */
  readonly value: number;
  readonly expected: number;
  readonly isAnomaly: boolean;
}

const isUsable = ({ joules, tokens, load }: Point): boolean => joules > 0 && tokens > 0 && load > 0;

/** Straight lines between knots, in the logarithm of load; beyond the ends the last line goes on, or the last value. */
function valueAt(curve: Curve, load: number, goesOn: boolean): number {
  const [first, last] = [curve[0], curve.at(-1)];
  if (!first || !last) return 0;
  if (!goesOn && load <= first.load) return first.value;
  if (!goesOn && load >= last.load) return last.value;
  const next = curve.findIndex((knot) => knot.load >= load);
  const index = next === -1 ? curve.length - 1 : Math.max(1, next);
  const [a, b] = [curve[index - 1] ?? first, curve[index] ?? last];
  return b.load <= a.load ? b.value : a.value + ((b.value - a.value) * (load - a.load)) / (b.load - a.load);
}

/** As many points in each band; two bands of one load are one. */
function inBands<T extends { readonly load: number }>(points: readonly T[]): readonly (readonly T[])[] {
  const sorted = points.toSorted((a, b) => a.load - b.load);
  const size = sorted.length / BANDS;
  return Array.from({ length: BANDS }, (_, band) => sorted.slice(Math.round(band * size), Math.round((band + 1) * size))).filter((band) => band.length > 0);
}
const curveOf = <T extends { readonly load: number }>(bands: readonly (readonly T[])[], value: (band: readonly T[]) => number): Curve => bands.map((band) => ({ load: medianOf(band.map(({ load }) => load)), value: value(band) }));

interface Logged {
  readonly at: number;
  readonly load: number;
  readonly ratio: number;
}
const logged = (points: readonly Point[]): Logged[] => points.filter(isUsable).map(({ at, joules, tokens, load }) => ({ at, load: Math.log(load), ratio: Math.log(joules / tokens) }));

interface Valued {
  readonly at: number;
  readonly value: number;
}

/** Of those in order of time, the ones that lie in [from, to). */
function within<T extends { readonly at: number }>(values: readonly T[], from: number, to: number): readonly T[] {
  const place = (time: number): number => {
    let [low, high] = [0, values.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((values[middle]?.at ?? Infinity) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return values.slice(place(from), place(to));
}

function levelAt(residuals: readonly Valued[], at: number): number | null {
  const recent = within(residuals, at - LEVEL_FROM, at - LEVEL_TO);
  return recent.length < LEVEL_LEAST ? null : medianOf(recent.map(({ value }) => value));
}

type Season = ReadonlyMap<number, number>;
interface Seasons {
  readonly byHourOfWeek: Season;
  readonly byHourOfDay: Season;
}
const ROUNDS = 3;

/**
 * By hour of a cycle: the median of all that was seen in that hour and the two beside it, where enough rounds tell of it.
 * @param without a round that is left out, though there be one too few then
 */
function seasonOf(values: readonly Valued[], cycle: number, without?: number): Season {
  const hours = cycle / HOUR;
  const byHour = Array.from({ length: hours }, () => ({ values: Array<number>(), rounds: new Set<number>() }));
  for (const { at, value } of values) {
    const round = Math.floor(at / cycle);
    if (round === without) continue;
    const hour = byHour[Math.floor((at % cycle) / HOUR)];
    hour?.values.push(value);
    hour?.rounds.add(round);
  }
  return new Map(byHour.flatMap((hour, index) => {
    const beside = [byHour[(index + hours - 1) % hours], hour, byHour[(index + 1) % hours]].flatMap((each) => each?.values ?? []);
    return hour.rounds.size < (without === undefined ? ROUNDS : ROUNDS - 1) ? [] : [[index, medianOf(beside)] as const];
  }));
}

const seasonAt = ({ byHourOfWeek, byHourOfDay }: Seasons, at: number): number => byHourOfWeek.get(Math.floor((at % WEEK) / HOUR)) ?? byHourOfDay.get(Math.floor((at % DAY) / HOUR)) ?? 0;

/**
 * What is left of each value by a season of the other rounds alone: its own is in the season, which would make a deviation of tomorrow
 * look larger than it is.
 */
function unseasoned<T extends Valued>(values: readonly T[], { byHourOfWeek, byHourOfDay }: Seasons): T[] {
  const others = (cycle: number): ((round: number) => Season) => {
    const known = new Map<number, Season>();
    return (round) => {
      const season = known.get(round) ?? seasonOf(values, cycle, round);
      known.set(round, season);
      return season;
    };
  };
  const [weeks, days] = [others(WEEK), others(DAY)];
  return values.map((each) => {
    const [hourOfWeek, hourOfDay] = [Math.floor((each.at % WEEK) / HOUR), Math.floor((each.at % DAY) / HOUR)];
    const season = byHourOfWeek.has(hourOfWeek) ? weeks(Math.floor(each.at / WEEK)).get(hourOfWeek) : byHourOfDay.has(hourOfDay) ? days(Math.floor(each.at / DAY)).get(hourOfDay) : 0;
    return { ...each, value: each.value - (season ?? 0) };
  });
}

/** Medians of the hours that end with each value. */
function hourly(values: readonly Valued[]): number[] {
  return values.flatMap(({ at }) => {
    const hour = within(values, at - JUDGED_MICROS + STEP_MICROS, at + 1);
    return hour.length < JUDGED_LEAST ? [] : [medianOf(hour.map(({ value }) => value))];
  });
}

/** @param points in order of time @returns null where less than three days are known */
export function learn(points: readonly Point[]): Model | null {
  const usable = logged(points);
  if (usable.length < LEARN_LEAST) return null;
  const expected = curveOf(inBands(usable), (band) => medianOf(band.map(({ ratio }) => ratio)));
  const residuals = usable.map(({ at, load, ratio }) => ({ at, load, value: ratio - valueAt(expected, load, true) }));
  const levelled = residuals.flatMap(({ at, load, value }) => {
    const level = levelAt(residuals, at);
    return level === null ? [] : [{ at, load, value: value - level }];
  });
  if (levelled.length < LEARN_LEAST / 2) return null;
  const season = { byHourOfWeek: seasonOf(levelled, WEEK), byHourOfDay: seasonOf(levelled, DAY) };
  const deviations = unseasoned(levelled, season);
  const spread = curveOf(inBands(deviations), (band) => Math.max(LEAST_SPREAD, spreadOf(band.map(({ value }) => value), 0)));
  const medians = hourly(deviations.map(({ at, load, value }) => ({ at, value: value / valueAt(spread, load, false) })));
  const centre = medianOf(medians);
  const loads = usable.map(({ load }) => load);
  return { expected, spread, loads: [loads.reduce((a, b) => Math.min(a, b)), loads.reduce((a, b) => Math.max(a, b))], ...season, centre, scale: Math.max(0.1, spreadOf(medians, centre)) };
}

/**
 * Judges the hour that ends with the last point.
 * @param points in order of time; the last 26 h of them and the hour matter
 * @returns null where it can't be told: too few points, no level yet, or a load that was never seen
 */
export function judge({ expected, spread, loads, centre, scale, ...season }: Model, points: readonly Point[]): Judgement | null {
  const last = points.at(-1);
  if (!last) return null;
  const residuals = logged(within(points, last.at - LEVEL_FROM - JUDGED_MICROS, last.at + 1)).map(({ at, load, ratio }) => ({ at, load, ratio, value: ratio - valueAt(expected, load, true) }));
  const known = within(residuals, last.at - JUDGED_MICROS + STEP_MICROS, last.at + 1).filter(({ load }) => load >= loads[0] - LOAD_MARGIN && load <= loads[1] + LOAD_MARGIN);
  const judged = known.flatMap(({ at, load, ratio, value }) => {
    const level = levelAt(residuals, at);
    const deviation = value - (level ?? 0) - seasonAt(season, at);
    return level === null ? [] : [{ ratio, deviation, unit: deviation / valueAt(spread, load, false) }];
  });
  if (judged.length < JUDGED_LEAST) return null;
  const score = (medianOf(judged.map(({ unit }) => unit)) - centre) / scale;
  const deviation = medianOf(judged.map((each) => each.deviation));
  const value = medianOf(judged.map(({ ratio }) => ratio));
  const effect = Math.exp(deviation) - 1;
  return { score, effect, value: Math.exp(value), expected: Math.exp(value - deviation), isAnomaly: Math.abs(score) >= ALARM.score && Math.abs(effect) >= ALARM.effect };
}

/** Models are learnt anew at midnight UTC: a restart, or somebody who asks of the past, comes to the same judgement. */
export const learntAt = (at: number): number => Math.floor(at / DAY) * DAY;
/** The model that holds at a time. @param points in order of time */
export const modelAt = (points: readonly Point[], at: number): Model | null => learn(within(points, learntAt(at) - LEARNT_MICROS, learntAt(at)));
