/** What is in a batch, in sums: so that one that is lost can be accounted for. */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { decodeBatch } from '@joulebook/shared/batch.js';
import { BOUNDARIES, TOKEN_KINDS, type Slice } from '@joulebook/shared/slice.js';
import { z } from 'zod';

const inflate = promisify(gunzip);

const whole = z.string().regex(/^\d{1,30}$/).transform(BigInt);

/** As it is kept in a file: JSON has no whole numbers beyond 2^53, and a node's day in µJ is near it. */
export const contentSchema = z.object({
  /** µs since 1970; absent where nothing in it has a time, or it can't be read. */
  from: z.int().optional(),
  to: z.int().optional(),
  microjoules: z.partialRecord(z.enum(BOUNDARIES), whole),
  tokens: z.partialRecord(z.enum(TOKEN_KINDS), z.int()),
  requests: z.int(),
});
export type Content = Readonly<z.output<typeof contentSchema>>;

export const NO_CONTENT: Content = { microjoules: {}, tokens: {}, requests: 0 };

/** Boundaries overlap, so each has its own sum. Flags and gauges are no amounts. */
export function contentOf(slices: readonly Slice[]): Content {
  const sum: z.output<typeof contentSchema> = { microjoules: {}, tokens: {}, requests: 0 };
  for (const slice of slices) {
    sum.from = Math.min(sum.from ?? slice.from, slice.from);
    sum.to = Math.max(sum.to ?? slice.to, slice.to);
    if (slice.kind === 'energy') sum.microjoules[slice.boundary] = (sum.microjoules[slice.boundary] ?? 0n) + BigInt(slice.microjoules);
    else if (slice.kind === 'tokens') sum.tokens[slice.token] = (sum.tokens[slice.token] ?? 0) + slice.count;
    else if (slice.kind === 'requests') sum.requests += slice.requests;
  }
  return sum;
}

/** Of a record of the spool. What can't be read is a batch all the same: its content is not known. */
export async function contentOfRecord(payload: Buffer): Promise<Content> {
  try {
    const plain = payload[0] === 0x1f && payload[1] === 0x8b ? await inflate(payload) : payload;
    return contentOf(decodeBatch(plain.toString()).slices);
  } catch {
    return NO_CONTENT;
  }
}

export function addContent(a: Content, b: Content): Content {
  const least = Math.min(a.from ?? Infinity, b.from ?? Infinity);
  const most = Math.max(a.to ?? -Infinity, b.to ?? -Infinity);
  return {
    ...(least < Infinity && { from: least }),
    ...(most > -Infinity && { to: most }),
    microjoules: Object.fromEntries(BOUNDARIES.flatMap((key) => (key in a.microjoules || key in b.microjoules ? [[key, (a.microjoules[key] ?? 0n) + (b.microjoules[key] ?? 0n)] as const] : []))),
    tokens: Object.fromEntries(TOKEN_KINDS.flatMap((key) => (key in a.tokens || key in b.tokens ? [[key, (a.tokens[key] ?? 0) + (b.tokens[key] ?? 0)] as const] : []))),
    requests: a.requests + b.requests,
  };
}

/** For JSON. */
export const contentText = ({ microjoules, ...rest }: Content): z.input<typeof contentSchema> => ({ ...rest, microjoules: Object.fromEntries(Object.entries(microjoules).map(([boundary, sum]) => [boundary, String(sum)])) });
