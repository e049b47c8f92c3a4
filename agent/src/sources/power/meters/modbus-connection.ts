/**
 * One Modbus TCP connection: meters and gateways admit few, some only one. The socket is ours, so that a lost or hung
 * meter ends at once; modbus-serial speaks the protocol over it.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { Seconds } from '@joulebook/shared/units.js';
import { fieldsOf, textOf } from '../json-value.js';
import { registersOf, type Register } from './modbus-registers.js';

export interface ModbusConnection {
  /**
   * @returns the bytes of the registers
   * @throws TelemetryError MODBUS_ADDRESS, MODBUS_FUNCTION (`disable`), MODBUS_NO_ANSWER, MODBUS_LOST, MODBUS_FAILED (`retry`)
   */
  read(register: Register): Promise<Buffer>;
  close(): void;
}

export interface ModbusTarget {
  readonly host: string;
  readonly port: number;
  readonly unit: number;
  readonly timeout: Seconds;
}

/** @throws TelemetryError MODBUS_UNREACHABLE (`retry`) */
export async function modbusConnection({ host, port, unit, timeout }: ModbusTarget, signal: AbortSignal): Promise<ModbusConnection> {
  const where = `${host}:${port}`;
  // Imported here: it loads serialport and its native part, which only those need who have such a meter.
  const { default: modbus } = await import('modbus-serial');
  const socket = connect({ host, port, noDelay: true });
  const limit = AbortSignal.timeout(timeout * 1000);
  const stop = (): void => void socket.destroy();
  signal.addEventListener('abort', stop);
  try {
    await once(socket, 'connect', { signal: AbortSignal.any([signal, limit]) });
  } catch (error) {
    socket.on('error', () => undefined);
    stop();
    signal.removeEventListener('abort', stop);
    throw new TelemetryError('MODBUS_UNREACHABLE', `${where} can't be reached by Modbus TCP: ${limit.aborted ? `no connection within ${timeout} s` : messageOf(error)}. Many meters admit only one connection at a time.`, 'retry');
  }
  const lost = new Promise<never>((_, reject) => {
    socket.once('close', () => reject(new TelemetryError('MODBUS_LOST', `${where} closed the Modbus connection. Many meters admit only one at a time: is something else reading it?`, 'retry')));
  });
  lost.catch(() => undefined);
  socket.on('error', () => undefined);

  const client = new modbus.default();
  client.on('error', () => undefined);
  await client.linkTCP(socket, { port });
  client.setID(unit);
  client.setTimeout(timeout * 1000);
  return {
    async read(register) {
      const count = registersOf(register);
      const asked = register.function === 3 ? client.readHoldingRegisters(register.address, count) : client.readInputRegisters(register.address, count);
      try {
        const { buffer } = await Promise.race([asked, lost]);
        return buffer;
      } catch (error) {
        if (error instanceof TelemetryError) throw error;
        if (socket.destroyed) return await lost;
        throw refusal(error, register, where, unit, timeout);
      }
    },
    close() {
      signal.removeEventListener('abort', stop);
      client.destroy(() => undefined);
      stop();
    },
  };
}

const ILLEGAL_FUNCTION = 1;
const ILLEGAL_ADDRESS = 2;

/** modbus-serial throws objects that are no errors; an exception of the meter has a `modbusCode`. */
function refusal(error: unknown, { function: code, address }: Register, where: string, unit: number, timeout: Seconds): TelemetryError {
  const fields = fieldsOf(error);
  const asked = `register ${address} (function ${code}, unit ${unit})`;
  switch (fields.get('modbusCode')) {
    case ILLEGAL_ADDRESS:
      return new TelemetryError('MODBUS_ADDRESS', `${where} has no ${asked}. Many manuals number registers from 1: try ${Math.max(0, address - 1)}.`, 'disable');
    case ILLEGAL_FUNCTION:
      return new TelemetryError('MODBUS_FUNCTION', `${where} does not know function ${code}: try function ${code === 3 ? 4 : 3}.`, 'disable');
    default:
  }
  if (fields.get('errno') === 'ETIMEDOUT') return new TelemetryError('MODBUS_NO_ANSWER', `${where} did not answer for ${asked} within ${timeout} s; a wrong unit looks the same.`, 'retry');
  const said = error instanceof Error ? error.message : (textOf(fields.get('message')) ?? 'no reason');
  return new TelemetryError('MODBUS_FAILED', `${where} answers ${asked} with an error: ${said}.`, 'retry');
}
