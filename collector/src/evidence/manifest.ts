/**
 * An evidence bundle, which whoever has it can check without a collector, a network or trust in who made it:
 *
 *     facts/energy.parquet …      the facts, a file per kind
 *     streams.json                which batches are here, missing and lost
 *     book/book.yaml …            what they are worth, with the series that it names
 *     settings.json               the settings without secrets
 *     figures/report.json         figures by site and model
 *     figures/statement.json      the sustainability statement, and .html for people
 *     figures/books.json          whether the books close
 *     manifest.json               the question, the program, and size and SHA-256 of each of them
 *     SHA256SUMS                  all of them and the manifest, for `sha256sum -c`
 *     manifest.sig, manifest.pub  Ed25519 over the manifest, and the public key; where it is signed
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { parseTime } from '../join/times.js';
import { KINDS } from '../store/rollup-schema.js';

export const MANIFEST = 'manifest.json';
export const SUMS = 'SHA256SUMS';
export const SIGNATURE = 'manifest.sig';
export const PUBLIC_KEY = 'manifest.pub';
/** Stand beside the manifest, not in it. */
export const SEALS: readonly string[] = [MANIFEST, SUMS, SIGNATURE, PUBLIC_KEY];

/** A place inside the bundle, whatever the system; none begins with a dot. */
export const BUNDLE_PATH = /^(?:[\w-][\w.-]*\/)*[\w-][\w.-]*$/;
const path = z.string().regex(BUNDLE_PATH, 'is no path inside a bundle');
const time = z.string().refine((text) => parseTime(text) !== undefined, 'is no time');
const amount = z.number().nullable();

export const manifest = z.strictObject({
  bundle: z.literal('joulebook evidence'),
  schema: z.literal(1),
  program: z.strictObject({ name: z.literal('joulebook'), version: z.string() }),
  made: time,
  question: z.strictObject({ from: time, to: time, boundary: z.enum(BOUNDARIES).nullable(), /** In place of those of the book. */ price: amount, pue: amount, carbon: amount }),
  book: path.nullable(),
  /** What is not in the bundle as it was, in sentences. */
  notes: z.array(z.string()),
  /** Facts by kind. */
  rows: z.record(z.enum(KINDS), z.int()),
  /** Of the public key, `SHA256:…`; null where the bundle is not signed. */
  signedBy: z.string().nullable(),
  files: z.array(z.strictObject({ path, bytes: z.int(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })),
});
export type Manifest = z.infer<typeof manifest>;
export type FileEntry = Manifest['files'][number];

/** As it is written, hashed and signed. */
export const manifestText = (value: Manifest): string => `${JSON.stringify(value, null, 2)}\n`;

export const hashOf = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex');

/** As `sha256sum` writes them. */
export const sumsText = (files: readonly Pick<FileEntry, 'path' | 'sha256'>[], manifestHash: string): string => [...files, { path: MANIFEST, sha256: manifestHash }].map(({ path: file, sha256 }) => `${sha256}  ${file}\n`).join('');

export async function entryOf(folder: string, file: string): Promise<FileEntry> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(join(folder, file)), hash);
  return { path: file, bytes: (await stat(join(folder, file))).size, sha256: hash.digest('hex') };
}

/** Every regular file below, by its path with slashes, sorted; and what is none, which no bundle has. */
export async function listed(folder: string): Promise<{ readonly files: readonly string[]; readonly others: readonly string[] }> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const names = (wanted: (entry: (typeof found)[number]) => boolean): string[] => found.filter(wanted).map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/')).toSorted();
  return { files: names((entry) => entry.isFile()), others: names((entry) => !entry.isFile() && !entry.isDirectory()) };
}
