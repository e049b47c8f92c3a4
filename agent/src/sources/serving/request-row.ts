/** One row of a request log → when it ran, its tokens, how it ended; or why it can't be used. */
import type { Outcome } from '@joulebook/shared/slice.js';
import { instant, tokens as tokensOf, type Instant } from '@joulebook/shared/units.js';
import { cellText, isFault, readCount, readInstant, readQuantity, type Fault, type Read } from '../cells.js';
import type { TokenCounts } from '../source.js';
import type { Cell } from '../table.js';
import type { Zone } from '../timestamps.js';

export const COLUMN_NAMES = [
  'start', 'firstToken', 'ttft', 'end', 'duration', 'inputTokens', 'outputTokens', 'totalTokens', 'cachedInputTokens', 'tpot', 'itl', 'status', 'tenant', 'attempt', 'id', 'model',
] as const;
export type ColumnName = (typeof COLUMN_NAMES)[number];
/** Positions of the columns that the file has. */
export type Columns = { readonly [name in ColumnName]?: number } & { readonly start: number };

export interface RequestRow {
  readonly start: Instant;
  readonly firstToken?: Instant;
  readonly end: Instant;
  readonly tokens: TokenCounts;
  readonly outcome: Outcome;
  readonly id?: string;
  readonly attempt?: number;
  readonly tenant?: string;
  readonly model?: string;
  /** Reservations, to be counted over the file. */
  readonly notes: readonly ('NO_DURATION' | 'NO_TOKENS' | 'UNKNOWN_STATUS')[];
}

/** Clients round first token and end differently: so much of "before" is "at". */
const ROUNDING_SECONDS = 0.001;

/** @param notBefore the start of the row before: tells which of a local hour that comes twice is meant */
export function readRequest(cells: readonly Cell[], columns: Columns, local: Zone, latencyUnit: 's' | 'ms', notBefore?: Instant): RequestRow | Fault {
  const faults: string[] = [];
  const cell = (name: ColumnName): Cell => {
    const position = columns[name];
    return position === undefined ? undefined : cells[position];
  };
  const read = <T>(name: ColumnName, how: (from: Cell) => Read<T>): T | undefined => {
    const value = how(cell(name));
    if (!isFault(value)) return value;
    faults.push(`${name} ${value.fault}`);
    return undefined;
  };
  const count = (name: ColumnName): number | undefined => read(name, readCount);
  const moment = (name: ColumnName): Instant | undefined => read(name, (from) => readInstant(from, local, notBefore));
  const latency = (name: ColumnName): number | undefined => {
    const value = read(name, readQuantity);
    return value === undefined ? undefined : latencyUnit === 'ms' ? value / 1000 : value;
  };

  const counts = readTokens(count('inputTokens'), count('cachedInputTokens'), count('outputTokens'), count('totalTokens'));
  const times = {
    start: moment('start'),
    firstToken: moment('firstToken'),
    ttft: latency('ttft'),
    end: moment('end'),
    duration: latency('duration'),
    decode: decodeSeconds(cell('itl'), latencyUnit) ?? perToken(latency('tpot') ?? latency('itl'), isFault(counts) ? undefined : counts.output),
  };
  const attempt = count('attempt');
  if (faults[0] !== undefined) return { fault: faults[0] };
  if (isFault(counts)) return counts;
  const span = spanOf(times);
  if (isFault(span)) return span;
  const status = outcomeOf(cell('status'));
  const text = { id: cellText(cell('id')), tenant: cellText(cell('tenant')), model: cellText(cell('model')) };
  return {
    start: span.start,
    ...(span.firstToken !== undefined && { firstToken: span.firstToken }),
    end: span.end,
    tokens: counts,
    outcome: status ?? 'failed',
    ...(text.id !== undefined && { id: text.id }),
    ...(text.tenant !== undefined && { tenant: text.tenant }),
    ...(text.model !== undefined && { model: text.model }),
    ...(attempt !== undefined && { attempt }),
    notes: [
      ...(span.instantaneous ? (['NO_DURATION'] as const) : []),
      ...(counts.input === undefined && counts.output === undefined ? (['NO_TOKENS'] as const) : []),
      ...(status === undefined ? (['UNKNOWN_STATUS'] as const) : []),
    ],
  };
}

const perToken = (pace: number | undefined, output: number | undefined): number | undefined => (pace === undefined || output === undefined ? undefined : pace * Math.max(0, output - 1));

/** A benchmark may keep every step between tokens: their sum is exact. */
function decodeSeconds(itl: Cell, unit: 's' | 'ms'): number | undefined {
  if (typeof itl !== 'object') return undefined;
  const sum = itl.reduce((total, step) => total + step, 0);
  return unit === 'ms' ? sum / 1000 : sum;
}

function readTokens(input: number | undefined, cached: number | undefined, output: number | undefined, total: number | undefined): TokenCounts | Fault {
  const produced = output ?? (total !== undefined && input !== undefined ? total - input : undefined);
  if (produced !== undefined && produced < 0) return { fault: 'totalTokens is less than inputTokens' };
  if (input !== undefined && cached !== undefined && cached > input) return { fault: 'cachedInputTokens is more than inputTokens' };
  return {
    ...(input !== undefined && { input: tokensOf(input - (cached ?? 0)) }),
    ...(cached !== undefined && { cachedInput: tokensOf(cached) }),
    ...(produced !== undefined && { output: tokensOf(produced) }),
  };
}

interface Times {
  readonly start: Instant | undefined;
  readonly firstToken: Instant | undefined;
  readonly ttft: number | undefined;
  readonly end: Instant | undefined;
  readonly duration: number | undefined;
  /** From the first token to the last. */
  readonly decode: number | undefined;
}

function spanOf({ start, firstToken: said, ttft, end: saidEnd, duration, decode }: Times): { start: Instant; firstToken?: Instant; end: Instant; instantaneous: boolean } | Fault {
  if (start === undefined) return { fault: 'start is missing' };
  const firstToken = said ?? (ttft === undefined ? undefined : instant(start + ttft));
  if (firstToken !== undefined && firstToken < start) return { fault: 'firstToken is before start' };
  const end = saidEnd ?? (duration !== undefined ? instant(start + duration) : firstToken !== undefined && decode !== undefined ? instant(firstToken + decode) : undefined);
  if (end === undefined) return { start, end: firstToken ?? start, ...(firstToken !== undefined && { firstToken }), instantaneous: true };
  const earliest = firstToken ?? start;
  if (end < earliest - ROUNDING_SECONDS) return { fault: `end is before ${firstToken === undefined ? 'start' : 'firstToken'}` };
  return { start, ...(firstToken !== undefined && { firstToken }), end: end < earliest ? earliest : end, instantaneous: false };
}

/** Words of gateways, benchmarks and engines: what they call the end of a request, finish reasons included. */
const OUTCOME_WORDS: Readonly<Record<Outcome, readonly string[]>> = {
  ok: ['ok', 'success', 'succeeded', 'successful', 'true', 'stop', 'length', 'completed', 'complete', 'finished', 'eos', 'eos_token', 'stop_sequence', 'end_turn', 'max_tokens', 'tool_calls', 'function_call'],
  aborted: ['aborted', 'abort', 'cancelled', 'canceled', 'cancel', 'disconnected'],
  failed: ['failed', 'failure', 'fail', 'error', 'false', 'exception', 'timeout'],
  superseded: ['superseded'],
  fallback: ['fallback'],
  rejected: ['rejected'],
};
const OUTCOME_OF = new Map<string, Outcome>();
for (const outcome of ['ok', 'aborted', 'failed', 'superseded', 'fallback', 'rejected'] as const) for (const word of OUTCOME_WORDS[outcome]) OUTCOME_OF.set(word, outcome);

/** Absent status: ok, for who keeps none logs what was answered. Undefined: a word that is not known. */
export function outcomeOf(cell: Cell): Outcome | undefined {
  const status = cellText(cell)?.toLowerCase();
  if (status === undefined) return 'ok';
  if (!/^\d{3}(?:\.0)?$/.test(status)) return OUTCOME_OF.get(status);
  const http = Number(status);
  if (http === 499) return 'aborted';
  if (http === 429) return 'rejected';
  return http >= 200 && http < 300 ? 'ok' : 'failed';
}
