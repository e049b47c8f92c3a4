/** What a provider had told goes into a bundle with how sure it was, so that figures made of the bundle have the same reservations. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import { readBook } from '../book/book.js';
import { valuationOf } from '../book/valuation.js';
import { openShelf } from '../rates/shelf.js';
import { copyBook } from './book-copy.js';

const hour = (after: number) => epochMicros(Date.parse('2026-11-22T00:00Z') * 1000 + after * 3600e6);

it('keeps what was estimated, what the last value stands in for, and what nobody told', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'book-copy-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const shelf = openShelf(join(folder, 'rates'));
  await writeFile(join(folder, 'book.yaml'), 'sites:\n  a: { carbon: { location: { provider: electricitymaps, zone: DE, tokenFile: t, lastGoodFor: 2h } } }\n  b: { carbon: { location: 100, market: { provider: electricitymaps, zone: FR, tokenFile: t } } }\n');
  const entry = (await readBook(join(folder, 'book.yaml'), shelf)).providers[0];
  if (!entry) throw new Error('the book has a provider');
  await shelf.add(entry, [1, 2, 4].map((at) => ({ from: hour(at), to: hour(at + 1), grams: 300 + at, estimated: at === 2 })), undefined);
  const book = await readBook(join(folder, 'book.yaml'), shelf);
  const span = { from: hour(0), to: hour(9) };
  await copyBook(book, span, join(folder, 'copy'));
  const copy = await readBook(join(folder, 'copy', 'book.yaml'));
  for (const site of ['a', 'b']) for (const rate of ['location', 'market', 'doubt'] as const) expect([site, rate, copy.sites.get(site)?.[rate](span)]).toEqual([site, rate, book.sites.get(site)?.[rate](span)]);
  expect([copy, book].map(({ sites }) => sites.get('b')?.steady)).toEqual([{ price: null, pue: 1, location: 100, market: 'changes' }, { price: null, pue: 1, location: 100, market: 'changes' }]);
  const said = { price: null, pue: null, carbon: null };
  const { doubts } = valuationOf(copy, said, span);
  expect(doubts).toEqual(valuationOf(book, said, span).doubts);
  expect(doubts).toMatchObject({ last: [expect.stringContaining('electricitymaps DE has told it until 2026-11-22T05:00:00.000Z, 2 h before')], untold: ['electricitymaps DE', 'electricitymaps FR'] });
});
