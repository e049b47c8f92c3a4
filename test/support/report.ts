/** The JSON of `report`, as the contract says: what is read of it is checked. */
import { z } from 'zod';

const flag = z.object({ code: z.string(), detail: z.string() });
const amount = z.number().nullable();
const row = z.object({
  group: z.record(z.string(), z.string().nullable()),
  from: z.string(),
  to: z.string(),
  joules: amount,
  modelledJoules: amount,
  seconds: amount,
  deviceSeconds: amount,
  watts: amount,
  coverage: amount,
  tokens: z.object({ input: amount, cachedInput: amount, output: amount, useful: amount }),
  tokensOutside: z.object({ input: amount, output: amount }),
  requests: z.record(z.string(), amount),
  tokensPerWattSecond: amount,
  tokensPerKwh: amount,
  joulesPerToken: amount,
  energyCost: amount,
  energyCostPerToken: amount,
  carbonGrams: amount,
  uncertainty: z.object({ joules: z.tuple([z.number(), z.number()]).nullable() }).nullable(),
  flags: z.array(flag),
});
export const reportSchema = z.object({
  from: z.string(),
  to: z.string(),
  boundary: z.string().nullable(),
  basis: z.enum(['all', 'serving']),
  pue: z.number(),
  currency: z.string(),
  coverage: amount,
  flags: z.array(flag),
  rows: z.array(row),
});
export type Report = z.output<typeof reportSchema>;
export type Row = Report['rows'][number];
