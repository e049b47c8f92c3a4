/** `joulebook statement monthly|weekly`: reports for people, from facts or from a running collector. */
import { writeFile } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import { systemClock } from '@joulebook/shared/clock.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { toEpochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { z } from 'zod';
import { bookOf, EMPTY_BOOK, type Book } from '../book/book.js';
import type { Defaults, Said } from '../report/request.js';
import { monthlyStatementOf } from '../statements/monthly.js';
import { MONTHLY_OPTIONS, parseMonthly, parseWeekly, WEEKLY_OPTIONS } from '../statements/question.js';
import { renderStatement, STATEMENT_FORMATS, type Statement, type StatementFormat } from '../statements/render.js';
import { weeklyReview } from '../statements/review.js';
import { monthlyStatement } from '../statements/statement.js';
import { weeklyReviewOf } from '../statements/weekly.js';
import type { Store } from '../store/store.js';
import { ask } from './ask.js';
import { whole } from './download.js';
import { addSettings, keep, readSettings, TO_COLLECTOR } from './options.js';
import { checkStore, questionIn, readFrom, sourceOf, textsOf, type Flags } from './reading.js';
import type { Surroundings } from './surroundings.js';

interface Kind<Q> {
  readonly options: readonly string[];
  readonly parse: (said: Said, defaults: Defaults, book: Book, now: EpochMicros, prefix: '--') => Q;
  readonly make: (store: Store, book: Book, question: Q) => Promise<Statement>;
  readonly path: string;
  readonly shape: z.ZodType<Statement>;
}
const MONTHLY: Kind<ReturnType<typeof parseMonthly>> = { options: MONTHLY_OPTIONS, parse: parseMonthly, make: monthlyStatementOf, path: 'v1/statements/monthly', shape: monthlyStatement };
const WEEKLY: Kind<ReturnType<typeof parseWeekly>> = { options: WEEKLY_OPTIONS, parse: parseWeekly, make: weeklyReviewOf, path: 'v1/statements/weekly', shape: weeklyReview };

/** A month of a large fleet. */
const PATIENCE_MILLISECONDS = 600_000;

function formatOf(flags: Flags, faults: string[]): StatementFormat {
  const [said = ''] = textsOf(flags['format']);
  const format = STATEMENT_FORMATS.find((known) => known === said);
  if (format === undefined) faults.push(`--format: '${said}' is no format; write one of ${STATEMENT_FORMATS.join(', ')}`);
  return format ?? 'markdown';
}

async function run<Q>(kind: Kind<Q>, file: string | undefined, flags: Flags, surroundings: Surroundings): Promise<void> {
  const faults: string[] = [];
  const said = questionIn(flags, kind.options);
  const settings = await keep(faults, () => readSettings(flags, surroundings.environment));
  const source = sourceOf(file, flags, faults);
  const format = formatOf(flags, faults);
  if (source.kind === 'collector' && ['price', 'pue', 'carbon'].some((name) => flags[name] !== undefined)) faults.push('--price, --pue, --carbon: a collector has its own; start it with them');
  if (settings && source.kind === 'store') checkStore(settings.store, faults);
  const book = settings && (await keep(faults, () => (source.kind === 'collector' ? EMPTY_BOOK : bookOf(settings))));
  // What holds where nothing is said, e.g. which month was the last, a collector knows by its own book and clock.
  const question = settings && book && (await keep(faults, () => kind.parse(said, settings, book, toEpochMicros(systemClock.wall()), '--')));
  if (faults.length > 0 || !settings || !book || question === undefined) throw new UsageError(faults);
  const made = source.kind === 'collector' ? await ask(source.url, settings, { path: kind.path, said, patienceMilliseconds: PATIENCE_MILLISECONDS }, kind.shape) : await readFrom(source, settings, surroundings, (store) => kind.make(store, book, question));
  const text = renderStatement(made, format);
  if (typeof flags['out'] !== 'string' || flags['out'] === '-') surroundings.stdout.write(text);
  else await whole(flags['out'], (partial) => writeFile(partial, text));
}

const options = (command: Command): Command => {
  command
    .argument('[file]', 'batches as NDJSON, gzip or not; - for stdin; without it the store is read')
    .option('--collector <URL>', 'ask a running collector')
    .option('--site <NAME>', 'only this site')
    .option('--boundary <NAME>', 'gpu, module, cpu, dram, server or meter; without it the narrowest measured')
    .addOption(new Option('--format <NAME>', `one of ${STATEMENT_FORMATS.join(', ')}`).default('markdown'))
    .option('--out <FILE>', 'file to write, which becomes it when it is whole; without it stdout');
  addSettings(command, ['store', 'storeToken', ...TO_COLLECTOR, 'book', 'ratesFolder', 'price', 'pue', 'carbon']);
  return command;
};

export function addStatement(program: Command, surroundings: Surroundings): void {
  const statement = program.command('statement').description('reports for people: the sustainability statement of a month, the review of a week (docs/statements.md)');
  options(statement.command('monthly').description('energy, carbon, tokens, coverage, method and gaps by site and model, over each site’s own month').option('--month <YYYY-MM>', 'the month; without it the last one that is over'))
    .action((file: string | undefined, flags: Flags) => run(MONTHLY, file, flags, surroundings));
  options(statement.command('weekly').description('what moved cost per useful token (or joules per token) against the week before, by deployment and label').option('--week <YYYY-Www>', 'the week as in ISO 8601, e.g. 2026-W46; without it the last one that is over').option('--zone <ZONE>', 'whose weeks, e.g. Europe/Berlin; without it that of the site, or of the default one'))
    .action((file: string | undefined, flags: Flags) => run(WEEKLY, file, flags, surroundings));
}
