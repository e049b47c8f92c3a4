/** What a weekly review is: the JSON contract. */
import { z } from 'zod';
import { flag } from '../join/report.js';

const pair = z.tuple([z.number().nullable(), z.number().nullable()]);

/** What can be reviewed, best first: the first that both weeks have. */
export const REVIEWED = ['costPerUsefulToken', 'energyCostPerUsefulToken', 'energyCostPerToken', 'joulesPerUsefulToken', 'joulesPerToken'] as const;

export const moved = z.object({
  /** By key of the cut; null where facts don't carry it. */
  group: z.record(z.string(), z.string().nullable()),
  /** The figure of this group alone, before and after. */
  ratio: pair,
  share: z.tuple([z.number(), z.number()]),
  rate: z.number(),
  mix: z.number(),
  unused: z.number(),
  effect: z.number(),
});
export type MovedGroup = z.infer<typeof moved>;

export const cut = z.object({
  by: z.array(z.string()),
  /** Largest effect first; with `rest` they add up to the change. */
  groups: z.array(moved),
  /** Of amounts that no group has a figure for, e.g. costs that no entry of the book fits. */
  rest: z.number(),
});
export type Cut = z.infer<typeof cut>;

const week = z.object({ week: z.string(), from: z.string(), to: z.string(), joules: z.number().nullable(), outputTokens: z.number().nullable(), usefulTokens: z.number().nullable(), /** All-in where both weeks have it, else that of energy. */ cost: z.number().nullable(), coverage: z.number().nullable() });

export const weeklyReview = z.object({
  statement: z.literal('weekly'),
  week: z.string(),
  zone: z.string(),
  boundary: z.string().nullable(),
  currency: z.string(),
  figure: z.enum(REVIEWED),
  unit: z.string(),
  before: week,
  after: week,
  /** The figure of both weeks, and their difference. */
  value: z.tuple([z.number(), z.number()]),
  change: z.number(),
  cuts: z.array(cut),
  /** Of either week. */
  flags: z.array(flag),
});
export type WeeklyReview = z.infer<typeof weeklyReview>;
