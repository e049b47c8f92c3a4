import { rename, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { flagName } from '@joulebook/shared/settings.js';
import { retainedShown, showRetained, type RetainedShown } from '../api/upkeep.js';
import { openDuckdb } from '../store/duckdb.js';
import { isServerAddress } from '../store/open.js';
import type { Retained } from '../store/retention.js';
import { policyOf } from '../upkeep/schedule.js';
import { ask, faultsOfAddress } from './ask.js';
import { addSettings, readSettings, TO_COLLECTOR } from './options.js';
import type { Surroundings } from './surroundings.js';
import type { CollectorSettings } from '../settings.js';

const PATIENCE_MS = 3_600_000;

/** The copy takes the store's place when it is whole; until then nothing has changed. */
async function retainHere(settings: CollectorSettings, compact: boolean): Promise<RetainedShown> {
  const path = settings.store;
  if (!isServerAddress(path) && !(await stat(path).then(() => true, () => false))) throw new TelemetryError('STORE_MISSING', `There is no store at ${path}.`, 'abort');
  const copy = `${path}.compact`;
  const store = await openDuckdb(path);
  let retained: Retained;
  try {
    retained = await store.retain(policyOf(settings));
    if (compact) await store.backup(copy);
  } finally {
    await store.close();
  }
  if (compact) await rename(copy, path);
  return showRetained(retained);
}

const sizeOf = async (path: string): Promise<number> => (await stat(path)).size;
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Summing what was not summed yet comes first, and each table takes a quarter of a MiB or more. */
function describeCompacted(before: number, after: number): string {
  const why = after > before ? ' What was summed now takes more than was set free: each kind of sum takes 0.25 MiB or more, however little is in it.' : '';
  return `The file was ${mebibytes(before)} and is ${mebibytes(after)}.${why}\n`;
}

export function addRetain(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('retain')
    .description('deletes now what is too old: in a running collector (as an admin, by its own settings) or in a store that nobody holds')
    .option('--compact', 'then write the store anew: a file does not shrink by deleting, its space is used again; needs a store that nobody holds')
    .option('--collector <URL>', 'ask a running collector');
  addSettings(command, ['store', ...TO_COLLECTOR, 'retentionRaw', 'retentionMinute', 'retentionHour']);
  command.action(async (flags: Readonly<Record<string, unknown>>) => {
    const { collector } = flags;
    const asked = typeof collector === 'string' ? collector : undefined;
    const compact = flags['compact'] === true;
    const own = ['store', 'retentionRaw', 'retentionMinute', 'retentionHour'].filter((name) => flags[name] !== undefined);
    const faults = asked === undefined ? [] : [
      ...faultsOfAddress('--collector', asked),
      ...own.map((name) => `${flagName(name)}: a running collector has its own`),
      ...(compact ? ["--compact: stop the collector, then say 'joulebook retain --compact --store FILE'"] : []),
    ];
    if (faults.length > 0) throw new UsageError(faults);
    const settings = await readSettings(flags, surroundings.environment);
    const before = compact ? await sizeOf(settings.store).catch(() => 0) : 0;
    const retained = asked === undefined ? await retainHere(settings, compact) : await ask(asked, settings, { method: 'POST', path: 'v1/retain', patienceMilliseconds: PATIENCE_MS }, retainedShown);
    const { facts, minutes, hours, factsSince } = retained;
    surroundings.stderr.write(`Deleted ${facts} facts, ${minutes} sums by minute and ${hours} by hour and day. ${factsSince === null ? 'All facts are kept.' : `Facts are kept since ${factsSince}.`}\n`);
    if (compact) surroundings.stderr.write(describeCompacted(before, await sizeOf(settings.store)));
    if (retained.faults.length > 0) throw new TelemetryError('RETAIN_INCOMPLETE', retained.faults.join('\njoulebook: '), 'abort');
  });
}
