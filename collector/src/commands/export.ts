import { mkdtemp, rm } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { UsageError } from '@joulebook/shared/errors.js';
import { parseExport } from '../api/upkeep.js';
import type { Said } from '../report/request.js';
import { openDuckdb } from '../store/duckdb.js';
import { using } from '../store/open.js';
import { EXPORT_FORMATS, RESOLUTIONS, type ExportQuestion } from '../store/duckdb-export.js';
import { KINDS } from '../store/rollup-schema.js';
import { faultsOfAddress } from './ask.js';
import { downloadTo, whole } from './download.js';
import { addSettings, keep, readSettings, TO_COLLECTOR } from './options.js';
import type { Surroundings } from './surroundings.js';

const QUESTION = ['format', 'kind', 'resolution', 'from', 'to'] as const;

const HELP = `
parquet, csv  facts of one kind: times are whole microseconds since 1970 (from_us, to_us), energy whole microjoules, labels JSON text.
ndjson        batches as agents sent them, of all kinds or of one: 'joulebook report FILE' reads them, and another collector takes them.
Facts that retention has deleted are left as sums by minute, hour and day: --resolution 1m, 1h or 1d (parquet, csv).
`;

type Flags = Readonly<Record<string, unknown>>;

/** Made whole before the first byte is written: a pipe gets all of it or nothing. */
async function toStdout(surroundings: Surroundings, make: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-export-'));
  try {
    const path = join(folder, 'export');
    await make(path);
    await pipeline(createReadStream(path), surroundings.stdout, { end: false });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const fromStore = async (path: string, question: ExportQuestion, out: string): Promise<void> =>
  using(await openDuckdb(path, { readOnly: true }), (store) => whole(out, async (partial) => void (await store.export(question, partial))));

export function addExport(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('export')
    .description('facts of a store or of a running collector as a file')
    .option('--format <NAME>', EXPORT_FORMATS.join(', '))
    .option('--out <PATH>', 'file to write; - for stdout')
    .option('--kind <NAME>', `${KINDS.join(', ')}; of ndjson all where not said`)
    .option('--resolution <NAME>', `${RESOLUTIONS.join(', ')}: facts, or their sums by minute, hour or day`)
    .option('--from <TIME>', 'facts that begin then or later: ISO 8601 with a zone, or epoch seconds')
    .option('--to <TIME>', 'facts that begin before')
    .option('--collector <URL>', 'ask a running collector');
  command.addHelpText('after', HELP);
  addSettings(command, ['store', ...TO_COLLECTOR]);
  command.action(async (flags: Flags) => {
    const said: Said = Object.fromEntries(QUESTION.flatMap((name) => (typeof flags[name] === 'string' ? [[name, [flags[name]]] as const] : [])));
    const { out, collector } = flags;
    const faults: string[] = [
      ...(typeof out === 'string' ? [] : ['--out: say where to write, a file or -']),
      ...(typeof collector === 'string' ? faultsOfAddress('--collector', collector) : []),
      ...(collector !== undefined && flags['store'] !== undefined ? ['--store and --collector: say one place to read from'] : []),
    ];
    const question = await keep(faults, () => parseExport(said, '--'));
    const settings = await keep(faults, () => readSettings(flags, surroundings.environment));
    if (faults.length > 0 || !question || !settings || typeof out !== 'string') throw new UsageError(faults);
    const make = (path: string): Promise<void> => (typeof collector === 'string' ? downloadTo(collector, settings, 'v1/export', said, path) : fromStore(settings.store, question, path));
    if (out === '-') await toStdout(surroundings, make);
    else await make(out);
  });
}
