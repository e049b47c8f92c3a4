/**
 * What plugs and clamp meters answer by HTTP (Shelly's API documents of generation 1 and 2 to 4, Tasmota's `Status 8`),
 * and any JSON by paths.
 */
import { isFault, type Read } from '../../cells.js';
import { fieldsOf, itemsOf, numberOf, textOf, valueAt } from '../json-value.js';
import { MICROJOULES, microjoulesOf, WATTS, type EnergyUnit } from './meter.js';

export interface MeterSays {
  /** What of the device it is: `switch:0`, `meter 1`; empty when the answer is about one thing. */
  readonly point: string;
  readonly watts: Read<number>;
  readonly microjoules?: bigint | undefined;
}

export interface HttpProfile {
  /** Asked when the address has no path of its own. */
  readonly path: string;
  /** A number of the device's own. */
  serial?(document: unknown): string | undefined;
  read(document: unknown): readonly MeterSays[];
}

function energyOf(value: unknown, unit: EnergyUnit): bigint | undefined {
  const count = numberOf(value);
  return count === undefined || isFault(count) ? undefined : microjoulesOf(count, MICROJOULES[unit]);
}

/** Parts of a Gen2 device that may meter, and the part that counts for them. A `switch` without a meter has no `apower`. */
const SHELLY_PART = /^(?:switch|cover|light|pm1|em1|em|rgb|rgbw|cct):(\d+)$/;

function shellyPart(point: string, part: unknown, status: ReadonlyMap<string, unknown>): MeterSays[] {
  const fields = fieldsOf(part);
  const [name, id] = point.split(':');
  const failed = itemsOf(fields.get('errors')).some((error) => typeof error === 'string' && /power_meter|out_of_range:(?:act_)?power/.test(error));
  const says = (value: unknown, microjoules: bigint | undefined): MeterSays[] => [{ point, watts: failed ? { fault: 'the device says that its meter failed' } : numberOf(value), microjoules }];
  if (fields.has('apower')) return says(fields.get('apower'), energyOf(fieldsOf(fields.get('aenergy')).get('total'), 'wattHours'));
  if (fields.has('act_power')) return says(fields.get('act_power'), energyOf(fieldsOf(status.get(`${name}data:${id}`)).get('total_act_energy'), 'wattHours'));
  // Three phases: their sum is the device's own.
  if (fields.has('total_act_power')) return says(fields.get('total_act_power'), energyOf(fieldsOf(status.get(`${name}data:${id}`)).get('total_act'), 'wattHours'));
  return [];
}

const shelly: HttpProfile = {
  path: '/rpc/Shelly.GetStatus',
  serial: (document) => textOf(valueAt(document, 'sys.mac')),
  read(document) {
    const status = fieldsOf(document);
    const one = shellyPart('', document, status);
    return one.length > 0 ? one : [...status].flatMap(([name, part]) => (SHELLY_PART.test(name) ? shellyPart(name, part, status) : []));
  },
};

/** A `meter` counts watt-minutes, an `emeter` (EM, 3EM) watt-hours. */
function shellyGen1Meter(point: string, part: unknown, unit: EnergyUnit): MeterSays[] {
  const fields = fieldsOf(part);
  if (!fields.has('power')) return [];
  const invalid = fields.get('is_valid') === false;
  return [{ point, watts: invalid ? { fault: 'the device says that it is not valid' } : numberOf(fields.get('power')), microjoules: invalid ? undefined : energyOf(fields.get('total'), unit) }];
}

const shellyGen1: HttpProfile = {
  path: '/status',
  serial: (document) => textOf(fieldsOf(document).get('mac')),
  read(document) {
    const fields = fieldsOf(document);
    const one = shellyGen1Meter('', document, fields.has('pf') || fields.has('reactive') ? 'wattHours' : 'wattMinutes');
    if (one.length > 0) return one;
    return [
      ...itemsOf(fields.get('meters')).flatMap((part, index) => shellyGen1Meter(`meter:${index}`, part, 'wattMinutes')),
      ...itemsOf(fields.get('emeters')).flatMap((part, index) => shellyGen1Meter(`emeter:${index}`, part, 'wattHours')),
    ];
  },
};

/** Devices of several channels answer with lists; `Time` is local time without a zone and is not used. */
const tasmota: HttpProfile = {
  path: '/cm?cmnd=Status%208',
  read(document) {
    const energy = fieldsOf(valueAt(document, 'StatusSNS.ENERGY'));
    const power = energy.get('Power');
    const total = energy.get('Total');
    if (!Array.isArray(power)) return energy.has('Power') ? [{ point: '', watts: numberOf(power), microjoules: energyOf(total, 'kilowattHours') }] : [];
    return itemsOf(power).map((each, index) => ({ point: `channel ${index + 1}`, watts: numberOf(each), microjoules: energyOf(itemsOf(total)[index], 'kilowattHours') }));
  },
};

export interface JsonPaths {
  readonly watts: string;
  readonly unit: keyof typeof WATTS;
  readonly scale: number;
  readonly energy?: string | undefined;
  readonly energyUnit: EnergyUnit;
}

export const jsonProfile = ({ watts, unit, scale, energy, energyUnit }: JsonPaths): HttpProfile => ({
  path: '/',
  read(document) {
    const value = numberOf(valueAt(document, watts));
    return [{ point: '', watts: typeof value === 'number' ? value * scale * WATTS[unit] : (value ?? { fault: `nothing at '${watts}'` }), microjoules: energy === undefined ? undefined : energyOf(valueAt(document, energy), energyUnit) }];
  },
});

export const HTTP_PROFILES = { shelly, 'shelly-gen1': shellyGen1, tasmota } as const;
