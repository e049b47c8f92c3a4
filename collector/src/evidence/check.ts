/** Is a bundle what it was when it was made, and are its figures those of its facts? Offline, without a collector. */
import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { EMPTY_BOOK, readBook } from '../book/book.js';
import { using } from '../store/open.js';
import { toldOf, type Finding, type Verification } from '../verify/verification.js';
import { verify } from '../verify/verify.js';
import { VERSION } from '../version.js';
import { differences } from './differences.js';
import { figuresOf, filesOf, openBundle, spanOf, streams, STREAMS } from './figures.js';
import { BUNDLE_PATH, entryOf, hashOf, listed, MANIFEST, manifest, PUBLIC_KEY, SIGNATURE, SUMS, sumsText, type Manifest } from './manifest.js';
import { fingerprintOf, isSignedBy, publicText } from './signature.js';

export interface CheckQuestion {
  /** Whose signature it shall have; undefined: any, if it says that it has one. */
  readonly publicKey: KeyObject | undefined;
  readonly leastCoverage: number;
}

type Reasons = { code: string; detail: string }[];

const text = (folder: string, name: string): Promise<string | undefined> => readFile(join(folder, name), 'utf8').catch(() => undefined);

function parseManifest(said: string | undefined, reasons: Reasons): Manifest | undefined {
  if (said === undefined) {
    reasons.push({ code: 'FILE_MISSING', detail: `${MANIFEST} is missing: this is no evidence bundle, or half of one.` });
    return undefined;
  }
  try {
    const parsed = manifest.safeParse(JSON.parse(said));
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    reasons.push({ code: 'FILE_CHANGED', detail: `${MANIFEST} is not as a manifest is: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}.` });
  } catch (error) {
    reasons.push({ code: 'FILE_CHANGED', detail: `${MANIFEST} is not JSON: ${messageOf(error)}.` });
  }
  return undefined;
}

/** A link shows what is elsewhere, and a pipe never ends: where there is one, nothing is opened. */
const notPlain = async (folder: string): Promise<Reasons> => (await listed(folder)).others.map((name) => ({ code: 'FILE_UNKNOWN', detail: `${name} is no plain file: a bundle has neither links nor pipes nor devices.` }));

async function filesWhole(folder: string, said: string, { files, signedBy }: Manifest): Promise<Finding> {
  const reasons: Reasons = [];
  const there = await listed(folder);
  const wanted = [...files.map(({ path }) => path), MANIFEST, SUMS, ...(signedBy === null ? [] : [SIGNATURE, PUBLIC_KEY])];
  for (const name of there.files) if (!wanted.includes(name)) reasons.push({ code: 'FILE_UNKNOWN', detail: `${name} is in no manifest.` });
  for (const entry of files) {
    if (!there.files.includes(entry.path)) reasons.push({ code: 'FILE_MISSING', detail: `${entry.path} is missing.` });
    else if ((await entryOf(folder, entry.path)).sha256 !== entry.sha256) reasons.push({ code: 'FILE_CHANGED', detail: `${entry.path} is not the file that the manifest names: its SHA-256 is another.` });
  }
  const sums = await text(folder, SUMS);
  if (sums === undefined) reasons.push({ code: 'FILE_MISSING', detail: `${SUMS} is missing.` });
  else if (sums !== sumsText(files, hashOf(said))) reasons.push({ code: 'FILE_CHANGED', detail: `${SUMS} and ${MANIFEST} do not agree: one of them was changed.` });
  return { check: 'files', looked: `${files.length} files, ${files.reduce((sum, { bytes }) => sum + bytes, 0)} bytes`, reasons };
}

async function signatureRight(folder: string, said: string, { signedBy }: Manifest, asked: KeyObject | undefined): Promise<Finding> {
  const check = 'signature';
  const [signature, own] = [await text(folder, SIGNATURE), await text(folder, PUBLIC_KEY)];
  if (signedBy === null && signature === undefined) {
    const reasons = asked ? [{ code: 'SIGNATURE_MISSING', detail: `The bundle is not signed; it should be, by ${fingerprintOf(asked)}.` }] : [];
    return { check, looked: 'not signed: whoever changed a file could have changed the manifest', nothing: true, reasons };
  }
  const reasons: Reasons = [];
  const looked = asked ? `by ${fingerprintOf(asked)}, the key that was given` : `by ${signedBy ?? 'nobody'}: hold that against the fingerprint of who made it, or give --public-key`;
  if (signature === undefined) reasons.push({ code: 'SIGNATURE_MISSING', detail: `${SIGNATURE} is missing, and the manifest says that ${signedBy} has signed it.` });
  const key = readOwn(own, reasons);
  if (key && fingerprintOf(key) !== signedBy) reasons.push({ code: 'SIGNATURE_WRONG', detail: `${PUBLIC_KEY} is ${fingerprintOf(key)}; the manifest names ${signedBy ?? 'nobody'}.` });
  if (asked && signedBy !== fingerprintOf(asked)) reasons.push({ code: 'SIGNATURE_OTHER_KEY', detail: `The manifest names ${signedBy ?? 'nobody'} as who signed it, not ${fingerprintOf(asked)}.` });
  const judge = asked ?? key;
  if (judge && signature !== undefined && !isSignedBy(said, signature, judge)) reasons.push({ code: 'SIGNATURE_WRONG', detail: `${SIGNATURE} is not that of ${fingerprintOf(judge)} under ${MANIFEST}: one of them was changed, or another key made it.` });
  return { check, looked, reasons };
}

/** Only as it is written: PEM has several spellings of the same key. */
function readOwn(own: string | undefined, reasons: Reasons): KeyObject | undefined {
  try {
    const key = createPublicKey(own ?? '');
    if (key.asymmetricKeyType === 'ed25519' && publicText(key) === own) return key;
  } catch {
    // Told below.
  }
  reasons.push({ code: own === undefined ? 'FILE_MISSING' : 'FILE_CHANGED', detail: `${PUBLIC_KEY} is ${own === undefined ? 'missing' : 'not the public key as it was written'}.` });
  return undefined;
}

/** What is shown against what is made anew: value by value, so that what differs is named, then letter by letter. */
async function shownWrong(folder: string, { files, program }: Manifest, anew: ReturnType<typeof filesOf>): Promise<Reasons> {
  const wrong: Reasons = [];
  for (const [path, right] of anew) {
    const shown = (await text(folder, path)) ?? '';
    if (shown !== right) wrong.push(...differences(shown, right).map((difference) => ({ code: 'FIGURE_DIFFERS', detail: `${path}: ${difference}` })));
  }
  for (const { path } of files) if (path.startsWith('figures/') && !anew.some(([name]) => name === path)) wrong.push({ code: 'FIGURE_UNKNOWN', detail: `${path} is nothing that a bundle shows.` });
  const isOther = wrong.length > 0 && program.version !== VERSION;
  return [...(isOther ? [{ code: 'PROGRAM_OTHER', detail: `The bundle says that version ${program.version} made it, and this is ${VERSION}: if that is all, version ${program.version} finds no difference.` }] : []), ...wrong];
}

async function recomputed(folder: string, said: Manifest, leastCoverage: number): Promise<{ readonly finding: Finding; readonly books: Verification | undefined }> {
  const looked = 'figures/';
  try {
    const told = streams.parse(JSON.parse((await text(folder, STREAMS)) ?? ''));
    return await using(await openBundle(folder, told), async (store) => {
      const book = said.book === null ? EMPTY_BOOK : await readBook(join(folder, said.book), undefined, BUNDLE_PATH);
      const anew = filesOf(await figuresOf(store, book, said.question));
      return { finding: { check: 'figures' as const, looked: `${anew.map(([path]) => path).join(', ')}, by program ${VERSION}`, reasons: await shownWrong(folder, said, anew) }, books: await verify(store, { ...spanOf(said.question), leastCoverage }) };
    });
  } catch (error) {
    const detail = error instanceof TelemetryError || error instanceof UsageError ? error.message : `The bundle can't be read: ${messageOf(error)}`;
    return { finding: { check: 'figures', looked, reasons: [{ code: 'BUNDLE_UNREADABLE', detail: detail.replaceAll(`${folder}/`, '') }] }, books: undefined };
  }
}

const NOT_LOOKED: Finding = { check: 'figures', looked: 'nothing: the bundle is not what it should be', nothing: true, reasons: [] };

/** Of what came over a network. @throws TelemetryError (`abort`) where it did not come whole */
export async function checkFiles(folder: string, said: string): Promise<Manifest> {
  const reasons = await notPlain(folder);
  const read = parseManifest(said === '' ? undefined : said, reasons);
  if (read) reasons.push(...(await filesWhole(folder, said, read)).reasons);
  const [first] = reasons;
  if (read && !first) return read;
  throw new TelemetryError('BUNDLE_DAMAGED', `What came is no whole bundle: ${first?.detail ?? ''}`, 'abort');
}

/** @param folder that may hold anything */
export async function checkEvidence(folder: string, { publicKey, leastCoverage }: CheckQuestion): Promise<Verification> {
  const reasons = await notPlain(folder);
  if (reasons.length > 0) return verificationOf([{ check: 'files', looked: 'what they are', reasons }], undefined, undefined);
  const said = await text(folder, MANIFEST);
  const read = parseManifest(said, reasons);
  if (said === undefined || !read) return verificationOf([{ check: 'files', looked: MANIFEST, reasons }], undefined, undefined);
  const files = await filesWhole(folder, said, read);
  const signature = await signatureRight(folder, said, read, publicKey);
  // What is not whole, or not of whom it should be, is not loaded.
  const { finding, books } = files.reasons.length + signature.reasons.length > 0 ? { finding: NOT_LOOKED, books: undefined } : await recomputed(folder, read, leastCoverage);
  return verificationOf([files, signature, finding], read, books);
}

function verificationOf(findings: readonly Finding[], said: Manifest | undefined, books: Verification | undefined): Verification {
  const reasons = [...findings.flatMap(toldOf), ...(books?.reasons ?? [])];
  return {
    closed: reasons.length === 0,
    from: said?.question.from ?? null,
    to: said?.question.to ?? null,
    checks: [...findings.map(({ check, looked, nothing = false, reasons: found }) => ({ check, closed: found.length > 0 ? false : nothing ? null : true, looked })), ...(books?.checks ?? [])],
    reasons,
    notes: [...(said?.notes ?? []).map((detail) => ({ check: 'files', code: 'NOT_AS_IT_WAS', detail })), ...(books?.notes ?? [])],
  };
}

/** Of a bundle that can't be unpacked. */
export const damagedBundle = (detail: string): Verification => verificationOf([{ check: 'files', looked: 'the tar file', reasons: [{ code: 'TAR_DAMAGED', detail }] }], undefined, undefined);
