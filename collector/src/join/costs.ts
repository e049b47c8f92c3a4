/**
 * What serving costs beside energy, by the GPUs' time. An hour of a GPU is paid for whether it works or not, so time is what
 * should have been seen of it:
 *
 *   perGpuHour   × GPU hours of the row
 *   perHour      × hours, divided over rows by their share of all GPU time that the entry fits
 *   purchase     (price − residual) / lifetime, then as perHour
 *   shareOfGpu   × what the row's GPUs cost
 */
import { quantity, type Seconds } from '@joulebook/shared/units.js';
import { fitsWhere } from '../book/fitting.js';
import type { CostItem, CostText } from '../book/schema.js';
import type { Money } from '../figures/sums.js';
import type { Part } from './subgroups.js';

const HOURS_PER_YEAR = 8766;

/** Money by item; null where no entry fits any of the row's time, or none is stated. */
export type Costs = Partial<Readonly<Record<CostItem, number>>>;

const gpuSeconds = (parts: readonly Part<'booked'>[], entry: CostText): number => parts.reduce((sum, { said, sum: { sums } }) => sum + (fitsWhere(entry.where, said) ? sums.askedSeconds : 0), 0);

function perHour({ perHour: said, purchase }: CostText): number | undefined {
  return purchase ? (purchase.price - purchase.residual) / (purchase.years * HOURS_PER_YEAR) : said;
}

/**
 * @param parts GPU time of the row
 * @param all GPU time of everything in the same time, the row's included
 * @param length of that time
 */
export function costsOf(entries: readonly CostText[], parts: readonly Part<'booked'>[], all: readonly Part<'booked'>[], length: Seconds): Costs | null {
  const costs = new Map<CostItem, number>();
  const add = (item: CostItem, amount: number): void => void costs.set(item, (costs.get(item) ?? 0) + amount);
  for (const entry of entries.filter(({ shareOfGpu }) => shareOfGpu === undefined)) {
    const own = gpuSeconds(parts, entry);
    if (own <= 0) continue;
    const hourly = perHour(entry);
    if (entry.perGpuHour !== undefined) add(entry.item, (entry.perGpuHour * own) / 3600);
    else if (hourly !== undefined) add(entry.item, (hourly * length * own) / 3600 / gpuSeconds(all, entry));
  }
  const gpu = costs.get('gpu') ?? 0;
  const whole = parts.reduce((sum, { sum: { sums } }) => sum + sums.askedSeconds, 0);
  for (const entry of entries) if (entry.shareOfGpu !== undefined && gpu > 0 && whole > 0) add(entry.item, (entry.shareOfGpu * gpu * gpuSeconds(parts, entry)) / whole);
  return costs.size === 0 ? null : Object.fromEntries(costs);
}

export const sumOfCosts = (costs: Costs | null): Money | null => (costs === null ? null : quantity(Object.values(costs).reduce((sum, cost) => sum + cost, 0)));
