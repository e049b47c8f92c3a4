import { createReadStream } from 'node:fs';
import { Option, type Command } from 'commander';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { bookOf, type Book } from '../book/book.js';
import { appendStream } from '../ingest/batch-stream.js';
import type { Report } from '../join/report.js';
import { buildReport } from '../report/build.js';
import { FORMATS, render, type Format } from '../report/render.js';
import { parseRequest, type ReportRequest, type Said } from '../report/request.js';
import type { CollectorSettings } from '../settings.js';
import { openDuckdb } from '../store/duckdb.js';
import { isServerAddress, openStore, using } from '../store/open.js';
import { askCollector, faultsOfAddress } from './ask.js';
import { addSettings, keep, readSettings, TO_COLLECTOR } from './options.js';
import type { Surroundings } from './surroundings.js';

const PREFIX = '--';
/** Options of the question itself; price, pue and carbon are settings. */
const QUESTION = ['from', 'to', 'by', 'step', 'boundary', 'where', 'basis', 'slo'] as const;
/** A pipe of batches is trusted more than the network, but not with all memory. */
const MAX_LINE_BYTES = 256 * 1024 * 1024;

const HELP = `
Per request: --by request, inputBand (its input tokens, cached ones included) or concurrencyBand (requests running at a time
while it ran), each with other keys but device. Bands double: 512–1023, 1024–2047. What was measured and belongs to no such
request has rows of its own: (other requests) prefill and decode that no request told of, (active), (idle), (unknown); all
rows add up to what was measured at boundary gpu.

joulesPerPromptToken   J of prefill / prompt tokens computed
joulesPerOutputToken   J of decode / output tokens
joulesSavedByCache     cached prompt tokens × joulesPerPromptToken: what they would have cost
`;

type Flags = Readonly<Record<string, unknown>>;

const several = (text: string, before: readonly string[] | undefined): string[] => [...(before ?? []), text];

const textsOf = (value: unknown): string[] => (typeof value === 'string' ? [value] : Array.isArray(value) ? value.map(String) : []);

function saidOf(flags: Flags): Said {
  return Object.fromEntries(QUESTION.map((name) => [name, textsOf(flags[name])] as const).filter(([, texts]) => texts.length > 0));
}

type Source = { readonly kind: 'stream'; readonly file: string } | { readonly kind: 'collector'; readonly url: string } | { readonly kind: 'store' };

function sourceOf(file: string | undefined, flags: Flags, faults: string[]): Source {
  const said = [file === undefined ? [] : ['FILE'], flags['store'] === undefined ? [] : ['--store'], flags['collector'] === undefined ? [] : ['--collector']].flat();
  if (said.length > 1) faults.push(`${said.join(' and ')}: say one place to read from`);
  const collector = flags['collector'];
  if (typeof collector === 'string') {
    faults.push(...faultsOfAddress('--collector', collector));
    return { kind: 'collector', url: collector };
  }
  return file === undefined ? { kind: 'store' } : { kind: 'stream', file };
}

function checkStore(path: string, faults: string[]): void {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path) && !isServerAddress(path)) faults.push(`--store: '${path.split('://')[0]}' stores are not available; name a file, or http(s)://… of a server`);
}

const noFacts = (where: string): TelemetryError => new TelemetryError('NO_FACTS', `There are no facts in ${where}: no batch with a slice in it.`, 'abort');

async function fromStream(file: string, request: ReportRequest, book: Book, { stdin }: Surroundings): Promise<Report> {
  const name = file === '-' ? 'stdin' : file;
  return using(await openDuckdb(':memory:'), async (store) => {
    const slices = await appendStream(file === '-' ? stdin : createReadStream(file), store, name, MAX_LINE_BYTES);
    if (slices === 0) throw noFacts(name);
    return buildReport(store, request, PREFIX, book);
  });
}

async function fromStore(path: string, token: string | undefined, request: ReportRequest, book: Book): Promise<Report> {
  return using(await openStore(path, { readOnly: true, token }), async (store) => {
    if ((await store.extent()) === null) throw noFacts(`the store ${path}`);
    return buildReport(store, request, PREFIX, book);
  });
}

function make(source: Source, said: Said, settings: CollectorSettings, request: ReportRequest, book: Book, surroundings: Surroundings): Promise<Report> {
  switch (source.kind) {
    case 'stream':
      return fromStream(source.file, request, book, surroundings);
    case 'store':
      return fromStore(settings.store, settings.storeToken, request, book);
    case 'collector':
      return askCollector(source.url, settings, { ...said, ...pricesOf(settings) });
    default:
      return source satisfies never;
  }
}

/** Only what was said here: the collector has its own. */
const pricesOf = ({ price, pue, carbon }: CollectorSettings): Said =>
  Object.fromEntries(Object.entries({ price, pue, carbon }).flatMap(([name, value]) => (value === undefined ? [] : [[name, [String(value)]]])));

function formatOf(flags: Flags, faults: string[]): Format {
  const [said = 'table'] = textsOf(flags['format']);
  const format = FORMATS.find((known) => known === said);
  if (format === undefined) faults.push(`--format: '${said}' is no format; write one of ${FORMATS.join(', ')}`);
  return format ?? 'table';
}

export function addReport(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('report')
    .description('figures from a file or pipe of batches, a store, or a running collector')
    .argument('[file]', 'batches as NDJSON, gzip or not; - for stdin; without it the store is read')
    .option('--collector <URL>', 'ask a running collector')
    .option('--from <TIME>', 'slices that begin then or later: ISO 8601 with a zone, or epoch seconds')
    .option('--to <TIME>', 'slices that begin before')
    .addOption(new Option('--by <KEY,…>', 'a row per deployment, model, node, device, site, phase, tenant, outcome, request (recordings only), inputBand, concurrencyBand or label').argParser(several))
    .option('--step <DURATION>', 'a row per time step, e.g. 1m')
    .option('--boundary <NAME>', 'gpu, module, cpu, dram, server or meter; without it the narrowest measured')
    .addOption(new Option('--where <KEY=VALUE>', 'only such facts; again for more keys, or for more values of a key').argParser(several))
    .option('--basis <NAME>', 'all joules in the window, or serving: ratios without idle and unknown ones')
    .option('--slo <TARGETS>', 'latency targets that output has to meet to be useful, e.g. ttft=2s,tpot=50ms; in place of those in the book')
    .option('--format <NAME>', `one of ${FORMATS.join(', ')}`, 'table');
  command.addHelpText('after', HELP);
  addSettings(command, ['store', 'storeToken', ...TO_COLLECTOR, 'book', 'price', 'pue', 'carbon']);
  command.action(async (file: string | undefined, flags: Flags) => {
    const faults: string[] = [];
    const said = saidOf(flags);
    const settings = await keep(faults, () => readSettings(flags, surroundings.environment));
    const request = await keep(faults, () => parseRequest(said, settings ?? {}, PREFIX));
    const source = sourceOf(file, flags, faults);
    const book = settings && (await keep(faults, () => bookOf(settings)));
    if (source.kind === 'collector' && flags['book'] !== undefined) faults.push('--book: a collector has its own; start it with one');
    const format = formatOf(flags, faults);
    if (settings && source.kind === 'store') checkStore(settings.store, faults);
    if (faults.length > 0 || !settings || !request || !book) throw new UsageError(faults);
    surroundings.stdout.write(render(await make(source, said, settings, request, book, surroundings), format));
  });
}
