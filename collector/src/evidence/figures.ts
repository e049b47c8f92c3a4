/** What a bundle shows, made from its own facts and its own book: the same when it is made and whenever it is checked. */
import { join } from 'node:path';
import { z } from 'zod';
import type { Book } from '../book/book.js';
import type { Report } from '../join/report.js';
import { parseTime } from '../join/times.js';
import { buildReport } from '../report/build.js';
import { monthlyStatementOf } from '../statements/monthly.js';
import { renderStatement } from '../statements/render.js';
import type { MonthlyStatement } from '../statements/statement.js';
import { openDuckdb } from '../store/duckdb.js';
import type { StreamSeen } from '../store/ledger.js';
import { remembering } from '../store/remembering.js';
import type { SliceKind } from '@joulebook/shared/slice.js';
import type { Store } from '../store/store.js';
import { epochMicros } from '@joulebook/shared/units.js';
import type { Span } from '../rates/pieces.js';
import type { Verification } from '../verify/verification.js';
import { verify } from '../verify/verify.js';
import type { Manifest } from './manifest.js';

export const STREAMS = 'streams.json';
export const LEAST_COVERAGE = 0.95;

export const factsPath = (kind: SliceKind): string => `facts/${kind}.parquet`;

export interface Figures {
  readonly report: Report;
  readonly statement: MonthlyStatement;
  readonly books: Verification;
}

const micros = z.number().transform(epochMicros);
const optionalMicros = micros.optional();
const gap = { first: z.number(), last: z.number(), from: optionalMicros, to: optionalMicros };
/** As JSON leaves them: a time that is not known is left out. */
export const streams = z.array(z.strictObject({
  stream: z.string(), node: z.string(), lowWater: z.number(), highest: z.number(), lastSeen: micros,
  missing: z.array(z.strictObject({ ...gap, since: micros })), lost: z.array(z.strictObject({ ...gap, at: micros })),
}));

const known = <G extends { readonly from?: StreamSeen['missing'][number]['from']; readonly to?: StreamSeen['missing'][number]['to'] }>(each: G) => ({ ...each, from: each.from, to: each.to });
const seenOf = (told: z.infer<typeof streams>): StreamSeen[] => told.map((stream) => ({ ...stream, missing: stream.missing.map(known), lost: stream.lost.map(known) }));

/** The facts of a bundle as a store in memory, which knows of its streams what the bundle says. */
export async function openBundle(folder: string, told: z.infer<typeof streams>): Promise<Store> {
  const path = (kind: SliceKind): string => join(folder, factsPath(kind));
  const store = await openDuckdb(':memory:', { facts: { energy: path('energy'), tokens: path('tokens'), requests: path('requests'), gauge: path('gauge'), flag: path('flag') } });
  return { ...store, streams: () => Promise.resolve(seenOf(told)) };
}

export function spanOf({ from, to }: Manifest['question']): Span {
  const [begin, end] = [parseTime(from), parseTime(to)];
  if (begin === undefined || end === undefined) throw new Error('a manifest has times');
  return { from: begin, to: end };
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** The text of each file that shows them. */
export const filesOf = ({ report, statement, books }: Figures): readonly (readonly [path: string, text: string])[] => [
  ['figures/report.json', json(report)], ['figures/statement.json', json(statement)], ['figures/statement.html', renderStatement(statement, 'html')], ['figures/books.json', json(books)],
];

/** @throws TelemetryError where there are no facts */
export async function figuresOf(plain: Store, book: Book, question: Manifest['question']): Promise<Figures> {
  const store = remembering(plain);
  const span = spanOf(question);
  const { boundary, price, pue, carbon } = question;
  return {
    statement: await monthlyStatementOf(store, book, { period: span, site: undefined, boundary: boundary ?? undefined, price: price ?? undefined, pue: pue ?? undefined, carbon: carbon ?? undefined }),
    report: await buildReport(store, { ...span, by: ['site', 'model'], step: undefined, boundary: boundary ?? undefined, where: [], basis: 'all', price, pue, carbon, slo: undefined }, '', book),
    books: await verify(store, { ...span, leastCoverage: LEAST_COVERAGE }),
  };
}
