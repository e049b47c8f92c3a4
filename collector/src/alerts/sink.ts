/**
 * Where alerts are told. Addresses and tokens may stand in files, which are read each time: what is changed there holds at once, and neither
 * is in a log or a book.
 *
 *     webhook        POST {"version":1,"alerts":[{"status":"firing","alert":"seen","labels":{…},"summary":"…","startsAt":"…","endsAt":null,…}]}
 *     alertmanager   POST URL/api/v2/alerts  [{"labels":{"alertname":"seen",…},"annotations":{"summary":"…"},"startsAt":"…","endsAt":"…"}]
 *     file           a line of JSON for each
 */
import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { fetch } from 'undici';
import { codeOf, messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { Sink } from '../book/alerting.js';
import { idOf, shownIncident, timeOf, type Incident } from './incident.js';

const TIMEOUT_MILLISECONDS = 10_000;
/** An Alertmanager takes an alert for over that is not repeated: so long after the collector was last there. */
const ALIVE_SECONDS = 300;

/** What a sink did not take. */
export class Refused extends TelemetryError {
  constructor(
    message: string,
    /** s: what it asked for. */
    readonly retryAfter?: number,
  ) {
    super('SINK_REFUSED', message, 'retry');
  }
}

/** Names of labels there are letters, digits and underscores. */
const labelName = (name: string): string => name.replaceAll(/[^a-zA-Z0-9_]/g, '_').replace(/^(?=\d)/, '_');

function forAlertmanager(one: Incident, now: number): object {
  const own = Object.fromEntries(Object.entries(one.labels).map(([name, value]) => [labelName(name), value]));
  return {
    labels: { ...own, alertname: one.rule, severity: one.severity, kind: one.kind, fingerprint: one.fingerprint },
    annotations: { summary: one.summary, ...(one.value !== null && { value: String(one.value) }) },
    startsAt: timeOf(one.startsAt), endsAt: timeOf(one.endsAt ?? now + ALIVE_SECONDS),
  };
}

async function secret(path: string, what: string): Promise<string> {
  const text = (await readFile(path, 'utf8').catch((error: unknown) => Promise.reject(new Refused(`the ${what} can't be read: ${messageOf(error)}`)))).trim();
  if (text === '') throw new Refused(`the ${what} ${path} is empty`);
  return text;
}

type HttpSink = Exclude<Sink, { kind: 'file' }>;

async function addressOf({ url, urlFile, kind }: HttpSink): Promise<URL> {
  const text = url ?? (await secret(urlFile ?? '', 'file of its address'));
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) throw new Refused('what its urlFile holds is no address like https://host/path');
  return kind === 'alertmanager' ? new URL('api/v2/alerts', text.endsWith('/') ? text : `${text}/`) : new URL(text);
}

/** Seconds or a date (RFC 9110). */
function retryAfterOf(text: string | null, now: number): number | undefined {
  if (text === null) return undefined;
  const wait = /^\d+$/.test(text.trim()) ? Number(text) : Date.parse(text) / 1000 - now;
  return Number.isFinite(wait) && wait > 0 ? wait : undefined;
}

/** What is at the bottom of a failed connection, without the address: that may be a secret. */
const causeOf = (error: unknown): string => (error instanceof Error && error.cause instanceof Error ? causeOf(error.cause) : error instanceof Error && error.name === 'TimeoutError' ? 'no answer within 10 s' : messageOf(error));

async function post(sink: HttpSink, body: string, id: string, now: number, signal: AbortSignal): Promise<void> {
  const url = await addressOf(sink);
  const token = sink.tokenFile === undefined ? undefined : await secret(sink.tokenFile, 'file of its token');
  const headers = { 'content-type': 'application/json', 'idempotency-key': id, ...(token !== undefined && { authorization: `Bearer ${token}` }) };
  // A token does not follow to wherever an answer points.
  const response = await fetch(url, { method: 'POST', headers, body, redirect: 'manual', signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MILLISECONDS)]) }).catch((error: unknown) => Promise.reject(new Refused(causeOf(error))));
  await response.body?.cancel();
  if (!response.ok) throw new Refused(`it answered ${response.status}`, retryAfterOf(response.headers.get('retry-after'), now));
}

/** To open a pipe that nobody reads would wait for a reader; without waiting it fails with ENXIO. */
const APPENDING = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

async function append(path: string, lines: string): Promise<void> {
  try {
    const file = await open(path, APPENDING, 0o600).catch((error: unknown) => Promise.reject(codeOf(error) === 'ENXIO' ? new Refused(`${path} is no plain file`) : error));
    try {
      if (!(await file.stat()).isFile()) throw new Refused(`${path} is no plain file`);
      await file.appendFile(lines);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new Refused(messageOf(error));
  }
}

/** @throws Refused where it did not take them */
export async function send(sink: Sink, incidents: readonly Incident[], now: number, signal: AbortSignal): Promise<void> {
  const id = createHash('sha256').update(JSON.stringify(incidents.map((one) => [idOf(one), one.status]))).digest('hex').slice(0, 32);
  if (sink.kind === 'file') await append(sink.file, incidents.map((one) => `${JSON.stringify(shownIncident(one))}\n`).join(''));
  else await post(sink, JSON.stringify(sink.kind === 'webhook' ? { version: 1, alerts: incidents.map(shownIncident) } : incidents.map((one) => forAlertmanager(one, now))), id, now, signal);
}
