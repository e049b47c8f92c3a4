/** `joulebook verify`: exit 0 where the books close, 3 with reasons where they don't. */
import { createReadStream } from 'node:fs';
import type { Command } from 'commander';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { isBundle, withBundle } from '../evidence/bundle.js';
import { checkEvidence, damagedBundle } from '../evidence/check.js';
import { readPublicKey } from '../evidence/signature.js';
import { appendStream } from '../ingest/batch-stream.js';
import type { Said } from '../report/request.js';
import type { CollectorSettings } from '../settings.js';
import { openStore, using } from '../store/open.js';
import { parseQuestion, VERIFY_OPTIONS, type Question } from '../verify/question.js';
import { renderVerification } from '../verify/render.js';
import { verification, type Verification } from '../verify/verification.js';
import { verify } from '../verify/verify.js';
import { ask, faultsOfAddress } from './ask.js';
import { addSettings, readSettings, TO_COLLECTOR } from './options.js';
import type { Surroundings } from './surroundings.js';

const MAX_LINE_BYTES = 256 * 1024 * 1024;

type Flags = Readonly<Record<string, unknown>>;

const HELP = `
What is looked at:
  phases, boundaries, requests, tokens   energy and tokens are conserved
  sequences, losses, coverage            everything that was measured is here
  duplicates                             nothing was told twice
Of an evidence bundle (a folder or a .tar file) besides, offline:
  files, signature                       it is what was made, by whom it says
  figures                                made anew from its facts they are those that it shows, letter by letter
`;

async function ofStream(file: string, question: Question, { stdin }: Surroundings): Promise<Verification> {
  return using(await openStore(':memory:'), async (store) => {
    await appendStream(file === '-' ? stdin : createReadStream(file), store, file === '-' ? 'stdin' : file, MAX_LINE_BYTES);
    return verify(store, question);
  });
}

/** Offline: nothing but the bundle is looked at. */
async function ofBundle(path: string, flags: Flags): Promise<Verification> {
  const { publicKey: file } = flags;
  const beside = ['from', 'to'].filter((name) => flags[name] !== undefined).map((name) => `--${name}: a bundle has a range of its own`);
  if (beside.length > 0) throw new UsageError(beside);
  const { leastCoverage } = parseQuestion(saidOf(flags), '--');
  const publicKey = typeof file === 'string' ? await readPublicKey('--public-key', file) : undefined;
  return withBundle(path, (folder) => checkEvidence(folder, { publicKey, leastCoverage })).catch((error: unknown) => {
    if (error instanceof TelemetryError && error.code === 'TAR_DAMAGED') return damagedBundle(error.message);
    throw error;
  });
}

function saidOf(flags: Flags): Said {
  return Object.fromEntries(VERIFY_OPTIONS.flatMap((name) => (typeof flags[name] === 'string' ? [[name, [flags[name]]] as const] : [])));
}

function checkPlaces(file: string | undefined, flags: Flags): string[] {
  const { collector } = flags;
  const said = [file === undefined ? [] : ['FILE'], flags['store'] === undefined ? [] : ['--store'], collector === undefined ? [] : ['--collector']].flat();
  return [...(said.length > 1 ? [`${said.join(' and ')}: say one place to read from`] : []), ...(typeof collector === 'string' ? faultsOfAddress('--collector', collector) : [])];
}

async function make(file: string | undefined, flags: Flags, settings: CollectorSettings, surroundings: Surroundings): Promise<Verification> {
  const question = parseQuestion(saidOf(flags), '--');
  if (typeof flags['collector'] === 'string') return ask(flags['collector'], settings, { path: 'v1/verify', said: saidOf(flags) }, verification);
  if (file !== undefined) return ofStream(file, question, surroundings);
  return using(await openStore(settings.store, { readOnly: true, token: settings.storeToken }), (store) => verify(store, question));
}

/** @param onProblem called where the books do not close */
export function addVerify(program: Command, surroundings: Surroundings, onProblem: () => void): void {
  const command = program
    .command('verify')
    .description('do the books close: energy and tokens conserved, nothing missing, nothing twice; exit 3 with reasons where not')
    .argument('[file]', 'batches as NDJSON, gzip or not; - for stdin; or an evidence bundle; without it the store is read')
    .option('--collector <URL>', 'ask a running collector')
    .option('--from <TIME>', 'facts that begin then or later: ISO 8601 with a zone, or epoch seconds')
    .option('--to <TIME>', 'facts that begin before')
    .option('--coverage <SHARE>', 'least share of the time asked that each device was seen for, default 0.95')
    .option('--public-key <FILE>', 'of an evidence bundle: the key (PEM) that has to have signed it')
    .option('--json', 'as JSON')
    .addHelpText('after', HELP);
  addSettings(command, ['store', 'storeToken', ...TO_COLLECTOR]);
  command.action(async (file: string | undefined, flags: Flags) => {
    const faults = checkPlaces(file, flags);
    if (faults.length > 0) throw new UsageError(faults);
    const bundle = file !== undefined && file !== '-' && (await isBundle(file));
    if (!bundle && flags['publicKey'] !== undefined) throw new UsageError(['--public-key: is for an evidence bundle']);
    const found = bundle ? await ofBundle(file, flags) : await make(file, flags, await readSettings(flags, surroundings.environment), surroundings);
    // Of nothing, everything is true.
    if (!bundle && found.from === null) throw new TelemetryError('NO_FACTS', 'There are no facts to verify: no batch with a slice in it.', 'abort');
    surroundings.stdout.write(flags['json'] === true ? `${JSON.stringify(found, null, 2)}\n` : renderVerification(found));
    if (!found.closed) onProblem();
  });
}
