/**
 * The book as a bundle has it: what figures are made of, with the series that it names beside it. Rules of alerts are left out, since where
 * they tell people may be secret; in place of a provider stands what it had told.
 */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { parse, stringify } from 'yaml';
import type { Book } from '../book/book.js';
import { formatTime } from '../join/times.js';
import type { Span } from '../rates/pieces.js';

const KEPT: readonly string[] = ['currency', 'sites', 'costs', 'slo', 'outcomes'];

interface Copying {
  /** Of the book that is copied, and to where. */
  readonly from: string;
  readonly to: string;
  readonly book: Book;
  readonly span: Span;
  readonly notes: string[];
  files: number;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value);

async function copySeries(file: string, copying: Copying): Promise<string> {
  copying.files += 1;
  const name = `${copying.files}-${basename(file).replaceAll(/[^\w.-]/g, '_')}`;
  await copyFile(resolve(copying.from, file), join(copying.to, name));
  return name;
}

/** @returns undefined where it has told nothing of the time */
async function toldBy(path: readonly string[], copying: Copying): Promise<unknown> {
  const [, site = '', , kind] = path;
  const rates = copying.book.sites.get(site);
  const pieces = (kind === 'market' ? rates?.market : rates?.location)?.(copying.span).filter(({ value }) => value !== null) ?? [];
  const doubts = new Set(rates?.doubt(copying.span).flatMap(({ value }) => (value === null ? [] : [value.kind])));
  copying.notes.push(`${path.join('.')}: what its provider had told when the bundle was made${doubts.size > 0 ? `, some of it in doubt (${[...doubts].join(', ')})` : ''}.`);
  if (pieces.length === 0) return undefined;
  copying.files += 1;
  const name = `${copying.files}-provided.csv`;
  await writeFile(join(copying.to, name), ['from,to,value', ...pieces.map(({ from, to, value }) => `${formatTime(from)},${formatTime(to)},${value}`), ''].join('\n'));
  return { file: name };
}

async function copied(value: unknown, path: readonly string[], copying: Copying): Promise<unknown> {
  if (Array.isArray(value)) return Promise.all(value.map((each, index) => copied(each, [...path, String(index)], copying)));
  if (!isObject(value)) return value;
  if (path[0] === 'sites' && 'provider' in value) return toldBy(path, copying);
  const entries: [string, unknown][] = [];
  for (const [name, each] of Object.entries(value)) {
    const isSeries = path[0] === 'sites' && name === 'file' && typeof each === 'string';
    const next = isSeries ? await copySeries(each, copying) : await copied(each, [...path, name], copying);
    if (next !== undefined) entries.push([name, next]);
  }
  return Object.fromEntries(entries);
}

/**
 * @param file a book that was read without fault as `book`
 * @returns what is not as it was
 */
export async function copyBook(file: string, book: Book, span: Span, to: string): Promise<readonly string[]> {
  await mkdir(to, { recursive: true });
  const text: unknown = parse(await readFile(file, 'utf8'));
  const kept = Object.fromEntries(Object.entries(isObject(text) ? text : {}).filter(([name]) => KEPT.includes(name)));
  const copying: Copying = { from: dirname(resolve(file)), to, book, span, notes: [], files: 0 };
  await writeFile(join(to, 'book.yaml'), stringify(await copied(kept, [], copying)));
  return copying.notes;
}
