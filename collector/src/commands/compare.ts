/** `joulebook compare`: is B better than A, by how much, how sure. Exit 3 with --fail-on-regression where B is worse. */
import { Option, type Command } from 'commander';
import { UsageError } from '@joulebook/shared/errors.js';
import { bookOf, type Book } from '../book/book.js';
import { comparison, type Comparison } from '../compare/answer.js';
import { compare } from '../compare/compare.js';
import { METRICS } from '../compare/metrics.js';
import { COMPARE_OPTIONS, parseCompare, type CompareRequest } from '../compare/question.js';
import { FORMATS, renderComparison } from '../compare/render.js';
import type { Said } from '../report/request.js';
import type { CollectorSettings } from '../settings.js';
import { ask } from './ask.js';
import { addSettings, keep, readSettings, TO_COLLECTOR } from './options.js';
import { checkStore, formatOf, pricesOf, readFrom, several, sourceOf, textsOf, type Flags, type Source } from './reading.js';
import type { Surroundings } from './surroundings.js';

const PREFIX = '--';
/** Settings of their own. */
const PRICES: readonly string[] = ['price', 'pue', 'carbon'];
/** A month of a large fleet may take a collector a while. */
const PATIENCE_MILLISECONDS = 300_000;

const HELP = `
  joulebook compare --a quantization=fp16 --b quantization=int8 --where batch=8
  joulebook compare --a deployment=chat --b deployment=chat --a-to 2026-03-01T00:00Z --b-from 2026-03-02T00:00Z --per request
  joulebook-agent replay DIR | joulebook compare --a cooling=air --b cooling=liquid --input - --format svg > answer.svg

Metrics: ${[...METRICS.keys()].join(', ')}.
How it is found out, and how far to trust it: docs/comparisons.md.
`;

/** `a-from` is `aFrom` among the flags. */
const flagOf = (option: string): string => option.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

function saidOf(flags: Flags): Said {
  const texts = (option: string): string[] => (flags[flagOf(option)] === true ? ['true'] : textsOf(flags[flagOf(option)]));
  return Object.fromEntries(COMPARE_OPTIONS.filter((option) => !PRICES.includes(option)).map((option) => [option, texts(option)] as const).filter(([, said]) => said.length > 0));
}

async function make(source: Source, said: Said, settings: CollectorSettings, request: CompareRequest, book: Book, surroundings: Surroundings): Promise<Comparison> {
  if (source.kind === 'collector') return ask(source.url, settings, { path: 'v1/compare', said: { ...said, ...pricesOf(settings) }, patienceMilliseconds: PATIENCE_MILLISECONDS }, comparison);
  return readFrom(source, settings, surroundings, (store) => compare(store, request, book));
}

/** @param onRegression called where B is worse and that was asked to be a fault */
export function addCompare(program: Command, surroundings: Surroundings, onRegression: () => void): void {
  const command = program
    .command('compare')
    .description('is B better than A, by how much, how sure: from a file or pipe of batches, a store, or a running collector')
    .addOption(new Option('--a <KEY=VALUE,…>', 'side A: labels, deployment, model, node, site or tenant; again for more').argParser(several))
    .addOption(new Option('--b <KEY=VALUE,…>', 'side B').argParser(several));
  for (const side of ['a', 'b']) command.option(`--${side}-from <TIME>`, `side ${side.toUpperCase()} begins here`).option(`--${side}-to <TIME>`, `side ${side.toUpperCase()} ends here`);
  command
    .option('--from <TIME>', 'both sides begin here, unless said of one: ISO 8601 with a zone, or epoch seconds')
    .option('--to <TIME>', 'both sides end here')
    .addOption(new Option('--where <KEY=VALUE>', 'only such facts, of both sides; again for more').argParser(several))
    .addOption(new Option('--metric <NAME,…>', 'what is compared, default joulesPerToken; of several the verdicts hold for all of them together').argParser(several))
    .option('--per <BASE>', 'the metric per token, request or task (a request accepted inside its targets)')
    .option('--boundary <NAME>', 'gpu, module, cpu, dram, server or meter; without it the narrowest that both sides have')
    .option('--step <DURATION>', 'how long a block is; without it 1m, less where there is little time')
    .option('--adjust <NAME,…>', 'what to make equal: load, inputLength, outputLength, cachedShare, temperature, or none; without it all that is known but the temperature of GPUs')
    .option('--sequential', 'looked at again and again while data comes in: the answer then holds at every look')
    .option('--precision <SHARE>', 'say how long to measure until the interval is this wide to either side, default 2%')
    .option('--slo <TARGETS>', 'latency targets of useful output, e.g. ttft=2s,tpot=50ms; in place of those in the book')
    .option('--input <FILE>', 'batches as NDJSON, gzip or not; - for stdin; without it the store is read')
    .option('--collector <URL>', 'ask a running collector')
    .option('--format <NAME>', `one of ${FORMATS.join(', ')}`, 'table')
    .option('--fail-on-regression', 'exit 3 where B is worse than A');
  command.addHelpText('after', HELP);
  addSettings(command, ['store', 'storeToken', ...TO_COLLECTOR, 'book', 'price', 'pue', 'carbon']);
  command.action(async (flags: Flags) => {
    const faults: string[] = [];
    const said = saidOf(flags);
    const settings = await keep(faults, () => readSettings(flags, surroundings.environment));
    const request = await keep(faults, () => parseCompare(said, settings ?? {}, PREFIX));
    const source = sourceOf(textsOf(flags['input'])[0], flags, faults, '--input');
    const book = settings && (await keep(faults, () => bookOf(settings)));
    const format = formatOf(FORMATS, flags, faults);
    if (settings && source.kind === 'store') checkStore(settings.store, faults);
    if (faults.length > 0 || !settings || !request || !book) throw new UsageError(faults);
    const found = await make(source, said, settings, request, book, surroundings);
    surroundings.stdout.write(renderComparison(found, format));
    if (flags['failOnRegression'] === true && found.verdict === 'a-better') onRegression();
  });
}
