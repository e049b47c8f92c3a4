import { describe, expect, it } from 'vitest';
import { type Arrival, Arrivals } from './arrivals.js';
import { scenarioSchema } from './scenario.js';

const of = (traffic: object[], more: object = {}): Arrivals => new Arrivals(scenarioSchema.parse({ duration: '2h', pauses: [], traffic, ...more }));

function all(arrivals: Arrivals): Arrival[] {
  const taken: Arrival[] = [];
  for (let next = arrivals.take(); next; next = arrivals.take()) taken.push(next);
  return taken;
}

function spacing(times: readonly number[]): { mean: number; cv: number } {
  const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
  const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length;
  return { mean, cv: Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length) / mean };
}

const closed = (more: object): Arrivals => of([{ arrivals: { kind: 'closed', users: 3, think: 1 } }], more);

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

describe('open streams', () => {
  it.each([
    ['poisson', { kind: 'poisson', perSecond: 5 }, 0.2, 1],
    ['gamma', { kind: 'gamma', perSecond: 5, cv: 2.5 }, 0.2, 2.5],
    ['regular', { kind: 'gamma', perSecond: 5, cv: 0.1 }, 0.2, 0.1],
  ])('%s: keeps rate and variation', (_, arrivals, mean, cv) => {
    const seen = spacing(all(of([{ arrivals }])).map(({ at }) => at));
    expect(Math.abs(seen.mean / mean - 1)).toBeLessThan(0.04);
    expect(Math.abs(seen.cv / cv - 1)).toBeLessThan(0.06);
  });

  it('on and off: the rate holds while on, and bursts show', () => {
    const times = all(of([{ arrivals: { kind: 'onOff', perSecond: 10, on: 5, off: 15 } }])).map(({ at }) => at);
    expect(Math.abs(times.length / (7200 * 10 * 0.25) - 1)).toBeLessThan(0.12);
    expect(spacing(times).cv).toBeGreaterThan(3);
  });

  it('a ramp: each part has its share, again and again', () => {
    const times = all(of([{ arrivals: { kind: 'ramp', points: [{ at: 0, perSecond: 0 }, { at: 60, perSecond: 12 }, { at: 120, perSecond: 0 }] } }])).map(({ at }) => at % 120);
    expect(Math.abs(times.length / (7200 * 6) - 1)).toBeLessThan(0.03);
    // Of a triangle, the middle half of the time holds three quarters of the area.
    expect(Math.abs(times.filter((at) => at >= 30 && at < 90).length / times.length - 0.75)).toBeLessThan(0.01);
  });

  it('come in order, from all streams, and none in a pause or after the end', () => {
    const taken = all(of([{ arrivals: { kind: 'poisson', perSecond: 3 } }, { work: 'rag', arrivals: { kind: 'gamma', perSecond: 1, cv: 2 } }], { duration: 600, pauses: [{ from: 200, to: 300 }, { from: 0, to: 10 }] }));
    const times = taken.map(({ at }) => at);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(new Set(taken.map(({ stream }) => stream))).toEqual(new Set([0, 1]));
    expect(times.filter((at) => at < 10 || (at >= 200 && at < 300) || at >= 600)).toEqual([]);
    expect(Math.abs(taken.length - 490 * 4)).toBeLessThan(200);
  });
});

describe('a closed stream', () => {
  it('has no more requests than users, and one more for each that has ended', () => {
    const arrivals = closed({});
    expect([arrivals.take(), arrivals.take(), arrivals.take()].every((arrival) => arrival !== undefined)).toBe(true);
    expect(arrivals.next).toBe(Infinity);
    arrivals.ended(0, 100);
    expect(arrivals.next).toBeGreaterThan(100);
    expect(arrivals.take()?.stream).toBe(0);
    expect(arrivals.take()).toBeUndefined();
  });

  it('waits for the end of a pause, and stops with the run', () => {
    const arrivals = closed({ duration: 600, pauses: [{ from: 0, to: 50 }, { from: 500, to: 560 }] });
    expect(all(arrivals).every(({ at }) => at === 50)).toBe(true);
    arrivals.ended(0, 555);
    expect(arrivals.next).toBe(560);
    all(arrivals);
    arrivals.ended(0, 600);
    expect(arrivals.next).toBe(Infinity);
  });
});

describe('lengths', () => {
  it('are what the kind of work says, unless the stream says otherwise', () => {
    const rag = all(of([{ work: 'rag', output: { kind: 'fixed', tokens: 7 } }], { duration: '1h' }));
    expect(Math.abs(median(rag.map(({ inputTokens }) => inputTokens)) / 3500 - 1)).toBeLessThan(0.05);
    expect(new Set(rag.map(({ outputTokens }) => outputTokens))).toEqual(new Set([7]));
    const cached = rag.filter(({ cachedPart }) => cachedPart > 0);
    expect(Math.abs(cached.length / rag.length - 0.3)).toBeLessThan(0.02);
    expect(Math.abs(cached.reduce((sum, { cachedPart }) => sum + cachedPart, 0) / cached.length - 0.2)).toBeLessThan(0.01);
  });

  it('a mixture takes each by its weight', () => {
    const prompt = { kind: 'mixture', of: [{ weight: 3, length: { kind: 'fixed', tokens: 10 } }, { weight: 1, length: { kind: 'fixed', tokens: 1000 } }] };
    const lengths = all(of([{ prompt }], { duration: '1h' })).map(({ inputTokens }) => inputTokens);
    expect(new Set(lengths)).toEqual(new Set([10, 1000]));
    expect(Math.abs(lengths.filter((tokens) => tokens === 1000).length / lengths.length - 0.25)).toBeLessThan(0.02);
  });

  it('as many clients leave as the stream says', () => {
    const requests = all(of([{ aborts: 0.1 }], { duration: '1h' }));
    expect(Math.abs(requests.filter(({ leaves }) => leaves).length / requests.length - 0.1)).toBeLessThan(0.01);
  });

  it('of one stream are the same whatever other streams do', () => {
    const alone = all(of([{}], { duration: 60 }));
    const beside = all(of([{}, { work: 'rag' }], { duration: 60 })).filter(({ stream }) => stream === 0);
    expect(beside).toEqual(alone);
  });
});
