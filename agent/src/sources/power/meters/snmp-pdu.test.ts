import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flagsOf, observe, readingsOf, totalsOf, wattsOf } from '../../live.testing.js';
import { liveSnmpPdu } from './snmp-pdu.js';
import { COMMUNITY, ifNoSnmpd, MOVING, READ_KEY, SNMPD, startSnmpd, V3_USER, type Snmpd } from './snmpd.testing.js';

const RARITAN = '1.3.6.1.4.1.13742.6';
const EATON = '1.3.6.1.4.1.534.6.6.7';
const ENTITY = '1.3.6.1.2.1.99.1.1.1';

/** One PDU of every make, as far as one snmpd may be all of them. */
const ROWS = [
  // Raritan, two inlets: 3377 W, and 1234 with one decimal; outlet 3 of unit 2; outlet 4 is not available.
  `${RARITAN}.3.2.1.1.4.1 octet_str QFC3950619`,
  `${RARITAN}.3.3.4.1.7.1.1.5 uinteger 0`,
  `${RARITAN}.3.3.4.1.7.1.2.5 uinteger 1`,
  `${RARITAN}.3.3.4.1.7.1.2.8 uinteger 2`,
  `${RARITAN}.5.2.3.1.2.1.1.5 integer 1`,
  `${RARITAN}.5.2.3.1.3.1.1.5 integer 4`,
  `${RARITAN}.5.2.3.1.4.1.1.1 uinteger 680`,
  `${RARITAN}.5.2.3.1.4.1.1.5 uinteger 3377`,
  `${RARITAN}.5.2.3.1.4.1.1.8 uinteger 81234567`,
  `${RARITAN}.5.2.3.1.4.1.2.5 uinteger 1234`,
  `${RARITAN}.5.2.3.1.4.1.2.8 uinteger 100`,
  `${RARITAN}.5.4.3.1.2.2.4.5 integer 2`,
  `${RARITAN}.5.4.3.1.4.2.3.5 uinteger 75`,
  `${RARITAN}.5.4.3.1.4.2.4.5 uinteger 76`,
  // Sentry4: one cord, one that says -1. Sentry3: one infeed.
  '1.3.6.1.4.1.1718.4.1.2.2.1.4.1 octet_str ABCD0000001',
  '1.3.6.1.4.1.1718.4.1.3.3.1.3.1.1 integer 1600',
  '1.3.6.1.4.1.1718.4.1.3.3.1.3.1.2 integer -1',
  '1.3.6.1.4.1.1718.4.1.3.3.1.10.1.1 integer 8937',
  '1.3.6.1.4.1.1718.3.2.2.1.12.1.1 integer 420',
  // Geist.
  '1.3.6.1.4.1.21239.5.2.3.1.1.2.1 octet_str GEIST77',
  '1.3.6.1.4.1.21239.5.2.3.1.1.9.1 uinteger 2500',
  '1.3.6.1.4.1.21239.5.2.3.1.1.12.1 uinteger 5000',
  // Eaton of older firmware: three phases of input 1, a total for input 2.
  `${EATON}.1.2.1.4.0 octet_str EATON1`,
  `${EATON}.3.4.1.2.0.1.1 integer 1`,
  `${EATON}.3.4.1.2.0.1.2 integer 2`,
  `${EATON}.3.4.1.2.0.1.3 integer 3`,
  `${EATON}.3.4.1.2.0.2.1 integer 1`,
  `${EATON}.3.4.1.2.0.2.2 integer 4`,
  `${EATON}.3.4.1.4.0.1.1 integer 100`,
  `${EATON}.3.4.1.4.0.1.2 integer 110`,
  `${EATON}.3.4.1.4.0.1.3 integer 120`,
  `${EATON}.3.4.1.4.0.2.1 integer 40`,
  `${EATON}.3.4.1.4.0.2.2 integer 90`,
  // Entity sensors: volts, 3.3 kW with one decimal, 42 W.
  `${ENTITY}.1.1001 integer 4`,
  `${ENTITY}.1.1002 integer 6`,
  `${ENTITY}.1.1003 integer 6`,
  `${ENTITY}.2.1002 integer 10`,
  `${ENTITY}.2.1003 integer 9`,
  `${ENTITY}.3.1002 integer 1`,
  `${ENTITY}.3.1003 integer 0`,
  `${ENTITY}.4.1001 integer 230`,
  `${ENTITY}.4.1002 integer 33`,
  `${ENTITY}.4.1003 integer 42`,
  '1.3.6.1.2.1.47.1.1.1.1.7.1002 octet_str "whole rack"',
];

describe.skipIf(SNMPD === undefined)(`a PDU that answers SNMP${ifNoSnmpd}`, () => {
  let snmpd: Snmpd;
  beforeAll(async () => {
    snmpd = await startSnmpd(ROWS, '1.3.6.1.4.1.13742.6');
  });
  afterAll(() => snmpd.stop());

  const source = (more: Readonly<Record<string, unknown>>) => liveSnmpPdu.open({ host: '127.0.0.1', port: snmpd.port, community: COMMUNITY, period: 0.1, timeout: 1, ...more });

  it('is found out by its tables and its sysObjectID; by default its inlets are read, its outlets never with them', async () => {
    const { events } = await observe(source({}), (soFar) => readingsOf(soFar).length >= 8);
    expect([...new Set(readingsOf(events).map(({ channel }) => channel.id))]).toEqual([
      'snmp-pdu/QFC3950619 inlet 1/power',
      'snmp-pdu/QFC3950619 inlet 1/energy',
      'snmp-pdu/QFC3950619 inlet 2/power',
      'snmp-pdu/QFC3950619 inlet 2/energy',
    ]);
    expect(wattsOf(events, 'QFC3950619 inlet 1')[0]).toBe(3377);
    expect(readingsOf(events)[0]?.channel).toEqual({ id: 'snmp-pdu/QFC3950619 inlet 1/power', device: 'QFC3950619 inlet 1', boundary: 'meter', source: 'snmp-pdu', measures: 'power', sensor: { gain: { low: -0.01, high: 0.01 }, refresh: 1 } });
  });

  it('says decimals apart for power and energy', async () => {
    const { events } = await observe(source({ points: [{ point: 'inlet 2' }] }), (soFar) => readingsOf(soFar).length >= 2);
    expect(wattsOf(events)[0]).toBe(123.4);
    expect(totalsOf(events)[0]).toBe(3_600_000_000n);
  });

  it('counts energy for cross-checks only', async () => {
    const { events } = await observe(source({}), (soFar) => totalsOf(soFar).length > 0);
    const [counter] = readingsOf(events).filter(({ measures }) => measures === 'counter');
    expect(counter).toMatchObject({ channel: { use: 'check', measures: 'counter' }, total: 81_234_567n * 3_600_000_000n });
  });

  it('calls points what the configuration calls them, says which nodes they feed and takes the given accuracy', async () => {
    const { events } = await observe(source({ accuracy: 0.005, points: [{ point: 'inlet 1', device: 'rack 7 A', contains: ['node-1', 'node-2'] }] }), (soFar) => readingsOf(soFar).length > 0);
    expect(readingsOf(events)[0]?.channel).toMatchObject({ device: 'rack 7 A', contains: ['node-1', 'node-2'], sensor: { gain: { low: -0.005, high: 0.005 } } });
  });

  it('gives outlets when they are asked for; one the PDU calls unavailable is flagged once and never read', async () => {
    const { events } = await observe(source({ points: [{ point: 'outlet 2.3' }, { point: 'outlet 2.4' }] }), (soFar) => wattsOf(soFar).length >= 4);
    expect(new Set(wattsOf(events))).toEqual(new Set([75]));
    expect(flagsOf(events)).toMatchObject([{ code: 'MISSING_READINGS', count: 1 }]);
    expect(flagsOf(events)[0]?.detail).toContain('outlet 2.4 says no power: the PDU calls it not available');
  });

  it.each([
    ['sentry4', 'ABCD0000001 inlet 1', 1600, 8937n * 360_000_000_000n],
    ['sentry3', '127.0.0.1 inlet 1', 420, undefined],
    ['geist', 'GEIST77 inlet 1', 2500, 5000n * 3_600_000_000n],
    ['eaton', 'EATON1 inlet 1', 330, undefined],
    ['eaton', 'EATON1 inlet 2', 90, undefined],
  ])('%s: %s draws %d W', async (vendor, device, power, total) => {
    const { events } = await observe(source({ vendor }), (soFar) => wattsOf(soFar, device).length > 1);
    expect(wattsOf(events, device)[0]).toBe(power);
    expect(totalsOf(events, device)[0]).toBe(total);
  });

  it('makes no reading of -1; says so once', async () => {
    const { events } = await observe(source({ vendor: 'sentry4' }), (soFar) => wattsOf(soFar).length >= 3);
    expect(wattsOf(events, 'ABCD0000001 inlet 2')).toEqual([]);
    expect(flagsOf(events)).toMatchObject([{ code: 'ABSURD_READING', count: 1, device: 'ABCD0000001 inlet 2' }]);
  });

  it('ENTITY-SENSOR: reads the scale, and does not choose between several powers', async () => {
    await expect(observe(source({ vendor: 'entity-sensor' }), () => true)).rejects.toThrow(/name the points that are to be booked: sensor 1002 \(whole rack\), sensor 1003/);
    const { events } = await observe(source({ vendor: 'entity-sensor', points: [{ point: 'sensor 1002' }] }), (soFar) => wattsOf(soFar).length > 0);
    expect(wattsOf(events)[0]).toBe(3300);
  });

  it('follows a value that moves, and flags one that stops being there', async () => {
    await snmpd.move({ '5.1': '337', '9.1': '812' });
    const { events } = await observe(source({ vendor: 'apc' }), async (soFar) => {
      if (wattsOf(soFar).includes(3370)) await snmpd.move({ '5.1': '512', '9.1': '813' });
      if (wattsOf(soFar).includes(5120)) await snmpd.move({ '9.1': '813' });
      return flagsOf(soFar).length > 0;
    });
    expect([...new Set(wattsOf(events))]).toEqual([3370, 5120]);
    expect(totalsOf(events)).toContain(813n * 360_000_000_000n);
    expect(flagsOf(events)[0]?.code).toBe('MISSING_READINGS');
    expect(flagsOf(events)[0]?.detail).toContain(`${MOVING}.5.1 is not there any more`);
  });

  it('says which points there are when one is named that is not there', async () => {
    await expect(observe(source({ points: [{ point: 'inlet 9' }] }), () => true)).rejects.toThrow(/has no inlet 9; it has inlet 1, inlet 2\.$/);
  });

  it.each([
    ['signed and encrypted', { ...V3_USER }],
    ['signed only', { user: 'reader', authProtocol: 'sha256', authKey: READ_KEY }],
    ['with a key from the environment', { ...V3_USER, authKey: { env: 'PDU_KEY' } }],
  ])('answers SNMPv3 %s', async (_, login) => {
    const { events } = await observe(source({ version: '3', ...login }), (soFar) => wattsOf(soFar).length > 0, { environment: { PDU_KEY: V3_USER.authKey } });
    expect(wattsOf(events)[0]).toBe(3377);
  });

  it.each([
    ['a wrong key', { ...V3_USER, authKey: 'not-the-secret-1' }, /Wrong Digest/],
    ['a wrong privacy key', { ...V3_USER, privKey: 'not-the-secret-2' }, /A wrong privKey looks the same as a dead host/],
    ['an unknown user', { ...V3_USER, user: 'nobody' }, /Unknown User/],
  ])('SNMPv3 with %s: an error that says so and holds no secret', async (_, login, said) => {
    const failed: unknown = await observe(source({ version: '3', retries: 0, timeout: 0.5, ...login }), (soFar) => flagsOf(soFar).length > 0).then(
      ({ events }) => flagsOf(events)[0]?.detail,
      (error: unknown) => error,
    );
    const text = failed instanceof Error ? `${failed.message} ${failed.stack} ${JSON.stringify(failed)} ${String(failed.cause)}` : String(failed);
    expect(text).toMatch(said);
    expect(text).not.toMatch(/not-the-secret|authentic-4711|private-4712/);
  });

  it('a wrong community looks like a dead host, and the message says so without it', async () => {
    const { events, logged } = await observe(source({ community: 'wrong-secret', retries: 0, timeout: 0.3 }), (soFar) => soFar.length >= 2);
    expect(events).toMatchObject([{ kind: 'break', channels: [] }, { kind: 'flagged', code: 'SNMP_NO_ANSWER' }]);
    expect(flagsOf(events)[0]?.detail).toContain('A wrong community looks the same as a dead host');
    expect(JSON.stringify([events, logged])).not.toContain('wrong-secret');
  });

  it('a secret that is not in the environment is named by its variable', async () => {
    await expect(observe(source({ community: { env: 'NOT_SET' } }), () => true)).rejects.toMatchObject({ code: 'SECRET_MISSING', remedy: 'disable' });
  });
});

describe.skipIf(SNMPD === undefined)(`a PDU that is lost${ifNoSnmpd}`, () => {
  it('breaks its channels, is flagged once, and is read again when it is back', async () => {
    const rows = ['1.3.6.1.4.1.21239.5.2.3.1.1.9.1 uinteger 2500'];
    let snmpd = await startSnmpd(rows, '1.3.6.1.4.1.21239');
    let before = 0;
    const { events, logged } = await observe(liveSnmpPdu.open({ host: '127.0.0.1', port: snmpd.port, community: COMMUNITY, period: 0.1, timeout: 1, retries: 0 }), async (soFar) => {
      if (before === 0 && wattsOf(soFar).length >= 2) {
        before = wattsOf(soFar).length;
        await snmpd.stop();
      } else if (flagsOf(soFar).length === 1 && wattsOf(soFar).length === before) snmpd = await startSnmpd(rows, '1.3.6.1.4.1.21239', snmpd.port);
      return before > 0 && wattsOf(soFar).length >= before + 2;
    });
    await snmpd.stop();
    expect(events.filter((event) => event.kind === 'break').map(({ channels }) => channels.map(({ device }) => device))).toEqual([['127.0.0.1 inlet 1']]);
    expect(flagsOf(events)).toMatchObject([{ code: 'SNMP_NO_ANSWER', count: 1 }]);
    expect(logged.filter((line) => line.startsWith('warn'))).toHaveLength(1);
  });
});

describe('what the configuration may say', () => {
  it.each([
    [{ points: [{ point: 'inlet 1' }, { point: 'outlet 1' }] }, /inlets contain their outlets/],
    [{ points: [{ point: 'outlet 1', device: 'a' }, { point: 'outlet 2', device: 'a' }] }, /device of its own/],
    [{ points: [{ point: 'phase 1' }] }, /'inlet 1', 'outlet 7'/],
    [{ version: '3' }, /needs a user/],
    [{ version: '3', user: 'x', privKey: 'secret-one' }, /needs an authKey/],
    [{ comunity: 'x' }, /'comunity' is not a setting here/],
    [{ community: '' }, /community/],
  ])('%j is refused with a reason', (more, reason) => {
    expect(() => liveSnmpPdu.open({ host: 'pdu', ...more })).toThrow(reason);
  });
});
