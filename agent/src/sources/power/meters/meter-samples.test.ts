/** Real answers of meters against the value that stands in them, read by hand. The samples are no part of the project. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isFault } from '../../cells.js';
import { describe, expect, it } from 'vitest';
import { HTTP_PROFILES } from './http-meter-profiles.js';
import { parseJson } from '../json-value.js';
import { PDU_VENDORS } from './snmp-pdu-tables.js';
import { pointsOf } from './snmp-points.js';
import type { SnmpSession, SnmpValue } from './snmp-session.js';

const samples = fileURLToPath(new URL('../../../../../../shared/power-samples/', import.meta.url));
const isHere = existsSync(samples);
const ifAbsent = isHere ? '' : ' (skipped: ../shared/power-samples is not here)';

/** Watts and microjoules in the sample; of SNMP by maker and point. */
const EXPECTED: readonly { readonly file: string; readonly of: string; readonly watts: number; readonly microjoules?: bigint }[] = [
  { file: 'shelly-gen2-switch-getstatus.json', of: 'shelly', watts: 4.1, microjoules: 64_854_000_000n },
  { file: 'tasmota-status8.json', of: 'tasmota', watts: 26, microjoules: 10_800_000_000n },
  { file: 'snmp-raritan-pdu2.txt', of: 'raritan/inlet 1', watts: 138 },
  { file: 'snmp-sentry4.txt', of: 'sentry4/inlet 1', watts: 1701, microjoules: 3_217_320_000_000_000n },
  { file: 'snmp-trial-session.txt', of: 'apc/inlet 1', watts: 3370, microjoules: 29_244_240_000_000_000n },
  { file: 'snmp-trial-session.txt', of: 'raritan/inlet 1', watts: 3377 },
  { file: 'snmp-trial-session.txt', of: 'sentry4/inlet 1', watts: 3377 },
  { file: 'snmp-trial-session.txt', of: 'geist/inlet 1', watts: 3377 },
  { file: 'snmp-trial-session.txt', of: 'eaton/inlet 1', watts: 3377 },
];

/** Files that carry no value of a meter, and why. */
const WITHOUT: Readonly<Record<string, string>> = {};

describe.skipIf(!isHere)(`samples of meters${ifAbsent}`, () => {
  it('every one has an expected value or a reason why it has none', () => {
    const files = readdirSync(samples).filter((name) => /^(?:snmp|shelly|tasmota)/.test(name) && !name.endsWith('.src'));
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((name) => !(name in WITHOUT) && !EXPECTED.some(({ file }) => file === name))).toEqual([]);
  });

  it.each(EXPECTED)('$file: $of says $watts W', async ({ file, of, watts, microjoules }) => {
    const text = readFileSync(`${samples}${file}`, 'utf8');
    const [maker = '', point = ''] = of.split('/');
    const said = file.endsWith('.json') ? ofJson(maker, text) : await ofSnmp(maker, point, text);
    expect(said).toEqual({ watts, microjoules });
  });
});

interface Said {
  readonly watts: number | undefined;
  readonly microjoules: bigint | undefined;
}

function ofJson(profile: string, text: string): Said {
  const [said] = Object.entries(HTTP_PROFILES).flatMap(([name, { read }]) => (name === profile ? read(parseJson(text, 'the sample')) : []));
  return { watts: said && !isFault(said.watts) ? said.watts : undefined, microjoules: said?.microjoules };
}

async function ofSnmp(maker: string, name: string, text: string): Promise<Said> {
  const session = sessionOver(rowsOf(text));
  const vendor = PDU_VENDORS.find((each) => each.name === maker);
  const point = vendor && (await pointsOf(session, vendor, 'inlet')).find((each) => each.name === name);
  if (!point) return { watts: undefined, microjoules: undefined };
  const values = await session.get(point.oids);
  const watts = point.watts(values);
  return { watts: isFault(watts) ? undefined : watts, microjoules: point.microjoules(values) };
}

/** `OID|type|value` of snmpsim, or `OID Type value` as the session was printed. */
const rowsOf = (text: string): ReadonlyMap<string, SnmpValue> =>
  new Map([...text.matchAll(/^(\d+(?:\.\d+){6,})(?:\|\d+\|| (?:Gauge|Integer|Counter) )(\d+)\r?$/gm)].map(([, oid = '', value]) => [oid, Number(value)]));

function sessionOver(rows: ReadonlyMap<string, SnmpValue>): SnmpSession {
  const pick = (wanted: (oid: string) => boolean): Map<string, SnmpValue> => new Map([...rows].filter(([oid]) => wanted(oid)));
  return {
    get: async (oids) => pick((oid) => oids.includes(oid)),
    next: async (oids) => pick((oid) => oids.some((column) => oid.startsWith(`${column}.`))),
    walk: async (column) => new Map([...pick((oid) => oid.startsWith(`${column}.`))].map(([oid, value]) => [oid.slice(column.length + 1), value])),
    close: () => undefined,
  };
}
