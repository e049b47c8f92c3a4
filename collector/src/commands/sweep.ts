/** `joulebook sweep`: the operating curve from history, and its best point inside the targets. */
import { Option, type Command } from 'commander';
import { UsageError } from '@joulebook/shared/errors.js';
import { bookOf } from '../book/book.js';
import { sweepAnswer } from '../sweep/answer.js';
import { parseSweep, SWEEP_OPTIONS } from '../sweep/question.js';
import { FORMATS, renderSweep } from '../sweep/render.js';
import { sweep } from '../sweep/sweep.js';
import { ask } from './ask.js';
import { addSettings, keep, readSettings, TO_COLLECTOR } from './options.js';
import { checkStore, formatOf, pricesOf, questionIn, readFrom, several, sourceOf, type Flags } from './reading.js';
import type { Surroundings } from './surroundings.js';

const PREFIX = '--';
const PRICES: readonly string[] = ['price', 'pue', 'carbon'];
/** A month of a large fleet may take a collector a while. */
const PATIENCE_MILLISECONDS = 300_000;

const HELP = `
  joulebook sweep --over gpu.power.limit --slo ttft=2s,tpot=50ms
  joulebook sweep --over concurrency --where deployment=chat --format svg > curve.svg
  joulebook-agent replay DIR | joulebook sweep - --over batch --where context=256

Over load, concurrency (requests running, as the engine says), concurrencyBand (of recorded requests), a gauge such as
gpu.power.limit or gpu.clock.sm, or a label. docs/experiments.md tells more.
`;

export function addSweep(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('sweep')
    .description('what a token costs at each load, concurrency, power limit, clock or value of a label, and where it costs least')
    .argument('[file]', 'batches as NDJSON, gzip or not; - for stdin; without it the store is read')
    .option('--over <AXIS>', 'load, concurrency, concurrencyBand, a gauge or a label')
    .addOption(new Option('--metric <NAME,…>', 'figures of the curve, the first decides what is best; default joulesPerToken,tokensPerWattSecond').argParser(several))
    .option('--slo <TARGETS>', 'latency targets that the best point has to keep, e.g. ttft=2s,tpot=50ms; in place of those in the book')
    .option('--inside <SHARE>', 'of the requests of a point, how many have to be inside them; default 95%')
    .option('--from <TIME>', 'facts that begin then or later: ISO 8601 with a zone, or epoch seconds')
    .option('--to <TIME>', 'facts that begin before')
    .addOption(new Option('--where <KEY=VALUE>', 'only such facts; again for more').argParser(several))
    .option('--boundary <NAME>', 'gpu, module, cpu, dram, server or meter; without it the narrowest that is measured')
    .option('--step <DURATION>', 'how long a block is; without it 1m, less where there is little time')
    .option('--collector <URL>', 'ask a running collector')
    .option('--format <NAME>', `one of ${FORMATS.join(', ')}`, 'table')
    .option('--json', 'as --format json')
    .addHelpText('after', HELP);
  addSettings(command, ['store', 'storeToken', ...TO_COLLECTOR, 'book', 'ratesFolder', 'price', 'pue', 'carbon']);
  command.action(async (file: string | undefined, flags: Flags) => {
    const faults: string[] = [];
    const said = questionIn(flags, SWEEP_OPTIONS.filter((name) => !PRICES.includes(name)));
    const settings = await keep(faults, () => readSettings(flags, surroundings.environment));
    const request = await keep(faults, () => parseSweep(said, settings ?? {}, PREFIX));
    const source = sourceOf(file, flags, faults);
    const book = settings && (await keep(faults, () => bookOf(settings)));
    const format = flags['json'] === true ? 'json' : formatOf(FORMATS, flags, faults);
    if (settings && source.kind === 'store') checkStore(settings.store, faults);
    if (faults.length > 0 || !settings || !request || !book) throw new UsageError(faults);
    const found = source.kind === 'collector'
      ? await ask(source.url, settings, { path: 'v1/sweep', said: { ...said, ...pricesOf(settings) }, patienceMilliseconds: PATIENCE_MILLISECONDS }, sweepAnswer)
      : await readFrom(source, settings, surroundings, (store) => sweep(store, request, book));
    surroundings.stdout.write(renderSweep(found, format));
  });
}
