/** Asking the server: everything but writing. */
import { Readable } from 'node:stream';
import { createInterface } from 'node:readline';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { withoutQuery, type Server } from './address.js';

const TIMEOUT_MILLISECONDS = 60_000;
const LONGEST_REASON = 300;
/** Entries of the ledger are found by when collectors wrote them. */
const MOST_CLOCK_MILLIS = 30_000;

const unreachable = (server: Server, cause: unknown): TelemetryError => {
  const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : messageOf(cause);
  return new TelemetryError('STORE_UNREACHABLE', `The store at ${withoutQuery(server)} does not answer: ${reason}.`, 'retry', { cause });
};

/** Every answer tells the server's time. */
function checkedClock(server: Server, response: Response): Response {
  const told = Date.parse(response.headers.get('date') ?? '');
  const ahead = Date.now() - told;
  if (Math.abs(ahead) <= MOST_CLOCK_MILLIS || Number.isNaN(told)) return response;
  throw new TelemetryError('STORE_CLOCK', `This machine's clock is ${(ahead / 1000).toFixed(0)} s ahead of that of the store at ${withoutQuery(server)}; set both by NTP.`, 'retry');
}

/** @throws TelemetryError (`retry`) when nobody answers, or its clock and this machine's are far apart */
export async function ask(server: Server, path: string, form?: URLSearchParams): Promise<Response> {
  const url = new URL(server.url);
  url.pathname = `${url.pathname.replace(/\/$/, '')}${path}`;
  const headers = server.token === undefined ? {} : { authorization: `Token ${server.token}` };
  try {
    return checkedClock(server, await fetch(url, { headers, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS), ...(form && { method: 'POST', body: form }) }));
  } catch (cause) {
    if (cause instanceof TelemetryError) throw cause;
    throw unreachable(server, cause);
  }
}

/** @throws TelemetryError (`retry`) when it answers with anything but success, too */
export async function askFor(server: Server, path: string, form?: URLSearchParams): Promise<Response> {
  const response = await ask(server, path, form);
  if (response.ok) return response;
  const said = (await response.text().catch(() => '')).replace(/[\s\p{C}]+/gu, ' ').trim().slice(0, LONGEST_REASON);
  throw new TelemetryError('STORE_FAILED', `The store at ${withoutQuery(server)} answered ${response.status} to ${path}: ${said}`, 'retry');
}

export async function textFrom(server: Server, path: string, form?: URLSearchParams): Promise<string> {
  const response = await askFor(server, path, form);
  try {
    return await response.text();
  } catch (cause) {
    throw unreachable(server, cause);
  }
}

/** One JSON value per line, as they come: an answer may be longer than memory. */
export async function* jsonLines(server: Server, path: string, form: URLSearchParams): AsyncGenerator {
  const { body } = await askFor(server, path, form);
  if (body === null) return;
  try {
    for await (const line of createInterface({ input: Readable.fromWeb(body), crlfDelay: Infinity })) if (line !== '') yield JSON.parse(line);
  } catch (cause) {
    if (cause instanceof TelemetryError) throw cause;
    throw unreachable(server, cause);
  }
}
