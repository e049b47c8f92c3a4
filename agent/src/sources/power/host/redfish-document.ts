/**
 * What one Redfish document says of power. Vendors fill different ones; numbers may be written as text, null or "nan".
 *
 *   EnvironmentMetrics     PowerWatts.Reading; of a GPU on NVIDIA HGX also PowerLimitWatts.Reading, which there is the
 *                          measured power beside the limit in SetPoint
 *   Sensor                 Reading, where ReadingType is Power
 *   PowerSupplyMetrics     InputPowerWatts.Reading: one supply's part
 *   Power (old schema)     PowerControl[].PowerConsumedWatts; AMI has only PowerMetrics.AverageConsumedWatts, Fujitsu only
 *                          Oem.ts_fujitsu. PowerSupplies[].PowerInputWatts is the supply's rating on iDRAC 7 to 9
 *                          (900 W in, 203 W out): believed only where the output makes it possible.
 */
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { isFault, type Read } from '../../cells.js';
import type { Sensor } from '../../source.js';
import { exactTotal } from '../csv.js';
import { itemsOf, numberOf, textOf, valueAt } from '../json-value.js';

export interface RedfishPower {
  /** `chassis`: a whole server or enclosure; `supply`: one of several that add up. */
  readonly scope: 'chassis' | 'supply' | 'gpu';
  /** The property that says it. */
  readonly what: string;
  readonly watts: Read<number>;
  /** What the document says of its sensor. */
  readonly facts: Partial<Sensor>;
  /** Microjoules since some beginning, in steps that may be as coarse as 1 kWh. */
  readonly energy?: bigint;
}

export interface NoPower {
  /** Why it says none. */
  readonly nothing: string;
}

const nothing = (reason: string): NoPower => ({ nothing: reason });
export const saysPower = (said: RedfishPower | NoPower): said is RedfishPower => 'watts' in said;

/** Where a document is: as it was asked for, else as it says itself. */
export const pathOf = (document: unknown, path?: string): string => path ?? textOf(valueAt(document, '["@odata.id"]')) ?? '';

export function powerOf(document: unknown, asked?: string): RedfishPower | NoPower {
  const path = pathOf(document, asked);
  const type = textOf(valueAt(document, '["@odata.type"]'))?.split('.').at(-1);
  const has = (name: string): boolean => valueAt(document, name) !== undefined;
  if (type === 'PowerSupplyMetrics' || has('InputPowerWatts')) return supplyMetrics(document);
  if (type === 'EnvironmentMetrics' || has('PowerWatts') || has('PowerLimitWatts')) return environment(document, path);
  if (type === 'Sensor') return sensor(document);
  if (type === 'PowerSupply') return nothing('one supply: its input, where it says one, may be its rating');
  if (type === 'Power' || Array.isArray(valueAt(document, 'PowerControl'))) return oldPower(document);
  return nothing(`a document without a power reading (${type ?? 'no type'})`);
}

const isStale = (value: unknown): boolean => valueAt(value, 'Oem.Nvidia.MetricValueStale') === true;

function environment(document: unknown, path: string): RedfishPower | NoPower {
  const isGpu = /\/Processors\//.test(path);
  const what = !isGpu || valueAt(document, 'PowerWatts') !== undefined ? 'PowerWatts' : 'PowerLimitWatts';
  const said = valueAt(document, what);
  if (said === undefined) return nothing('EnvironmentMetrics without PowerWatts');
  const energy = energyOf(document);
  return { scope: isGpu ? 'gpu' : 'chassis', what, watts: isStale(said) || isStale(document) ? { fault: 'is stale' } : numberOf(valueAt(said, 'Reading')), facts: {}, ...(energy !== undefined && { energy }) };
}

const KWH = 3_600_000_000_000n;
const JOULE = 1_000_000n;

function energyOf(document: unknown): bigint | undefined {
  for (const [name, each] of [['EnergyJoules', JOULE], ['EnergykWh', KWH]] as const) {
    const total = numberOf(valueAt(document, `${name}.Reading`));
    if (typeof total === 'number' && total > 0) return exactTotal(total, each);
  }
  return undefined;
}

/** Names of a sensor of the whole server's power, among dozens: `TotalPower`, `SystemBoardPwrConsumption`, `Total_Power`. */
const TOTAL = /total_?power(?!.*(?:gpu|cpu|mem))|(?:sys(?:tem)?|chassis|server|platform|board)_?.*(?:pwr|power)|pwr_?consumption/i;
const PART = /gpu|cpu|dimm|dram|mem|fan|ps\d|psu|limit|cap\b|hgx|storage|disk|nic|allocated|rating|available|budget|peak|average|min|max/i;
export const isTotalName = (name: string): boolean => TOTAL.test(name) && !PART.test(name);

function sensor(document: unknown): RedfishPower | NoPower {
  const readingType = textOf(valueAt(document, 'ReadingType'));
  if (readingType !== 'Power') return nothing(`a sensor of ${readingType ?? 'an unknown kind'}`);
  const name = textOf(valueAt(document, 'Id')) ?? textOf(valueAt(document, 'Name')) ?? '';
  const isInput = valueAt(document, 'PhysicalContext') === 'PowerSupply' && (valueAt(document, 'PhysicalSubContext') === 'Input' || /input/i.test(name));
  if (!isInput && !isTotalName(name)) return nothing('a power sensor of a part');
  return { scope: isInput ? 'supply' : 'chassis', what: 'Reading', watts: isStale(document) ? { fault: 'is stale' } : numberOf(valueAt(document, 'Reading')), facts: sensorFacts(document) };
}

/** `PT0.25S`, `PT1M`. */
const DURATION = /^PT(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?$/;

function durationOf(value: unknown): Seconds | undefined {
  const [, minutes = '0', fraction = '0'] = DURATION.exec(textOf(value) ?? '') ?? [];
  const length = Number(minutes) * 60 + Number(fraction);
  return length > 0 ? seconds(length) : undefined;
}

/** SensingInterval is the time between two readings, Accuracy the estimated error in percent (DSP0268, Sensor 1.6). */
export function sensorFacts(document: unknown): Partial<Sensor> {
  const refresh = durationOf(valueAt(document, 'SensingInterval'));
  const averagedOver = durationOf(valueAt(document, 'AveragingInterval'));
  const accuracy = numberOf(valueAt(document, 'Accuracy'));
  return {
    ...(refresh !== undefined && { refresh }),
    ...(averagedOver !== undefined && { averagedOver }),
    ...(typeof accuracy === 'number' && accuracy > 0 && accuracy <= 50 && { gain: { low: -accuracy / 100, high: accuracy / 100 } }),
  };
}

const supplyMetrics = (document: unknown): RedfishPower => ({ scope: 'supply', what: 'InputPowerWatts', watts: numberOf(valueAt(document, 'InputPowerWatts.Reading')), facts: {} });

// --- the old schema ---

/** Some controllers list what their server's power consists of beside it. */
const PART_NAME = /\b(?:cpu|memory|dimm|gpu|sub-?system|fan)s?\b/i;

const old = (what: string, watts: Read<number>, facts: Partial<Sensor> = {}): RedfishPower => ({ scope: 'chassis', what, watts, facts });

function oldPower(document: unknown): RedfishPower | NoPower {
  const controls = itemsOf(valueAt(document, 'PowerControl')).filter((each) => !PART_NAME.test(`${textOf(valueAt(each, 'Name')) ?? ''} ${textOf(valueAt(each, 'PhysicalContext')) ?? ''}`));
  const consumed = controls.map((each) => valueAt(each, 'PowerConsumedWatts')).filter((each) => each !== undefined);
  const total = sum(consumed.map(numberOf));
  if (typeof total === 'number' && total > 0) return old('PowerConsumedWatts', total);

  const [metrics] = controls.map((each) => valueAt(each, 'PowerMetrics'));
  const average = numberOf(valueAt(metrics, 'AverageConsumedWatts'));
  const minutes = numberOf(valueAt(metrics, 'IntervalInMin'));
  if (controls.length === 1 && typeof average === 'number' && average > 0 && typeof minutes === 'number' && minutes > 0) {
    return old('AverageConsumedWatts', average, { averagedOver: seconds(Math.round(minutes * 60_000) / 1000) });
  }
  const fujitsu = numberOf(valueAt(document, 'Oem.ts_fujitsu.ChassisPowerConsumption.CurrentPowerConsumptionW'));
  if (typeof fujitsu === 'number' && fujitsu > 0) return old('CurrentPowerConsumptionW', fujitsu);
  const inputs = sum(itemsOf(valueAt(document, 'PowerSupplies')).filter(isPresent).map(inputOf));
  if (typeof inputs === 'number' && inputs > 0) return old('PowerInputWatts', inputs);
  return consumed.length > 0 ? old('PowerConsumedWatts', total) : nothing('Power without a reading of what is consumed');
}

export const isPresent = (document: unknown): boolean => !/^(?:Absent|Disabled)$/.test(textOf(valueAt(document, 'Status.State')) ?? '');

/** A supply takes in what it gives out and a little more; a rating is far above. */
const MOST_LOSS = 1.6;
const IDLE_SUPPLY_WATTS = 30;

function inputOf(supply: unknown): Read<number> {
  const input = numberOf(valueAt(supply, 'PowerInputWatts'));
  const output = numberOf(valueAt(supply, 'PowerOutputWatts')) ?? numberOf(valueAt(supply, 'LastPowerOutputWatts'));
  if (typeof input !== 'number' || typeof output !== 'number') return undefined;
  return input >= output && input <= output * MOST_LOSS + IDLE_SUPPLY_WATTS ? input : { fault: 'is no input for this output' };
}

/** A part that says nothing makes the sum unknown, not smaller. */
export function sum(parts: readonly Read<number>[]): Read<number> {
  if (parts.length === 0) return undefined;
  let total = 0;
  for (const part of parts) {
    if (part === undefined || isFault(part)) return part;
    total += part;
  }
  return total;
}
