/**
 * The book: what energy is worth, what serving costs beside it, and which output is useful. One YAML file (setting `book`):
 *
 *     currency: USD
 *     sites:
 *       default:                          # facts of a site that has no entry, or of none
 *         tariff: { price: 0.17 }
 *         pue: 1.25
 *         carbon: { location: 381, market: 0 }
 *       berlin:
 *         tariff:
 *           zone: Europe/Berlin
 *           holidays: DE-BE
 *           periods:
 *             - { name: peak, price: 0.31, days: [mon-fri], from: "08:00", to: "20:00" }
 *             - { name: off-peak, price: 0.22 }
 *           demand: { pricePerKw: 11.2, interval: 15m }
 *         pue: { file: pue.csv }
 *         carbon: { location: { file: grid.csv } }    # or { provider: … } (providing.ts)
 *     costs:
 *       - { item: gpu, perGpuHour: 2.49 }
 *       - { item: gpu, purchase: { price: 280000, years: 4 }, where: { node: [h100-01, h100-02] } }
 *       - { item: engineering, perHour: 40, where: { deployment: chat } }
 *     slo:                                # the first whose `where` fits
 *       - { ttft: 2s, tpot: 50ms, where: { deployment: chat } }
 *     outcomes:                           # where requests are not told one by one
 *       - { sloSuccess: 0.96, accepted: 0.97, where: { deployment: batch } }
 */
import { duration } from '@joulebook/shared/settings.js';
import { z } from 'zod';
import { alerting } from './alerting.js';
import { doubts, providedOr } from './providing.js';
import { where } from './where.js';

const name = z.string().min(1);
const amount = z.number().min(0, 'must not be negative');
const share = z.number().min(0, 'must be between 0 and 1').max(1, 'must be between 0 and 1');

const series = z.strictObject({ file: name, column: name.optional(), zone: name.default('UTC') });
export type SeriesFile = z.infer<typeof series>;

const demand = z.strictObject({ pricePerKw: amount, interval: duration.default(900), zone: name.optional() });
const period = z.strictObject({ name, price: z.number(), days: z.array(name).min(1).optional(), from: name.optional(), to: name.optional(), months: z.array(z.union([name, z.number().transform(String)])).min(1).optional() });
const tariff = z
  .strictObject({ currency: name.optional(), price: z.number().optional(), series: series.optional(), zone: name.optional(), holidays: z.union([name, z.array(name)]).optional(), periods: z.array(period).min(1).optional(), demand: demand.optional() })
  .superRefine(({ price, series: file, periods, zone }, context) => {
    const kinds = [price, file, periods].filter((kind) => kind !== undefined).length;
    if (kinds !== 1) context.addIssue('say one of price, series and periods');
    if (periods && zone === undefined) context.addIssue({ code: 'custom', path: ['zone'], message: 'hours of the day need one, e.g. Europe/Berlin' });
  });

/** `untold`: of a provider that told nothing, in the book of an evidence bundle. */
const intensity = providedOr(z.union([amount, series, z.literal('untold')]));
const site = z.strictObject({
  /** Of its months and weeks; that of the tariff where not said. */
  zone: name.optional(),
  tariff: tariff.optional(),
  pue: z.union([z.number().min(1, 'must be at least 1'), series]).optional(),
  carbon: z.strictObject({ location: intensity.optional(), market: intensity.optional(), doubts: doubts.optional() }).optional(),
});
export type SiteText = z.infer<typeof site>;

/** Energy is measured, so it is no item here. */
export const COST_ITEMS = ['gpu', 'cpuMemoryStorageNetwork', 'orchestration', 'idleHeadroom', 'engineering'] as const;
export type CostItem = (typeof COST_ITEMS)[number];
const purchase = z.strictObject({ price: amount, years: z.number().positive('must be above 0'), residual: amount.default(0) });
const cost = z
  .strictObject({ item: z.enum(COST_ITEMS), perGpuHour: amount.optional(), perHour: amount.optional(), purchase: purchase.optional(), shareOfGpu: share.optional(), where })
  .superRefine((said, context) => {
    const kinds = [said.perGpuHour, said.perHour, said.purchase, said.shareOfGpu].filter((kind) => kind !== undefined).length;
    if (kinds !== 1) context.addIssue('say one of perGpuHour, perHour, purchase and shareOfGpu');
    if (said.shareOfGpu !== undefined && said.item === 'gpu') context.addIssue({ code: 'custom', path: ['shareOfGpu'], message: 'is for other items than gpu' });
  });
export type CostText = z.infer<typeof cost>;

const slo = z.strictObject({ ttft: duration.optional(), tpot: duration.optional(), where }).refine(({ ttft, tpot }) => ttft !== undefined || tpot !== undefined, 'say ttft, tpot or both');
export type SloText = z.infer<typeof slo>;
const outcome = z.strictObject({ sloSuccess: share.default(1), accepted: share.default(1), where });
export type OutcomeText = z.infer<typeof outcome>;

export const bookSchema = z.strictObject({
  /** ISO 4217. */
  currency: z.string().regex(/^[A-Z]{3}$/, 'write an ISO 4217 code, e.g. USD').default('USD'),
  sites: z.record(name, site).default({}),
  costs: z.array(cost).default([]),
  slo: z.array(slo).default([]),
  outcomes: z.array(outcome).default([]),
  ...alerting,
});
export type BookText = z.infer<typeof bookSchema>;
