/**
 * What a report is: the JSON contract, once. A collector answers with it and a command line that asks a collector reads
 * it back. Units are in the names or beside them; null is "not measured".
 */
import { z } from 'zod';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { FIGURE_NAMES, type FigureName } from '../figures/table.js';
import { COST_ITEMS } from '../book/schema.js';
import { CLASSES } from './waste.js';

const measured = z.number().nullable();
const boundary = z.enum(BOUNDARIES);
/** Low and high end, in the unit of the figure of that name; null where that figure is, or where an end can't be told. */
const interval = z.tuple([z.number(), z.number()]).nullable();

/**
 * Where the truth may lie by what the sensors state: a bound for their gain (one sensor is off the same way all day), and
 * a 95 % interval for what was missed between readings; in a row of one phase widened by what the division between phases
 * may be off. Token counts are exact. It does not cover unmeasured time (that is `coverage`).
 */
export const uncertainty = z.object({
  joules: interval,
  /** The ratios divide by the joules that the basis counts. */
  joulesPerToken: interval,
  tokensPerWattSecond: interval,
  tokensPerKwh: interval,
  /** After PUE; absent without a price. */
  energyCostPerToken: interval.optional(),
});

export const flag = z.object({
  /** Stable and greppable, e.g. `LOW_COVERAGE`. */
  code: z.string(),
  detail: z.string(),
  /** How many cases; absent where it is one statement about the whole. */
  count: z.number().optional(),
});
export type Flag = z.infer<typeof flag>;

const byName = <Name extends string, Schema extends z.ZodType>(names: readonly Name[], schema: Schema): Record<Name, Schema> =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each name has an entry
  Object.fromEntries(names.map((name) => [name, schema])) as Record<Name, Schema>;

/** Bounds in s: histograms hold requests in buckets. */
const percentiles = z.object({ p50: interval, p95: interval, p99: interval }).nullable();

const spent = z.object({ requests: z.number(), inputTokens: z.number(), outputTokens: z.number(), /** J. */ joules: measured, /** All-in where other costs are stated, else energy alone. */ cost: measured });

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
  /** `useful`: of requests that were accepted inside their latency targets. */
  tokens: z.object({ input: measured, cachedInput: measured, output: measured, useful: measured }),
  /** Useful output tokens at the least and most, where a target falls inside a bucket of latencies. */
  usefulBounds: interval,
  tokensOutside: z.object({ input: measured, output: measured }),
  requests: z.object({ ok: measured, aborted: measured, failed: measured }).catchall(measured),
  /** What useful output and each kind of waste took: the classes add up to all requests that ended. */
  spending: z.object(byName(CLASSES, spent)).nullable(),
  /** Money by item, energy among them; null where none is stated for this row. */
  costs: z.object({ ...byName(COST_ITEMS, measured.optional()), energy: measured }).nullable(),
  ttft: percentiles,
  tpot: percentiles,
  /** One per figure of the table (figures/table.ts). */
  ...byName<FigureName, typeof measured>(FIGURE_NAMES, measured),
  /** null where the error of some of the energy is not stated, which is not "no error". */
  uncertainty: uncertainty.nullable(),
  flags: z.array(flag),
});
export type Row = z.infer<typeof row>;

/** How the energy of a boundary came about. */
export const method = z.object({ boundary, source: z.string(), method: z.string() });
export type Method = z.infer<typeof method>;

/** One boundary's energy. Boundaries contain each other and are never added: meter ⊇ server ⊇ module ⊇ gpu + cpu + dram. */
export const measuredBoundary = z.object({
  boundary,
  joules: measured,
  /** s of wall time observed. */
  seconds: measured,
  coverage: measured,
  /** How many. */
  devices: z.number(),
});
export type MeasuredBoundary = z.infer<typeof measuredBoundary>;

/** What a wide boundary shows beyond the narrower ones in it: fans, power supplies, CPUs that are not measured. */
export const other = z.object({
  of: z.enum(['server', 'meter', 'module']),
  /** J of the wide boundary − Σ J of the parts, over the time in which all of them were measured; null: see `note`. */
  joules: measured,
  /** That time / the time in which any of them was measured. */
  coverage: measured,
  /** What was subtracted, or why there is no figure. */
  note: z.string(),
});
export type Other = z.infer<typeof other>;

/** What a report was summed from: facts, or their sums by minute, hour or day. The same figures, but for what a flag says. */
export const readFrom = z.object({ resolution: z.enum(['facts', '1m', '1h', '1d']), /** Of the range. */ seconds: z.number() });

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
  /** Money per kWh at the meter, PUE and g/kWh: in the mean over the energy here, where they change. */
  price: measured,
  pue: measured,
  carbon: measured,
  /** ISO 4217. */
  currency: z.string(),
  /** Targets said for the whole question, s; null where the book's hold, or none. */
  slo: z.object({ ttft: measured, tpot: measured }).nullable(),
  /** Money for the highest mean power of a month, apart from all costs; present where a tariff has it. Null where that power is not known. */
  demand: z.array(z.object({ site: z.string().nullable(), month: z.string(), peakKw: measured, at: z.string().nullable(), cost: measured, coverage: measured })).optional(),
  coverage: measured,
  /** Of `total`. */
  uncertainty: uncertainty.nullable(),
  /** Every way in which energy of this question was measured, whichever boundary the figures are at. */
  methods: z.array(method),
  /** Present where no boundary was asked for and the report is whole or by node. */
  boundariesMeasured: z.array(measuredBoundary).optional(),
  /** Present with `boundariesMeasured`; null where no boundary contains another. */
  other: other.nullable().optional(),
  tokensOutside: row.shape.tokensOutside,
  /** Which resolution was read, finest first; absent where the store has one only. */
  resolution: z.array(readFrom).optional(),
  flags: z.array(flag),
  /** Everything in one row; not the sum of `rows` where a ratio or wall time is concerned. */
  total: row,
  rows: z.array(row),
});
export type Report = z.infer<typeof report>;
