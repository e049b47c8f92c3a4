/**
 * What Ollama itself writes, beside its model servers: a line of its web server when a request has been answered, and its
 * own messages. Both have a time; the messages may quote prompts (`OLLAMA_DEBUG`), so nothing but that time is read of them.
 *
 *     [GIN] 2026/04/02 - 14:43:34 | 200 |  3.864203892s |       127.0.0.1 | POST     "/api/chat"
 *     time=2026-04-02T14:43:30.123+02:00 level=INFO source=server.go:123 msg="…"
 */
import type { Outcome } from '@joulebook/shared/slice.js';
import type { Stamp } from './dialect.js';

export interface Answered {
  readonly stamp: Stamp;
  readonly took: number | undefined;
  readonly outcome: Outcome;
  /** It is one that a model works on. */
  readonly computes: boolean;
}

/** The client's address stands between the duration and the method, and is not taken. */
const GIN = /\[GIN\] (\d{4})\/(\d\d)\/(\d\d) - (\d\d):(\d\d):(\d\d) \|\s*(\d{3})\s*\|\s*(\S+)\s*\|\s*\S*\s*\|\s*([A-Z]+)\s+"([^"?]*)/;
const SLOG = /^time=(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d(?:\.\d+)?)(Z|[+-]\d\d:\d\d) level=/;
const LISTENING = /msg="Listening on [^"]*\(version ([\w.+-]{1,40})\)"/;

const COMPUTES: ReadonlySet<string> = new Set(['/api/generate', '/api/chat', '/api/embed', '/api/embeddings', '/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/messages', '/v1/responses']);

export const isOllama = (text: string): boolean => GIN.test(text) || (SLOG.test(text) && / source=\S+\.go:\d+ msg=/.test(text));

/** Undefined: no such line. */
export function answeredIn(text: string): Answered | undefined {
  const match = GIN.exec(text);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second, status] = match.slice(1, 8).map(Number);
  const [, , , , , , , , took = '', method, path = ''] = match;
  return {
    stamp: { year, month, day, hour: hour ?? 0, minute: minute ?? 0, second: second ?? 0 },
    took: secondsOf(took),
    outcome: outcomeOf(status ?? 0),
    computes: method === 'POST' && COMPUTES.has(path),
  };
}

export function messageStamp(text: string): Stamp | undefined {
  const match = SLOG.exec(text);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  return { year, month, day, hour: hour ?? 0, minute: minute ?? 0, second: second ?? 0, zone: zoneOf(match[7] ?? 'Z') };
}

export const versionIn = (text: string): string | undefined => LISTENING.exec(text)?.[1];

function zoneOf(offset: string): Stamp['zone'] {
  if (offset === 'Z') return 'utc';
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4));
  return offset.startsWith('-') ? -minutes : minutes;
}

/** 499: the client went away. 503: too many requests are waiting. */
function outcomeOf(status: number): Outcome {
  if (status === 499) return 'aborted';
  if (status === 429 || status === 503) return 'rejected';
  return status >= 200 && status < 300 ? 'ok' : 'failed';
}

/** As Go writes a duration: `1h2m3.5s`, `319.37856ms`, `870µs`. */
const UNIT_SECONDS: ReadonlyMap<string, number> = new Map([['h', 3600], ['m', 60], ['s', 1], ['ms', 1e-3], ['µs', 1e-6], ['μs', 1e-6], ['us', 1e-6], ['ns', 1e-9]]);
const DURATION = /^(?:\d+(?:\.\d+)?(?:h|ms|m|s|µs|μs|us|ns))+$/;

export function secondsOf(duration: string): number | undefined {
  if (!DURATION.test(duration)) return undefined;
  return [...duration.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|µs|μs|us|ns)/g)].reduce((sum, [, amount, unit = 's']) => sum + Number(amount) * (UNIT_SECONDS.get(unit) ?? 0), 0);
}
