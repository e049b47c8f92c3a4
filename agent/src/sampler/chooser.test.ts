import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { instant, microjoules, seconds, watts } from '@joulebook/shared/units.js';
import { GPU_BOARD } from '../sources/power/sensors.js';
import type { Channel } from '../sources/source.js';
import { chooser, type Chooser } from './chooser.js';
import { energyBefore, type Span } from './integrator.js';

const PREFERENCE = ['nvml', 'dcgmi', 'nvidia-smi'];
const channelOf = (source: string, measures: 'counter' | 'power', averagedOver?: number, use?: 'check'): Channel => ({
  id: `${source}/gpu0/${measures}`,
  device: 'gpu0',
  boundary: 'gpu',
  source,
  measures,
  sensor: { ...GPU_BOARD, refresh: seconds(0.1), ...(averagedOver !== undefined && { averagedOver: seconds(averagedOver) }) },
  ...(use && { use }),
});
const counter = channelOf('nvml', 'counter');
const instantaneous = channelOf('nvml', 'power', 0.025);
const averaged = channelOf('nvidia-smi', 'power', 1);

const spanOf = (channel: Channel, from: number, to: number, power: number): Span => ({
  channel,
  from: instant(from),
  to: instant(to),
  microjoules: microjoules(Math.round(power * (to - from) * 1e6)),
  variance: 0,
  ...(channel.measures === 'power' && { ramp: { start: watts(power), end: watts(power) } }),
});
const fresh = (period = 0.2): Chooser => chooser(PREFERENCE, (channel) => seconds(channel.measures === 'counter' ? 1 : period));
const offer = (choose: Chooser, spans: readonly Span[]): Span[] => spans.flatMap((span) => [...choose.offer(span).spans]);
const summary = (spans: readonly Span[]): (string | number)[][] => spans.map(({ channel, from, to, microjoules: energy }) => [channel.id, Number(from.toFixed(3)), Number(to.toFixed(3)), energy / 1e6]);

describe('one energy series per device', () => {
  it('takes the counter before the average before the part-time sensor', () => {
    const choose = fresh();
    const booked = offer(choose, [spanOf(instantaneous, 0, 1, 90), spanOf(averaged, 0, 1, 100), spanOf(counter, 0, 1, 110), spanOf(instantaneous, 1, 2, 90), spanOf(averaged, 1, 2, 100), spanOf(counter, 1, 2, 110)]);
    // The first second was booked from what spoke first; nothing is booked twice.
    expect(summary(booked)).toEqual([['nvml/gpu0/power', 0, 1, 90], ['nvml/gpu0/counter', 1, 2, 110]]);
  });

  it('never books what is only a check', () => {
    expect(offer(fresh(), [spanOf(channelOf('nvml', 'power', 1, 'check'), 0, 1, 100)])).toEqual([]);
  });

  it('falls back when the best goes silent, from the moment it did, and back when it speaks again', () => {
    const choose = fresh();
    const out: Span[] = [];
    for (let at = 0; at < 20; at += 1) {
      if (at < 5 || at >= 15) out.push(...offer(choose, [spanOf(counter, at, at + 1, 200)]));
      for (let step = 0; step < 5; step += 1) out.push(...offer(choose, [spanOf(averaged, at + step / 5, at + (step + 1) / 5, 190)]));
    }
    const seconds200 = out.filter(({ channel }) => channel === counter).reduce((sum, span) => sum + span.to - span.from, 0);
    const covered = out.reduce((sum, span) => sum + span.to - span.from, 0);
    expect(covered).toBeCloseTo(20, 6);
    expect(seconds200).toBeCloseTo(10, 6);
    for (const [index, span] of out.entries()) expect(span.from).toBeGreaterThanOrEqual((out[index - 1]?.to ?? 0) - 1e-9);
  });

  it('says once that it changed, and once that it changed back', () => {
    const choose = fresh();
    const flags: string[] = [];
    for (let at = 0; at < 30; at += 1) {
      if (at < 5 || at >= 15) flags.push(...choose.offer(spanOf(counter, at, at + 1, 200)).flagged.map(({ detail }) => detail));
      flags.push(...choose.offer(spanOf(averaged, at, at + 1, 200)).flagged.map(({ detail }) => detail));
    }
    expect(flags).toEqual([expect.stringMatching(/nvml fell silent.*nvidia-smi/), expect.stringMatching(/nvml\/gpu0\/counter again/)]);
  });

  it('books no moment twice and no more than was measured, whoever speaks when', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(counter, instantaneous, averaged), fc.double({ min: 0.05, max: 3, noNaN: true }), fc.boolean()), { maxLength: 80 }), (steps) => {
        const choose = fresh();
        const reached = new Map<string, number>();
        let now = 0;
        const out: Span[] = [];
        for (const [channel, length, silent] of steps) {
          const from = Math.max(reached.get(channel.id) ?? 0, now - 1);
          now = Math.max(now, from + length);
          reached.set(channel.id, from + length);
          if (!silent) out.push(...offer(choose, [spanOf(channel, from, from + length, 100)]));
        }
        out.push(...choose.finish());
        for (const [index, span] of out.entries()) {
          expect(span.from).toBeGreaterThanOrEqual((out[index - 1]?.to ?? 0) - 1e-9);
          expect(span.microjoules / (span.to - span.from) / 1e8).toBeCloseTo(1, 3);
        }
      }),
    );
  });
});

describe('the shape of a counter', () => {
  const pieces = [50, 50, 350, 350, 200].map((power, index) => spanOf(instantaneous, 1 + index / 5, 1 + (index + 1) / 5, power));

  it('is told by the channel that blurs least; the total stays the counter\'s', () => {
    const choose = fresh();
    offer(choose, [spanOf(instantaneous, 0, 1, 100), spanOf(counter, 0, 1, 100)]);
    const [span] = offer(choose, [...pieces, spanOf(averaged, 1, 2, 200), spanOf(counter, 1, 2, 220)]);
    if (!span) throw new Error('nothing booked');
    expect(span.microjoules).toBe(220e6);
    expect(energyBefore(span, instant(1.4))).toBeCloseTo(22e6, 0);
    expect(energyBefore(span, instant(1.8))).toBeCloseTo(176e6, 0);
    expect(energyBefore(span, instant(2))).toBe(220e6);
  });

  it('is waited for when the counter is read first, and settled tells how far', () => {
    const choose = fresh();
    offer(choose, [spanOf(instantaneous, 0, 1, 100), spanOf(counter, 0, 1, 100), ...pieces.slice(0, 4)]);
    expect(offer(choose, [spanOf(counter, 1, 2, 220)])).toEqual([]);
    expect(choose.settled()).toBe(1);
    const [span] = offer(choose, pieces.slice(4));
    expect(span?.shape).toHaveLength(5);
    expect(choose.settled()).toBe(Infinity);
  });
});

/** Three minutes of a counter at 200 W beside another sensor. */
const minutes = (other: number): string[] => {
  const choose = fresh();
  const flags: string[] = [];
  for (let at = 0; at < 190; at += 1) for (const span of [spanOf(counter, at, at + 1, 200), spanOf(averaged, at, at + 1, other)]) flags.push(...choose.offer(span).flagged.map(({ code }) => code));
  return flags;
};

describe('cross-checks', () => {
  it('flag two sensors of one device that differ by more than 5 %', () => {
    expect(minutes(211)).toContain('CROSS_CHECK');
    expect(minutes(209)).toEqual([]);
  });
});
