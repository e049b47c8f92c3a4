/** Points of 10 minutes for `anomaly.ts`, kept in memory: what is asked of the store each time is the last hour, not four weeks. */
import { UsageError } from '@joulebook/shared/errors.js';
import { BOUNDARIES, type Boundary } from '@joulebook/shared/slice.js';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { ReportRequest } from '../report/request.js';
import { divides, inBoundary, type GroupSum, type Key, type Scope, type Store } from '../store/store.js';
import { isTimeKey } from '../store/time-classes.js';
import { LEARNT_MICROS, STEP_MICROS, learntAt, type Point } from './anomaly.js';
import { keyName, labelsOf } from './condition.js';

const DAY = 86_400e6;
/** Batches are late by minutes when an agent catches up, and by a day after an outage: those are read when a model is learnt. */
const AGAIN = 3600e6;
const AGAIN_DAILY = 2 * DAY;
/** Of less the ratio would tell of the gaps. */
const LEAST_COVERAGE = 0.8;

/** Both sides of J/token have to be measured for a group: tenants share energy by tokens, and phases share tokens. */
export function checkPointKeys(rule: string, { by, where }: Pick<ReportRequest, 'by' | 'where'>): void {
  const odd = [...by, ...where.map(({ key }) => key)].find((key) => isTimeKey(key) || !divides('booked', key) || !divides('tokens', key) || key === 'tenant');
  if (odd !== undefined) throw new UsageError([`${rule}: energy per token can't be watched by '${keyName(odd)}'; write deployment, model, node, site or a label`]);
}

export interface Series {
  readonly labels: Record<string, string>;
  /** In order of time. */
  readonly points: readonly Point[];
}

interface Half {
  joules: number;
  seconds: number;
  asked: number;
  tokens: number;
}

async function boundaryOf(store: Store, scope: Scope): Promise<Boundary | undefined> {
  const measured = await store.sum({ kind: 'booked', by: ['boundary'], ...scope });
  return BOUNDARIES.find((boundary) => measured.some(({ values, sums }) => values[0] === boundary && sums.microjoules > 0n));
}

export class History {
  readonly #by: readonly Key[];
  readonly #where: ReportRequest['where'];
  readonly #groups = new Map<string, { readonly labels: Record<string, string>; readonly points: Map<number, Point> }>();
  #boundary: Boundary | undefined;
  #until: number | undefined;

  constructor({ by, where }: Pick<ReportRequest, 'by' | 'where'>) {
    this.#by = by;
    this.#where = where;
  }

  /** All points that begin before `to`, which is a multiple of their length. */
  async upTo(to: EpochMicros, store: Store): Promise<readonly Series[]> {
    const oldest = learntAt(to) - LEARNT_MICROS;
    const anew = this.#until !== undefined && learntAt(this.#until) === learntAt(to) ? AGAIN : AGAIN_DAILY;
    const from = this.#until === undefined || this.#until > to ? oldest : Math.max(oldest, this.#until - anew);
    // By days: ingest has its turns in between.
    for (let begin = from; begin < to; begin += DAY) await this.#load(store, epochMicros(begin), epochMicros(Math.min(begin + DAY, to)));
    this.#until = to;
    for (const [name, { points }] of this.#groups) {
      for (const at of points.keys()) if (at < oldest || at >= to) points.delete(at);
      if (points.size === 0) this.#groups.delete(name);
    }
    return [...this.#groups.values()].map(({ labels, points }) => ({ labels, points: [...points.values()].toSorted((a, b) => a.at - b.at) }));
  }

  async #load(store: Store, from: EpochMicros, to: EpochMicros): Promise<void> {
    const scope: Scope = { where: this.#where, from, to };
    this.#boundary ??= await boundaryOf(store, scope);
    if (this.#boundary === undefined) return;
    const step = epochMicros(STEP_MICROS);
    const energy = await store.sum({ kind: 'booked', by: this.#by, step, ...scope, where: [...scope.where, inBoundary(this.#boundary)] });
    const tokens = await store.sum({ kind: 'tokens', by: this.#by, step, ...scope, where: [...scope.where, { key: 'token', values: ['output'] }] });
    const halves = new Map<string, { readonly group: GroupSum<'booked'> | GroupSum<'tokens'>; readonly half: Half }>();
    const halfOf = (group: GroupSum<'booked'> | GroupSum<'tokens'>): Half => {
      const name = JSON.stringify([group.values, group.step]);
      const known = halves.get(name) ?? { group, half: { joules: 0, seconds: 0, asked: 0, tokens: 0 } };
      halves.set(name, known);
      return known.half;
    };
    for (const group of energy) Object.assign(halfOf(group), { joules: Number(group.sums.microjoules) / 1e6, seconds: group.sums.seconds, asked: group.sums.askedSeconds });
    for (const group of tokens) halfOf(group).tokens = group.sums.count;
    for (const { group, half } of halves.values()) this.#keep(group, half);
  }

  #keep({ values, step }: GroupSum<'booked'> | GroupSum<'tokens'>, { joules, seconds, asked, tokens }: Half): void {
    const name = JSON.stringify(values);
    const group = this.#groups.get(name) ?? { labels: labelsOf(this.#by, values), points: new Map<number, Point>() };
    this.#groups.set(name, group);
    if (seconds < LEAST_COVERAGE * asked) group.points.delete(step);
    else group.points.set(step, { at: step, joules, tokens, load: tokens / (STEP_MICROS / 1e6) });
  }
}
