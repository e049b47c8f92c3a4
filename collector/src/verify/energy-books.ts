/** Is every microjoule booked once? */
import { microjoulesToJoules } from '@joulebook/shared/units.js';
import { boundariesOf } from '../report/boundaries.js';
import type { Scope, Store } from '../store/store.js';
import type { Finding } from './verification.js';

/** Energy that comes late is booked where there is still room: a device is seen for a little longer than its facts are long. */
const SLACK_SECONDS = 10;
const SLACK_SHARE = 0.001;

const joules = (value: bigint): string => `${microjoulesToJoules(value).toFixed(6)} J`;
const nameOf = ([node, device, boundary]: readonly (string | null)[]): string => `${device ?? ''} of ${node ?? ''} at boundary ${boundary ?? ''}`;

export async function phasesAddUp(store: Store, scope: Scope): Promise<Finding> {
  const by = ['node', 'device', 'boundary'] as const;
  const devices = await store.sum({ kind: 'booked', by, ...scope });
  const phases = new Map<string, { drawn: bigint; modelled: bigint; low: bigint; high: bigint; stated: boolean }>();
  for (const { values, sums } of await store.sum({ kind: 'energy', by: [...by, 'phase'], ...scope, wallByCell: true })) {
    const key = JSON.stringify(values.slice(0, by.length));
    const known = phases.get(key) ?? { drawn: 0n, modelled: 0n, low: 0n, high: 0n, stated: true };
    phases.set(key, {
      drawn: known.drawn + sums.microjoules, modelled: known.modelled + sums.modelledMicrojoules,
      low: known.low + (sums.stated?.lowMicrojoules ?? 0n), high: known.high + (sums.stated?.highMicrojoules ?? 0n), stated: known.stated && sums.stated !== null,
    });
  }
  const reasons = devices.flatMap(({ values, from, to, sums }) => {
    const parts = phases.get(JSON.stringify(values));
    const found = [];
    const drawn = parts?.drawn ?? 0n;
    if (drawn !== sums.microjoules) found.push({ code: 'PHASES_NOT_THE_WHOLE', detail: `${nameOf(values)}: the phases add up to ${joules(drawn)}, the device drew ${joules(sums.microjoules)}.` });
    if (parts && parts.modelled > parts.drawn) found.push({ code: 'MODELLED_MORE_THAN_DRAWN', detail: `${nameOf(values)}: ${joules(parts.modelled)} were divided by a model, of ${joules(parts.drawn)}.` });
    if (parts?.stated === true && (parts.low > parts.drawn || parts.high < parts.drawn)) {
      found.push({ code: 'OUTSIDE_STATED_ERROR', detail: `${nameOf(values)}: ${joules(drawn)} are outside of what its sensor states, ${joules(parts.low)} to ${joules(parts.high)}.` });
    }
    if (sums.askedSeconds > 0 && sums.seconds > sums.askedSeconds * (1 + SLACK_SHARE) + SLACK_SECONDS) found.push({ code: 'SEEN_LONGER_THAN_ASKED', detail: `${nameOf(values)} was seen for ${sums.seconds.toFixed(0)} s of ${sums.askedSeconds.toFixed(0)} s that it should have been.` });
    const passed = (to - from) / 1e6;
    if (sums.seconds > passed * (1 + SLACK_SHARE) + SLACK_SECONDS) found.push({ code: 'SEEN_LONGER_THAN_TIME', detail: `${nameOf(values)} was seen for ${sums.seconds.toFixed(0)} s within ${passed.toFixed(0)} s: its energy is booked more than once.` });
    return found;
  });
  return { check: 'phases', looked: `${devices.length} devices at their boundaries`, nothing: devices.length === 0, reasons };
}

export async function boundariesContain(store: Store, scope: Scope): Promise<Finding> {
  const { boundariesMeasured, other, flags } = await boundariesOf(store, scope);
  const names = boundariesMeasured.map(({ boundary }) => boundary).join(', ');
  return { check: 'boundaries', looked: other === null ? `${names || 'none'}: none contains another` : names, nothing: other === null || other.joules === null, reasons: flags.map(({ code, detail }) => ({ code, detail })) };
}

/** Single requests are told in recordings only, at boundary gpu. */
export async function requestsWithinEnergy(store: Store, scope: Scope): Promise<Finding> {
  const requests = await store.sum({ kind: 'requests', by: ['deployment'], ...scope });
  const energy = await store.sum({ kind: 'booked', by: ['deployment', 'phase'], ...scope, where: [...scope.where, { key: 'boundary', values: ['gpu'] }] });
  const drawn = (deployment: string | null, phase: string): bigint => energy.find(({ values }) => values[0] === deployment && values[1] === phase)?.sums.microjoules ?? 0n;
  const metered = requests.flatMap(({ values: [deployment = null], sums }) => (sums.metered ? [{ deployment, metered: sums.metered }] : []));
  const reasons = metered.flatMap(({ deployment, metered: told }) =>
    ([['prefill', told.prefillMicrojoules], ['decode', told.decodeMicrojoules]] as const).flatMap(([phase, microjoules]) =>
      // Each request's part is rounded by itself.
      microjoules <= drawn(deployment, phase) + BigInt(Math.max(1, told.requests)) ? [] : [{ code: 'MORE_THAN_MEASURED', detail: `Requests of ${deployment ?? 'no deployment'} drew ${joules(microjoules)} in ${phase}, its GPUs ${joules(drawn(deployment, phase))}.` }]));
  return { check: 'requests', looked: `${metered.reduce((sum, each) => sum + each.metered.requests, 0)} requests whose energy is told`, nothing: metered.length === 0, reasons };
}
