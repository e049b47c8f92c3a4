/**
 * A file of outcomes that are learnt later, line by line, and the messages it is sent in.
 *
 *     outcomes.jsonl   {"at":"2026-11-22T09:58:12Z","was":"ok","outcome":"rejected","deployment":"chat","inputTokens":900,"outputTokens":1200,"ttft":0.4}
 *     outcomes.csv     at,was,outcome,deployment,inputTokens,outputTokens,ttft,label.release
 *
 * A message is a thousand lines. Its id is a hash of all that stands before it in the file, and of its first line where nothing does: so
 * the same file gives the same messages, and a collector takes each once. A file that has grown gives the last message other content
 * under the same id, which a collector refuses: counting half of it twice would be worse.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { parse } from 'csv-parse';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { describeIssues } from '@joulebook/shared/settings.js';
import type { z } from 'zod';
import { lines } from '../ingest/batch-stream.js';
import { correction } from '../ingest/outcomes.js';
import { formatTime } from '../join/times.js';

/** Part of what an id is made of: with another number, what was sent before would be sent again. */
const MESSAGE_LINES = 1000;
const MOST_LINE_BYTES = 64 * 1024;
const FAULTS_SHOWN = 20;
const NUMBERS: readonly string[] = ['requests', 'inputTokens', 'cachedInputTokens', 'outputTokens', 'ttft', 'tpot'];
const LABEL = /^label\.(.+)$/;

/** As it is sent: checked, and in the words of the file. */
export type Correction = z.input<typeof correction>;
export interface Message {
  readonly id: string;
  readonly firstLine: number;
  readonly lastLine: number;
  readonly outcomes: readonly Correction[];
  readonly requests: number;
}

interface Read {
  readonly line: number;
  readonly said: unknown;
}

async function* readJsonLines(path: string): AsyncGenerator<Read> {
  for await (const { number, text } of lines(createReadStream(path), MOST_LINE_BYTES)) {
    if (text.trim() === '') continue;
    let said: unknown;
    try {
      said = JSON.parse(text);
    } catch {
      said = undefined;
    }
    yield { line: number, said };
  }
}

/** Of a cell: `Number('')` is 0, so an empty one is absent. */
function cell(column: string, text: string): unknown {
  if (!NUMBERS.includes(column)) return text;
  return /^\d*\.?\d+(e[+-]?\d+)?$/i.test(text) ? Number(text) : text;
}

function fromCells(head: readonly string[], cells: readonly string[]): unknown {
  const filled = head.flatMap((column, index) => { const text = cells[index]; return text === undefined || text === '' ? [] : [[column, text] as const]; });
  const labels = filled.flatMap(([column, text]) => { const [, label] = LABEL.exec(column) ?? []; return label === undefined ? [] : [[label, text] as const]; });
  return { ...Object.fromEntries(filled.filter(([column]) => !LABEL.test(column)).map(([column, text]) => [column, cell(column, text)])), ...(labels.length > 0 && { labels: Object.fromEntries(labels) }) };
}

async function* readCsv(path: string): AsyncGenerator<Read> {
  let head: readonly string[] | undefined;
  const parser = parse({ bom: true, trim: true, skip_empty_lines: true, info: true, max_record_size: MOST_LINE_BYTES, relax_column_count: false });
  const input = createReadStream(path);
  input.on('error', (error) => parser.destroy(error));
  const records: AsyncIterable<{ readonly info: { readonly lines: number }; readonly record: readonly string[] }> = input.pipe(parser);
  for await (const { info, record } of records) {
    if (head) yield { line: info.lines, said: fromCells(head, record) };
    else head = record;
  }
}

function faultsOf({ line, said }: Read): string[] {
  if (said === undefined) return [`line ${line}: not JSON`];
  const result = correction.safeParse(said);
  if (!result.success) return describeIssues(result.error, `line ${line}`);
  return result.data.deployment === undefined ? [`line ${line}.deployment: say of which deployment the requests are`] : [];
}

async function* readAll(path: string): AsyncGenerator<Read> {
  try {
    yield* path.toLowerCase().endsWith('.csv') ? readCsv(path) : readJsonLines(path);
  } catch (cause) {
    if (cause instanceof TelemetryError && cause.code !== 'BODY_TOO_LARGE') throw cause;
    const what = cause instanceof TelemetryError ? `a line is longer than ${MOST_LINE_BYTES} bytes` : messageOf(cause);
    throw new TelemetryError('OUTCOMES_UNREADABLE', `${path} can't be read: ${what}.`, 'abort', { cause });
  }
}

export interface Checked {
  readonly corrections: number;
  readonly messages: number;
  readonly requests: number;
}

/** @throws TelemetryError (`abort`) with what is wrong, each with its line: then nothing of the file is to be sent */
export async function checkOutcomes(path: string): Promise<Checked> {
  const faults: string[] = [];
  let corrections = 0;
  let requests = 0;
  let more = 0;
  for await (const read of readAll(path)) {
    corrections += 1;
    const found = faultsOf(read);
    if (found.length === 0) requests += requestsOf(read.said);
    for (const fault of found) if (faults.length < FAULTS_SHOWN) faults.push(fault);
    else more += 1;
  }
  if (faults.length > 0) throw new TelemetryError('OUTCOMES_INVALID', [`${path} is not sent, since not all of it can be used:`, ...faults, ...(more > 0 ? [`and ${more} more`] : [])].join('\n  '), 'abort');
  if (corrections === 0) throw new TelemetryError('OUTCOMES_EMPTY', `${path} has no outcome in it.`, 'abort');
  return { corrections, messages: Math.ceil(corrections / MESSAGE_LINES), requests };
}

const requestsOf = (said: unknown): number => correction.safeParse(said).data?.requests ?? 0;

/** @param from the hash of all lines before */
function messageOfLines(kept: readonly (Read & { readonly outcome: Correction })[], from: string | undefined): Message {
  const [first] = kept;
  const id = createHash('sha256').update(from ?? JSON.stringify(first?.outcome)).digest('hex');
  return { id: `file ${id.slice(0, 40)}`, firstLine: first?.line ?? 0, lastLine: kept.at(-1)?.line ?? 0, outcomes: kept.map(({ outcome }) => outcome), requests: kept.reduce((sum, { said }) => sum + requestsOf(said), 0) };
}

/** @throws TelemetryError (`abort`) for a line that can't be sent, which is one that was changed since it was checked */
export async function* messagesOf(path: string): AsyncGenerator<Message> {
  const before = createHash('sha256');
  let digest: string | undefined;
  let kept: (Read & { readonly outcome: Correction })[] = [];
  for await (const read of readAll(path)) {
    const result = correction.safeParse(read.said);
    if (!result.success) throw new TelemetryError('OUTCOMES_INVALID', `${path}: ${describeIssues(result.error, `line ${read.line}`).join('; ')}. It was changed while it was sent.`, 'abort');
    // As it was read: a time in other words is the same time.
    const { at, ...rest } = result.data;
    kept.push({ ...read, outcome: { at: formatTime(at), ...rest } });
    if (kept.length < MESSAGE_LINES) continue;
    yield messageOfLines(kept, digest);
    for (const { outcome } of kept) before.update(JSON.stringify(outcome));
    digest = before.copy().digest('hex');
    kept = [];
  }
  if (kept.length > 0) yield messageOfLines(kept, digest);
}
