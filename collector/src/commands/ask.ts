/** Asking a running collector instead of a store. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { codeOf, messageOf, TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { report, type Report } from '../join/report.js';
import type { Said } from '../report/request.js';
import type { CollectorSettings } from '../settings.js';

const TIMEOUT_MILLISECONDS = 60_000;
/** It is busy: the same call may work later. */
const LATER: ReadonlySet<number> = new Set([408, 425, 429, 503]);
const refusal = z.object({ message: z.string(), faults: z.array(z.string()).optional() });

/** Whom to be towards a collector, and how to know it. */
export type Credentials = Partial<Pick<CollectorSettings, 'token' | 'collectorCa' | 'collectorCert' | 'collectorKey'>>;

export interface Question {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  /** Relative to the collector's address, e.g. `v1/report`. */
  readonly path: string;
  readonly said?: Said;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Longer than a minute, for what takes longer. */
  readonly patienceMilliseconds?: number;
}

/** The faults of an address that a person gave. */
export const faultsOfAddress = (name: string, address: string): string[] => (URL.canParse(address) && /^https?:$/.test(new URL(address).protocol) ? [] : [`${name}: not an address like http://127.0.0.1:9840`]);

export function urlOf(base: string, path: string, said: Said): URL {
  const url = new URL(path, base.endsWith('/') ? base : `${base}/`);
  for (const [name, values] of Object.entries(said)) for (const value of values) url.searchParams.append(name, value);
  return url;
}

/** @throws UsageError naming the setting of a file that can't be read */
export async function tlsOf(credentials: Credentials): Promise<Record<string, string>> {
  const entries = [['ca', 'collectorCa'], ['cert', 'collectorCert'], ['key', 'collectorKey']] as const;
  const read = entries.map(async ([option, name]) => {
    const path = credentials[name];
    if (path === undefined) return [];
    return [[option, await readFile(path, 'utf8').catch((error: unknown) => Promise.reject(new UsageError([`${name}: ${messageOf(error)}`])))] as const];
  });
  return Object.fromEntries((await Promise.all(read)).flat());
}

/** The message at the bottom: `fetch failed` says nothing. */
export function reasonOf(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? reasonOf(error.cause) : messageOf(error) || (codeOf(error) ?? 'no answer');
}

/**
 * @param shape what a collector of this release answers
 * @throws UsageError for what the collector found wrong with the question
 * @throws TelemetryError (`abort`) when it can't be reached, wants a token, or answers something else; `retry` when it is busy
 */
export async function ask<T>(base: string, credentials: Credentials, { method = 'GET', path, said = {}, body, patienceMilliseconds = TIMEOUT_MILLISECONDS }: Question, shape: z.ZodType<T>): Promise<T> {
  // The origin only: an address may carry a password.
  const { origin } = new URL(base);
  const { Agent, fetch } = await import('undici');
  const dispatcher = new Agent({ connect: await tlsOf(credentials) });
  const headers = { ...(credentials.token !== undefined && { authorization: `Bearer ${credentials.token}` }), ...(body !== undefined && { 'content-type': 'application/json' }) };
  try {
    const response = await fetch(urlOf(base, path, said), { method, headers, body: body === undefined ? null : JSON.stringify(body), redirect: 'manual', dispatcher, signal: AbortSignal.timeout(patienceMilliseconds) });
    return readAnswer(origin, response.ok, response.status, await response.json().catch(() => undefined), shape);
  } catch (cause) {
    if (cause instanceof TelemetryError || cause instanceof UsageError) throw cause;
    throw new TelemetryError('COLLECTOR_UNREACHABLE', `The collector at ${origin} does not answer: ${reasonOf(cause)}.`, 'abort', { cause });
  } finally {
    await dispatcher.destroy();
  }
}

export function readAnswer<T>(origin: string, ok: boolean, status: number, body: unknown, shape: z.ZodType<T>): T {
  if (ok) {
    const answer = shape.safeParse(body);
    if (answer.success) return answer.data;
    throw new TelemetryError('NOT_A_COLLECTOR', `What answers at ${origin} is not a collector of this release.`, 'abort');
  }
  const refused = refusal.safeParse(body);
  if (refused.success && refused.data.faults) throw new UsageError(refused.data.faults.map((fault) => `--${fault}`));
  const code = status === 409 ? 'COLLECTOR_CONFLICT' : 'COLLECTOR_REFUSED';
  const hint = status === 401 ? ' Say it with --token or JOULEBOOK_TOKEN.' : '';
  throw new TelemetryError(code, `The collector at ${origin} answered ${status}${refused.success ? `: ${refused.data.message}` : '.'}${hint}`, LATER.has(status) ? 'retry' : 'abort');
}

/** @throws as `ask` does */
export const askCollector = (base: string, credentials: Credentials, said: Said): Promise<Report> => ask(base, credentials, { path: 'v1/report', said }, report);
