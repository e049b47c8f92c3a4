import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { latencyBucket, OUTCOMES } from '@joulebook/shared/slice.js';
import { seconds } from '@joulebook/shared/units.js';
import { judge, percentile, WASTES, type Cell, type Targets } from './usefulness.js';

const cell = (outcome: Cell['outcome'], ttft: number | null, tpot: number | null, requests: number, outputTokens: number): Cell => ({
  outcome, ttft: ttft === null ? null : latencyBucket(seconds(ttft)), tpot: tpot === null ? null : latencyBucket(seconds(tpot)), counts: { requests, outputTokens, inputTokens: 3 * requests, cachedInputTokens: requests },
});
const targets = (ttft?: number, tpot?: number): Targets => ({ ttft: ttft === undefined ? undefined : seconds(ttft), tpot: tpot === undefined ? undefined : seconds(tpot) });

describe('usefulness', () => {
  it('counts what was accepted inside both targets, once', () => {
    const cells = [cell('ok', 0.5, 0.02, 10, 1000), cell('ok', 4, 0.02, 2, 200), cell('ok', 0.5, 0.2, 1, 90), cell('aborted', 0.1, 0.02, 1, 30), cell('rejected', 0.1, 0.02, 3, 60)];
    const found = judge(cells, () => targets(2, 0.05));
    expect(found.useful).toEqual({ requests: 10, inputTokens: 40, outputTokens: 1000 });
    expect(found.waste.late).toMatchObject({ requests: 3, outputTokens: 290 });
    expect(found.waste.rejected).toMatchObject({ requests: 3, outputTokens: 60 });
    expect(found.atLeast).toEqual(found.atMost);
    expect(judge(cells, () => targets()).useful.outputTokens).toBe(1290);
  });

  it('gives bounds where a target falls inside a bucket, and their ends where it stands on an edge', () => {
    // The bucket that holds 2 s is (2^0.75, 2]: a target of 1.8 s cuts it.
    const cells = [cell('ok', 1.9, null, 8, 8)];
    expect(judge(cells, () => targets(2)).useful.requests).toBe(8);
    expect(judge(cells, () => targets(2 ** 0.75)).useful.requests).toBe(0);
    const cut = judge(cells, () => targets(1.8));
    expect([cut.atLeast.requests, cut.atMost.requests]).toEqual([0, 8]);
    expect(cut.useful.requests).toBeCloseTo(8 * (1 - 4 * Math.log2(2 / 1.8)), 9);
  });

  it('does not judge what is not told, but takes one token as in time between tokens', () => {
    expect(judge([cell('ok', 0.5, null, 4, 400)], () => targets(1, 0.05))).toMatchObject({ useful: { requests: 0 }, waste: { unjudged: { requests: 4 } }, atMost: { requests: 4 } });
    expect(judge([cell('ok', 0.5, null, 4, 4)], () => targets(1, 0.05)).useful.requests).toBe(4);
  });

  it('adds up for any cells and targets: useful and every waste are all, and useful is never more', () => {
    const amounts = fc.record({ outcome: fc.constantFrom(...OUTCOMES), ttft: fc.option(fc.integer({ min: -40, max: 40 })), tpot: fc.option(fc.integer({ min: -40, max: 40 })), counts: fc.record({ requests: fc.nat(1e6), inputTokens: fc.nat(1e9), cachedInputTokens: fc.nat(1e9), outputTokens: fc.nat(1e9) }) });
    const latency = fc.option(fc.double({ min: 1e-3, max: 1e3, noNaN: true }), { nil: undefined });
    fc.assert(
      fc.property(fc.array(amounts, { maxLength: 30 }), latency, latency, (cells, ttft, tpot) => {
        const { useful, waste, all, atLeast, atMost } = judge(cells, () => targets(ttft, tpot));
        for (const key of ['requests', 'inputTokens', 'outputTokens'] as const) {
          const sum = useful[key] + WASTES.reduce((total, name) => total + waste[name][key], 0);
          expect(Math.abs(sum - all[key])).toBeLessThanOrEqual(1e-9 * all[key]);
          expect(useful[key]).toBeLessThanOrEqual(all[key] * (1 + 1e-12));
          expect(atLeast[key]).toBeLessThanOrEqual(useful[key] * (1 + 1e-12));
          expect(useful[key]).toBeLessThanOrEqual(atMost[key] * (1 + 1e-12));
        }
      }),
    );
  });

  it('tells percentiles as the bounds of their bucket', () => {
    const cells = [cell('ok', 0.5, 0.02, 98, 0), cell('ok', 4, null, 2, 0)];
    expect(percentile(cells, 'ttft', 0.5)?.[1]).toBeCloseTo(0.5, 12);
    expect(percentile(cells, 'ttft', 0.99)?.[1]).toBeCloseTo(4, 12);
    expect(percentile(cells, 'tpot', 0.99)?.[1]).toBeGreaterThanOrEqual(0.02);
    expect(percentile([cell('ok', null, null, 5, 0)], 'ttft', 0.5)).toBeNull();
  });
});
