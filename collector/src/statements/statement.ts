/** What a sustainability statement is: the JSON contract. A collector answers with it, a schedule writes it, an evidence bundle holds it. */
import { z } from 'zod';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { flag, method, report } from '../join/report.js';
import { COLUMN_NAMES, type ColumnName } from './columns.js';

const measured = z.number().nullable();
const figuresOfColumns = Object.fromEntries(COLUMN_NAMES.map((name) => [name, measured]));
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each name has an entry
const figures = figuresOfColumns as Record<ColumnName, typeof measured>;

export const line = z.object({ model: z.string().nullable(), ...figures, flags: z.array(flag) });
export type Line = z.infer<typeof line>;

export const siteStatement = z.object({
  /** null: facts that name no site. */
  site: z.string().nullable(),
  zone: z.string(),
  /** UTC, and as the zone's clocks show it. */
  from: z.string(),
  to: z.string(),
  localFrom: z.string(),
  localTo: z.string(),
  boundary: z.enum(BOUNDARIES).nullable(),
  /** What the figures are of, by which methods, and what is not in them: sentences for people. */
  method: z.array(z.string()),
  notMeasured: z.array(z.string()),
  methods: z.array(method),
  total: line,
  /** By model; null is energy and tokens that name none. */
  models: z.array(line),
  demand: report.shape.demand,
  gaps: z.array(z.object({ node: z.string(), from: z.string(), to: z.string(), /** Not seen, Σ over its devices. */ deviceSeconds: z.number() })),
  /** Not seen in stretches too short to be listed, Σ over devices. */
  shortGapSeconds: z.number(),
  flags: z.array(flag),
});
export type SiteStatement = z.infer<typeof siteStatement>;

export const monthlyStatement = z.object({
  statement: z.literal('monthly'),
  /** `2026-10`, or the range that was asked. */
  period: z.string(),
  currency: z.string(),
  sites: z.array(siteStatement),
});
export type MonthlyStatement = z.infer<typeof monthlyStatement>;
