/**
 * `other`: what a wide sensor shows beyond what is measured inside it (fans, power supplies, CPUs without a sensor).
 * A difference of two large numbers is told only over moments in which both sides were measured, and only where there
 * are enough of them.
 */
import { BOUNDARIES, type Boundary } from '@joulebook/shared/slice.js';
import { microjoulesToJoules } from '@joulebook/shared/units.js';
import { WIDE, type Moment, type Series, type System, type Wide } from './inclusion.js';
import type { Flag, Other } from './report.js';

/** Of what was asked, on each side. */
const LEAST_COVERAGE = 0.95;
/** Within one step the shorter observed time of two sides must be this much of the longer: then they speak of the same time. */
const LEAST_AGREEMENT = 0.95;
/** Ten periods of a slow sensor (a BMC or a PDU shows a new value every 1 to 6 s): with fewer, one reading decides. */
const LEAST_SECONDS = 60;

interface Difference {
  readonly system: System;
  readonly microjoules: bigint;
  /** s in which all were measured, and s in which the longest measured of them was. */
  readonly seconds: number;
  readonly longest: number;
}

export interface Balance {
  /** null: no boundary contains another. */
  readonly other: Other | null;
  readonly flags: readonly Flag[];
}

const total = (series: Series, of: (moment: Moment) => number): number => [...series.steps.values()].reduce((sum, moment) => sum + of(moment), 0);
const coverageOf = (series: Series): number => total(series, ({ seconds }) => seconds) / total(series, ({ askedSeconds }) => askedSeconds);

const names = (boundaries: readonly Boundary[]): string => {
  const inOrder = BOUNDARIES.filter((known) => boundaries.includes(known));
  return inOrder.length === 1 ? inOrder.join('') : `(${inOrder.join(' + ')})`;
};
const percent = (share: number): string => `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;

/** A step counts where every sensor of the system, each with all its devices, saw the same time. */
function difference(system: System): Difference {
  const all = [system.wide, ...system.parts];
  const devices = all.map((series) => [...series.steps.values()].reduce((most, moment) => Math.max(most, moment.devices), 0));
  let [drawn, seconds] = [0n, 0];
  for (const [step, wide] of system.wide.steps) {
    const moments = all.flatMap((series) => series.steps.get(step) ?? []);
    const walls = moments.map(({ wall }) => wall);
    const whole = moments.length === all.length && moments.every((moment, index) => moment.devices === devices[index] && moment.seconds >= LEAST_COVERAGE * moment.askedSeconds);
    if (!whole || Math.min(...walls) <= 0 || Math.min(...walls) < LEAST_AGREEMENT * Math.max(...walls)) continue;
    drawn += moments.slice(1).reduce((rest, part) => rest - part.microjoules, wide.microjoules);
    seconds += Math.min(...walls);
  }
  return { system, microjoules: drawn, seconds, longest: Math.max(...all.map((series) => total(series, ({ wall }) => wall))) };
}

/** Why there is no difference for a system; undefined where there is one. */
function reasonOf({ system: { of, wide, parts, entangled }, seconds }: Difference): string | undefined {
  const nodes = wide.nodes.join(', ');
  if (parts.length === 0) return `nothing inside the ${of} of ${nodes} is measured`;
  if (entangled) return `several ${of} sensors read for ${nodes} and other nodes; which contains which is not known`;
  const poor = [wide, ...parts].find((series) => !(coverageOf(series) >= LEAST_COVERAGE));
  if (poor) return `coverage of ${poor.boundary} on ${poor.nodes.join(', ')} is ${Number.isNaN(coverageOf(poor)) ? 'not known' : percent(coverageOf(poor))}, below ${percent(LEAST_COVERAGE)}`;
  return seconds < LEAST_SECONDS ? `${of} and what is inside were measured together on ${nodes} for ${seconds.toFixed(0)} s; at least ${LEAST_SECONDS} s are needed` : undefined;
}

function otherOf(of: Wide, differences: readonly Difference[]): Other {
  const usable = differences.filter((each) => reasonOf(each) === undefined);
  if (usable.length === 0) return { of, joules: null, coverage: null, note: `no difference: ${[...new Set(differences.map(reasonOf))].join('; ')}` };
  const parts = [...new Set(usable.flatMap(({ system }) => system.parts.map(({ boundary }) => boundary)))];
  const seconds = usable.reduce((sum, each) => sum + each.seconds, 0);
  const longest = usable.reduce((sum, each) => sum + each.longest, 0);
  const left = differences.length - usable.length;
  const notes = [
    `${of} − ${names(parts)}, over ${seconds.toFixed(0)} s in which all were measured${usable.length === 1 ? '' : `, ${usable.length} systems together`}`,
    ...(left === 0 ? [] : [`without ${left} more: ${[...new Set(differences.flatMap((each) => reasonOf(each) ?? []))].join('; ')}`]),
    ...unmeasured(usable),
  ];
  return { of, joules: microjoulesToJoules(usable.reduce((sum, each) => sum + each.microjoules, 0n)), coverage: longest > 0 ? Math.min(1, seconds / longest) : null, note: notes.join('; ') };
}

/** Leaves that are not measured on every node are part of `other`. */
function unmeasured(usable: readonly Difference[]): string[] {
  const divided = usable.filter(({ system }) => system.parts.some(({ boundary }) => boundary === 'gpu' || boundary === 'cpu' || boundary === 'dram'));
  const nodes = new Set(divided.flatMap(({ system }) => system.wide.nodes));
  const missing = (['gpu', 'cpu', 'dram'] as const).filter((leaf) => {
    const measured = new Set(divided.flatMap(({ system }) => system.parts.filter(({ boundary }) => boundary === leaf).flatMap((part) => part.nodes)));
    return measured.size < nodes.size;
  });
  return missing.length === 0 ? [] : [`${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} not measured ${nodes.size === 1 ? '' : 'everywhere '}and so in it`];
}

const CALLED: Readonly<Record<Boundary, string>> = { gpu: 'GPUs', cpu: 'CPUs', dram: 'memory', module: 'modules', server: 'servers', meter: 'meters' };

function violations(differences: readonly Difference[]): Flag[] {
  return differences.flatMap((each) => {
    if (each.microjoules >= 0n || reasonOf(each) !== undefined) return [];
    const { of, wide, parts } = each.system;
    const inside = BOUNDARIES.filter((known) => parts.some(({ boundary }) => boundary === known)).map((known) => CALLED[known]).join(', ');
    const less = microjoulesToJoules(-each.microjoules).toFixed(1);
    return [{ code: 'INCLUSION_VIOLATED', detail: `The ${of}'s sensor of ${wide.nodes.join(', ')} shows ${less} J less than its ${inside} over ${each.seconds.toFixed(0)} s; it covers another boundary.` }];
  });
}

export function balance(systems: readonly System[]): Balance {
  const differences = systems.map(difference);
  const perWide = WIDE.flatMap((of) => {
    const own = differences.filter(({ system }) => system.of === of);
    return own.length === 0 ? [] : [otherOf(of, own)];
  });
  return { other: perWide.find(({ joules }) => joules !== null) ?? perWide[0] ?? null, flags: violations(differences) };
}
