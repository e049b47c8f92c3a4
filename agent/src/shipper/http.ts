/**
 * Batches to a collector: POST {url}/v1/batches, gzip JSON, connections kept alive, one for each lane of the shipper.
 * `x-joulebook-sent` is this machine's wall clock at sending, in seconds since 1970: the collector tells by it how far off it is.
 *
 *     200                      accepted
 *     400, 413, 422            rejected: the same bytes would be refused again
 *     409                      rejected, STREAM_CONFLICT: the collector holds this (stream, sequence) with other content
 *     401, 403                 retry slowly: a token can be mended, measurements can't be taken again
 *     429                      retry, COLLECTOR_LIMITS, after Retry-After where it is given
 *     408, 425, 5xx            retry, after Retry-After where it is given
 *     a certificate that can't be trusted   retry, COLLECTOR_NOT_TRUSTED: nothing was sent
 *     no answer in time        retry
 *     anything else            retry slowly: what answers there is not a collector, the address can be mended
 *
 * Redirects are not followed: they would carry the token to wherever they point. The token is in no message.
 */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { systemClock, type Clock } from '@joulebook/shared/clock.js';
import { messageOf, UsageError } from '@joulebook/shared/errors.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { Agent } from 'undici';
import { z } from 'zod';
import { isGzip } from './rename.js';
import { distrust, readTls, stampOf, type TlsFiles } from './tls.js';
import type { SendOutcome, Transport } from './transport.js';

const compress = promisify(gzip);

export interface HttpTransportOptions {
  /** Base address of the collector, e.g. `https://collector.example:9840`. */
  readonly url: string;
  readonly token?: string | undefined;
  /** For the whole exchange. */
  readonly timeout?: Seconds;
  readonly tls?: TlsFiles | undefined;
  readonly clock?: Pick<Clock, 'wall'>;
}

const SLOWLY = seconds(60);
/** One for live batches, one for the backlog: neither waits for the other. */
const CONNECTIONS = 2;
const CONNECT_WITHIN_SECONDS = 5;
/** A server that asks for a longer silence has made a mistake. */
const LONGEST_WAIT_SECONDS = 15 * 60;
const LONGEST_ANSWER_BYTES = 64 * 1024;
const LONGEST_REASON = 300;

const REJECTED: ReadonlySet<number> = new Set([400, 413, 422]);
const BUSY: ReadonlySet<number> = new Set([408, 425]);
const FORBIDDEN: ReadonlySet<number> = new Set([401, 403]);

/** @throws UsageError when the address is no http(s) address, or a certificate can't be read */
export function httpTransport({ url, token, timeout = seconds(30), tls = {}, clock = systemClock }: HttpTransportOptions): Transport {
  const address = collectorAddress(url, '/v1/batches');
  const headers = {
    'content-type': 'application/json',
    'content-encoding': 'gzip',
    accept: 'application/json',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  };
  const withoutToken = (text: string): string => (token ? text.replaceAll(token, '…') : text);
  const connect = (): Agent =>
    new Agent({
      connections: CONNECTIONS,
      keepAliveTimeout: 60_000,
      maxResponseSize: LONGEST_ANSWER_BYTES,
      connect: { ...readTls(tls), timeout: Math.min(timeout, CONNECT_WITHIN_SECONDS) * 1000 },
    });
  let agent = connect();
  let stamp = stampOf(tls);

  /** A certificate that was renewed is used from the next batch on; one that is half written, from the one after. */
  function renew(): void {
    const now = stampOf(tls);
    if (now === stamp) return;
    const before = agent;
    try {
      agent = connect();
    } catch {
      return;
    }
    stamp = now;
    void before.close();
  }

  return {
    description: `collector at ${address.origin}`,
    async send(batch, signal) {
      const body = isGzip(batch) ? batch : await compress(batch);
      renew();
      const limit = AbortSignal.timeout(timeout * 1000);
      try {
        const sent = { ...headers, 'x-joulebook-sent': clock.wall().toFixed(3) };
        const response = await agent.request({ origin: address.origin, path: address.pathname, method: 'POST', headers: sent, body, signal: AbortSignal.any([signal, limit]) });
        const answer = readAnswer(withoutToken(await response.body.text().catch(() => '')));
        return outcome(response.statusCode, answer, retryAfter(response.headers['retry-after']));
      } catch (error) {
        const remedy = distrust(error);
        if (remedy !== undefined) return { kind: 'retry', code: 'COLLECTOR_NOT_TRUSTED', reason: `${messageOf(error)}: ${remedy}` };
        const reason = limit.aborted ? `no answer within ${timeout} s` : withoutToken(messageOf(error));
        return { kind: 'retry', code: 'COLLECTOR_UNREACHABLE', reason };
      }
    },
    close: () => agent.destroy(),
  };
}

function outcome(status: number, { reason, error, duplicate }: Answer, after: Seconds | undefined): SendOutcome {
  const said = `the collector answered ${status}${reason === '' ? '' : `: ${reason}`}`;
  if (status === 200) return { kind: 'accepted', ...(duplicate !== undefined && { duplicate }) };
  if (status === 409) return { kind: 'rejected', code: 'STREAM_CONFLICT', reason: said };
  if (REJECTED.has(status)) return { kind: 'rejected', code: 'BATCH_REJECTED', reason: said, ...(error !== undefined && { said: error }) };
  if (FORBIDDEN.has(status)) return { kind: 'retry', code: 'COLLECTOR_REFUSES_TOKEN', reason: `${said}; give this agent a token of that collector`, after: SLOWLY };
  if (status === 429) return { kind: 'retry', code: 'COLLECTOR_LIMITS', reason: said, ...(after !== undefined && { after }) };
  if (BUSY.has(status) || status >= 500) return { kind: 'retry', code: 'COLLECTOR_BUSY', reason: said, ...(after !== undefined && { after }) };
  return { kind: 'retry', code: 'NOT_A_COLLECTOR', reason: `${said}; check the collector's address`, after: SLOWLY };
}

/** What an answer of ours may say: `{"accepted":true,"duplicate":false}`, `{"error":"FACTS_TOO_OLD","message":"…"}`. */
const ours = z.object({ message: z.string().optional(), error: z.string().optional(), duplicate: z.boolean().optional() });
interface Answer {
  readonly reason: string;
  readonly error?: string | undefined;
  readonly duplicate?: boolean | undefined;
}

/** Of a proxy's page, or plain text, the first words are better than nothing. */
function readAnswer(text: string): Answer {
  const { message = text, error, duplicate } = ours.safeParse(parsed(text)).data ?? {};
  return { reason: message.replace(/[\s\p{C}]+/gu, ' ').trim().slice(0, LONGEST_REASON), error, duplicate };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Seconds, or a date (RFC 9110 §10.2.3). */
function retryAfter(header: string | string[] | undefined): Seconds | undefined {
  if (typeof header !== 'string') return undefined;
  const wait = /^\d{1,9}$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(wait) ? seconds(Math.max(0, Math.min(LONGEST_WAIT_SECONDS, wait))) : undefined;
}

/** @throws UsageError */
export function collectorAddress(url: string, path: string): URL {
  // The address is not repeated: someone may have put a password into it.
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw new UsageError(['collectorUrl: not an address like http://collector.example:9840']);
  const base = new URL(url);
  return new URL(`${base.pathname.replace(/\/+$/, '')}${path}`, base);
}
