import { describe, expect, it } from 'vitest';
import { moments, type Held } from './sglang-moments.js';

interface Line {
  readonly stamp: number;
  readonly after?: { readonly back: number; readonly least: number; readonly most: number };
  readonly fine?: boolean;
}

function placed(lines: readonly Line[]): number[] {
  const of = moments<number>();
  const held: Held<number>[] = [];
  const at: number[] = [];
  for (const [index, { stamp, after, fine = false }] of lines.entries()) {
    const from = after && held[index - after.back];
    const added = of.add({ item: index, earliest: stamp, latest: fine ? stamp : stamp + 0.999, fine }, after && from ? [{ from, least: after.least, most: after.most }] : []);
    held.push(added.held);
    at.push(...added.placed.map((each) => each.at));
  }
  return [...at, ...of.flush().map((each) => each.at)];
}

const chain = (stamps: readonly number[], apart: number): Line[] => stamps.map((stamp, index) => ({ stamp, ...(index > 0 && { after: { back: 1, least: apart, most: apart } }) }));

describe('moments of lines with stamps to the second', () => {
  it('keep the distances that the figures tell', () => {
    const at = placed(chain([10, 10, 10, 11, 11, 11, 12], 0.3));
    for (let index = 1; index < at.length; index += 1) expect((at[index] ?? 0) - (at[index - 1] ?? 0)).toBeCloseTo(0.3, 3);
    // The fourth is in the next second, the sixth not in the one after: [10.1, 10.4) for the first, of which the seventh leaves [10.2, 10.4).
    expect(at[0]).toBeGreaterThan(10.19);
    expect(at[0]).toBeLessThan(10.4);
  });

  it('lie in their second and in the order of the lines', () => {
    const stamps = [5, 5, 5, 5, 6, 9, 9, 30];
    const at = placed(stamps.map((stamp) => ({ stamp })));
    expect(at.map(Math.floor)).toEqual(stamps);
    expect(at.every((moment, index) => index === 0 || moment > (at[index - 1] ?? Infinity))).toBe(true);
  });

  it('divide a second among lines that nothing tells apart', () => {
    const at = placed([{ stamp: 5 }, { stamp: 5 }, { stamp: 5 }]);
    expect(at.map((moment) => Math.round(moment * 100) / 100)).toEqual([5.25, 5.5, 5.75]);
  });

  it('believe the stamps where the figures contradict them', () => {
    const at = placed(chain([10, 20], 0.3));
    expect(at.map(Math.floor)).toEqual([10, 20]);
  });

  it('are what fine stamps say, and never the same', () => {
    const at = placed([{ stamp: 1.25, fine: true }, { stamp: 1.25, fine: true }, { stamp: 1.5, fine: true }]);
    expect(at[0]).toBe(1.25);
    expect(at[1]).toBeCloseTo(1.25, 4);
    expect(at[1]).toBeGreaterThan(1.25);
    expect(at[2]).toBe(1.5);
  });

  it('are told after a few seconds, not at the end', () => {
    const of = moments<string>();
    expect(of.add({ item: 'a', earliest: 1, latest: 1.999, fine: false }, []).placed).toEqual([]);
    expect(of.add({ item: 'b', earliest: 6, latest: 6.999, fine: false }, []).placed.map(({ item }) => item)).toEqual(['a']);
  });
});
