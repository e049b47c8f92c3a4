/** A Modbus TCP meter on loopback: modbus-serial's own server with the registers of a test. */
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { ServerTCP } from 'modbus-serial';

export interface ModbusServer {
  readonly port: number;
  readonly openConnections: () => number;
  stop(): Promise<void>;
}

export interface Registers {
  /** By address of its first register. Whatever is not here is an illegal address. */
  readonly input?: () => ReadonlyMap<number, Buffer>;
  readonly holding?: () => ReadonlyMap<number, Buffer>;
  readonly unit?: number;
}

export const float32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatBE(value);
  return bytes;
};
export const int64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
};

/** What modbus-serial's server turns into the exception of an illegal address. */
class IllegalAddress extends Error {
  readonly modbusErrorCode = 2;
}

const wordsOf = (registers: (() => ReadonlyMap<number, Buffer>) | undefined) => (address: number): number => {
  for (const [first, bytes] of registers?.() ?? []) if (address >= first && address < first + bytes.length / 2) return bytes.readUInt16BE((address - first) * 2);
  throw new IllegalAddress();
};

export async function startModbus({ input, holding, unit = 1 }: Registers, samePort?: number): Promise<ModbusServer> {
  const port = samePort ?? (await freeTcpPort());
  const server = new ServerTCP({ getInputRegister: wordsOf(input), getHoldingRegister: wordsOf(holding) }, { host: '127.0.0.1', port, unitID: unit });
  server.on('socketError', () => undefined);
  server.on('error', () => undefined);
  await new Promise<void>((resolve) => server.on('initialized', () => resolve()));
  return { port, openConnections: () => server.socks.size, stop: () => new Promise((resolve) => server.close(() => resolve())) };
}

export async function freeTcpPort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const port = portOf(probe.address());
  probe.close();
  await once(probe, 'close');
  return port;
}

const portOf = (address: AddressInfo | string | null): number => (typeof address === 'object' && address !== null ? address.port : 0);
