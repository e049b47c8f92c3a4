import { describe, expect, it } from 'vitest';
import { instant } from '@joulebook/shared/units.js';
import { Random } from '../simulate/random.js';
import { alignment, type Alignment } from './alignment.js';
import { heapInUse } from './work.testing.js';

const TICK = 0.005;

/** A load that changes now and then, known at every moment. */
interface Signal {
  readonly seconds: number;
  mean(from: number, to: number): number;
}

function changing(seconds: number, purpose = 'load'): Signal {
  const dice = new Random(1, purpose);
  const sums = [0];
  let level = 0;
  let left = 0;
  for (let tick = 0; tick < seconds / TICK; tick += 1) {
    if (left <= 0) {
      level = dice.next();
      left = dice.between(0.1, 1);
    }
    left -= TICK;
    sums.push((sums.at(-1) ?? 0) + level * TICK);
  }
  const upTo = (at: number): number => {
    const place = Math.min(Math.max(at / TICK, 0), sums.length - 1.001);
    const before = Math.floor(place);
    return (sums[before] ?? 0) + ((sums[before + 1] ?? 0) - (sums[before] ?? 0)) * (place - before);
  };
  return { seconds, mean: (from, to) => (upTo(to) - upTo(from)) / (to - from) };
}

interface Feeding {
  /** By how much the power shows it late. */
  readonly shift: number;
  readonly blur?: number;
  readonly noise?: number;
  readonly begin?: number;
  /** Seconds without power. */
  readonly missing?: (at: number) => boolean;
}

/** A second of evidence, then a second of power, as an agent gets them; power every 50 ms. */
function feed(clocks: Alignment, expected: Signal, shown: Signal, { shift, blur = 0, noise = 0, begin = 0, missing = () => false }: Feeding): void {
  const dice = new Random(2, 'noise');
  for (let second = 0; second < expected.seconds; second += 1) {
    for (let at = second; at < second + 0.999; at += 0.1) clocks.expected(instant(begin + at), instant(begin + at + 0.1), expected.mean(at, at + 0.1));
    if (second < 4 || missing(second)) continue;
    for (let step = 0; step < 20; step += 1) {
      const [from, to] = [second + step * 0.05, second + (step + 1) * 0.05];
      const level = blur > 0 ? shown.mean(to - shift - blur, to - shift) : shown.mean(from - shift, to - shift);
      clocks.drawn(instant(begin + from), instant(begin + to), 100 + 300 * level + noise * dice.normal());
    }
  }
}

describe('finds how late the power shows what was expected', () => {
  const load = changing(180);
  it.each<[string, Feeding]>([
    ['late', { shift: 0.63 }],
    ['early: the clocks are apart', { shift: -0.85 }],
    ['almost as late as is looked for', { shift: 2.2 }],
    ['behind a sensor that averages over 1 s', { shift: 0.3, blur: 1 }],
    ['through noise as large as the load itself', { shift: 0.4, noise: 90 }],
    ['with seconds of power missing', { shift: -0.4, missing: (at: number) => at % 7 < 2 }],
  ])('%s', (_, feeding) => {
    const clocks = alignment();
    clocks.blur(feeding.blur ?? 0);
    feed(clocks, load, load, feeding);
    expect(Math.abs((clocks.offset()?.seconds ?? Infinity) - feeding.shift)).toBeLessThan(0.06);
  });
});

describe('says nothing', () => {
  const load = changing(180);

  it('before it has seen enough', () => {
    const clocks = alignment();
    feed(clocks, changing(15), changing(15), { shift: 0.2 });
    expect(clocks.offset()).toBeUndefined();
  });

  it('of a load that never changes', () => {
    const clocks = alignment();
    const constant: Signal = { seconds: 180, mean: () => 0.7 };
    feed(clocks, constant, constant, { shift: 0.2, noise: 10 });
    expect(clocks.offset()).toBeUndefined();
  });

  it('of power that has nothing to do with what was expected', () => {
    const clocks = alignment();
    feed(clocks, load, changing(180, 'another machine'), { shift: 0.2 });
    expect(clocks.offset()).toBeUndefined();
  });

  it('of power without evidence', () => {
    const clocks = alignment();
    for (let at = 0; at < 300; at += 1) clocks.drawn(instant(at), instant(at + 1), 100 + (at % 3));
    expect(clocks.offset()).toBeUndefined();
  });
});

it('keeps what it knows when time starts anew, and then learns on from there', () => {
  const clocks = alignment();
  const load = changing(180);
  feed(clocks, load, load, { shift: 0.5, begin: 10_000 });
  const known = clocks.offset()?.seconds;
  clocks.rewind();
  expect(clocks.offset()?.seconds).toBe(known);
  const short = changing(20);
  feed(clocks, short, short, { shift: 1.5 });
  expect(clocks.offset()?.seconds).toBe(known);
  clocks.rewind();
  feed(clocks, load, load, { shift: 1.5 });
  expect(clocks.offset()?.seconds).toBeCloseTo(1.5, 1);
});

it('follows clocks that drift', () => {
  const clocks = alignment();
  const load = changing(1_800);
  feed(clocks, load, load, { shift: 0.2 });
  feed(clocks, load, load, { shift: 0.2, begin: 1_800 });
  feed(clocks, load, load, { shift: 0.2, begin: 3_600 });
  expect(clocks.offset()?.seconds).toBeCloseTo(0.2, 1);
  feed(clocks, load, load, { shift: 0.8, begin: 5_400 });
  feed(clocks, load, load, { shift: 0.8, begin: 7_200 });
  expect(clocks.offset()?.seconds).toBeCloseTo(0.8, 1);
});

it('finds the offset of what comes after hours of silence', () => {
  const clocks = alignment();
  const load = changing(180);
  feed(clocks, load, load, { shift: 0.5 });
  feed(clocks, load, load, { shift: 0.5, begin: 20_000 });
  expect(clocks.offset()?.seconds).toBeCloseTo(0.5, 1);
});

describe('keeps no more than it needs', () => {
  it('while evidence and power go on', () => {
    const clocks = alignment();
    const before = heapInUse();
    for (let at = 0; at < 7_200; at += 1) {
      clocks.expected(instant(at), instant(at + 1), at % 3);
      clocks.drawn(instant(at), instant(at + 1), 100 + (at % 3));
    }
    expect((heapInUse() - before) / 1e6).toBeLessThan(5);
    expect(clocks.offset()).toBeDefined();
  });

  // A deployment that is told by windows or by nothing at all expects nothing at any moment.
  it('while power goes on and no evidence lets anything expect', () => {
    const clocks = alignment();
    const before = heapInUse();
    for (let at = 0; at < 7_200; at += 1) clocks.drawn(instant(at), instant(at + 1), 100);
    expect((heapInUse() - before) / 1e6).toBeLessThan(5);
    expect(clocks.offset()).toBeUndefined();
  });
});
