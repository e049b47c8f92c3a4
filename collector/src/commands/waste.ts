/** `joulebook waste`: what was wasted, what it was worth, and what to do about it. */
import { Option, type Command } from 'commander';
import { UsageError } from '@joulebook/shared/errors.js';
import { bookOf } from '../book/book.js';
import { waste } from '../waste/answer.js';
import { renderWaste } from '../waste/render.js';
import { parseWaste, WASTE_OPTIONS } from '../waste/request.js';
import { findWaste } from '../waste/waste.js';
import { ask } from './ask.js';
import { addSettings, keep, readSettings, TO_COLLECTOR } from './options.js';
import { checkStore, pricesOf, questionIn, readFrom, several, sourceOf, type Flags } from './reading.js';
import type { Surroundings } from './surroundings.js';

const PREFIX = '--';

const HELP = `
Idle with a model loaded, idle and empty, clocks held high while idle, at work while idle, throttled by power or by heat, and
output that was of no use. What agents ship no gauge for is told as not seen, never as none.
`;

export function addWaste(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('waste')
    .description('what was wasted, by deployment, node and GPU: joules, money, carbon, GPU hours, and what to do')
    .argument('[file]', 'batches as NDJSON, gzip or not; - for stdin; without it the store is read')
    .option('--collector <URL>', 'ask a running collector')
    .option('--from <TIME>', 'slices that begin then or later: ISO 8601 with a zone, or epoch seconds')
    .option('--to <TIME>', 'slices that begin before')
    .addOption(new Option('--by <KEY,…>', 'a finding per deployment, node, device (these three by default), model, site or label').argParser(several))
    .addOption(new Option('--where <KEY=VALUE>', 'only such facts; again for more keys, or for more values of a key').argParser(several))
    .option('--slo <TARGETS>', 'latency targets in place of those in the book, e.g. ttft=2s,tpot=50ms')
    .option('--json', 'as JSON')
    .addHelpText('after', HELP);
  addSettings(command, ['store', 'storeToken', ...TO_COLLECTOR, 'book', 'ratesFolder', 'price', 'pue', 'carbon']);
  command.action(async (file: string | undefined, flags: Flags) => {
    const faults: string[] = [];
    const settings = await keep(faults, () => readSettings(flags, surroundings.environment));
    // Prices are settings.
    const said = questionIn(flags, WASTE_OPTIONS.filter((name) => name !== 'price' && name !== 'pue' && name !== 'carbon'));
    const request = await keep(faults, () => parseWaste(said, settings ?? {}, PREFIX));
    const source = sourceOf(file, flags, faults);
    const book = settings && (await keep(faults, () => bookOf(settings)));
    if (settings && source.kind === 'store') checkStore(settings.store, faults);
    if (faults.length > 0 || !settings || !request || !book) throw new UsageError(faults);
    const found = source.kind === 'collector' ? await ask(source.url, settings, { path: 'v1/waste', said: { ...said, ...pricesOf(settings) } }, waste) : await readFrom(source, settings, surroundings, (store) => findWaste(store, request, PREFIX, book));
    surroundings.stdout.write(flags['json'] === true ? `${JSON.stringify(found, null, 2)}\n` : renderWaste(found));
  });
}
