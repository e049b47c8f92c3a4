/**
 * The book as a bundle has it: what figures are made of, with the series that it names beside it, all as they were read. Rules of alerts are left out, since where
 * they tell people may be secret; in place of a provider stands what it had told, and how sure that was.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { Book } from '../book/book.js';
import { formatTime } from '../join/times.js';
import type { Span } from '../rates/pieces.js';

const KEPT: readonly string[] = ['currency', 'sites', 'costs', 'slo', 'outcomes'];

interface Copying {
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
  await writeFile(join(copying.to, name), copying.book.source.series.get(file) ?? '');
  return name;
}

async function toldBy(path: readonly string[], copying: Copying): Promise<unknown> {
  const [, site = '', , kind] = path;
  const rates = copying.book.sites.get(site);
  const pieces = (kind === 'market' ? rates?.market : rates?.location)?.(copying.span).filter(({ value }) => value !== null) ?? [];
  const doubts = new Set(rates?.doubt(copying.span).flatMap(({ value }) => (value === null ? [] : [value.kind])));
  copying.notes.push(`${path.join('.')}: what its provider had told when the bundle was made${doubts.size > 0 ? `, some of it in doubt (${[...doubts].join(', ')})` : ''}.`);
  if (pieces.length === 0) return 'untold';
  copying.files += 1;
  const name = `${copying.files}-provided.csv`;
  await writeFile(join(copying.to, name), ['from,to,value', ...pieces.map(({ from, to, value }) => `${formatTime(from)},${formatTime(to)},${value}`), ''].join('\n'));
  return { file: name };
}

/** None where a site has no provider. */
function doubtsAt(site: string, { book, span }: Copying): [string, unknown][] {
  const doubts = (book.sites.get(site)?.doubt(span) ?? []).flatMap(({ from, to, value }) => (value === null ? [] : [{ from: formatTime(from), to: formatTime(to), ...value, ...('since' in value && { since: formatTime(value.since) }) }]));
  return doubts.length === 0 ? [] : [['doubts', doubts]];
}

async function copied(value: unknown, path: readonly string[], copying: Copying): Promise<unknown> {
  if (Array.isArray(value)) return Promise.all(value.map((each, index) => copied(each, [...path, String(index)], copying)));
  if (!isObject(value)) return value;
  if (path[0] === 'sites' && 'provider' in value) return toldBy(path, copying);
  const entries: [string, unknown][] = path[0] === 'sites' && path[2] === 'carbon' && path.length === 3 ? doubtsAt(path[1] ?? '', copying) : [];
  for (const [name, each] of Object.entries(value)) {
    const isSeries = path[0] === 'sites' && name === 'file' && typeof each === 'string';
    const next = isSeries ? await copySeries(each, copying) : await copied(each, [...path, name], copying);
    entries.push([name, next]);
  }
  return Object.fromEntries(entries);
}

/** @returns what is not as it was */
export async function copyBook(book: Book, span: Span, to: string): Promise<readonly string[]> {
  await mkdir(to, { recursive: true });
  const text: unknown = parse(book.source.text);
  const kept = Object.fromEntries(Object.entries(isObject(text) ? text : {}).filter(([name]) => KEPT.includes(name)));
  const copying: Copying = { to, book, span, notes: [], files: 0 };
  await writeFile(join(to, 'book.yaml'), stringify(await copied(kept, [], copying)));
  return copying.notes;
}
