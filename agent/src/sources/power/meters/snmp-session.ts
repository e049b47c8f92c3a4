/**
 * SNMP v2c and v3 as promises of plain values. Errors never carry what net-snmp threw: a refused v3 message holds the
 * user with its keys.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Seconds } from '@joulebook/shared/units.js';
import type { Session, User, Varbind } from 'net-snmp';

type Snmp = typeof import('net-snmp');
/** Octets as text; what the device does not have is left out. */
export type SnmpValue = number | bigint | string;
export type SnmpValues = ReadonlyMap<string, SnmpValue>;

export const AUTH_PROTOCOLS = ['md5', 'sha', 'sha224', 'sha256', 'sha384', 'sha512'] as const;
export const PRIV_PROTOCOLS = ['des', 'aes', 'aes256b', 'aes256r'] as const;

export interface SnmpTarget {
  readonly host: string;
  readonly port: number;
  /** Of one message; it is sent `retries` times more. */
  readonly timeout: Seconds;
  readonly retries: number;
  readonly login: { readonly community: string } | V3Login;
}
export interface V3Login {
  readonly user: string;
  readonly authProtocol: (typeof AUTH_PROTOCOLS)[number];
  readonly authKey?: string | undefined;
  readonly privProtocol: (typeof PRIV_PROTOCOLS)[number];
  readonly privKey?: string | undefined;
}

export interface SnmpSession {
  get(oids: readonly string[]): Promise<SnmpValues>;
  /** The first that comes after each. */
  next(oids: readonly string[]): Promise<SnmpValues>;
  /** Everything below a column, by what follows its OID. */
  walk(column: string): Promise<SnmpValues>;
  close(): void;
}

/** A message must fit into one datagram of 1,472 bytes; a varbind is about 40. */
const MOST_OIDS = 24;
const MOST_REPETITIONS = 16;

/** @throws TelemetryError from every call: SNMP_NO_ANSWER (`retry`), SNMP_LOGIN (`disable`), SNMP_FAILED (`retry`) */
export async function snmpSession(target: SnmpTarget): Promise<SnmpSession> {
  const { default: snmp } = await import('net-snmp');
  const session = openSession(snmp, target);
  // An unheard 'error' would end the process; what it is about fails by its timeout.
  session.on('error', () => undefined);
  let closed = false;

  const ask = <T>(send: (done: (error: Error | null, result?: T) => void) => void): Promise<T> =>
    new Promise((resolve, reject) => {
      try {
        send((error, result) => (error || result === undefined ? reject(failure(error, target)) : resolve(result)));
      } catch (error) {
        reject(failure(error, target));
      }
    });
  const inPieces = async (oids: readonly string[], send: (piece: string[], done: (error: Error | null, varbinds?: Varbind[]) => void) => void): Promise<SnmpValues> => {
    const values = new Map<string, SnmpValue>();
    for (let from = 0; from < oids.length; from += MOST_OIDS) {
      for (const varbind of await ask<Varbind[]>((done) => send(oids.slice(from, from + MOST_OIDS), done))) keep(snmp, values, varbind);
    }
    return values;
  };

  return {
    get: (oids) => inPieces(oids, (piece, done) => session.get(piece, done)),
    next: (oids) => inPieces(oids, (piece, done) => session.getNext(piece, done)),
    async walk(column) {
      const values = new Map<string, SnmpValue>();
      await ask<true>((done) =>
        session.subtree(
          column,
          MOST_REPETITIONS,
          (varbinds: Varbind[]) => {
            for (const varbind of varbinds) keep(snmp, values, varbind);
          },
          (error) => done(error, true),
        ),
      );
      return new Map([...values].map(([oid, value]) => [oid.slice(column.length + 1), value]));
    },
    close() {
      if (!closed) session.close();
      closed = true;
    },
  };
}

function openSession(snmp: Snmp, { host, port, timeout, retries, login }: SnmpTarget): Session {
  const transport = host.includes(':') ? 'udp6' : 'udp4';
  const common = { port, timeout: timeout * 1000, retries, transport } as const;
  if ('community' in login) return snmp.createSession(host, login.community, { ...common, version: snmp.Version2c });
  const { user, authProtocol, authKey, privProtocol, privKey } = login;
  const { SecurityLevel, AuthProtocols, PrivProtocols } = snmp;
  const level = authKey === undefined ? SecurityLevel.noAuthNoPriv : privKey === undefined ? SecurityLevel.authNoPriv : SecurityLevel.authPriv;
  const known: User = {
    name: user,
    level,
    ...(authKey !== undefined && { authProtocol: AuthProtocols[authProtocol], authKey }),
    ...(privKey !== undefined && { privProtocol: PrivProtocols[privProtocol], privKey }),
  };
  return snmp.createV3Session(host, known, { ...common, version: snmp.Version3 });
}

function keep(snmp: Snmp, values: Map<string, SnmpValue>, varbind: Varbind): void {
  if (snmp.isVarbindError(varbind)) return;
  const { oid, type, value } = varbind;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string') values.set(oid, value);
  else if (Buffer.isBuffer(value)) values.set(oid, type === snmp.ObjectType.Counter64 ? BigInt(`0x${value.toString('hex') || '0'}`) : value.toString('utf8'));
}

const LOGIN_REFUSED = /wrong digest|unknown user|decryption error|could not decrypt|unsupported security level|authentication/i;

function failure(error: unknown, { host, port, login }: SnmpTarget): TelemetryError {
  const where = `${host}:${port}`;
  const said = error instanceof Error ? error.message : 'no result';
  const isV2c = 'community' in login;
  if (error instanceof Error && error.name === 'RequestTimedOutError') {
    const secret = isV2c ? 'community' : 'privKey';
    return new TelemetryError('SNMP_NO_ANSWER', `${where} does not answer SNMP. A wrong ${secret} looks the same as a dead host: check the address, the ${secret} and whom the device answers.`, 'retry');
  }
  if (!isV2c && LOGIN_REFUSED.test(said)) {
    return new TelemetryError('SNMP_LOGIN', `${where} refuses the SNMPv3 user (${said.split(':')[0]}): check user, authProtocol, authKey, privProtocol and privKey.`, 'disable');
  }
  return new TelemetryError('SNMP_FAILED', `${where} answers SNMP with an error: ${said}.`, 'retry');
}
