/**
 * Which sensors read what is inside what.
 *
 *   meter ⊇ server ⊇ module ⊇ gpu + cpu + dram
 *
 * gpu, cpu and dram of one node are disjoint; every other pair overlaps. A system is one wide sensor (or several that
 * share a load, such as feeds A and B) with the nodes it reads for and the parts that are measured on them.
 */
import { z } from 'zod';
import { BOUNDARIES, type Boundary } from '@joulebook/shared/slice.js';
import type { GroupSum } from '../store/store.js';

/** In the order in which a report tells one. */
export const WIDE = ['server', 'meter', 'module'] as const satisfies readonly Boundary[];
export type Wide = (typeof WIDE)[number];

const LEAVES = ['gpu', 'cpu', 'dram'] as const satisfies readonly Boundary[];
/** What may stand for the inside of a wide boundary on one node: the first of these that is measured there. */
const INSIDE: Readonly<Record<Wide, readonly (readonly Boundary[])[]>> = { meter: [['server'], ['module'], LEAVES], server: [['module'], LEAVES], module: [LEAVES] };

/** Energy of one boundary in one time step. */
export interface Moment {
  readonly microjoules: bigint;
  /** Device-seconds. */
  readonly seconds: number;
  readonly askedSeconds: number;
  /** s. */
  readonly wall: number;
  readonly devices: number;
}
/** One boundary on the nodes that it reads for. */
export interface Series {
  readonly boundary: Boundary;
  readonly nodes: readonly string[];
  readonly steps: ReadonlyMap<number, Moment>;
}
export interface System {
  readonly of: Wide;
  readonly wide: Series;
  /** Empty: nothing inside is measured on some of its nodes. */
  readonly parts: readonly Series[];
  /** Another sensor of the boundary reads for some of the same nodes: which contains which is not known. */
  readonly entangled: boolean;
}

const nodeList = z.array(z.string());

/** Two sensors that read for the same nodes add up; a moment counts as long as both saw it. */
const together = (a: Moment, b: Moment): Moment => ({
  microjoules: a.microjoules + b.microjoules,
  seconds: a.seconds + b.seconds,
  askedSeconds: a.askedSeconds + b.askedSeconds,
  wall: Math.min(a.wall, b.wall),
  devices: a.devices + b.devices,
});

/** @param sums grouped by node, boundary and contains, in time steps */
export function seriesOf(sums: readonly GroupSum<'energy'>[]): Series[] {
  const found = new Map<string, Series & { readonly steps: Map<number, Moment> }>();
  for (const { values: [node = null, named = null, contains = null], step, sums: energy } of sums) {
    const boundary = BOUNDARIES.find((known) => known === named);
    if (boundary === undefined) continue;
    const nodes = contains === null ? [node ?? ''] : nodeList.parse(JSON.parse(contains));
    const key = JSON.stringify([boundary, nodes]);
    const series = found.get(key) ?? { boundary, nodes, steps: new Map<number, Moment>() };
    found.set(key, series);
    const { microjoules, seconds, askedSeconds, wallSeconds: wall, devices } = energy;
    const moment = { microjoules, seconds, askedSeconds, wall, devices };
    const before = series.steps.get(step);
    series.steps.set(step, before ? together(before, moment) : moment);
  }
  return [...found.values()];
}

export function systemsOf(all: readonly Series[]): System[] {
  const onNode = new Map(all.flatMap((series) => (series.nodes.length === 1 ? [[`${series.boundary} ${series.nodes[0]}`, series] as const] : [])));
  const insideNode = (of: Wide, node: string): Series[] => {
    for (const choice of INSIDE[of]) {
      const measured = choice.flatMap((boundary) => onNode.get(`${boundary} ${node}`) ?? []);
      if (measured.length > 0) return measured;
    }
    return [];
  };
  return WIDE.flatMap((of) => {
    const wides = all.filter(({ boundary }) => boundary === of);
    return wides.map((wide): System => {
      const inside = wide.nodes.map((node) => insideNode(of, node));
      const entangled = wides.some((rival) => rival !== wide && rival.nodes.some((node) => wide.nodes.includes(node)));
      return { of, wide, parts: inside.some((parts) => parts.length === 0) ? [] : inside.flat(), entangled };
    });
  });
}
