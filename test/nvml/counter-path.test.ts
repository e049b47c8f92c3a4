/**
 * Energy from counters, held to the truth without a tolerance: an hour of NVML under a simulated clock, through its real
 * ABI, the board's code and the integrator; and a counter with RAPL's range.
 */
import { integrator, type Gap, type Span } from '@joulebook/agent/sampler/integrator.js';
import { openNvmlSession } from '@joulebook/agent/sources/power/nvidia/nvml-session.js';
import type { Channel, Flagged, PowerEvent } from '@joulebook/agent/sources/source.js';
import { instant, seconds } from '@joulebook/shared/units.js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { fakeNvml, trueMicrojoules, withoutCompiler } from '../support/fake-nvml/fake-nvml.js';

const HOUR_SECONDS = 3600;

afterEach(() => {
  vi.unstubAllEnvs();
});

function integrate(events: Iterable<PowerEvent>): { spans: Span[]; gaps: Gap[]; flagged: Flagged[] } {
  const spans: Span[] = [];
  const gaps: Gap[] = [];
  const flagged: Flagged[] = [];
  const sums = integrator(() => seconds(1));
  for (const event of events) {
    if (event.kind !== 'reading' || event.measures !== 'counter') continue;
    const taken = sums.accept(event);
    if (taken.span) spans.push(taken.span);
    if (taken.gap) gaps.push(taken.gap);
    if (taken.flagged) flagged.push(taken.flagged);
  }
  return { spans, gaps, flagged };
}
const total = (spans: readonly Span[]): bigint => spans.reduce((sum, { microjoules }) => sum + BigInt(microjoules), 0n);

describe.skipIf(withoutCompiler)(`the counter path${withoutCompiler ? ` (skipped: ${withoutCompiler})` : ''}`, () => {
  it('over an hour with two driver reloads equals the truth to the microjoule, but for the two intervals in which a reload fell', { timeout: 60_000 }, async () => {
    const board = { low: 70_000, high: 650_000, periodMillis: 700 };
    const reloads = [1_234_500, 2_900_100];
    // The counter shows whole mJ every 100 ms; at these levels each such moment is a whole mJ, so nothing is cut off.
    const fake = await fakeNvml({ CLOCK: 'manual', LOW_MW: board.low, HIGH_MW: board.high, PERIOD_MS: board.periodMillis, COUNTER_MS: 100, COUNTER_MJ: 987_654_321, RELOADS: reloads.join(',') });
    for (const [name, value] of Object.entries(fake.environment)) vi.stubEnv(name, value);
    const session = await openNvmlSession({ library: fake.library, probe: false, period: seconds(1), slowEvery: 1, anew: false });
    try {
      const events: PowerEvent[] = [];
      for (let second = 0; second <= HOUR_SECONDS; second += 1) {
        await fake.at(second * 1000);
        events.push(...session.read(() => instant(1.8e9 + second)));
      }
      const { spans, gaps, flagged } = integrate(events);
      expect(gaps.map(({ from, to }) => [from - 1.8e9, to - 1.8e9])).toEqual(reloads.map((at) => [Math.floor(at / 1000), Math.ceil(at / 1000)]));
      expect(flagged.map(({ code, count }) => [code, count])).toEqual([['COUNTER_RESET', 1], ['COUNTER_RESET', 1]]);
      expect(spans).toHaveLength(HOUR_SECONDS - 2);
      const unseen = gaps.reduce((sum, { from, to }) => sum + trueMicrojoules(board, (from - 1.8e9) * 1000, (to - 1.8e9) * 1000), 0n);
      expect(total(spans)).toBe(trueMicrojoules(board, 0, HOUR_SECONDS * 1000) - unseen);
      for (const span of spans) expect(BigInt(span.microjoules)).toBe(trueMicrojoules(board, (span.from - 1.8e9) * 1000, (span.to - 1.8e9) * 1000));
    } finally {
      session.close();
      await fake.remove();
    }
  });
});

it('a counter with RAPL\'s range equals the truth over every wrap', () => {
  const wrapsAt = 65_532_610_987n;
  const channel: Channel = { id: 'rapl/cpu0/package', device: 'cpu0', boundary: 'cpu', source: 'test', measures: 'counter', sensor: { gain: { low: 0, high: 0 } } };
  // About 300 W, never the same twice: wraps every 218 s, sixteen times in an hour.
  let truth = 65_000_000_000n;
  const start = truth;
  const readings: PowerEvent[] = [];
  for (let second = 0; second <= HOUR_SECONDS; second += 1) {
    readings.push({ kind: 'reading', channel, at: instant(1.8e9 + second), measures: 'counter', total: truth % wrapsAt, wrapsAt });
    truth += 300_000_000n + BigInt((second * 7919) % 1_000_003);
  }
  const last = truth - 300_000_000n - BigInt((HOUR_SECONDS * 7919) % 1_000_003);
  const { spans, gaps, flagged } = integrate(readings);
  expect([gaps, flagged]).toEqual([[], []]);
  expect(total(spans)).toBe(last - start);
  expect((last - start) / wrapsAt).toBe(16n);
});
