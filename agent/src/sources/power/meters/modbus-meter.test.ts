import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { flagsOf, observe, readingsOf, totalsOf, wattsOf } from '../../live.testing.js';
import { liveModbusMeter } from './modbus-meter.js';
import { decode, type Register } from './modbus-registers.js';
import { float32, freeTcpPort, int64, startModbus, type ModbusServer, type Registers } from './modbus-server.testing.js';

let server: ModbusServer | undefined;
afterEach(() => server?.stop());
const serve = async (registers: Registers): Promise<number> => {
  server = await startModbus(registers);
  return server.port;
};
const meterAt = (port: number, more: Readonly<Record<string, unknown>>) => liveModbusMeter.open({ host: '127.0.0.1', port, period: 0.05, timeout: 1, ...more });
const map = (entries: Readonly<Record<number, Buffer>>) => (): ReadonlyMap<number, Buffer> => new Map(Object.entries(entries).map(([address, bytes]) => [Number(address), bytes]));

describe('a meter that speaks Modbus TCP', () => {
  it.each([
    ['sdm630', { input: map({ 52: float32(3377.5), 72: float32(2.5) }) }, 3377.5, 9_000_000_000_000n],
    ['sdm120', { input: map({ 12: float32(41.7), 72: float32(0.5) }) }, 41.7, 1_800_000_000_000n],
    ['iem3155', { holding: map({ 3059: float32(1.25), 3203: int64(81_234_567n) }) }, 1250, 81_234_567n * 3_600_000_000n],
  ])('%s by its profile', async (profile, registers, power, total) => {
    const port = await serve(registers);
    const { events } = await observe(meterAt(port, { profile }), (soFar) => readingsOf(soFar).length >= 6);
    expect(wattsOf(events)[0]).toBe(power);
    expect(totalsOf(events)[0]).toBe(total);
    expect(readingsOf(events)[0]?.channel).toMatchObject({ device: '127.0.0.1 unit 1', boundary: 'meter', source: 'modbus-meter', sensor: { gain: { low: -0.01, high: 0.01 } } });
    expect(readingsOf(events)[1]?.channel.use).toBe('check');
  });

  it('any by its registers, with words in the other order', async () => {
    const swapped = Buffer.from([0x5d, 0xc0, 0x00, 0x01]);
    const port = await serve({ holding: map({ 100: swapped }), unit: 7 });
    const { events } = await observe(meterAt(port, { unit: 7, device: 'rack 3', accuracy: 0.002, watts: { function: 3, address: 100, type: 'uint32', wordOrder: 'little', scale: 0.1 } }), (soFar) => readingsOf(soFar).length >= 1);
    expect(wattsOf(events, 'rack 3')[0]).toBe(8953.6);
    expect(readingsOf(events)[0]?.channel.sensor.gain.low).toBe(-0.002);
  });

  it('keeps one connection, and none when it has ended', async () => {
    const port = await serve({ input: map({ 52: float32(1), 72: float32(1) }) });
    let most = 0;
    await observe(meterAt(port, { profile: 'sdm630' }), (soFar) => {
      most = Math.max(most, server?.openConnections() ?? 0);
      return readingsOf(soFar).length >= 6;
    });
    expect(most).toBe(1);
    await expect.poll(() => server?.openConnections()).toBe(0);
  });

  it.each([
    ['NaN is no reading', float32(Number.NaN), 'MISSING_READINGS', /says no power: no value/],
    ['the wrong word order gives an absurd number', float32(1e20), 'ABSURD_READING', /word order/],
    ['a minus is no power', float32(-20), 'ABSURD_READING', /turned round/],
  ])('%s', async (_, bytes, code, said) => {
    const port = await serve({ input: map({ 52: bytes }) });
    const { events } = await observe(meterAt(port, { watts: { function: 4, address: 52, type: 'float32' } }), (soFar) => soFar.length > 0);
    expect(events).toMatchObject([{ kind: 'flagged', code }]);
    expect(flagsOf(events)[0]?.detail).toMatch(said);
  });
});

describe('a meter in trouble', () => {
  it('that does not have the register: the error says what many manuals do', async () => {
    const port = await serve({ input: map({ 52: float32(5) }) });
    await expect(observe(meterAt(port, { watts: { function: 4, address: 60, type: 'float32' } }), () => false)).rejects.toMatchObject({ code: 'MODBUS_ADDRESS', remedy: 'disable', message: `127.0.0.1:${port} has no register 60 (function 4, unit 1). Many manuals number registers from 1: try 59.` });
  });

  it('that is of another unit does not answer', async () => {
    const port = await serve({ input: map({ 52: float32(5) }), unit: 9 });
    const { events } = await observe(meterAt(port, { profile: 'sdm630', timeout: 0.2 }), (soFar) => flagsOf(soFar).length > 0);
    expect(flagsOf(events)[0]).toMatchObject({ code: 'MODBUS_NO_ANSWER' });
    expect(flagsOf(events)[0]?.detail).toContain('a wrong unit looks the same');
  });

  it('that goes away breaks, is flagged once, and is read again when it is back', async () => {
    const registers = { input: map({ 52: float32(5), 72: float32(1) }) };
    const port = await serve(registers);
    let before = 0;
    let back = false;
    const { events } = await observe(meterAt(port, { profile: 'sdm630' }), async (soFar) => {
      if (before === 0 && wattsOf(soFar).length >= 2) {
        before = wattsOf(soFar).length;
        await server?.stop();
      }
      if (!back && flagsOf(soFar).length === 1) {
        back = true;
        server = await startModbus(registers, port);
      }
      return before > 0 && wattsOf(soFar).length >= before + 2;
    });
    expect(events.filter((event) => event.kind === 'break').map(({ channels }) => channels.map(({ id }) => id))).toEqual([['modbus-meter/127.0.0.1 unit 1/power', 'modbus-meter/127.0.0.1 unit 1/energy']]);
    expect(flagsOf(events).map(({ code }) => code)).toEqual([expect.stringMatching(/^MODBUS_(?:LOST|UNREACHABLE)$/)]);
  });

  it('that is not there', async () => {
    const port = await freeTcpPort();
    const { events } = await observe(meterAt(port, { profile: 'sdm630' }), (soFar) => flagsOf(soFar).length > 0);
    expect(events).toMatchObject([{ kind: 'break', channels: [] }, { kind: 'flagged', code: 'MODBUS_UNREACHABLE' }]);
  });

  it('that accepts and never answers lets the source end', async () => {
    const sockets = new Set<Socket>();
    const mute: Server = createServer((socket) => void sockets.add(socket));
    mute.listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const address = mute.address();
    const began = performance.now();
    const { events } = await observe(meterAt(typeof address === 'object' ? (address?.port ?? 0) : 0, { profile: 'sdm630', timeout: 60 }), () => false, {}, 400);
    expect(performance.now() - began).toBeLessThan(3000);
    expect(events).toEqual([]);
    for (const socket of sockets) socket.destroy();
    mute.close();
    await once(mute, 'close');
  });
});

const register = (type: Register['type'], wordOrder: Register['wordOrder'] = 'big'): Register => ({ function: 3, address: 0, type, wordOrder, scale: 1 });

describe('numbers in registers', () => {
  it.each([
    ['int16', 'big', 'fffe', -2],
    ['uint16', 'big', 'fffe', 65_534],
    ['int32', 'big', 'fffffffe', -2],
    ['int32', 'little', 'fffeffff', -2],
    ['uint32', 'little', '00010000', 1],
    ['float32', 'big', '42280000', 42],
    ['float32', 'little', '00004228', 42],
    ['float64', 'big', '4045000000000000', 42],
    ['int64', 'big', '0000000000000007', 7n],
    ['uint64', 'little', '0007000000000000', 7n],
    ['int16', 'big', '8000', undefined],
    ['uint32', 'big', 'ffffffff', undefined],
    ['int64', 'big', '8000000000000000', undefined],
    ['float32', 'big', 'ffc00000', undefined],
  ] as const)('%s, %s words, %s', (type, order, hex, value) => {
    expect(decode(register(type, order), Buffer.from(hex, 'hex'))).toBe(value);
  });

  it('too few bytes are no number', () => {
    expect(decode(register('float32'), Buffer.alloc(2))).toEqual({ fault: 'is 2 bytes and no float32' });
  });
});

describe('what the configuration may say', () => {
  it.each([
    [{ host: 'meter' }, /give a 'profile'/],
    [{ host: 'meter', profile: 'sdm630', watts: { function: 4, address: 1, type: 'float32' } }, /give a 'profile'/],
    [{ host: 'meter', watts: { function: 1, address: 1, type: 'float32' } }, /function/],
  ])('%j is refused with a reason', (given, reason) => {
    expect(() => liveModbusMeter.open(given)).toThrow(reason);
  });
});
