/**
 * Batches to a collector: POST {url}/v1/batches, gzip JSON, one connection kept alive.
 *
 *     200                      accepted
 *     400, 413, 422            rejected: the same bytes would be refused again
 *     409                      rejected, STREAM_CONFLICT: the collector holds this (stream, sequence) with other content
 *     401, 403                 retry slowly: a token can be mended, measurements can't be taken again
 *     408, 425, 429, 5xx       retry, after Retry-After where it is given
 *     no answer in time        retry
 *     anything else            retry slowly: what answers there is not a collector, the address can be mended
 *
 * Redirects are not followed: they would carry the token to wherever they point. The token is in no message.
 */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { messageOf, UsageError } from '@joulebook/shared/errors.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { Agent } from 'undici';
import type { SendOutcome, Transport } from './transport.js';

const compress = promisify(gzip);

export interface HttpTransportOptions {
  /** Base address of the collector, e.g. `https://collector.example:9840`. */
  readonly url: string;
  readonly token?: string | undefined;
  /** For the whole exchange. */
  readonly timeout?: Seconds;
}

const SLOWLY = seconds(60);
/** A server that asks for a longer silence has made a mistake. */
const LONGEST_WAIT_SECONDS = 15 * 60;
const LONGEST_ANSWER_BYTES = 64 * 1024;
const LONGEST_REASON = 300;

const REJECTED: ReadonlySet<number> = new Set([400, 413, 422]);
const BUSY: ReadonlySet<number> = new Set([408, 425, 429]);
const FORBIDDEN: ReadonlySet<number> = new Set([401, 403]);

/** @throws UsageError when the address is no http(s) address */
export function httpTransport({ url, token, timeout = seconds(30) }: HttpTransportOptions): Transport {
  const address = batchesAddress(url);
  const agent = new Agent({ connections: 1, keepAliveTimeout: 60_000, connectTimeout: timeout * 1000, maxResponseSize: LONGEST_ANSWER_BYTES });
  const headers = {
    'content-type': 'application/json',
    'content-encoding': 'gzip',
    accept: 'application/json',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  };
  const withoutToken = (text: string): string => (token ? text.replaceAll(token, '…') : text);

  return {
    description: `collector at ${address.origin}`,
    async send(batch, signal) {
      const body = isGzip(batch) ? batch : await compress(batch);
      const limit = AbortSignal.timeout(timeout * 1000);
      try {
        const response = await agent.request({ origin: address.origin, path: address.pathname, method: 'POST', headers, body, signal: AbortSignal.any([signal, limit]) });
        const answer = await response.body.text().catch(() => '');
        return outcome(response.statusCode, reasonIn(withoutToken(answer)), retryAfter(response.headers['retry-after']));
      } catch (error) {
        const reason = limit.aborted ? `no answer within ${timeout} s` : withoutToken(messageOf(error));
        return { kind: 'retry', code: 'COLLECTOR_UNREACHABLE', reason };
      }
    },
    close: () => agent.destroy(),
  };
}

function outcome(status: number, reason: string, after: Seconds | undefined): SendOutcome {
  const said = `the collector answered ${status}${reason === '' ? '' : `: ${reason}`}`;
  if (status === 200) return { kind: 'accepted' };
  if (status === 409) return { kind: 'rejected', code: 'STREAM_CONFLICT', reason: said };
  if (REJECTED.has(status)) return { kind: 'rejected', code: 'BATCH_REJECTED', reason: said };
  if (FORBIDDEN.has(status)) return { kind: 'retry', code: 'COLLECTOR_REFUSES_TOKEN', reason: `${said}; give this agent a token of that collector`, after: SLOWLY };
  if (BUSY.has(status) || status >= 500) return { kind: 'retry', code: 'COLLECTOR_BUSY', reason: said, ...(after !== undefined && { after }) };
  return { kind: 'retry', code: 'NOT_A_COLLECTOR', reason: `${said}; check the collector's address`, after: SLOWLY };
}

/** An answer of ours says `message`; of anything else the first words are better than nothing. */
function reasonIn(answer: string): string {
  let text = answer;
  try {
    const json: unknown = JSON.parse(answer);
    if (typeof json === 'object' && json !== null && 'message' in json && typeof json.message === 'string') text = json.message;
  } catch {
    // Not JSON: a proxy's page, or plain text.
  }
  return text.replace(/[\s\p{C}]+/gu, ' ').trim().slice(0, LONGEST_REASON);
}

/** Seconds, or a date (RFC 9110 §10.2.3). */
function retryAfter(header: string | string[] | undefined): Seconds | undefined {
  if (typeof header !== 'string') return undefined;
  const wait = /^\d{1,9}$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(wait) ? seconds(Math.max(0, Math.min(LONGEST_WAIT_SECONDS, wait))) : undefined;
}

function batchesAddress(url: string): URL {
  // The address is not repeated: someone may have put a password into it.
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw new UsageError(['collector: not an address like http://collector.example:9840']);
  const base = new URL(url);
  return new URL(`${base.pathname.replace(/\/+$/, '')}/v1/batches`, base);
}

const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;
