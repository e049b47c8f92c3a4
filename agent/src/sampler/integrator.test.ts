import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { instant, seconds, watts } from '@joulebook/shared/units.js';
import type { Channel, Reading } from '../sources/source.js';
import { GPU_BOARD } from '../sources/power/sensors.js';
import { energyBefore, integrator, within, type Span } from './integrator.js';

const channel: Channel = { id: 'gpu0/power', device: 'gpu0', boundary: 'gpu', source: 'test', measures: 'power', sensor: GPU_BOARD };
const meter: Channel = { ...channel, id: 'gpu0/energy', measures: 'counter' };
const power = (at: number, value: number): Reading => ({ kind: 'reading', channel, at: instant(at), measures: 'power', power: watts(value) });
const counter = (at: number, total: bigint, wrapsAt?: bigint): Reading => ({ kind: 'reading', channel: meter, at: instant(at), measures: 'counter', total, ...(wrapsAt !== undefined && { wrapsAt }) });

function integrated(readings: readonly Reading[], period = 1) {
  const spans = integrator(() => seconds(period));
  const all = readings.map((reading) => spans.accept(reading));
  return { spans: all.flatMap(({ span }) => span ?? []), gaps: all.flatMap(({ gap }) => gap ?? []), flagged: all.flatMap(({ flagged }) => flagged ?? []) };
}
const total = (spans: readonly Span[]): number => spans.reduce((sum, span) => sum + span.microjoules, 0);

describe('power', () => {
  it('is integrated by trapezoid', () => {
    expect(total(integrated([power(0, 100), power(1, 200), power(3, 0)]).spans)).toBe((150 + 200) * 1e6);
  });

  it('is cut at a window by interpolation', () => {
    // 100 W → 200 W over 10 s: in [2, 7] it runs from 120 W to 170 W.
    const [span] = integrated([power(0, 100), power(10, 200)], 10).spans;
    if (!span) throw new Error('no span');
    expect(within(span, { from: instant(2), to: instant(7) })).toMatchObject({ from: 2, to: 7, microjoules: 145 * 5 * 1e6, ramp: { start: 120, end: 170 } });
    expect(within(span, { from: instant(7) })).toMatchObject({ from: 7, to: 10, microjoules: 185 * 3 * 1e6 });
    expect([within(span, { from: instant(10) }), within(span, { from: instant(-2), to: instant(0) })]).toEqual([undefined, undefined]);
  });

  it('has each of its µJ once in windows that follow each other, wherever they are cut', () => {
    const watt = fc.integer({ min: 0, max: 1_500_000 }).map((milliwatts) => milliwatts / 1_000);
    const moment = fc.integer({ min: -1_000, max: 8_000 }).map((ms) => ms / 1_000);
    fc.assert(
      fc.property(watt, watt, fc.boolean(), fc.uniqueArray(moment, { minLength: 1, maxLength: 6 }), (start, end, even, cuts) => {
        const [span] = (even ? integrated([counter(0, 0n), counter(7, BigInt(Math.round(start * 1e6)))], 7) : integrated([power(0, start), power(7, end)], 7)).spans;
        if (!span) throw new Error('no span');
        const edges = [-2, ...cuts.toSorted((a, b) => a - b), 9].map(instant);
        const parts = edges.slice(1).flatMap((to, index) => within(span, { from: edges[index] ?? to, to }) ?? []);
        expect(total(parts)).toBe(span.microjoules);
        expect(Math.min(...parts.map(({ microjoules }) => microjoules))).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it('is never bridged over more than five periods', () => {
    const { spans, gaps } = integrated([power(0, 100), power(1, 100), power(7, 100), power(8, 100)]);
    expect(total(spans)).toBe(200e6);
    expect(gaps).toMatchObject([{ from: 1, to: 7 }]);
  });

  it('takes a pause of less than a second for no gap, however fast the sensor', () => {
    expect(integrated([power(0, 100), power(0.9, 100)], 0.01).gaps).toEqual([]);
  });

  it('books no time twice, whatever the order of the readings', () => {
    const ordered = Array.from({ length: 61 }, (_, second) => power(second, 100));
    const swapped = [...ordered.slice(0, 30), ordered[31], ordered[30], ...ordered.slice(32)].flatMap((reading) => reading ?? []);
    for (const readings of [swapped, [...ordered, ...ordered], ordered.toReversed()]) {
      const { spans, flagged } = integrated(readings);
      expect(total(spans)).toBeLessThanOrEqual(6000e6);
      expect(flagged[0]?.code).toBe('TIME_WENT_BACK');
    }
    expect(total(integrated(swapped).spans)).toBe(6000e6);
  });

  it('starts anew after a break, and leaves out what is stamped before', () => {
    const spans = integrator(() => seconds(1));
    spans.accept(power(0, 100));
    spans.break(channel);
    expect(spans.accept(power(0.5, 100))).toMatchObject({ gap: { from: 0, to: 0.5 } });
    expect(spans.accept(power(0.2, 100))).toMatchObject({ flagged: { code: 'TIME_WENT_BACK' } });
    expect(spans.accept(power(0.7, 100)).span?.microjoules).toBe(20e6);
  });

  it('books within half a microjoule of the exact integral, however odd the readings', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ step: fc.double({ min: 0.001, max: 0.9, noNaN: true }), watts: fc.double({ min: 0, max: 1500, noNaN: true }) }), { minLength: 2, maxLength: 200 }), (steps) => {
        let at = 1.7e9;
        const readings = steps.map(({ step, watts: value }) => power((at += step), value));
        let exact = 0;
        for (const [index, reading] of readings.entries()) {
          const last = readings[index - 1];
          if (last?.measures === 'power' && reading.measures === 'power') exact += ((last.power + reading.power) / 2) * (reading.at - last.at) * 1e6;
        }
        expect(Math.abs(total(integrated(readings).spans) - exact)).toBeLessThan(0.51);
      }),
    );
  });

  it('hands out a span\'s energy along its slope', () => {
    const [span] = integrated([power(0, 0), power(1, 100)]).spans;
    if (!span) throw new Error('no span');
    expect(energyBefore(span, instant(0.5))).toBeCloseTo(12.5e6, 3);
    expect(energyBefore(span, instant(0))).toBe(0);
    expect(energyBefore(span, instant(1))).toBe(50e6);
  });
});

describe('a counter', () => {
  it('gives its difference exactly, even at months of uptime', () => {
    expect(integrated([counter(0, 22_075_000_000_000_000n), counter(1, 22_075_000_700_000_001n)]).spans[0]?.microjoules).toBe(700_000_001);
  });

  it('wraps where its range is known', () => {
    expect(integrated([counter(0, 262_143_328_000n), counter(1, 1_000n, 262_143_328_850n)]).spans[0]?.microjoules).toBe(1850);
  });

  it('that jumps further than a GPU can draw is not believed', () => {
    const glitch = [5_000_000n, 5_000_100n, 0n, 5_000_300n, 5_000_400n].map((joules, second) => counter(second, joules * 1_000_000n));
    const { spans, flagged } = integrated(glitch);
    expect(total(spans)).toBe(200e6);
    expect(flagged.map(({ code }) => code)).toEqual(['COUNTER_RESET', 'ABSURD_ENERGY']);
  });

  it('that falls without a known range is a new epoch: missing coverage, not zero', () => {
    const { spans, gaps, flagged } = integrated([counter(0, 500n), counter(1, 100n), counter(2, 350n)]);
    expect(spans.map((span) => span.microjoules)).toEqual([250]);
    expect(gaps).toMatchObject([{ from: 0, to: 1 }]);
    expect(flagged).toMatchObject([{ code: 'COUNTER_RESET' }]);
  });
});
