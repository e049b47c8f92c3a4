/**
 * The points of a PDU that say power, found by walking its maker's tables once, and what one answer of the PDU says of
 * them. What was looked up while finding (scale, serial) is not asked again.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Fault, Read } from '../../cells.js';
import { microjoulesOf } from './meter.js';
import { PDU_VENDORS, type PduTable, type PduVendor } from './snmp-pdu-tables.js';
import type { SnmpSession, SnmpValue, SnmpValues } from './snmp-session.js';

export interface PduPoint {
  /** `inlet 1`, `outlet 2.7`, `sensor 1001`. */
  readonly name: string;
  readonly what: PduTable['what'];
  readonly label?: string;
  /** Serial number of its unit. */
  readonly serial?: string;
  /** Everything to ask for at a look. */
  readonly oids: readonly string[];
  watts(values: SnmpValues): Read<number>;
  microjoules(values: SnmpValues): bigint | undefined;
}

const SYS_OBJECT_ID = '1.3.6.1.2.1.1.2.0';
const below = (oid: string, column: string): boolean => oid.startsWith(`${column}.`);

/**
 * Whose PDU this is: by the tables that have rows; where several have, by its sysObjectID.
 * @throws TelemetryError PDU_UNKNOWN (`disable`)
 */
export async function vendorOf(session: SnmpSession, where: string): Promise<PduVendor> {
  const columns = PDU_VENDORS.flatMap(({ tables }) => tables.map(({ watts }) => watts));
  const found = [...(await session.next(columns)).keys()];
  const having = PDU_VENDORS.filter(({ tables }) => tables.some(({ watts }) => found.some((oid) => below(oid, watts))));
  const id = having.length > 1 ? (await session.get([SYS_OBJECT_ID])).get(SYS_OBJECT_ID) : undefined;
  const vendor = having.find(({ enterprise }) => typeof id === 'string' && below(id, enterprise)) ?? having[0];
  if (vendor) return vendor;
  throw new TelemetryError('PDU_UNKNOWN', `${where} answers SNMP but says no power in any table that is known (${PDU_VENDORS.map(({ name }) => name).join(', ')}): is it a metered PDU, and may this user or community see those tables?`, 'disable');
}

/** All points of a kind; the first table of that kind that has any. */
export async function pointsOf(session: SnmpSession, vendor: PduVendor, what: PduTable['what']): Promise<readonly PduPoint[]> {
  for (const table of vendor.tables.filter((each) => each.what === what)) {
    const points = await pointsIn(session, vendor, table);
    if (points.length > 0) return points;
  }
  return [];
}

async function pointsIn(session: SnmpSession, vendor: PduVendor, table: PduTable): Promise<PduPoint[]> {
  const rows = [...(await session.walk(table.watts)).keys()];
  const kinds = table.only && (await session.walk(table.only.column));
  const measured = rows.filter((row) => (table.row === undefined || row.endsWith(`.${table.row}`)) && (!kinds || kinds.get(row) === table.only?.is));
  const groups = table.phases ? await byInput(session, measured, table.phases) : new Map(measured.map((row) => [table.row === undefined ? row : withoutLast(row), [row]]));

  const lookups = [...groups].flatMap(([index, parts]) => [...parts.flatMap((row) => factsOf(table, row)), ...energyOids(table, index, parts), ...energyDecimals(table, index), ...serialOid(vendor, index)]);
  const facts = lookups.length > 0 ? await session.get([...new Set(lookups)]) : new Map<string, SnmpValue>();
  return [...groups].map(([index, parts]) => point(vendor, table, index, parts, facts));
}

function point(vendor: PduVendor, table: PduTable, index: string, rows: readonly string[], facts: SnmpValues): PduPoint {
  const serial = text(facts.get(serialOid(vendor, index)[0] ?? ''));
  const label = table.label === undefined ? undefined : text(facts.get(`${table.label}.${index}`));
  const parts = rows.map((row) => ({
    oid: `${table.watts}.${row}`,
    watts: table.scale * 10 ** (3 * (number(facts, table.dataScale, row, 9) - 9) - number(facts, table.decimals, row, 0)),
    good: (table.good ?? []).map(({ column, values }) => ({ oid: `${column}.${row}`, values })),
  }));
  const energy = energyOids(table, index, rows).filter((oid) => facts.has(oid));
  const decimals = number(facts, table.decimals, table.energy?.row === undefined ? undefined : `${index}.${table.energy.row}`, 0);
  return {
    name: nameOf(vendor, table, index),
    what: table.what,
    ...(label !== undefined && { label }),
    ...(serial !== undefined && { serial }),
    oids: [...parts.flatMap(({ oid, good }) => [oid, ...good.map((each) => each.oid)]), ...energy],
    watts: (values) => {
      const read = parts.map((part) => wattsOf(part, values));
      const fault = read.find((each): each is Fault => typeof each === 'object');
      if (fault) return fault;
      const known = read.filter((each) => typeof each === 'number');
      return known.length === read.length ? known.reduce((sum, each) => sum + each, 0) : undefined;
    },
    microjoules: (values) => {
      const counts = energy.map((oid) => values.get(oid)).filter((value) => typeof value === 'number' || typeof value === 'bigint');
      if (!table.energy || counts.length === 0 || counts.length < energy.length) return undefined;
      const total = counts.reduce<bigint>((sum, count) => sum + BigInt(count), 0n);
      return decimals > 0 ? microjoulesOf(total, table.energy.each / 10n ** BigInt(decimals)) : microjoulesOf(total, table.energy.each);
    },
  };
}

function wattsOf(part: { readonly oid: string; readonly watts: number; readonly good: readonly { oid: string; values: readonly number[] }[] }, values: SnmpValues): Read<number> {
  const bad = part.good.find(({ oid, values: good }) => !good.includes(Number(values.get(oid) ?? good[0])));
  if (bad) return { fault: `the PDU calls it not available (${bad.oid} is ${String(values.get(bad.oid))})` };
  const raw = values.get(part.oid);
  if (raw === undefined) return { fault: `${part.oid} is not there any more` };
  // Counts of watts are whole; a decimal scale must not make 33.77 of them 33.769999999999996.
  return typeof raw === 'string' ? { fault: `${part.oid} is no number` } : Number((Number(raw) * part.watts).toPrecision(12));
}

/** Rows of one input: its total, or its phases. */
async function byInput(session: SnmpSession, rows: readonly string[], { kind, total }: NonNullable<PduTable['phases']>): Promise<Map<string, string[]>> {
  const kinds = await session.walk(kind);
  const inputs = new Map<string, string[]>();
  for (const row of rows) inputs.set(withoutLast(row), [...(inputs.get(withoutLast(row)) ?? []), row]);
  for (const [input, phases] of inputs) {
    const whole = phases.find((row) => kinds.get(row) === total);
    if (whole !== undefined) inputs.set(input, [whole]);
  }
  return inputs;
}

const withoutLast = (index: string): string => index.slice(0, Math.max(0, index.lastIndexOf('.')));
const factsOf = ({ dataScale, decimals, label }: PduTable, row: string): string[] => [dataScale, decimals, label].flatMap((column) => (column === undefined ? [] : [`${column}.${row}`]));
const energyOids = ({ energy }: PduTable, index: string, rows: readonly string[]): string[] => {
  if (!energy) return [];
  return energy.row === undefined ? rows.map((row) => `${energy.column}.${row}`) : [`${energy.column}.${index}.${energy.row}`];
};
const energyDecimals = ({ energy, decimals }: PduTable, index: string): string[] => (energy?.row === undefined || decimals === undefined ? [] : [`${decimals}.${index}.${energy.row}`]);
const serialOid = ({ serial }: PduVendor, index: string): string[] => (serial === undefined ? [] : [`${serial}.${index.split('.')[0]}`]);

function nameOf({ firstUnit }: PduVendor, { what }: PduTable, index: string): string {
  const [unit, ...rest] = index.split('.');
  return `${what} ${rest.length > 0 && unit === String(firstUnit) ? rest.join('.') : index}`;
}

function number(facts: SnmpValues, column: string | undefined, row: string | undefined, otherwise: number): number {
  const value = column === undefined || row === undefined ? undefined : facts.get(`${column}.${row}`);
  return typeof value === 'number' ? value : otherwise;
}
const text = (value: SnmpValue | undefined): string | undefined => (typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined);
