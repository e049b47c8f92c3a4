/** Debian's snmpd playing PDUs on loopback: a real agent with rows of our own, v2c and v3 users, and rows that move. */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seconds } from '@joulebook/shared/units.js';
import { snmpSession } from './snmp-session.js';

export const SNMPD = ['/usr/sbin/snmpd', '/usr/local/sbin/snmpd'].find((file) => existsSync(file));
export const ifNoSnmpd = SNMPD === undefined ? ' (skipped: snmpd is not installed here; apt install snmpd)' : '';

export const COMMUNITY = 'rack-community';
export const V3_USER = { user: 'monitor', authKey: 'authentic-4711', privKey: 'private-4712' } as const;
export const READ_KEY = 'signed-4713';

export interface Snmpd {
  readonly port: number;
  /** Rows that answer afresh every time, at OIDs below the moving subtree. */
  move(rows: Readonly<Record<string, string>>): Promise<void>;
  stop(): Promise<void>;
}
/** Where moving rows live: APC's status of the device. */
export const MOVING = '1.3.6.1.4.1.318.1.1.26.4.3.1';

/** snmpd caches what `pass` says, not what `pass_persist` says. Rows are `OID TYPE VALUE` lines in OID order. */
const PERSIST = `
const fs = require('fs');
const number = (oid) => oid.split('.').slice(1).map(Number);
const compare = (a, b) => { const x = number(a), y = number(b); for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return x[i] - y[i]; return x.length - y.length; };
let verb;
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'PING') return process.stdout.write('PONG\\n');
  if (verb === undefined) { verb = line; return; }
  const rows = fs.readFileSync(__dirname + '/moving', 'utf8').split('\\n').filter(Boolean).map((row) => row.split(' ')).sort((a, b) => compare(a[0], b[0]));
  const row = verb === 'get' ? rows.find((each) => each[0] === line) : rows.find((each) => compare(each[0], line) > 0);
  verb = undefined;
  process.stdout.write(row ? row.join('\\n') + '\\n' : 'NONE\\n');
}).on('close', () => process.exit(0));
`;

/** @param rows `OID TYPE VALUE`, the types of snmpd.conf(5)'s `override` */
export async function startSnmpd(rows: readonly string[], sysObjectId?: string, samePort?: number): Promise<Snmpd> {
  const folder = await mkdtemp(join(tmpdir(), 'snmpd-'));
  const port = samePort ?? (await freeUdpPort());
  const moving = join(folder, 'moving');
  const helper = join(folder, 'moving.cjs');
  await writeFile(moving, '');
  await writeFile(helper, `#!${process.execPath}\n${PERSIST}`);
  await chmod(helper, 0o755);
  const lines = [
    `agentaddress udp:127.0.0.1:${port}`,
    `rocommunity ${COMMUNITY} 127.0.0.1`,
    `createUser ${V3_USER.user} SHA "${V3_USER.authKey}" AES "${V3_USER.privKey}"`,
    `rouser ${V3_USER.user} authpriv`,
    `createUser reader SHA-256 "${READ_KEY}"`,
    'rouser reader auth',
    ...(sysObjectId === undefined ? [] : [`sysObjectID ${sysObjectId}`]),
    `pass_persist ${MOVING} ${helper}`,
    ...rows.map((row) => `override ${row}`),
  ];
  await writeFile(join(folder, 'snmpd.conf'), `${lines.join('\n')}\n`);
  const child = spawn(SNMPD ?? 'snmpd', ['-f', '-Lf', join(folder, 'log'), '-C', '-c', join(folder, 'snmpd.conf')], { stdio: 'ignore', env: { ...process.env, SNMP_PERSISTENT_DIR: folder, MIBS: '' } });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  };
  try {
    await answering(port);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, stop, move: (values) => writeFile(moving, Object.entries(values).map(([oid, value]) => `.${MOVING}.${oid} gauge ${value}\n`).join('')) };
}

async function answering(port: number): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const session = await snmpSession({ host: '127.0.0.1', port, timeout: seconds(0.25), retries: 0, login: { community: COMMUNITY } });
    try {
      await session.get(['1.3.6.1.2.1.1.3.0']);
      return;
    } catch (error) {
      if (attempt >= 40) throw error;
    } finally {
      session.close();
    }
  }
}

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}
