/** What `waste` answers: the JSON contract, once. Units are in the names or beside them; null is "not known", never 0. */
import { z } from 'zod';
import { flag } from '../join/report.js';
import { KINDS } from './kinds.js';

const measured = z.number().nullable();
const kind = z.enum(KINDS);

const amounts = z.object({
  /** J at boundary gpu, before PUE; null of throttling, which draws no more energy. */
  joules: measured,
  /** Of those. */
  kwh: measured,
  /** GPU hours: idle, spent on wasted output, or what tokens that were not produced would have taken. */
  gpuHours: measured,
  /** Of throttling: s of GPUs. */
  seconds: measured,
  /** Output that was wasted, or was not produced. */
  tokens: measured,
  /** Of throttling: had a throttled GPU made nothing. */
  tokensAtMost: measured,
  requests: measured,
  /** After PUE, at the price of its time; and with everything else that the book charges. */
  energyCost: measured,
  allInCost: measured,
  /** g, after PUE, by where the grid is and by what was bought. */
  carbonGrams: measured,
  carbonGramsMarket: measured,
});
export type Amounts = z.infer<typeof amounts>;

const finding = amounts.extend({ kind, /** One entry per key of `by`; null where it can't be told by it. */ group: z.record(z.string(), z.string().nullable()) });
export type Finding = z.infer<typeof finding>;

export const waste = z.object({
  from: z.string().nullable(),
  to: z.string().nullable(),
  currency: z.string(),
  /** s: how finely it was looked at what gauges say. */
  step: z.number(),
  /** J: each measured joule is in one of these. */
  account: z.object({ joules: z.number(), serving: z.number(), idle: z.number(), unknown: z.number(), /** A part of serving. */ wastedOutput: measured }),
  /** Of a kind all findings together, with what to do. */
  kinds: z.array(amounts.extend({ kind, findings: z.number(), remedy: z.string() })),
  /** The dearest first. */
  findings: z.array(finding),
  /** Kinds for which what they are known by was not collected: that is not "none". */
  notSeen: z.array(z.object({ kind, /** GPUs of which it is not told, of all. */ gpus: z.number(), of: z.number(), needs: z.array(z.string()), detail: z.string() })),
  flags: z.array(flag),
});
export type Waste = z.infer<typeof waste>;
