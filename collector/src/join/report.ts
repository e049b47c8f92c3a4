/**
 * What a report is: the JSON contract, once. A collector answers with it and a command line that asks a collector reads
 * it back. Units are in the names or beside them; null is "not measured".
 */
import { z } from 'zod';
import { BOUNDARIES } from '@joulebook/shared/slice.js';

const measured = z.number().nullable();

export const flag = z.object({
  /** Stable and greppable, e.g. `LOW_COVERAGE`. */
  code: z.string(),
  detail: z.string(),
  /** How many cases; absent where it is one statement about the whole. */
  count: z.number().optional(),
});
export type Flag = z.infer<typeof flag>;

export const row = z.object({
  /** One entry per key of `by`; null for facts that don't carry the key. */
  group: z.record(z.string(), z.string().nullable()),
  from: z.string().nullable(),
  to: z.string().nullable(),
  /** J at the report's boundary, before PUE. */
  joules: measured,
  /** The part of `joules` divided by a model. */
  modelledJoules: measured,
  /** s of wall time observed. */
  seconds: measured,
  /** s, Σ over devices. */
  deviceSeconds: measured,
  /** W = joules / seconds. */
  watts: measured,
  coverage: measured,
  tokens: z.object({ input: measured, cachedInput: measured, output: measured, useful: measured }),
  tokensOutside: z.object({ input: measured, output: measured }),
  requests: z.object({ ok: measured, aborted: measured, failed: measured }).catchall(measured),
  tokensPerWattSecond: measured,
  tokensPerKwh: measured,
  joulesPerToken: measured,
  /** Money in `currency`, after PUE. */
  energyCost: measured,
  energyCostPerToken: measured,
  /** g, after PUE. */
  carbonGrams: measured,
  uncertainty: z.record(z.string(), z.tuple([z.number(), z.number()])).nullable(),
  flags: z.array(flag),
});
export type Row = z.infer<typeof row>;

const boundary = z.enum(BOUNDARIES);

export const report = z.object({
  from: z.string().nullable(),
  to: z.string().nullable(),
  /** null: no energy at all and none asked for by name. */
  boundary: boundary.nullable(),
  /** Boundaries that have energy facts here. They overlap and are never added. */
  boundaries: z.array(boundary),
  basis: z.enum(['all', 'serving']),
  /** s; null without time steps. */
  step: measured,
  price: measured,
  pue: z.number(),
  /** g/kWh. */
  carbon: measured,
  currency: z.literal('USD'),
  coverage: measured,
  tokensOutside: row.shape.tokensOutside,
  flags: z.array(flag),
  /** Everything in one row; not the sum of `rows` where a ratio or wall time is concerned. */
  total: row,
  rows: z.array(row),
});
export type Report = z.infer<typeof report>;
