/**
 * One question to a provider over HTTP, whose answer is JSON. Whatever comes back is a value that says what to do:
 *
 *     200 and JSON            the answer
 *     401, 403                PROVIDER_REFUSES_TOKEN
 *     429                     PROVIDER_LIMITS, after Retry-After where it is given
 *     3xx                     PROVIDER_REDIRECTS: not followed, a redirect would carry the token to wherever it points
 *     408, 5xx                PROVIDER_BUSY
 *     other 4xx               PROVIDER_REFUSES, with the first words of the answer
 *     no JSON, too much of it PROVIDER_ANSWER
 *     no answer in time       PROVIDER_UNREACHABLE
 *
 * What was given as a secret stands in no reason.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { codeOf, messageOf } from '@joulebook/shared/errors.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import type { z } from 'zod';
import type { Failed } from './provider.js';

/** A month of values every five minutes is a tenth of it. */
const MOST_ANSWER_BYTES = 8 * 1024 * 1024;
const MOST_SECRET_BYTES = 16 * 1024;
const LONGEST_REASON = 200;
/** Who asks for a longer silence has made a mistake. */
const LONGEST_WAIT_SECONDS = 86_400;

export interface Answer<T> {
  readonly kind: 'answer';
  readonly body: T;
}
export interface Asked<T> {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** What no reason may repeat. */
  readonly secrets: readonly string[];
  readonly shape: z.ZodType<T>;
  readonly signal: AbortSignal;
}
export interface Exchange {
  ask<T>(asked: Asked<T>): Promise<Answer<T> | Failed>;
  close(): Promise<void>;
}

export const failed = (code: string, reason: string, after?: Seconds): Failed => ({ kind: 'failed', code, reason, ...(after !== undefined && { after }) });

/** Seconds, or a date (RFC 9110 §10.2.3). */
function retryAfter(header: string | string[] | undefined, now: number): Seconds | undefined {
  if (typeof header !== 'string') return undefined;
  const wait = /^\d{1,9}$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(wait) ? seconds(Math.max(0, Math.min(LONGEST_WAIT_SECONDS, wait))) : undefined;
}

const withoutSecrets = (text: string, secrets: readonly string[]): string =>
  secrets.reduce((rest, secret) => (secret === '' ? rest : rest.replaceAll(secret, '…')), text).replace(/[\s\p{C}]+/gu, ' ').trim().slice(0, LONGEST_REASON);

function refusal(status: number, words: string, after: Seconds | undefined): Failed {
  const said = `answered ${status}${words === '' ? '' : `: ${words}`}`;
  if (status === 401 || status === 403) return failed('PROVIDER_REFUSES_TOKEN', `${said}; is the token the right one, and does it allow this zone and time?`, after);
  if (status === 429) return failed('PROVIDER_LIMITS', said, after);
  if (status >= 300 && status < 400) return failed('PROVIDER_REDIRECTS', `answered ${status}, to go elsewhere, which is not followed; write the address that answers as url`);
  if (status === 408 || status >= 500) return failed('PROVIDER_BUSY', said, after);
  return failed('PROVIDER_REFUSES', `${said}; check zone and url`, after);
}

function parsed<T>(text: string, shape: z.ZodType<T>): Answer<T> | Failed {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return failed('PROVIDER_ANSWER', 'answered what is not JSON; check url');
  }
  const read = shape.safeParse(body);
  if (read.success) return { kind: 'answer', body: read.data };
  const [issue] = read.error.issues;
  return failed('PROVIDER_ANSWER', `answered what is not as expected (${issue?.path.join('.') || 'answer'}: ${issue?.message ?? 'not valid'}); check url`);
}

/** @param within for one whole exchange */
export function exchange(within: Seconds = seconds(30)): Exchange {
  let opened: Promise<{ readonly undici: typeof import('undici'); readonly agent: import('undici').Agent }> | undefined;
  // Only who asks pays for the library.
  const opening = (): NonNullable<typeof opened> => (opened ??= import('undici').then((undici) => ({ undici, agent: new undici.Agent({ connections: 1, keepAliveTimeout: 10_000, maxResponseSize: MOST_ANSWER_BYTES, connect: { timeout: 5000 } }) })));
  return {
    async ask({ url, headers, secrets, shape, signal }) {
      const limit = AbortSignal.timeout(within * 1000);
      try {
        const { undici, agent } = await opening();
        const response = await undici.request(url, { headers: { accept: 'application/json', ...headers }, dispatcher: agent, signal: AbortSignal.any([signal, limit]) });
        const text = await response.body.text();
        return response.statusCode === 200 ? parsed(text, shape) : refusal(response.statusCode, withoutSecrets(text, secrets), retryAfter(response.headers['retry-after'], Date.now()));
      } catch (error) {
        if (codeOf(error) === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return failed('PROVIDER_ANSWER', `answered more than ${MOST_ANSWER_BYTES / 1024 / 1024} MiB; check url`);
        return failed('PROVIDER_UNREACHABLE', limit.aborted ? `gives no whole answer within ${within} s` : withoutSecrets(messageOf(error) || (codeOf(error) ?? 'does not answer'), secrets));
      }
    },
    async close() {
      await (await opened)?.agent.destroy();
    },
  };
}

/** Read at each use, so that one that was renewed is used. Never waits, as reading a pipe would. */
export async function readSecret(path: string): Promise<string | Failed> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = await file.stat();
      const text = stats.isFile() && stats.size <= MOST_SECRET_BYTES ? (await file.readFile('utf8')).trim() : '';
      return text === '' || /[\r\n]/.test(text) ? failed('SECRET_UNREADABLE', `${path} is not a file with one line, the secret`) : text;
    } finally {
      await file.close();
    }
  } catch (error) {
    return failed('SECRET_UNREADABLE', `${path} can't be read (${messageOf(error)})`);
  }
}
