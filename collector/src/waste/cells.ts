/**
 * What each GPU did in each step of time, and what its gauges said then: energy by phase and deployment beside means of gauges.
 *
 *     step      GPU      idle 512 J · decode 0 J     memory 61,000 MiB   utilisation 0.01   clock 1,980 of 1,980 MHz
 *
 * Gauges know no phases. So only of a step that was idle throughout they tell how it was idle, and steps are as fine as
 * the number of GPUs and the length of the question allow, and as what is kept of that time.
 */
import { PHASES, type Phase } from '@joulebook/shared/slice.js';
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { Said } from '../book/fitting.js';
import { keyName } from '../join/flags.js';
import { identity } from '../join/groups.js';
import type { Part } from '../join/subgroups.js';
import { inBoundary, type Extent, type Filter, type Key, type Scope, type Store, type WeighedSums, type Weights } from '../store/store.js';
import { GAUGES } from './kinds.js';

/** A deployment's part of a GPU in a step, in one phase. */
export interface Entry extends Part<'booked'> {
  readonly phase: Phase;
  readonly weighed: WeighedSums | undefined;
  /** The filters of the question keep it; the rest is looked at because it ran on the same GPU, or beside it. */
  readonly kept: boolean;
}
export interface Cell {
  readonly step: EpochMicros;
  readonly entries: readonly Entry[];
  /** Means, by the gauge's name; absent: not told. */
  readonly gauges: ReadonlyMap<string, number>;
}
export interface Device {
  /** In order of time. */
  readonly cells: readonly Cell[];
}

/** Finest first, in s. */
const STEPS = [10, 60, 300, 900, 3600, 86_400] as const;
const MOST_CELLS = 200_000;
const RESOLUTIONS = { facts: 0, '1m': 60, '1h': 3600, '1d': 86_400 } as const;

/** The finest that is kept of that time and not too much to look at. */
export async function stepFor(store: Store, scope: Scope, span: Extent, devices: number): Promise<EpochMicros> {
  for (const seconds of STEPS) {
    const step = epochMicros(seconds * 1e6);
    if ((devices * (span.to - span.from)) / step > MOST_CELLS) continue;
    const read = (await store.resolution?.({ kind: 'booked', by: [], step, ...scope }))?.read ?? [];
    if (read.every(({ resolution }) => RESOLUTIONS[resolution] <= seconds)) return step;
  }
  return epochMicros(86_400e6);
}

const isPhase = (text: string | null): text is Phase => PHASES.some((known) => known === text);

/** Facts of a GPU are of one site, so that a filter by it leaves no part of a GPU out. */
const ofSite = (where: readonly Filter[]): Filter[] => where.filter(({ key }) => key === 'site');

export interface Looking {
  readonly where: readonly Filter[];
  readonly from: EpochMicros | undefined;
  readonly to: EpochMicros | undefined;
  /** What entries have to say beside node, device, deployment and phase. */
  readonly keys: readonly Key[];
  readonly step: EpochMicros;
  readonly weights: Weights | undefined;
}

export async function devicesIn(store: Store, { where, from, to, keys, step, weights }: Looking): Promise<Device[]> {
  const by: Key[] = [...new Map([...(['node', 'device', 'deployment', 'phase'] as const), ...where.map(({ key }) => key), ...keys].map((key) => [JSON.stringify(key), key])).values()];
  const names = by.map(keyName);
  const scope = { where: [...ofSite(where), inBoundary('gpu')], from, to, step };
  const booked = await store.sum({ kind: 'booked', by, ...scope });
  const weighed = new Map((weights ? await store.sum({ kind: 'weighed', by, weights, ...scope }) : []).map((sum) => [identity(sum), sum.sums]));
  const gauged = await store.sum({ kind: 'gauge', by: ['node', 'device', 'gauge'], from, to, step, where: [...ofSite(where), { key: 'gauge', values: Object.values(GAUGES) }] });

  const gauges = new Map<string, Map<string, number>>();
  for (const { step: at, values: [node = null, device = null, gauge = null], sums: { valueSeconds, seconds } } of gauged) {
    const key = identity({ step: at, values: [node, device] });
    const known = gauges.get(key) ?? new Map<string, number>();
    if (gauge !== null && seconds > 0) gauges.set(key, known.set(gauge, valueSeconds / seconds));
  }

  const devices = new Map<string, { readonly place: readonly (string | null)[]; readonly steps: Map<EpochMicros, Entry[]> }>();
  for (const sum of booked) {
    const said: Said = (name) => sum.values[names.indexOf(name)] ?? null;
    const phase = said('phase');
    if (!isPhase(phase)) continue;
    const place = [said('node'), said('device')];
    const known = devices.get(JSON.stringify(place)) ?? { place, steps: new Map<EpochMicros, Entry[]>() };
    devices.set(JSON.stringify(place), known);
    // As in a report: what has no value is kept by none.
    const kept = where.every(({ key, values }) => values.some((value) => value === said(keyName(key))));
    const entry: Entry = { said, phase, sum, weighed: weighed.get(identity(sum)), kept };
    const entries = known.steps.get(sum.step);
    if (entries) entries.push(entry);
    else known.steps.set(sum.step, [entry]);
  }
  const none: ReadonlyMap<string, number> = new Map();
  return [...devices.values()].map(({ place, steps }) => ({
    cells: [...steps].toSorted(([a], [b]) => a - b).map(([at, entries]) => ({ step: at, entries, gauges: gauges.get(identity({ step: at, values: place })) ?? none })),
  }));
}
