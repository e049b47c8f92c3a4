/** What may be asked of a report, from a command line or a query string: unknown text in, a question or every fault at once out. */
import { UsageError } from '@joulebook/shared/errors.js';
import { nearest, parseDuration } from '@joulebook/shared/settings.js';
import { BOUNDARIES, type Boundary } from '@joulebook/shared/slice.js';
import { epochMicros, seconds as inSeconds, type EpochMicros } from '@joulebook/shared/units.js';
import type { Targets } from '../join/usefulness.js';
import type { Basis } from '../join/row.js';
import type { Dimension, Extent, Filter, Key } from '../store/store.js';
import { TIME_KEYS } from '../store/time-classes.js';
import { isBandKey, isRequestKey, parseBand, REQUEST_KEYS } from '../join/request-keys.js';
import { parseTime } from '../join/times.js';

export const KEYS = ['deployment', 'model', 'node', 'device', 'site', 'phase', 'tenant', 'outcome', ...TIME_KEYS, ...REQUEST_KEYS] as const satisfies readonly Dimension[];

export interface ReportRequest {
  readonly from: EpochMicros | undefined;
  readonly to: EpochMicros | undefined;
  /** Of that only these ranges, in order and apart; nobody can say it on a command line. */
  readonly within?: readonly Extent[] | undefined;
  readonly by: readonly Key[];
  readonly step: EpochMicros | undefined;
  readonly boundary: Boundary | undefined;
  readonly where: readonly Filter[];
  readonly basis: Basis;
  /** In place of what the book says: money per kWh, PUE, g/kWh; null where nothing is said. */
  readonly price: number | null;
  readonly pue: number | null;
  readonly carbon: number | null;
  /** Latency targets, in place of the book's. */
  readonly slo: Targets | undefined;
}

/** Text by option name; `where` and `by` may be said several times. */
export type Said = Readonly<Record<string, readonly string[]>>;

export interface Defaults {
  readonly price?: number | undefined;
  readonly pue?: number | undefined;
  readonly carbon?: number | undefined;
}

export const REPORT_OPTIONS = ['from', 'to', 'by', 'step', 'boundary', 'where', 'basis', 'price', 'pue', 'carbon', 'slo'] as const;
type Option = (typeof REPORT_OPTIONS)[number];
const SEVERAL = ['by', 'where'] as const satisfies Option[];

export const guess = (name: string, known: readonly string[]): string => {
  const near = nearest(name, known);
  return near === undefined ? `known are ${known.join(', ')}` : `did you mean '${near}'?`;
};

/** Reads one option after another and keeps every fault, each naming its option. */
export class Reading<Name extends string> {
  readonly faults: string[] = [];
  constructor(
    readonly said: Said,
    /** `--` on a command line. */
    readonly prefix: string,
  ) {}

  fault(option: string, message: string): undefined {
    this.faults.push(`${this.prefix}${option}: ${message}`);
    return undefined;
  }

  /** Faults of options that are not `known`, and of those said more than once that are not among `several`. */
  options(known: readonly Name[], several: readonly Name[]): void {
    const names: readonly string[] = known;
    const often: readonly string[] = several;
    for (const [option, texts] of Object.entries(this.said)) {
      if (!names.includes(option)) this.fault(option, `unknown; ${guess(option, names)}`);
      else if (texts.length > 1 && !often.includes(option)) this.fault(option, 'said more than once');
    }
  }

  one<T>(option: Name, parse: (text: string) => T | undefined, message: string): T | undefined {
    const text = this.said[option]?.at(-1);
    if (text === undefined) return undefined;
    return parse(text) ?? this.fault(option, `'${text}' ${message}`);
  }

  number(option: Name, least: number): number | undefined {
    return this.one(option, (text) => (/^\d*\.?\d+(e[+-]?\d+)?$/i.test(text.trim()) && Number(text) >= least ? Number(text) : undefined), `is not a number of at least ${least}`);
  }

  time(option: Name): EpochMicros | undefined {
    return this.one(option, parseTime, 'is not a time; write ISO 8601 with a zone (2026-01-31T08:00:00Z) or epoch seconds');
  }
}

function key<Name extends string>(reading: Reading<Name>, option: Name, name: string): Key | undefined {
  const fixed = KEYS.find((known) => known === name);
  if (fixed !== undefined) return fixed;
  if (name === 'boundary') return reading.fault(option, `boundaries overlap and are never put together; choose one with ${reading.prefix}boundary`);
  return name === '' ? reading.fault(option, 'a key is empty') : { label: name };
}

function keys(reading: Reading<Option>): Key[] {
  const names = new Set((reading.said['by'] ?? []).flatMap((text) => text.split(',')).map((name) => name.trim()));
  return [...names].flatMap((name) => key(reading, 'by', name) ?? []);
}

/** `key=value` each; the same key said twice keeps either value. */
export function filters<Name extends string>(reading: Reading<Name>, option: Name, texts: readonly string[]): Filter[] {
  const values = new Map<string, string[]>();
  for (const text of texts) {
    const cut = text.indexOf('=');
    if (cut < 1) reading.fault(option, `'${text}' is not key=value`);
    else values.set(text.slice(0, cut).trim(), [...(values.get(text.slice(0, cut).trim()) ?? []), text.slice(cut + 1)]);
  }
  return [...values].flatMap(([name, wanted]) => {
    const found = key(reading, option, name);
    return found === undefined ? [] : [{ key: found, values: wanted.flatMap((text) => filterValue(reading, option, found, text) ?? []) }];
  });
}

function filterValue<Name extends string>(reading: Reading<Name>, option: Name, wanted: Key, text: string): string | undefined {
  if (isBandKey(wanted)) return parseBand(wanted, text) ?? reading.fault(option, `'${text}' is no ${wanted}; write a band as a report shows it (512–1023), or a number in it`);
  // A label may be empty; names are not, so that this would keep nothing.
  return text === '' && typeof wanted === 'string' ? reading.fault(option, `'${wanted}=' names no ${wanted}; ask ${reading.prefix}by ${wanted} to see what carries none`) : text;
}

/** A request runs on several GPUs at once, and its facts say what it drew on all of them. */
function checkTogether(reading: Reading<Option>, by: readonly Key[], where: readonly Filter[]): void {
  const asked = [...by.map((each) => ['by', each] as const), ...where.map((filter) => ['where', filter.key] as const)];
  const ofRequests = asked.map(([, each]) => each).find(isRequestKey);
  const device = asked.find(([, each]) => each === 'device');
  if (device && ofRequests !== undefined) reading.fault(device[0], `'device' does not go with '${ofRequests}': what a request drew is told of all its GPUs together`);
}

/** `ttft=2s,tpot=50ms` */
export function parseTargets(text: string): Targets | undefined {
  const said = new Map<string, number>();
  for (const part of text.split(',')) {
    const [name = '', length = '', more] = part.trim().split('=');
    const value = parseDuration(length);
    if (more !== undefined || (name !== 'ttft' && name !== 'tpot') || said.has(name) || value === undefined || value <= 0) return undefined;
    said.set(name, value);
  }
  const target = (name: string) => (said.has(name) ? inSeconds(said.get(name) ?? 0) : undefined);
  return { ttft: target('ttft'), tpot: target('tpot') };
}

export function stepMicros(text: string): EpochMicros | undefined {
  const seconds = parseDuration(text);
  return seconds === undefined || seconds < 0.001 ? undefined : epochMicros(Math.round(seconds * 1e6));
}

/**
 * @param defaults prices and factors to use where the question names none
 * @param prefix what stands before an option's name in faults
 * @throws UsageError with every fault
 */
export function parseRequest(said: Said, defaults: Defaults, prefix: '--' | ''): ReportRequest {
  const reading = new Reading<Option>(said, prefix);
  reading.options(REPORT_OPTIONS, SEVERAL);
  const from = reading.time('from');
  const to = reading.time('to');
  if (from !== undefined && to !== undefined && from >= to) reading.fault('to', `must be later than ${prefix}from`);
  const boundary = reading.one('boundary', (text) => BOUNDARIES.find((known) => known === text), `is no boundary; ${guess(said['boundary']?.at(-1) ?? '', BOUNDARIES)}`);
  const basis = reading.one('basis', (text) => (text === 'all' || text === 'serving' ? text : undefined), 'is no basis; write all or serving');
  const price = reading.number('price', 0) ?? defaults.price;
  const carbon = reading.number('carbon', 0) ?? defaults.carbon;
  const by = keys(reading);
  const step = reading.one('step', stepMicros, 'is not a duration of at least 1 ms; write 90s, 15m or 30d');
  const where = filters(reading, 'where', said['where'] ?? []);
  checkTogether(reading, by, where);
  const request: ReportRequest = {
    from,
    to,
    by,
    step,
    boundary,
    where,
    basis: basis ?? 'all',
    price: price ?? null,
    pue: reading.number('pue', 1) ?? defaults.pue ?? null,
    carbon: carbon ?? null,
    slo: reading.one('slo', parseTargets, 'names no targets; write ttft=2s,tpot=50ms, or one of them'),
  };
  if (reading.faults.length > 0) throw new UsageError(reading.faults);
  return request;
}

/** Labels in the question that no fact carries are a typing error, not an empty answer. */
export function checkLabels(request: ReportRequest, labels: readonly string[], prefix: '--' | ''): void {
  const asked = [...request.by.map((each) => ['by', each] as const), ...request.where.map((filter) => ['where', filter.key] as const)];
  const faults = asked.flatMap(([option, each]) =>
    typeof each === 'string' || labels.includes(each.label) ? [] : [`${prefix}${option}: no fact carries the label '${each.label}'; ${guess(each.label, [...KEYS, ...labels])}`],
  );
  if (faults.length > 0) throw new UsageError(faults);
}
