import { describe, expect, it } from 'vitest';
import { instant } from '@joulebook/shared/units.js';
import { observations, type DeviceObservations } from './observations.js';
import { powerModel, type Block } from './power-model.js';
import { decodeOnly, prefillOnly, type Stretch } from './work.js';
import { countedOf, heapInUse, loadOf, stretchOf } from './work.testing.js';

const listening = (): { readonly blocks: Block[]; readonly seen: ReturnType<typeof observations> } => {
  const blocks: Block[] = [];
  return { blocks, seen: observations({ ...powerModel(), learn: (block) => void blocks.push(block) }) };
};

const prefill = (from: number, to: number, rest: Partial<Stretch> = {}): Stretch => stretchOf(from, to, [prefillOnly(loadOf({ busy: 1, promptTokens: 1_000 }))], rest);
const decode = (from: number, to: number, rest: Partial<Stretch> = {}): Stretch => stretchOf(from, to, [decodeOnly(loadOf({ busy: 1, decoded: 100 }))], rest);
const still = (from: number, to: number, state: 'idle' | 'unknown' | 'active', rest: Partial<Stretch> = {}): Stretch => stretchOf(from, to, [], { state, ...rest });

/** Prefill 0.7 s, decode 1.1 s, idle 0.4 s, and so on. */
function pattern(seconds: number): Stretch[] {
  const all: Stretch[] = [];
  for (let round = 0; round * 2.2 < seconds; round += 1) {
    const at = round * 2.2;
    all.push(prefill(at, at + 0.7), decode(at + 0.7, at + 1.8), still(at + 1.8, at + 2.2, 'idle'));
  }
  return all;
}

function draw(device: DeviceObservations, from: number, to: number, lag: number): void {
  for (let at = from; at < to - 0.1; at += 0.25) device.drawn(instant(at), instant(at + 0.25), 50, lag);
}

const within = (stretches: readonly Stretch[], phase: 'prefill' | 'decode', from: number, to: number): number =>
  stretches.reduce((sum, stretch) => sum + (stretch.work.some((each) => each[phase]) ? Math.max(0, Math.min(to, stretch.to) - Math.max(from, stretch.from)) : 0), 0);

/** Mean over the ends of the image of a block of what ran in the blur before them. */
function blurred(stretches: readonly Stretch[], phase: 'prefill' | 'decode', from: number, to: number, blur: number): number {
  if (blur === 0) return within(stretches, phase, from, to);
  const parts = 400;
  let sum = 0;
  for (let part = 0; part < parts; part += 1) {
    const end = from + ((to - from) * (part + 0.5)) / parts;
    sum += (within(stretches, phase, end - blur, end) / blur) * ((to - from) / parts);
  }
  return sum;
}

describe('a block teaches what ran in its image', () => {
  it.each([
    [0, 0],
    [0.35, 0],
    [-0.6, 0],
    [0, 1],
    [0.4, 0.5],
  ])('of a sensor that is %d s late and averages over %d s', (lag, blur) => {
    const { blocks, seen } = listening();
    const ran = pattern(70);
    seen.work(ran);
    draw(seen.device(blur), 5, 60, lag);
    expect(blocks.length).toBeGreaterThan(5);
    for (const { at, seconds, joules, load, prefill: prompting, decode: decoding, idle } of blocks) {
      const [from, to] = [at - seconds - lag, at - lag];
      expect(joules).toBeCloseTo(seconds * 200, 6);
      expect(Math.abs(prompting.busy - blurred(ran, 'prefill', from, to, blur))).toBeLessThan(0.03);
      expect(Math.abs(decoding.busy - blurred(ran, 'decode', from, to, blur))).toBeLessThan(0.03);
      expect(load.promptTokens).toBeCloseTo(1_000 * prompting.busy, 3);
      expect(load.decoded).toBeCloseTo(100 * decoding.busy, 3);
      expect(prompting.busy + decoding.busy + idle).toBeCloseTo(seconds, 6);
    }
  });

  it('whether the power or the evidence is said first', () => {
    const early = listening();
    const late = listening();
    const ran = pattern(70);
    early.seen.work(ran);
    draw(early.seen.device(0.5), 5, 60, 0.2);
    const device = late.seen.device(0.5);
    for (let second = 5; second < 66; second += 1) {
      if (second < 60) draw(device, second, second + 1, 0.2);
      late.seen.work(ran.filter(({ from }) => from >= (second - 5) * 1.1 && from < (second - 4) * 1.1));
    }
    draw(device, 60, 70, 0.2);
    const most = late.blocks.filter(({ at }) => at <= 59);
    expect(most.length).toBeGreaterThan(5);
    for (const [index, block] of most.entries()) expect(block.load.promptTokens).toBeCloseTo(early.blocks[index]?.load.promptTokens ?? 0, 6);
  });
});

describe('teaches nothing', () => {
  it.each(['unknown', 'active'] as const)('where it is %s what ran, nor beside it in the same image', (state) => {
    const { blocks, seen } = listening();
    const [lag, blur] = [0.3, 1];
    seen.work([decode(0, 30), still(30, 31.5, state), decode(31.5, 70)]);
    draw(seen.device(blur), 5, 60, lag);
    const touching = blocks.filter(({ at, seconds }) => at - lag > 30 && at - seconds - lag - blur < 31.5);
    expect(touching).toEqual([]);
    expect(blocks.some(({ at }) => at < 29) && blocks.some(({ at }) => at > 36)).toBe(true);
  });

  it('across a gap in the power', () => {
    const { blocks, seen } = listening();
    seen.work([decode(0, 40), prefill(40, 90)]);
    const device = seen.device(0);
    draw(device, 5, 19.5, 0);
    draw(device, 60.5, 80, 0);
    expect(blocks.filter(({ at, seconds }) => at > 20 && at - seconds < 60)).toEqual([]);
    expect(blocks.every(({ prefill: prompting, decode: decoding }) => prompting.busy === 0 || decoding.busy === 0)).toBe(true);
  });

  it('of power that was shown as zero', () => {
    const { blocks, seen } = listening();
    seen.work([decode(0, 30)]);
    const device = seen.device(0);
    for (let at = 1; at < 25; at += 1) device.drawn(instant(at), instant(at + 1), 0, 0);
    expect(blocks).toEqual([]);
  });

  it('after time starts anew, of what was before', () => {
    const { blocks, seen } = listening();
    seen.work([prefill(0, 60)]);
    seen.rewind();
    seen.work([decode(0, 60)]);
    draw(seen.device(0), 5, 50, 0);
    expect(blocks.length).toBeGreaterThan(5);
    expect(blocks.every(({ prefill: prompting }) => prompting.busy === 0)).toBe(true);
  });
});

describe('windows in which nothing tells when what ran', () => {
  it('count as their mean, whatever order they are laid out in', () => {
    const { blocks, seen } = listening();
    for (let at = 0; at < 60; at += 10) seen.work([prefill(at, at + 2, { groupEnd: instant(at + 10) }), decode(at + 2, at + 10, { groupEnd: instant(at + 10) })]);
    seen.work([decode(60, 70)]);
    draw(seen.device(0), 0, 55, 0);
    expect(blocks.length).toBeGreaterThan(3);
    for (const { prefill: prompting, decode: decoding, seconds } of blocks) {
      expect(prompting.busy / seconds).toBeCloseTo(0.2, 6);
      expect(decoding.busy / seconds).toBeCloseTo(0.8, 6);
    }
  });

  it('teach nothing where their work is not known as time', () => {
    const { blocks, seen } = listening();
    const counts = countedOf(0, 40, 100, 100, 10);
    seen.work([stretchOf(0, 40, [prefillOnly()], { groupEnd: instant(40), window: counts }), decode(40, 90)]);
    draw(seen.device(0), 1, 80, 0);
    expect(blocks.every(({ at, seconds }) => at - seconds >= 40 - 1e-6)).toBe(true);
    expect(blocks.length).toBeGreaterThan(5);
  });

  // Two ranks that print their lines at different moments: at every moment a window is open.
  it('that overlap, as those of several ranks do, teach all the same', () => {
    const { blocks, seen } = listening();
    for (let at = 0; at < 100; at += 5) seen.work([decode(at, at + 5, { groupEnd: instant(at + 10) })]);
    draw(seen.device(0), 1, 90, 0);
    expect(blocks.length).toBeGreaterThan(5);
  });
});

describe('keeps no more than it needs', () => {
  it('in many hours of work', () => {
    const { blocks, seen } = listening();
    const device = seen.device(1);
    const before = heapInUse();
    for (let at = 0; at < 8 * 3_600; at += 10) {
      seen.work([prefill(at, at + 3), decode(at + 3, at + 10)]);
      for (let second = at; second < at + 10; second += 1) device.drawn(instant(second), instant(second + 1), 300, 0.2);
      if (blocks.length > 1_000) blocks.length = 0;
    }
    expect((heapInUse() - before) / 1e6).toBeLessThan(30);
    expect(blocks.length).toBeGreaterThan(0);
    seen.rewind();
  });

  it('of power of which no evidence ever speaks', () => {
    const { seen } = listening();
    const device = seen.device(0);
    const draws = (from: number, to: number): void => {
      for (let second = from; second < to; second += 1) device.drawn(instant(second), instant(second + 1), 300, 0);
    };
    draws(0, 7 * 3_600);
    const before = heapInUse();
    draws(7 * 3_600, 12 * 3_600);
    expect((heapInUse() - before) / 1e6).toBeLessThan(0.7);
    seen.rewind();
  });

  it('when time leaps far ahead, and goes on learning there', () => {
    const { blocks, seen } = listening();
    seen.work([decode(0, 10), decode(1e6, 1e6 + 60)]);
    draw(seen.device(0), 1e6 + 5, 1e6 + 50, 0);
    expect(blocks.length).toBeGreaterThan(5);
  });
});
