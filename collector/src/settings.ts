/** Every setting of `joulebook`, declared once: flags, environment, file, help and documentation come from here. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { UsageError } from '@joulebook/shared/errors.js';
import { setting, type Values } from '@joulebook/shared/settings.js';

export interface Listen {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

const LISTEN = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/i;

const listen = z.string().transform((text, context): Listen => {
  const [, ipv6, name, port] = LISTEN.exec(text.trim()) ?? [];
  const host = ipv6 ?? name;
  if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) };
  context.addIssue(`'${text}' is not host:port, e.g. 127.0.0.1:9840 or [::1]:9840`);
  return z.NEVER;
});

/** Settings come as numbers from a file and as text from elsewhere; an empty text is no number, though Number('') is 0. */
function amount(least: number, integer = false) {
  return z.union([z.number(), z.string()]).transform((value, context) => {
    const parsed = typeof value === 'number' ? value : /^\d*\.?\d+(e[+-]?\d+)?$/i.test(value.trim()) ? Number(value) : Number.NaN;
    if (parsed >= least && (!integer || Number.isSafeInteger(parsed))) return parsed;
    context.addIssue(`'${value}' is not a ${integer ? 'whole ' : ''}number of at least ${least}`);
    return z.NEVER;
  });
}

const MIB = 1024 * 1024;

export const SETTINGS = {
  store: setting(z.string().min(1).default('./data/joulebook.duckdb'), 'file of the embedded store, or :memory: to keep nothing'),
  listen: setting(listen.prefault('127.0.0.1:9840'), 'host:port to serve on; port 0 takes a free one'),
  token: setting(z.string().min(1).optional(), 'what agents and readers must present (Authorization: Bearer); without it only loopback addresses are served', { secret: true }),
  maxBodyBytes: setting(amount(1024, true).prefault(8 * MIB), 'largest body of one batch, as sent'),
  maxInflatedBytes: setting(amount(1024, true).prefault(64 * MIB), 'largest batch after decompression'),
  price: setting(amount(0).optional(), 'USD per kWh; without it no costs are given'),
  pue: setting(amount(1).optional(), 'power usage effectiveness of the facility, multiplies costs and carbon; 1 where not said'),
  carbon: setting(amount(0).optional(), 'g CO2e per kWh of the grid; without it no carbon is given'),
  logLevel: setting(z.enum(['silent', 'error', 'warn', 'info', 'debug', 'trace']).default('info'), 'how much is logged on stderr'),
};
export type CollectorSettings = Values<typeof SETTINGS>;

/** True for addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1' || host === 'localhost';
}

/** Faults between settings. @throws UsageError */
export function checkServing({ listen: { host }, token }: CollectorSettings): void {
  if (token === undefined && !isLoopback(host)) {
    throw new UsageError([`listen: ${host} can be reached by others; set a token (JOULEBOOK_TOKEN) or listen on 127.0.0.1`]);
  }
}
