/** Where a program serves: `127.0.0.1:9840`, `[::1]:9840`. */
import { isIP } from 'node:net';
import { z } from 'zod';

export interface Listen {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

const LISTEN = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/i;

export const listen = z.string().transform((text, context): Listen => {
  const [, ipv6, name, port] = LISTEN.exec(text.trim()) ?? [];
  const host = ipv6 ?? name;
  if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) };
  context.addIssue(`'${text}' is not host:port, e.g. 127.0.0.1:9840 or [::1]:9840`);
  return z.NEVER;
});

/** True for addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1' || host === 'localhost';
}
