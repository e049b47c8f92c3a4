/**
 * A table of cumulative counters, one look per row, as scraping scripts write them:
 *
 *     timestamp,num_requests_running,prompt_tokens_total,generation_tokens_total
 *     1784415085.56,0,1,1
 *     1784415086.08,1,4130,14
 */
import { seconds, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { lineTally } from '../line-tally.js';
import { servingFormat, type RecordedFile, type RecordedServingEntry } from '../recorded.js';
import { isFault, readCount, readInstant, readQuantity } from '../cells.js';
import type { ServingEvent } from '../source.js';
import { columnPosition, openTable, type Cell, type Table, type TableRow } from '../table.js';
import { zone, type Zone } from '../timestamps.js';
import { counterWindows, tooFewLooks } from './metrics/counter-windows.js';
import type { Counted, Counter } from './metrics/look.js';
import { paceOf } from './metrics/pace.js';

const NAME = 'counters';

const text = z.string().min(1);
/** One column, or several to be summed (engines, ranks, sources). */
const columns = z.union([text, z.array(text).min(1)]);

const columnOptions = z
  .strictObject({
    time: text.default('time'),
    outputTokens: columns.default('outputTokens'),
    /** All input, the cached part included. */
    inputTokens: columns.optional(),
    cachedInputTokens: columns.optional(),
    running: columns.optional(),
    waiting: columns.optional(),
    /** Requests that ended well. */
    requests: columns.optional(),
    /** 0 to 1; in percent where the name of the column says so (`…_pct`, `…percent`, `%`). Several: their mean. */
    kvCacheUsage: columns.optional(),
  })
  .prefault({});
type ColumnOptions = z.output<typeof columnOptions>;

export const counters = servingFormat({
  name: NAME,
  tokensFrom: 'engine counters',
  summary: 'CSV of cumulative counters, one look per row; `columns:` names them: time, outputTokens, inputTokens, cachedInputTokens, running, waiting, requests, kvCacheUsage',
  options: { columns: columnOptions },
  open(entry, options) {
    const local = zone(entry.tz);
    return { description: `${entry.file.label} (${NAME})`, events: () => events(entry, local, options.columns) };
  },
});

interface Row {
  readonly at: Instant;
  readonly counters: ReadonlyMap<string, Counter>;
  readonly running: number | undefined;
  readonly waiting: number | undefined;
  readonly kvCacheUsage: number | undefined;
  /** The counter in the last column, if it is one. */
  readonly ending: number | undefined;
}
type Flaw = { readonly flaw: string };

async function* events({ file }: RecordedServingEntry, local: Zone, named: ColumnOptions): AsyncGenerator<ServingEvent> {
  const table = await openTable(file, NAME);
  const read = rowReader(table, file, named, local);
  const times: Instant[] = [];
  for await (const row of table.rows()) {
    const found = read(row, times.at(-1));
    if ('at' in found) times.push(found.at);
  }

  const tally = lineTally(file.label);
  const windows = counterWindows({ label: file.label, period: paceOf(times) ?? seconds(1) });
  let last: Row | undefined;
  let looks = 0;
  for await (const row of table.rows()) {
    const found = read(row, last?.at);
    if ('flaw' in found) {
      tally.skip(row.line, found.flaw);
      continue;
    }
    // A writer stopped in the middle of the last number leaves a smaller one, which would look like a restarted server.
    if (looks === times.length - 1 && found.ending !== undefined && last?.ending !== undefined && found.ending < last.ending) {
      tally.skip(row.line, 'cut off');
      continue;
    }
    tally.used();
    looks += 1;
    last = found;
    const { at, running, waiting, kvCacheUsage } = found;
    const busy = running === undefined && waiting === undefined ? [] : [[undefined, (running ?? 0) + (waiting ?? 0)] as const];
    yield* windows.since({ at, counters: found.counters, busy: new Map<string | undefined, number>(busy) });
    if (running !== undefined) yield { kind: 'gauge', gauge: 'serving.requests.running', value: running, at };
    if (waiting !== undefined) yield { kind: 'gauge', gauge: 'serving.requests.waiting', value: waiting, at };
    if (kvCacheUsage !== undefined) yield { kind: 'gauge', gauge: 'serving.kv_cache.usage', value: kvCacheUsage, at };
  }
  tally.judge(NAME);
  if (looks < 2) throw tooFewLooks(file.label, looks);
  yield* windows.end();
  yield* tally.flagged();
}

interface CounterColumn {
  readonly name: string;
  readonly position: number;
  readonly counts: Counted;
  readonly process: string;
}

function rowReader(table: Table, file: RecordedFile, named: ColumnOptions, local: Zone): (row: TableRow, last: Instant | undefined) => Row | Flaw {
  const list = (key: keyof ColumnOptions): string[] => {
    const said = named[key];
    // Columns default to the contract's own names, where the table has them.
    if (said === undefined) return table.columns.includes(key) ? [key] : [];
    return typeof said === 'string' ? [said] : said;
  };
  const place = (name: string, purpose: string): number => columnPosition(table, file, name, purpose);
  const counterColumns = (key: 'outputTokens' | 'inputTokens' | 'cachedInputTokens' | 'requests', counts: Counted): CounterColumn[] =>
    // Single columns are of one server and begin again together; of several nothing says which belong together.
    list(key).map((name, _, all) => ({ name, position: place(name, key), counts, process: all.length === 1 ? 'file' : name }));

  const time = place(named.time, 'time');
  const counted = [...counterColumns('outputTokens', 'output'), ...counterColumns('inputTokens', 'prompt'), ...counterColumns('cachedInputTokens', 'cachedInput'), ...counterColumns('requests', 'ok')];
  const gauge = (key: 'running' | 'waiting' | 'kvCacheUsage'): readonly number[] => list(key).map((name) => place(name, key));
  const running = gauge('running');
  const waiting = gauge('waiting');
  const usage = gauge('kvCacheUsage');
  const usageUnit = list('kvCacheUsage').some((name) => /pct|percent|%/i.test(name)) ? 100 : 1;

  return ({ cells, flaw }, last) => {
    if (flaw !== undefined) return { flaw };
    const at = readInstant(cells[time], local, last);
    if (at === undefined) return { flaw: `no ${named.time}` };
    if (isFault(at)) return { flaw: `${named.time} ${at.fault}` };
    if (last !== undefined && at <= last) return { flaw: 'not later than the row before it' };
    const found = new Map<string, Counter>();
    let ending: number | undefined;
    for (const { name, position, counts, process } of counted) {
      const value = readCount(cells[position]);
      if (value === undefined) return { flaw: `no ${name}` };
      if (isFault(value)) return { flaw: `${name} ${value.fault}` };
      if (position === table.columns.length - 1) ending = value;
      found.set(`${counts} ${name}`, { counts, value, process });
    }
    const mean = sumOf(cells, usage);
    return { at, counters: found, running: sumOf(cells, running), waiting: sumOf(cells, waiting), kvCacheUsage: mean === undefined ? undefined : mean / usage.length / usageUnit, ending };
  };
}

/** Undefined where any of them is missing: part of a sum is no sum. */
function sumOf(cells: readonly Cell[], positions: readonly number[]): number | undefined {
  if (positions.length === 0) return undefined;
  return positions.reduce<number | undefined>((sum, position) => {
    const value = readQuantity(cells[position]);
    return sum === undefined || typeof value !== 'number' ? undefined : sum + value;
  }, 0);
}
