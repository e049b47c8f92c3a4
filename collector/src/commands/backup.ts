import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { UsageError } from '@joulebook/shared/errors.js';
import { copyTokens } from '../access/copy-tokens.js';
import { tokenFolderOf, type CollectorSettings } from '../settings.js';
import { openDuckdb } from '../store/duckdb.js';
import { using } from '../store/open.js';
import { faultsOfAddress } from './ask.js';
import { downloadTo } from './download.js';
import { addSettings, readSettings, TO_COLLECTOR } from './options.js';
import type { Surroundings } from './surroundings.js';

const there = async (path: string): Promise<boolean> => stat(path).then(() => true, () => false);

/** What is beside a store in its folder of tokens is at hand only where the store is. */
async function backUpHere(settings: CollectorSettings, out: string): Promise<string> {
  await using(await openDuckdb(settings.store, { readOnly: true }), (store) => store.backup(out));
  const folder = tokenFolderOf(settings);
  const tokens = folder === undefined ? undefined : await copyTokens(folder, `${out}.tokens`);
  return tokens === undefined ? '' : ` Its ${tokens} tokens (their hashes) are in ${out}.tokens.`;
}

async function backUpThere(collector: string, settings: CollectorSettings, out: string): Promise<string> {
  await downloadTo(collector, settings, 'v1/backup', {}, out);
  return ` Its tokens are not in it: copy their folder (where not set otherwise joulebook.duckdb.tokens, beside the store of that collector) to ${out}.tokens. Without it everybody on the machine that serves the backup may read and send.`;
}

export function addBackup(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('backup')
    .description('the store as it is now, as one file: from a running collector (as an admin) while it goes on taking batches, or of a store that nobody holds; then its tokens are copied beside it')
    .requiredOption('--out <PATH>', 'file to write; it is a store, and restored by using it as one')
    .option('--collector <URL>', 'ask a running collector');
  addSettings(command, ['store', 'tokenFolder', ...TO_COLLECTOR]);
  command.action(async (flags: Readonly<Record<string, unknown>>) => {
    const { collector } = flags;
    const out = String(flags['out']);
    const faults = [
      ...(typeof collector === 'string' ? faultsOfAddress('--collector', collector) : []),
      ...(collector !== undefined && flags['store'] !== undefined ? ['--store and --collector: say one place to read from'] : []),
      // A store that is there may be the only one.
      ...((await there(out)) ? [`--out: ${out} is there already; name another file`] : []),
      ...(collector === undefined && (await there(`${out}.tokens`)) ? [`--out: ${out}.tokens is there already, for the tokens; name another file`] : []),
    ];
    if (faults.length > 0) throw new UsageError(faults);
    const settings = await readSettings(flags, surroundings.environment);
    const tokens = typeof collector === 'string' ? await backUpThere(collector, settings, out) : await backUpHere(settings, out);
    surroundings.stderr.write(`The backup is ${out}.${tokens} To go back to it, let 'joulebook serve --store ${out}' run, or put it, and its tokens, in the place of the store while no collector runs; a FILE.wal beside that store has to go with it.\n`);
  });
}
