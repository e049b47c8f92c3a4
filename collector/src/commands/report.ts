import { Option, type Command } from 'commander';
import { UsageError } from '@joulebook/shared/errors.js';
import { bookOf, type Book } from '../book/book.js';
import type { Report } from '../join/report.js';
import { buildReport } from '../report/build.js';
import { FORMATS, render } from '../report/render.js';
import { parseRequest, type ReportRequest, type Said } from '../report/request.js';
import type { CollectorSettings } from '../settings.js';
import { waste, type Waste } from '../waste/answer.js';
import { wasteSection } from '../waste/render.js';
import { isWasteOption, wasteBeside } from '../waste/request.js';
import { findWaste } from '../waste/waste.js';
import { ask, askCollector } from './ask.js';
import { addSettings, keep, readSettings, TO_COLLECTOR } from './options.js';
import { checkStore, formatOf, pricesOf, questionIn, readFrom, several, sourceOf, type Flags, type Source } from './reading.js';
import type { Surroundings } from './surroundings.js';

const PREFIX = '--';
/** Options of the question itself; price, pue and carbon are settings. */
const QUESTION = ['from', 'to', 'by', 'step', 'boundary', 'where', 'basis', 'slo'] as const;
const HELP = `
Per request: --by request, inputBand (its input tokens, cached ones included) or concurrencyBand (requests running at a time
while it ran), each with other keys but device. Bands double: 512–1023, 1024–2047. What was measured and belongs to no such
request has rows of its own: (other requests) prefill and decode that no request told of, (active), (idle), (unknown); all
rows add up to what was measured at boundary gpu.

joulesPerPromptToken   J of prefill / prompt tokens computed
joulesPerOutputToken   J of decode / output tokens
joulesSavedByCache     cached prompt tokens × joulesPerPromptToken: what they would have cost
`;

/** A report, and in a page what was wasted beside it. */
interface Answer {
  readonly report: Report;
  readonly waste: Waste | undefined;
}

async function make(source: Source, said: Said, settings: CollectorSettings, request: ReportRequest, wasteRequest: ReportRequest | undefined, book: Book, surroundings: Surroundings): Promise<Answer> {
  if (source.kind === 'collector') {
    const asked = { ...said, ...pricesOf(settings) };
    const report = await askCollector(source.url, settings, asked);
    const ofWaste = Object.fromEntries(Object.entries(asked).filter(([name]) => name !== 'by' && isWasteOption(name)));
    return { report, waste: wasteRequest && (await ask(source.url, settings, { path: 'v1/waste', said: ofWaste }, waste)) };
  }
  return readFrom(source, settings, surroundings, async (store) => ({ report: await buildReport(store, request, PREFIX, book), waste: wasteRequest && (await findWaste(store, wasteRequest, PREFIX, book)) }));
}

export function addReport(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('report')
    .description('figures from a file or pipe of batches, a store, or a running collector')
    .argument('[file]', 'batches as NDJSON, gzip or not; - for stdin; without it the store is read')
    .option('--collector <URL>', 'ask a running collector')
    .option('--from <TIME>', 'slices that begin then or later: ISO 8601 with a zone, or epoch seconds')
    .option('--to <TIME>', 'slices that begin before')
    .addOption(new Option('--by <KEY,…>', 'a row per deployment, model, node, device, site, phase, tenant, outcome, tariffPeriod, loadBand, request and cached (recordings only), inputBand, concurrencyBand or label').argParser(several))
    .option('--step <DURATION>', 'a row per time step, e.g. 1m')
    .option('--boundary <NAME>', 'gpu, module, cpu, dram, server or meter; without it the narrowest measured')
    .addOption(new Option('--where <KEY=VALUE>', 'only such facts; again for more keys, or for more values of a key').argParser(several))
    .option('--basis <NAME>', 'all joules in the window, or serving: ratios without idle and unknown ones')
    .option('--slo <TARGETS>', 'latency targets that output has to meet to be useful, e.g. ttft=2s,tpot=50ms; in place of those in the book')
    .option('--format <NAME>', `one of ${FORMATS.join(', ')}`, 'table');
  command.addHelpText('after', HELP);
  addSettings(command, ['store', 'storeToken', ...TO_COLLECTOR, 'book', 'ratesFolder', 'price', 'pue', 'carbon']);
  command.action(async (file: string | undefined, flags: Flags) => {
    const faults: string[] = [];
    const said = questionIn(flags, QUESTION);
    const settings = await keep(faults, () => readSettings(flags, surroundings.environment));
    const request = await keep(faults, () => parseRequest(said, settings ?? {}, PREFIX));
    const source = sourceOf(file, flags, faults);
    const book = settings && (await keep(faults, () => bookOf(settings)));
    const format = formatOf(FORMATS, flags, faults);
    if (settings && source.kind === 'store') checkStore(settings.store, faults);
    if (faults.length > 0 || !settings || !request || !book) throw new UsageError(faults);
    const { report, waste: beside } = await make(source, said, settings, request, format === 'html' ? wasteBeside(request) : undefined, book, surroundings);
    surroundings.stdout.write(render(report, format, beside && beside.step > 0 ? [wasteSection(beside)] : []));
  });
}
