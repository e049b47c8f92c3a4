/**
 * A month of four nodes at two sites, made up as facts of an hour (a recording in slices of 1 s would be 3600 times as many): load goes
 * with the hour of the day, sensors state ±2 %, and n2 is not seen on 12 October from 03:00 to 06:00Z. Facts begin before the month and
 * end after it in every zone.
 */
import type { Slice } from '@joulebook/shared/slice.js';
import { epochMicros, microjoules, seconds } from '@joulebook/shared/units.js';
import { batchOf } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';

const LENGTH = 3600;
const DAY = 86_400;
export const utc = (text: string): number => Date.parse(text) / 1000;
export const FIRST = utc('2026-09-30T12:00Z');
export const LAST = utc('2026-11-01T12:00Z');
export const GAP = { from: utc('2026-10-12T03:00Z'), to: utc('2026-10-12T06:00Z') };

export const NODES = [
  { node: 'n1', site: 'berlin', deployment: 'chat', model: 'llama-70b', decodeWatts: 640, tokensPerSecond: 900 },
  { node: 'n2', site: 'berlin', deployment: 'code', model: 'qwen-32b', decodeWatts: 520, tokensPerSecond: 1400 },
  { node: 'n3', site: 'ohio', deployment: 'chat', model: 'llama-70b', decodeWatts: 650, tokensPerSecond: 880 },
  { node: 'n4', site: 'ohio', deployment: 'batch', model: 'llama-70b', decodeWatts: 690, tokensPerSecond: 2100 },
] as const;
type Node = (typeof NODES)[number];
const IDLE_WATTS = 110;

/** Busy seconds of a slice: least at 03:00Z, most at 15:00Z. */
export const busySeconds = (at: number): number => Math.round(LENGTH * (0.5 - 0.35 * Math.cos((2 * Math.PI * ((at % DAY) - 3 * 3600)) / DAY)));
export const isSeen = ({ node }: Node, at: number): boolean => node !== 'n2' || at < GAP.from || at >= GAP.to;

function slicesAt({ site, deployment, model, decodeWatts, tokensPerSecond }: Node, at: number): Slice[] {
  const span = { from: epochMicros(at * 1e6), to: epochMicros((at + LENGTH) * 1e6), site, deployment, model, labels: { simulated: 'true' } };
  const busy = busySeconds(at);
  const energy = (phase: 'decode' | 'idle', length: number, power: number): Slice => {
    const drawn = power * length * 1e6;
    return {
      kind: 'energy', ...span, device: 'GPU-0', boundary: 'gpu', phase, microjoules: microjoules(drawn), modelledMicrojoules: microjoules(0), seconds: seconds(length), askedSeconds: seconds(length),
      lowMicrojoules: microjoules(Math.round(drawn * 0.98)), highMicrojoules: microjoules(Math.round(drawn * 1.02)), samplingVariance: 0, source: 'nvml', method: 'counter',
    };
  };
  const output = busy * tokensPerSecond;
  const requests = (outcome: 'ok' | 'aborted', share: number): Slice => ({
    kind: 'requests', ...span, outcome, requests: Math.max(1, Math.round((output * share) / 300)), inputTokens: Math.round(3 * output * share), cachedInputTokens: Math.round(output * share), outputTokens: Math.round(output * share), ttftBucket: -3, tpotBucket: -20,
  });
  return [
    energy('decode', busy, decodeWatts), energy('idle', LENGTH - busy, IDLE_WATTS),
    { kind: 'tokens', ...span, token: 'output', count: output }, { kind: 'tokens', ...span, token: 'input', count: 3 * output }, { kind: 'tokens', ...span, token: 'cachedInput', count: output },
    requests('ok', 0.95), requests('aborted', 0.05),
  ];
}

/** A batch per node and day. @param said the first days or one site only, where that is enough */
export async function fillMonth(store: Store, { days = Infinity, site }: { readonly days?: number; readonly site?: Node['site'] } = {}): Promise<void> {
  for (const each of NODES.filter((node) => site === undefined || node.site === site)) {
    for (let day = FIRST, sequence = 0; day < LAST && sequence < days; day += DAY, sequence += 1) {
      const times = Array.from({ length: DAY / LENGTH }, (_, index) => day + index * LENGTH).filter((at) => at < LAST && isSeen(each, at));
      await store.append(batchOf(times.flatMap((at) => slicesAt(each, at)), { node: each.node, sequence }));
    }
  }
}

/** µJ, seconds and tokens of a node between two times, added up slice by slice. */
export function expected(node: string, from: number, to: number): { readonly joules: number; readonly outputTokens: number; readonly seconds: number } {
  let [joules, outputTokens, observed] = [0, 0, 0];
  const each = NODES.find((known) => known.node === node);
  if (!each) throw new Error(`no node ${node}`);
  for (let at = FIRST; at < LAST; at += LENGTH) {
    if (at < from || at >= to || !isSeen(each, at)) continue;
    const busy = busySeconds(at);
    joules += busy * each.decodeWatts + (LENGTH - busy) * IDLE_WATTS;
    outputTokens += busy * each.tokensPerSecond;
    observed += LENGTH;
  }
  return { joules, outputTokens, seconds: observed };
}

export const MONTH_BOOK = `
currency: EUR
sites:
  berlin:
    tariff:
      zone: Europe/Berlin
      holidays: DE-BE
      periods: [{ name: peak, price: 0.31, days: [mon-fri], from: "08:00", to: "20:00" }, { name: off-peak, price: 0.22 }]
      demand: { pricePerKw: 11.2, interval: 1h }
    pue: 1.3
    carbon: { location: 340, market: 40 }
  ohio:
    zone: America/New_York
    tariff: { series: { file: prices.csv } }
    pue: 1.2
    carbon: { location: 450 }
costs:
  - { item: gpu, perGpuHour: 2 }
slo:
  - { ttft: 2s, tpot: 50ms }
`;
/** By the hour, over the whole month and its edges. */
export const PRICES = ['from,to,value', ...Array.from({ length: (LAST - FIRST) / 3600 }, (_, hour) => `${new Date((FIRST + hour * 3600) * 1000).toISOString()},${new Date((FIRST + (hour + 1) * 3600) * 1000).toISOString()},${(0.08 + (hour % 24) / 1000).toFixed(3)}`)].join('\n');
