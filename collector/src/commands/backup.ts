import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { UsageError } from '@joulebook/shared/errors.js';
import { openDuckdb } from '../store/duckdb.js';
import { faultsOfAddress } from './ask.js';
import { downloadTo } from './download.js';
import { addSettings, readSettings, TO_COLLECTOR } from './options.js';
import type { Surroundings } from './surroundings.js';

export function addBackup(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('backup')
    .description('the store as it is now, as one file: from a running collector (as an admin) while it goes on taking batches, or of a store that nobody holds')
    .requiredOption('--out <PATH>', 'file to write; it is a store, and restored by using it as one')
    .option('--collector <URL>', 'ask a running collector');
  addSettings(command, ['store', ...TO_COLLECTOR]);
  command.action(async (flags: Readonly<Record<string, unknown>>) => {
    const { collector } = flags;
    const out = String(flags['out']);
    const faults = [
      ...(typeof collector === 'string' ? faultsOfAddress('--collector', collector) : []),
      ...(collector !== undefined && flags['store'] !== undefined ? ['--store and --collector: say one place to read from'] : []),
      // A store that is there may be the only one.
      ...((await stat(out).then(() => true, () => false)) ? [`--out: ${out} is there already; name another file`] : []),
    ];
    if (faults.length > 0) throw new UsageError(faults);
    const settings = await readSettings(flags, surroundings.environment);
    if (typeof collector === 'string') await downloadTo(collector, settings, 'v1/backup', {}, out);
    else {
      const store = await openDuckdb(settings.store, { readOnly: true });
      try {
        await store.backup(out);
      } finally {
        await store.close();
      }
    }
    surroundings.stderr.write(`The backup is ${out}. To go back to it, let 'joulebook serve --store ${out}' run, or put it in the place of the store while no collector runs.\n`);
  });
}
