/** The statistics alone: simulated weeks of several seeds, whose law is not that of the judge. The bench `alerts` does the same over months. */
import { describe, expect, it } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import { judge, modelAt, STEP_MICROS, type Point } from './anomaly.js';
import { alarmsOf, episodesOf, foundAfter, KINDS, seeded, simulatedMonth } from './simulated-month.testing.js';
import { distanceByChance, largestDistance, medianOf, spreadOf, stabilityIndex } from './statistics.js';

describe('statistics', () => {
  it('are what their names say', () => {
    expect([medianOf([3, 1, 2]), medianOf([4, 1, 2, 3]), medianOf([])]).toEqual([2, 2.5, Number.NaN]);
    // |x − 3|: 2 1 0 1 997, of which 1 is in the middle.
    expect(spreadOf([1, 2, 3, 4, 1000])).toBeCloseTo(1.4826, 10);
    expect(largestDistance([1, 2, 3, 4], [3, 4, 5, 6])).toBe(0.5);
    expect(largestDistance([1, 1, 2], [1, 1, 2])).toBe(0);
    // c(0.05) = 1.358
    expect(distanceByChance(100, 100, 0.05)).toBeCloseTo(1.358 * Math.sqrt(0.02), 4);
    expect(stabilityIndex([500, 500], [500, 500])).toBe(0);
    expect(stabilityIndex([5000, 5000], [7000, 3000])).toBeCloseTo(0.2 * Math.log(1.4) - 0.2 * Math.log(0.6), 3);
    expect(stabilityIndex([1000, 0], [1000, 1000])).toBeLessThan(Infinity);
  });
});

describe('energy per token', () => {
  const DAYS = 9;

  it('raises no alarm on days and weeks as they are', () => {
    const { alarms, judged } = alarmsOf(simulatedMonth(11, DAYS));
    expect(episodesOf(alarms, 6)).toEqual([]);
    // With twice the noise the spread is wider.
    expect(episodesOf(alarmsOf(simulatedMonth(11, DAYS, [], 2)).alarms, 6)).toEqual([]);
    // Three days of levels are learnt from, from midnight on.
    expect(judged).toBeGreaterThan(4 * 144);
  });

  it.each(KINDS)('finds what is out of the ordinary within its window: %s', (kind) => {
    const anomalies = [seeded(kind, 6, 3), seeded(kind, 7, 15)];
    const { alarms } = alarmsOf(simulatedMonth(12, DAYS, anomalies));
    for (const anomaly of anomalies) expect(foundAfter(alarms, anomaly)).toBeLessThanOrEqual(60);
    // And nothing else.
    expect(episodesOf(alarms, 6)).toHaveLength(2);
  });

  it('is told while it lasts for hours, and is the new level after a day', () => {
    const from = 7 * 144;
    const { alarms } = alarmsOf(simulatedMonth(12, DAYS).map((point, step) => (step < from ? point : { ...point, joules: 1.3 * point.joules })));
    expect(alarms.slice(from + 6, from + 60)).not.toContain(false);
    expect(alarms.slice(from + 144)).not.toContain(true);
  });

  it('is no alarm where load alone has changed, and not judged at a load that was never seen', () => {
    const points = simulatedMonth(13, DAYS);
    const model = modelAt(points, points.at(-1)?.at ?? 0);
    if (!model) throw new Error('nine days are enough');
    const last = points.slice(-200);
    // As much work as at the busiest hour, in the middle of the night, with the watts that it takes.
    const busy = [...points].toSorted((a, b) => b.load - a.load).slice(0, 6);
    const night = last.map((point, index) => ({ ...point, ...(index >= last.length - 6 && { ...busy[index - last.length + 6], at: point.at }) }));
    expect(judge(model, night)).toMatchObject({ isAnomaly: false });
    const far = last.map((point, index): Point => (index >= last.length - 6 ? { ...point, load: 50 * point.load, tokens: 50 * point.tokens, joules: 50 * point.joules } : point));
    expect(judge(model, far)).toBeNull();
  });

  it('is not judged before three days are known, nor of an hour with holes', () => {
    const points = simulatedMonth(14, DAYS);
    expect(modelAt(points.slice(0, 400), points[399]?.at ?? 0)).toBeNull();
    const model = modelAt(points, points.at(-1)?.at ?? 0);
    if (!model) throw new Error('nine days are enough');
    expect(judge(model, points)).not.toBeNull();
    expect(judge(model, points.filter((_, index) => index < points.length - 6 || index > points.length - 4))).toBeNull();
    expect(judge(model, [])).toBeNull();
  });

  it('is judged of a sensor that always tells the same', () => {
    const same = Array.from({ length: 8 * 144 }, (_, step): Point => ({ at: epochMicros(step * STEP_MICROS), joules: step >= 8 * 144 - 5 ? 1200 : 1000, tokens: 500, load: 500 / 600 }));
    const model = modelAt(same, 8 * 86_400e6);
    expect(model && judge(model, same)).toMatchObject({ isAnomaly: true, value: 2.4, expected: expect.closeTo(2, 6) as unknown, effect: expect.closeTo(0.2, 6) as unknown });
  });
});
