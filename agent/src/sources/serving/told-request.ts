/**
 * What a gateway, a trace or a client tells of one request → evidence, or why it can't be used. Each tells other things by
 * other names; what can be believed is the same for all.
 *
 *     start ├ wait ┼ scheduled ── prefill ──┼ first token ── decode ──┤ end
 */
import type { Outcome } from '@joulebook/shared/slice.js';
import { instant, tokens, type Instant } from '@joulebook/shared/units.js';
import { isFault, readCount, readQuantity, type Fault, type Read } from '../cells.js';
import type { RequestEvidence, TokenCounts } from '../source.js';
import type { Cell } from '../table.js';

const LONGEST_SECONDS = 86_400;
/** Times are rounded one by one. */
const ROUNDING_SECONDS = 0.001;

export interface Told {
  readonly id: string;
  readonly start: Instant | undefined;
  readonly scheduled?: Instant | undefined;
  readonly firstToken?: Instant | undefined;
  readonly end: Instant | undefined;
  /** All of the prompt, cached tokens included. */
  readonly prompt: number | undefined;
  readonly cached: number | undefined;
  readonly output: number | undefined;
  readonly outcome: Outcome;
  readonly model?: string | undefined;
  readonly tenant?: string | undefined;
}

/** A first token or a begin of work that lies outside the request is left out: the request is still one. */
export function requestTold(told: Told): RequestEvidence | Fault {
  const { id, start, end: saidEnd, outcome, model, tenant } = told;
  if (start === undefined || saidEnd === undefined) return { fault: 'it does not tell when the request began and ended' };
  if (saidEnd < start - ROUNDING_SECONDS || saidEnd - start > LONGEST_SECONDS) return { fault: 'a request that ended before it began, or ran for more than a day' };
  const end = saidEnd < start ? start : saidEnd;
  const counts = countsOf(told);
  if (isFault(counts)) return counts;
  const firstToken = within(told.firstToken, start, end);
  const scheduled = within(told.scheduled, start, firstToken ?? end);
  return {
    kind: 'request',
    id,
    start,
    ...(scheduled !== undefined && { scheduled }),
    ...(firstToken !== undefined && { firstToken }),
    end,
    tokens: counts,
    outcome,
    ...(model !== undefined && { model }),
    ...(tenant !== undefined && { tenant }),
  };
}

function within(at: Instant | undefined, from: Instant, to: Instant): Instant | undefined {
  if (at === undefined || at < from - ROUNDING_SECONDS || at > to + ROUNDING_SECONDS) return undefined;
  return instant(Math.min(Math.max(at, from), to));
}

/** A prompt is never empty: 0 stands for a request of which nothing came back, and its 0 output tokens for unknown too. */
function countsOf({ prompt, cached, output }: Told): TokenCounts | Fault {
  if (prompt === undefined || prompt === 0) return output === undefined || output === 0 ? {} : { output: tokens(output) };
  if (cached !== undefined && cached > prompt) return { fault: 'more cached tokens than the prompt has' };
  return {
    input: tokens(prompt - (cached ?? 0)),
    ...(cached !== undefined && { cachedInput: tokens(cached) }),
    ...(output !== undefined && { output: tokens(output) }),
  };
}

/** A value of JSON as a cell of a table: what is written for "no value" is then read as such. */
export function cellOf(value: unknown): Cell {
  if (typeof value === 'string') return value.trim() === '' ? undefined : value.trim();
  return typeof value === 'number' || typeof value === 'boolean' ? value : undefined;
}

/** Numbers of one record; the first that is none is the record's fault. */
export function numbersOf() {
  let fault: string | undefined;
  const noting = <T>(name: string, value: Read<T>): T | undefined => {
    if (!isFault(value)) return value;
    fault ??= `${name} ${value.fault}`;
    return undefined;
  };
  return {
    count: (name: string, value: unknown): number | undefined => noting(name, readCount(cellOf(value))),
    /** Seconds, milliseconds. */
    quantity: (name: string, value: unknown): number | undefined => noting(name, readQuantity(cellOf(value))),
    get fault() {
      return fault;
    },
  };
}

export function textOf(value: unknown): string | undefined {
  const cell = cellOf(value);
  return typeof cell === 'string' ? cell : undefined;
}

const SECRET = /^sk-|^[\da-f]{64}$/i;
const LONGEST_NAME = 200;

/** The name of a model or a tenant. Keys, and the hashes that stand for keys, are not names. */
export function nameOf(value: unknown): string | undefined {
  const name = textOf(value);
  return name !== undefined && !/^(?:-|none|null)$/i.test(name) && name.length <= LONGEST_NAME && !SECRET.test(name) ? name : undefined;
}
