/**
 * Where a controller says its server's power. Ids differ between vendors, so the links are followed from the collection
 * of chassis; per chassis the first of these that says a number now is used from then on:
 *
 *   EnvironmentMetrics ─▶ Sensors, one with a total's name ─▶ PowerSubsystem, Σ input of the supplies ─▶ Power
 *
 * Chassis contain each other (a rack unit, its backplane, an HGX baseboard): one is the server, the others are checks.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Read } from '../../cells.js';
import type { Channel, Sensor } from '../../source.js';
import { itemsOf, textOf, valueAt } from '../json-value.js';
import { plausible } from '../plausible.js';
import { isPresent, isTotalName, powerOf, saysPower, sensorFacts, sum, type RedfishPower } from './redfish-document.js';
import { GPU_BOARD, sensorAt } from '../sensors.js';

export const SOURCE = 'redfish';

export type Get = (path: string) => Promise<unknown>;

/** One quantity and the documents it is read from. */
export interface Place {
  readonly channel: Channel;
  /** A counter in the first of the documents. */
  readonly energy?: Channel;
  readonly paths: readonly string[];
}

export interface WalkOptions {
  readonly device: string;
  readonly chassis?: string | undefined;
  readonly gpus: 'no' | 'check' | 'book';
}

const CHASSIS = '/redfish/v1/Chassis';
const SYSTEMS = '/redfish/v1/Systems';
const MOST_MEMBERS = 64;

/** The sum over documents that a place is read from. */
export const wattsOf = (documents: readonly unknown[], paths: readonly string[]): Read<number> => sum(documents.map((document, index) => read(document, paths[index])?.watts));

const read = (document: unknown, path?: string): RedfishPower | undefined => {
  const said = powerOf(document, path);
  return saysPower(said) ? said : undefined;
};
export const energyIn = (document: unknown, path?: string): bigint | undefined => read(document, path)?.energy;

const linkOf = (document: unknown, name: string): string | undefined => textOf(valueAt(document, `${name}["@odata.id"]`));
const membersOf = (collection: unknown): string[] => itemsOf(valueAt(collection, 'Members')).flatMap((member) => textOf(valueAt(member, '["@odata.id"]')) ?? []).slice(0, MOST_MEMBERS);
const idOf = (path: string): string => path.replace(/\/+$/, '').split('/').at(-1) ?? path;

/** @throws TelemetryError REDFISH_NO_POWER (`disable` where no document speaks of power, `retry` where one says none now), REDFISH_CHASSIS (`disable`) */
export async function walk(get: Get, { device, chassis, gpus }: WalkOptions): Promise<Place[]> {
  const paths = membersOf(await get(CHASSIS));
  const wanted = chassis === undefined ? paths : paths.filter((path) => idOf(path) === chassis);
  if (chassis !== undefined && wanted.length === 0) throw new TelemetryError('REDFISH_CHASSIS', `redfish: there is no chassis '${chassis}': it has ${paths.map(idOf).join(', ')}.`, 'disable');
  const seen = { silent: false };
  const found: { readonly path: string; readonly way: Way; readonly rank: number }[] = [];
  for (const path of wanted) {
    const document = await get(path);
    const way = document === undefined ? undefined : await wayOf(get, path, document, seen);
    if (way) found.push({ path, way, rank: chassis === undefined ? rankOf(path, document, paths) : 0 });
  }
  const ordered = found.toSorted((a, b) => a.rank - b.rank);
  const places = ordered.map(({ path, way, rank }, index) => chassisPlace(path, way, index === 0 && rank < PART_RANK ? device : undefined, device));
  const boards = gpus === 'no' ? [] : await gpuPlaces(get, gpus);
  if (places.length + boards.length > 0) return [...places, ...boards];
  throw seen.silent
    ? new TelemetryError('REDFISH_NO_POWER', 'redfish: the controller has a reading of power that says nothing now; the server may be off.', 'retry')
    : new TelemetryError('REDFISH_NO_POWER', 'redfish: no chassis of this controller says its power; try ipmi.', 'disable');
}

// --- chassis ---

interface Way {
  readonly paths: readonly string[];
  readonly said: RedfishPower;
  readonly facts: Partial<Sensor>;
}

const PART_RANK = 2;

/** 0: a whole machine; 1: anything; 2: a part of one by its name or what it is contained in. */
function rankOf(path: string, document: unknown, all: readonly string[]): number {
  const container = linkOf(document, 'Links.ContainedBy');
  if (/^HGX_|GPU|Baseboard|PCIe|NVSwitch|Backplane/i.test(idOf(path)) || (container !== undefined && all.includes(container))) return PART_RANK;
  return /^(?:RackMount|Blade|StandAlone|Sled|Rack|Enclosure|Tower)$/.test(textOf(valueAt(document, 'ChassisType')) ?? '') ? 0 : 1;
}

async function wayOf(get: Get, path: string, chassis: unknown, seen: { silent: boolean }): Promise<Way | undefined> {
  for (const way of [environmentMetrics, totalSensor, supplies, oldPower]) {
    const found = await way(get, chassis, path);
    if (!found) continue;
    const { watts } = found.said;
    if (typeof watts === 'number' && plausible('server', watts).kind === 'power') return found;
    seen.silent = true;
  }
  return undefined;
}

type Search = (get: Get, chassis: unknown, path: string) => Promise<Way | undefined>;

const environmentMetrics: Search = async (get, chassis) => {
  const path = linkOf(chassis, 'EnvironmentMetrics');
  const document = path === undefined ? undefined : await get(path);
  const said = read(document, path);
  if (path === undefined || !said) return undefined;
  const sensor = textOf(valueAt(document, 'PowerWatts.DataSourceUri'));
  const facts = sensor?.startsWith('/redfish/') ? sensorFacts(await get(sensor)) : {};
  return { paths: [path], said, facts };
};

/** Dozens of sensors, one request each: only those with a telling name are looked at. */
const MOST_CANDIDATES = 4;

const totalSensor: Search = async (get, chassis) => {
  const path = linkOf(chassis, 'Sensors');
  if (path === undefined) return undefined;
  for (const candidate of membersOfAll(await get(path)).filter((member) => isTotalName(idOf(member))).slice(0, MOST_CANDIDATES)) {
    const said = read(await get(candidate), candidate);
    if (said?.scope === 'chassis' && typeof said.watts === 'number' && said.watts > 0) return { paths: [candidate], said, facts: said.facts };
  }
  return undefined;
};
const membersOfAll = (collection: unknown): string[] => itemsOf(valueAt(collection, 'Members')).flatMap((member) => textOf(valueAt(member, '["@odata.id"]')) ?? []);

const supplies: Search = async (get, chassis) => {
  const subsystem = linkOf(chassis, 'PowerSubsystem');
  const collection = subsystem === undefined ? undefined : linkOf(await get(subsystem), 'PowerSupplies');
  if (collection === undefined) return undefined;
  const paths: string[] = [];
  const said: RedfishPower[] = [];
  for (const member of membersOf(await get(collection))) {
    const supply = await get(member);
    if (supply === undefined || !isPresent(supply)) continue;
    const path = linkOf(supply, 'Metrics');
    const metrics = path === undefined ? undefined : read(await get(path), path);
    // The sum of some is not the server's.
    if (path === undefined || !metrics) return undefined;
    paths.push(path);
    said.push(metrics);
  }
  const watts = sum(said.map((each) => each.watts));
  return paths.length === 0 ? undefined : { paths, said: { scope: 'chassis', what: 'InputPowerWatts', watts, facts: {} }, facts: {} };
};

const oldPower: Search = async (get, chassis, chassisPath) => {
  const path = linkOf(chassis, 'Power') ?? `${chassisPath.replace(/\/+$/, '')}/Power`;
  const said = read(await get(path), path);
  return said ? { paths: [path], said, facts: said.facts } : undefined;
};

function chassisPlace(path: string, { paths, said, facts }: Way, server: string | undefined, device: string): Place {
  const called = server ?? `${device}/${idOf(path)}`;
  const common = { device: called, boundary: 'server', source: SOURCE } as const;
  const check = server === undefined && ({ use: 'check' } as const);
  const channel: Channel = { ...common, id: `${SOURCE}/${called}/${said.what}`, measures: 'power', sensor: { ...sensorAt('server'), ...facts }, ...check };
  return { paths, channel, ...(said.energy !== undefined && { energy: { ...common, id: `${SOURCE}/${called}/energy`, measures: 'counter', sensor: { gain: sensorAt('server').gain }, use: 'check' } }) };
}

// --- GPUs of an HGX baseboard ---

/** As nvidia-smi calls it, so that two sources speak of one device. */
export function gpuDevice(processor: unknown, path: string): string {
  const uuid = textOf(valueAt(processor, 'UUID'));
  if (uuid !== undefined && /^(?:GPU-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid)) return `GPU-${uuid.replace(/^GPU-/i, '').toLowerCase()}`;
  return textOf(valueAt(processor, 'SerialNumber')) ?? idOf(path);
}

async function gpuPlaces(get: Get, gpus: 'check' | 'book'): Promise<Place[]> {
  const places: Place[] = [];
  for (const system of membersOf(await get(SYSTEMS))) {
    const collection = linkOf(await get(system), 'Processors');
    if (collection === undefined) continue;
    for (const path of membersOf(await get(collection))) {
      const processor = await get(path);
      const metrics = linkOf(processor, 'EnvironmentMetrics');
      if (valueAt(processor, 'ProcessorType') !== 'GPU' || metrics === undefined) continue;
      const said = read(await get(metrics), metrics);
      if (!said) continue;
      const device = gpuDevice(processor, path);
      places.push({ paths: [metrics], channel: { id: `${SOURCE}/${device}/${said.what}`, device, boundary: 'gpu', source: SOURCE, measures: 'power', sensor: GPU_BOARD, ...(gpus === 'check' && { use: 'check' }) } });
    }
  }
  return places;
}
