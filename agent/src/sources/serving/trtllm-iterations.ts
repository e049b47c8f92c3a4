/**
 * The iteration statistics of trtllm-serve: live from `GET /metrics`, which answers with what was recorded since the last
 * question and forgets it (so nobody else may ask), or from a file of such answers:
 *
 *     [{"iter": 7, "timestamp": "01-02-2026 03:04:05.678901", "iterLatencyMS": 7.4, …}, …]     one answer, or all in one array
 *     {"iter": 7, "timestamp": …}                                                              or one record per line
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { instant, seconds, toIso, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { Agent } from 'undici';
import { z } from 'zod';
import { notThisFormat } from '../dialects.js';
import { liveServingKind, type LiveServingKind } from '../live.js';
import { lineTally, type LineTally } from '../line-tally.js';
import { servingFormat, type RecordedServingEntry, type ServingFormat } from '../recorded.js';
import type { LiveContext, LiveServing, ServingEvent } from '../source.js';
import { textLines, wholeText } from '../text-lines.js';
import { parseMonthFirst, zone, type Zone } from '../timestamps.js';
import { liveClock } from './logs/clock.js';
import type { Stamp } from './logs/dialect.js';
import { iterationRecord, iterationStats, type IterationRecord } from './trtllm-iteration-stats.js';

const NAME = 'trtllm-iterations';
const USUAL_URL = 'http://127.0.0.1:8000/metrics';
const LONGEST_ANSWER_BYTES = 64 * 1024 * 1024;

const list = z.array(z.unknown());

interface LiveOptions {
  readonly url: string;
  readonly interval: Seconds;
  readonly timeout: Seconds;
  readonly tz?: string | undefined;
}

export const liveTrtllmIterations: LiveServingKind = liveServingKind({
  name: NAME,
  tokensFrom: 'engine log',
  summary: 'asks trtllm-serve for its iteration statistics (enable_iter_perf_stats: true); nothing else may read them, an answer empties them',
  options: z.strictObject({
    url: z.url({ protocol: /^https?$/ }).default(USUAL_URL),
    interval: duration.prefault('1s').refine((value) => value >= 0.1, 'an interval is at least 100 ms'),
    timeout: duration.prefault('5s'),
    /** Of the server's clock; else it follows from the moments at which records arrive. */
    tz: z.string().optional(),
  }),
  open: ({ url, interval, timeout, tz }) => iterationsAt({ url, interval: seconds(interval), timeout: seconds(timeout), tz }),
  detect: () => Promise.resolve({ found: false, reason: `an answer empties the statistics, so they are not looked for; configure them: serving: [{ source: ${NAME}, url: ${USUAL_URL} }]` }),
});

export function iterationsAt(options: LiveOptions): LiveServing {
  const address = new URL(options.url);
  const configured = options.tz === undefined ? undefined : zone(options.tz);
  const description = `iteration statistics of trtllm-serve at ${address.origin}${address.pathname} every ${options.interval} s`;
  return { description, events: (context) => answers(address, description, configured, options, context) };
}

async function* answers(address: URL, label: string, configured: Zone | undefined, { interval, timeout }: LiveOptions, context: LiveContext): AsyncGenerator<ServingEvent> {
  const { signal, log, now } = context;
  const agent = new Agent({ connections: 1, connectTimeout: timeout * 1000, maxResponseSize: LONGEST_ANSWER_BYTES });
  const clock = liveClock({ zone: configured, host: zone(Intl.DateTimeFormat().resolvedOptions().timeZone), utc: zone('UTC') });
  const stats = iterationStats({ label });
  let began = false;
  let told: Instant | undefined;
  let failed = 0;
  let due = performance.now();
  try {
    while (!signal.aborted) {
      try {
        const answer = await ask(agent, address, timeout, signal);
        const arrived = now();
        // What was recorded before the first question is older than this source, by nobody knows how much.
        const records = began ? answer : [];
        began = true;
        let unusable = 0;
        for (const each of records) {
          const record = iterationRecord.safeParse(each);
          const stamp = record.success ? stampOf(record.data.timestamp) : undefined;
          const at = stamp && clock.at({ number: 0, text: '', arrived }, stamp);
          if (record.success && at !== undefined) yield* stats.add(record.data, at);
          else unusable += 1;
        }
        if (unusable > 0) yield { kind: 'flagged', code: 'SKIPPED_RECORDS', detail: `${label}: ${unusable} records before ${toIso(arrived)} are of a form that is not known`, count: unusable };
        yield* stats.quiet(arrived);
        const upTo = stats.told;
        if (upTo !== undefined && (told === undefined || upTo > told)) {
          told = upTo;
          yield { kind: 'watermark', at: upTo };
        }
        if (failed > 0) {
          log.info(`${label}: readable again.`, { failed });
          yield { kind: 'flagged', code: 'SCRAPES_FAILED', detail: `${label}: ${failed} questions failed before ${toIso(arrived)}`, count: failed };
        }
        failed = 0;
      } catch (error) {
        if (!(error instanceof TelemetryError)) throw error;
        if (signal.aborted) return;
        // What was recorded meanwhile comes with the next answer.
        if (failed === 0) log.warn(`${label}: ${error.message}`, { code: error.code });
        failed += 1;
      }
      due += interval * 1000 * Math.max(1, Math.ceil((performance.now() - due) / (interval * 1000)));
      await sleep(due - performance.now(), undefined, { signal }).catch(() => undefined);
    }
    yield* stats.end();
  } finally {
    await agent.destroy();
  }
}

async function ask(agent: Agent, url: URL, timeout: Seconds, signal: AbortSignal): Promise<readonly unknown[]> {
  const limit = AbortSignal.timeout(timeout * 1000);
  const shown = `${url.origin}${url.pathname}`;
  let text: string;
  try {
    const response = await agent.request({ origin: url.origin, path: `${url.pathname}${url.search}`, method: 'GET', headers: { accept: 'application/json' }, signal: AbortSignal.any([signal, limit]) });
    text = await response.body.text();
    if (response.statusCode !== 200) throw new TelemetryError('METRICS_REFUSED', `${shown} answered ${response.statusCode}.`, 'retry');
  } catch (cause) {
    if (cause instanceof TelemetryError) throw cause;
    throw new TelemetryError('METRICS_UNREACHABLE', `${shown} can't be read: ${limit.aborted ? `no answer within ${timeout} s` : messageOf(cause)}.`, 'retry', { cause });
  }
  const records = list.safeParse(parsed(text));
  if (!records.success) throw new TelemetryError('NOT_ITERATIONS', `${shown} does not answer with iteration statistics; for the Prometheus page of trtllm-serve use trtllm-metrics at /prometheus/metrics.`, 'discard');
  return records.data;
}

function stampOf(text: string): Stamp | undefined {
  const [, month, day, year, hour, minute, second] = /^(\d\d)-(\d\d)-(\d{4}) (\d\d):(\d\d):(\d\d(?:\.\d+)?)$/.exec(text) ?? [];
  return year === undefined ? undefined : { year: Number(year), month: Number(month), day: Number(day), hour: Number(hour), minute: Number(minute), second: Number(second) };
}

export const trtllmIterations: ServingFormat = servingFormat({
  name: NAME,
  tokensFrom: 'engine log',
  summary: 'answers of GET /metrics of trtllm-serve with enable_iter_perf_stats: a JSON array, or a record or an answer per line',
  options: {},
  open(entry) {
    const local = zone(entry.tz);
    return { description: `${entry.file.label} (${NAME})`, ordered: true, events: () => recorded(entry, local) };
  },
});

interface Numbered {
  readonly line: number;
  /** Undefined: no JSON. */
  readonly record: unknown;
}

async function* recorded(entry: RecordedServingEntry, local: Zone): AsyncGenerator<ServingEvent> {
  const { file, model } = entry;
  const tally = lineTally(file.label);
  const stats = iterationStats({ label: file.label, model });
  let last: Instant | undefined;
  for await (const { line, record } of recordsOf(entry, tally)) {
    const found = timed(record, local, last);
    if (typeof found === 'string') tally.skip(line, found);
    else {
      tally.used();
      last = instant(Math.max(last ?? found.at, found.at));
      yield* stats.add(found.record, found.at);
    }
  }
  yield* stats.end();
  tally.judge(NAME);
  yield* tally.flagged();
}

function timed(value: unknown, local: Zone, notBefore: Instant | undefined): { readonly record: IterationRecord; readonly at: Instant } | string {
  const record = iterationRecord.safeParse(value);
  if (!record.success) return value === undefined ? 'no JSON, or cut off' : 'not a record of an iteration';
  const at = parseMonthFirst(record.data.timestamp, local, notBefore);
  return at === undefined ? 'a time that cannot be read' : { record: record.data, at };
}

/** A record or an answer per line; a file whose first line is no JSON by itself is one document. */
async function* recordsOf({ file }: RecordedServingEntry, tally: LineTally): AsyncGenerator<Numbered> {
  let first = true;
  for await (const { number, text, tooLong } of textLines(file)) {
    if (text.trim() === '' && !tooLong) continue;
    const value = parsed(text);
    if (first && value === undefined && !tooLong) {
      const document = list.safeParse(parsed(await wholeText(file)));
      if (!document.success) throw new TelemetryError('FILE_FORMAT', notThisFormat(file.label, NAME, 'it is no JSON', text), 'abort');
      for (const record of document.data) yield { line: number, record };
      return;
    }
    first = false;
    if (tooLong) tally.skip(number, 'longer than 1 MiB');
    else for (const record of list.safeParse(value).data ?? [value]) yield { line: number, record };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
