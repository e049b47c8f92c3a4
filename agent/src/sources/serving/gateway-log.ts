/**
 * The log of a gateway: each record tells one request when it has ended. What LiteLLM and Envoy have in common beyond the
 * form of a record: requests told twice, attempts that a later one made up for, and where a record could not be used.
 *
 *     failed ├──────┤             held: is it the end of the matter?
 *     answered          ├──────┤  the same call begins soon after: the first was superseded
 *
 * A gateway may serve many engines. What it answers itself computed nothing and is left out.
 */
import type { Instant } from '@joulebook/shared/units.js';
import { instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { isFault, type Fault } from '../cells.js';
import type { RequestEvidence, ServingEvent } from '../source.js';
import { fromEpoch } from '../timestamps.js';
import { gatewayRetries } from './gateway-retries.js';
import type { LogContext, LogLine, LogParser, Stamp } from './logs/dialect.js';

/** Records come in batches (LiteLLM: once a minute), each when its request has ended. */
const GATEWAY_LOOKBACK_SECONDS = 180;
/** Copies of a request come close together: rotated files, callbacks that are set twice. */
const MOST_REMEMBERED = 100_000;

/** Which of a gateway's requests are meant; a deployment is rarely all that it serves. */
export const gatewayOptions = {
  /** Only requests to these models. */
  models: z.array(z.string().min(1)).min(1).optional(),
  /** Only requests to these servers: whole, or any part of what the gateway calls them. */
  backends: z.array(z.string().min(1)).min(1).optional(),
};
export type GatewayOptions = z.output<z.ZodObject<typeof gatewayOptions, z.core.$strict>>;

export interface GatewayRequest {
  readonly request: RequestEvidence;
  /** Names the request among all; told again at the same times it is the same. */
  readonly name: string | undefined;
  /** What attempts of one call have in common. */
  readonly call?: string | undefined;
}
/** `answered`: by the gateway's own cache. `other`: of a model or a server that is not asked for. */
export type GatewayRecord = GatewayRequest | Fault | 'answered' | 'other';

const isRequest = (record: Exclude<GatewayRecord, string>): record is GatewayRequest => !isFault(record);

/** @param read the records of a line; none for a line of something else */
export function gatewayParser(context: LogContext, read: (line: LogLine) => readonly GatewayRecord[]): LogParser {
  const { label } = context;
  const retries = gatewayRetries();
  const told = new Set<string>();
  const counts = { told: 0, answered: 0, other: 0, repeated: 0 };
  let last: Instant | undefined;
  let doubted = false;
  let said: Instant | undefined;

  function* settled(at: Instant): Generator<ServingEvent> {
    const upTo = instant(at - GATEWAY_LOOKBACK_SECONDS);
    if (said !== undefined && upTo <= said) return;
    said = upTo;
    yield { kind: 'watermark', at: upTo };
  }

  function isRepeated({ name, request: { start, end } }: GatewayRequest): boolean {
    if (name === undefined) return false;
    const key = `${name} ${start} ${end}`;
    if (told.has(key)) return true;
    told.add(key);
    const [oldest] = told;
    if (told.size > MOST_REMEMBERED && oldest !== undefined) told.delete(oldest);
    return false;
  }

  /** A request ran here that nobody knows: between its neighbours, since records are kept in order. */
  function* doubt(next: RequestEvidence): Generator<ServingEvent> {
    if (doubted && last !== undefined) yield { kind: 'hole', from: instant(Math.min(last, next.start)), to: instant(Math.max(last, next.start)), reason: `${label}: a request here could not be used` };
    doubted = false;
  }

  function* one(record: GatewayRecord, line: LogLine): Generator<ServingEvent> {
    if (typeof record !== 'string' && !isRequest(record)) {
      doubted = true;
      context.skip(line, record.fault);
      return;
    }
    context.used();
    if (typeof record === 'string') {
      counts[record] += 1;
      return;
    }
    if (isRepeated(record)) {
      counts.repeated += 1;
      return;
    }
    counts.told += 1;
    const { request, call } = record;
    yield* doubt(request);
    if (last === undefined || request.end > last) last = request.end;
    yield* retries.next(request, call);
    yield* retries.until(last);
    yield* settled(last);
  }

  function* flagged(): Generator<ServingEvent> {
    if (counts.answered > 0) yield { kind: 'flagged', code: 'GATEWAY_CACHE', count: counts.answered, detail: `${label}: ${counts.answered} requests were answered from the gateway's own cache; no engine computed anything for them, so they are left out` };
    if (counts.repeated > 0) yield { kind: 'flagged', code: 'REPEATED_REQUEST', count: counts.repeated, detail: `${label}: ${counts.repeated} records tell a request that was told before (same id, same times); each is counted once` };
    if (counts.told === 0 && counts.other > 0) yield { kind: 'flagged', code: 'NONE_CHOSEN', count: counts.other, detail: `${label}: none of its ${counts.other} requests is to the models or backends that are asked for; write them as the gateway does` };
  }

  return {
    line: (line) => read(line).flatMap((record) => [...one(record, line)]),
    quiet: (at) => [...retries.until(at), ...settled(at)],
    end: () => [...retries.rest(), ...flagged()],
  };
}

/** Whether a request is of those that are asked for. */
export function isChosen({ models, backends }: GatewayOptions, names: readonly (string | undefined)[], places: readonly (string | undefined)[]): boolean {
  const ofModel = !models || models.some((model) => names.includes(model));
  return ofModel && (!backends || backends.some((backend) => places.some((place) => place?.includes(backend))));
}

const TIME = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d(?:\.\d+)?) ?(Z|UTC|[+-]\d\d:?\d\d)?$/;
const EPOCH = /^\d+(?:\.\d+)?$/;

/** A time in a record: an epoch in any unit, or ISO; without a zone it is the gateway's. Only `lately` tells which zone that is live. */
export function momentOf(value: unknown, { number, arrived }: LogLine, { clock }: LogContext, lately = false): Instant | undefined {
  if (typeof value === 'number') return fromEpoch(value);
  if (typeof value !== 'string') return undefined;
  if (EPOCH.test(value)) return fromEpoch(Number(value));
  const stamp = stampOf(value);
  // A wrapper says when the record was written, which is later.
  return stamp && clock.at({ number, text: '', ...(lately && arrived !== undefined && { arrived }) }, stamp);
}

function stampOf(text: string): Stamp | undefined {
  const match = TIME.exec(text);
  if (!match) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number);
  return { year, month, day, hour, minute, second, zone: zoneOf(match[7]) };
}

function zoneOf(text: string | undefined): Stamp['zone'] {
  if (text === undefined) return undefined;
  if (text === 'Z' || text === 'UTC') return 'utc';
  const minutes = Number(text.slice(1, 3)) * 60 + Number(text.slice(-2));
  return text.startsWith('-') ? -minutes : minutes;
}
