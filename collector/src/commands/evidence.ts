/** `joulebook evidence`: facts, book, settings and figures of a range as a bundle that anybody can check with `joulebook verify`. */
import type { KeyObject } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { systemClock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { bookOf } from '../book/book.js';
import { bundleTo, isTarName } from '../evidence/bundle.js';
import { makeEvidence } from '../evidence/make.js';
import { checkFiles } from '../evidence/check.js';
import { MANIFEST, manifest, type Manifest } from '../evidence/manifest.js';
import { EVIDENCE_OPTIONS, parseEvidence } from '../evidence/question.js';
import { seal } from '../evidence/seal.js';
import { readPrivateKey } from '../evidence/signature.js';
import { unpackTar } from '../evidence/tar.js';
import type { Said } from '../report/request.js';
import type { CollectorSettings } from '../settings.js';
import { keepsItself } from '../upkeep/schedule.js';
import { download } from './download.js';
import { addSettings, keep, readSettings, TO_COLLECTOR } from './options.js';
import { checkStore, questionIn, readFrom, sourceOf, type Flags, type Place } from './reading.js';
import type { Surroundings } from './surroundings.js';

const HELP = `
The bundle is a folder, or one file where --out ends with .tar. It holds the facts of the range as Parquet, the book with the series that it
names, the settings without secrets, figures by site and model, the sustainability statement, and a manifest with the SHA-256 of each.
With --key the manifest is signed (Ed25519): openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out key.pub
Check it anywhere: joulebook verify BUNDLE --public-key key.pub
`;

async function ofPlace(place: Place, settings: CollectorSettings, question: Manifest['question'], surroundings: Surroundings, folder: string, key: KeyObject | undefined): Promise<Manifest> {
  const book = await bookOf(settings);
  return readFrom(place, settings, surroundings, (store) => {
    if (!keepsItself(store)) throw new TelemetryError('STORE_NOT_A_FILE', 'The store is a server. A bundle is made of the facts of an embedded store, or of a file of batches.', 'abort');
    return makeEvidence({ store, settings, book, clock: systemClock }, question, folder, key);
  });
}

/** A collector makes it, and it is signed here: the key stays with whom it belongs to. */
async function ofCollector(url: string, settings: CollectorSettings, said: Said, folder: string, key: KeyObject | undefined): Promise<Manifest> {
  const tar = `${folder}.download`;
  try {
    await download(url, settings, 'v1/evidence', said, () => createWriteStream(tar));
    await unpackTar(tar, folder);
  } finally {
    await rm(tar, { force: true });
  }
  const text = await readFile(join(folder, MANIFEST), 'utf8').catch(() => '');
  const { files: _files, signedBy: _signedBy, ...open } = await checkFiles(folder, text);
  return key ? seal(folder, open, key) : manifest.parse(JSON.parse(text));
}

/** Made beside `out`, and there under its name when it is whole. */
async function appear(out: string, make: (folder: string) => Promise<Manifest>): Promise<Manifest> {
  const folder = await mkdtemp(`${resolve(out)}.partial-`).catch((cause: unknown) => Promise.reject(new TelemetryError('FILE_NOT_WRITTEN', `${out} can't be written: ${messageOf(cause)}`, 'abort', { cause })));
  try {
    const made = await make(folder);
    if (isTarName(out)) {
      await bundleTo(folder, `${folder}.tar`);
      await rename(`${folder}.tar`, out);
    } else await rename(folder, out);
    return made;
  } finally {
    await Promise.all([rm(folder, { recursive: true, force: true }), rm(`${folder}.tar`, { force: true })]);
  }
}

export function addEvidence(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('evidence')
    .description('facts, book, settings and figures of a range as one bundle, re-computable offline by `joulebook verify BUNDLE`')
    .argument('[file]', 'batches as NDJSON, gzip or not; - for stdin; without it the store is read')
    .option('--from <TIME>', 'facts that begin then or later: ISO 8601 with a zone, or epoch seconds')
    .option('--to <TIME>', 'facts that begin before')
    .option('--boundary <NAME>', 'of its figures; without it the narrowest measured')
    .option('--out <PATH>', 'folder to make, or a file that ends with .tar')
    .option('--key <FILE>', 'Ed25519 private key (PEM) to sign it with')
    .option('--collector <URL>', 'ask a running collector')
    .addHelpText('after', HELP);
  addSettings(command, ['store', 'storeToken', ...TO_COLLECTOR, 'book', 'ratesFolder', 'price', 'pue', 'carbon']);
  command.action(async (file: string | undefined, flags: Flags) => {
    const faults: string[] = [];
    const said = questionIn(flags, EVIDENCE_OPTIONS);
    const { out, key: keyFile } = flags;
    const settings = await keep(faults, () => readSettings(flags, surroundings.environment));
    const source = sourceOf(file, flags, faults);
    if (settings && source.kind === 'store') checkStore(settings.store, faults);
    if (source.kind === 'collector' && ['price', 'pue', 'carbon'].some((name) => flags[name] !== undefined)) faults.push('--price, --pue, --carbon: a collector has its own; start it with them');
    const question = await keep(faults, () => parseEvidence(said, settings ?? {}, '--'));
    const key = typeof keyFile === 'string' ? await keep(faults, () => readPrivateKey('--key', keyFile)) : undefined;
    if (typeof out !== 'string') faults.push('--out: say where to write, a folder or a file that ends with .tar');
    else if (await stat(out).then(() => true, () => false)) faults.push(`--out: ${out} is there already; name another, or remove it`);
    if (faults.length > 0 || !settings || !question || typeof out !== 'string') throw new UsageError(faults);
    const made = await appear(out, (folder) => (source.kind === 'collector' ? ofCollector(source.url, settings, said, folder, key) : ofPlace(source, settings, question, surroundings, folder, key)));
    surroundings.stderr.write(`${out}: ${made.files.length} files, ${Object.values(made.rows).reduce((sum, rows) => sum + rows, 0)} facts${made.signedBy === null ? ', not signed' : `, signed by ${made.signedBy}`}.\n`);
  });
}
