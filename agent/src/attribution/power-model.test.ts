import { describe, expect, it } from 'vitest';
import { Random } from '../simulate/random.js';
import { powerModel, type PowerModel } from './power-model.js';
import { decodeOnly, NO_LOAD, plus, prefillOnly, times, type Load, type Work } from './work.js';
import { loadOf, stretchOf } from './work.testing.js';

const IDLE = 90;

/** A made-up law in the family of the fit: watts above idle. */
const linear = (load: Load): number => 60 * load.busy + 2 * load.iterations + 0.012 * load.promptTokens + 0.05 * load.decoded;
const twice = (load: Load): number => 2 * linear(load);
/** And one that is not: the more is drawn the slower it grows. */
const saturating = (load: Load): number => 700 * (1 - Math.exp(-linear(load) / 700));

const prefillAt = (promptTokens: number): Load => loadOf({ busy: 1, iterations: promptTokens / 1_000, promptTokens });
const decodeAt = (sequences: number): Load => loadOf({ busy: 1, iterations: 40, decoded: 40 * sequences });

/** An iteration with prompts that decodes too: prefill alone would have taken 0.8 of it, decode 0.3. */
function mixedWork(): Work {
  const prefill = loadOf({ busy: 0.8, iterations: 20, promptTokens: 20_000 });
  const decode = loadOf({ busy: 0.3, iterations: 20, decoded: 400 });
  return { ran: { ...plus(prefill, decode), busy: 1, iterations: 20 }, prefill, decode, mixing: 'iteration' };
}

interface Teaching {
  readonly law?: (load: Load) => number;
  readonly rounds?: number;
  readonly noise?: number;
}

/** Seconds of prefill, decode, both and nobody. */
function teach(model: PowerModel, { law = linear, rounds = 60, noise = 0 }: Teaching = {}): void {
  const dice = new Random(8, 'blocks');
  let at = 0;
  const block = (load: Load, rest: { idle?: number; prefill?: Load; decode?: Load }): void => {
    at += 1;
    model.learn({ at, seconds: 1, joules: IDLE + law(load) + noise * dice.normal(), idle: 0, prefill: NO_LOAD, decode: NO_LOAD, load, ...rest });
  };
  for (let round = 0; round < rounds; round += 1) {
    const [prompts, answers, part] = [prefillAt(dice.between(5_000, 25_000)), decodeAt(dice.between(1, 30)), dice.between(0.2, 0.8)];
    block(prompts, { prefill: prompts });
    block(answers, { decode: answers });
    const [prefill, decode] = [times(prefillAt(15_000), part), times(decodeAt(10), 1 - part)];
    block(plus(prefill, decode), { prefill, decode });
    block(NO_LOAD, { idle: 1 });
  }
}

const sharesOf = (model: PowerModel, work: readonly Work[]): Record<string, number> => Object.fromEntries(model.judge(stretchOf(0, 1, work)).shares.of);

describe('a stretch of one phase', () => {
  it.each([
    ['prefill', prefillOnly(prefillAt(10_000))],
    ['decode', decodeOnly(decodeAt(10))],
  ] as const)('is %s as observed, before and after anything is learnt', (phase, work) => {
    const model = powerModel();
    expect(model.judge(stretchOf(0, 1, [work])).shares).toEqual({ of: new Map([[phase, 1]]), modelled: false });
    teach(model);
    expect(model.judge(stretchOf(0, 1, [work, work])).shares).toEqual({ of: new Map([[phase, 1]]), modelled: false });
  });

  it.each(['idle', 'active', 'unknown'] as const)('is %s where that is the state', (state) => {
    const model = powerModel();
    teach(model);
    expect(model.judge(stretchOf(0, 1, [], { state })).shares).toEqual({ of: new Map([[state, 1]]), modelled: false });
  });

  it('is expected to draw what it draws', () => {
    const model = powerModel();
    teach(model);
    for (const load of [prefillAt(8_000), prefillAt(20_000)]) expect(Math.abs((model.judge(stretchOf(0, 1, [prefillOnly(load)])).watts ?? 0) / (IDLE + linear(load)) - 1)).toBeLessThan(0.03);
    for (const load of [decodeAt(2), decodeAt(25)]) expect(Math.abs((model.judge(stretchOf(0, 1, [decodeOnly(load)])).watts ?? 0) / (IDLE + linear(load)) - 1)).toBeLessThan(0.03);
    expect(Math.abs((model.judge(stretchOf(0, 1, [], { state: 'idle' })).watts ?? 0) / IDLE - 1)).toBeLessThan(0.03);
  });
});

describe('an iteration that does both', () => {
  const work = mixedWork();
  const truth = (law: (load: Load) => number): number => law(work.prefill ?? NO_LOAD) / (law(work.prefill ?? NO_LOAD) + law(work.decode ?? NO_LOAD));

  it.each([
    ['of the law in the family', linear, 0, 0.02],
    ['with noise in the power', linear, 25, 0.05],
    ['of a law outside the family', saturating, 0, 0.08],
  ])('is divided by what each phase would draw above idle: %s', (_, law, noise, off) => {
    const model = powerModel();
    teach(model, { law, noise, rounds: 200 });
    const shares = sharesOf(model, [work]);
    expect(Math.abs((shares['prefill'] ?? 0) - truth(law))).toBeLessThan(off);
    expect((shares['prefill'] ?? 0) + (shares['decode'] ?? 0)).toBeCloseTo(1, 9);
    expect(model.judge(stretchOf(0, 1, [work])).shares.modelled).toBe(true);
  });

  it('of two ranks is divided rank by rank, each with its part of the idle level', () => {
    const model = powerModel();
    teach(model);
    const shares = sharesOf(model, [prefillOnly(prefillAt(10_000)), decodeOnly(decodeAt(10))]);
    const [prompting, decoding] = [IDLE / 2 + linear(prefillAt(10_000)), IDLE / 2 + linear(decodeAt(10))];
    expect(shares['prefill']).toBeCloseTo(prompting / (prompting + decoding), 1);
  });
});

describe('power that has nothing to do with the work', () => {
  const dice = new Random(5, 'power');
  it.each([
    ['stands still', () => 300 - IDLE],
    ['is anything', () => dice.between(0, 600)],
    ['falls when work comes', (load: Load) => 600 - linear(load)],
  ])('divides nothing: it %s', (_, law) => {
    const model = powerModel();
    teach(model, { law, rounds: 100 });
    expect(model.ready()).toBe(false);
    expect(model.unrelated()).toBe(true);
    expect(sharesOf(model, [mixedWork()])).toEqual({ active: 1 });
  });

  it('is not that of a board that stands at its limit', () => {
    const model = powerModel();
    teach(model, { law: (load) => (load.busy > 0 ? 400 + 4 * dice.normal() : 0), rounds: 200 });
    expect(model.unrelated()).toBe(false);
    // It draws the same whatever it does, so time divides it.
    expect(Math.abs((sharesOf(model, [mixedWork()])['prefill'] ?? 0) - 0.8 / 1.1)).toBeLessThan(0.08);
  });
});

function errorAfter(rounds: number): number {
  const model = powerModel();
  teach(model, { rounds, noise: 40 });
  return model.error();
}

it('knows the ratio of the phases the better the more it has seen', () => {
  expect(errorAfter(400)).toBeLessThan(0.6 * errorAfter(50));
  expect(errorAfter(50)).toBeGreaterThan(0.02);
});

describe('phases that took turns', () => {
  it('have their own draw, and the idle level by their time; what is left is idle', () => {
    const model = powerModel();
    teach(model);
    const prefill = loadOf({ busy: 0.2, iterations: 3, promptTokens: 3_000 });
    const decode = loadOf({ busy: 0.4, iterations: 16, decoded: 200 });
    const shares = sharesOf(model, [{ ran: plus(prefill, decode), prefill, decode, mixing: 'turns' }]);
    const whole = IDLE + linear(prefill) + linear(decode);
    expect(Math.abs((shares['prefill'] ?? 0) - (0.2 * IDLE + linear(prefill)) / whole)).toBeLessThan(0.02);
    expect(Math.abs((shares['decode'] ?? 0) - (0.4 * IDLE + linear(decode)) / whole)).toBeLessThan(0.02);
    expect(Math.abs((shares['idle'] ?? 0) - (0.4 * IDLE) / whole)).toBeLessThan(0.02);
  });
});

describe('too little evidence', () => {
  it('leaves what did both active', () => {
    expect(sharesOf(powerModel(), [mixedWork()])).toEqual({ active: 1 });
  });

  it.each(['prefill', 'decode'] as const)('of %s alone does not divide', (phase) => {
    const model = powerModel();
    const load = phase === 'prefill' ? prefillAt(10_000) : decodeAt(10);
    for (let at = 1; at < 200; at += 1) model.learn({ at, seconds: 1, joules: IDLE + linear(load), idle: 0, prefill: NO_LOAD, decode: NO_LOAD, load, [phase]: load });
    expect(model.ready()).toBe(false);
    expect(sharesOf(model, [mixedWork()])).toEqual({ active: 1 });
  });

  it('is what a stretch of work without any phase has', () => {
    const model = powerModel();
    teach(model);
    expect(sharesOf(model, [])).toEqual({ active: 1 });
  });
});

it('forgets work and keeps the idle level', () => {
  const model = powerModel();
  teach(model);
  expect(model.ready()).toBe(true);
  model.forget();
  expect(model.ready()).toBe(false);
  expect(sharesOf(model, [mixedWork()])).toEqual({ active: 1 });
  expect(model.idleWatts()).toBeCloseTo(IDLE, 2);
  expect(model.knowsIdle()).toBe(true);
  teach(model, { law: twice });
  expect(Math.abs((model.judge(stretchOf(0, 1, [prefillOnly(prefillAt(10_000))])).watts ?? 0) / (IDLE + twice(prefillAt(10_000))) - 1)).toBeLessThan(0.03);
});

/** Work, a second at the loaded level, then long at the deepest. */
function workAndRest(model: PowerModel): void {
  for (let round = 0; round < 40; round += 1) {
    const at = round * 100;
    model.learn({ at, seconds: 1, joules: 110 + linear(prefillAt(10_000)), idle: 0, prefill: prefillAt(10_000), decode: NO_LOAD, load: prefillAt(10_000) });
    model.learn({ at: at + 1, seconds: 1, joules: 110 + linear(decodeAt(10)), idle: 0, prefill: NO_LOAD, decode: decodeAt(10), load: decodeAt(10) });
    model.learn({ at: at + 2, seconds: 1, joules: 110, idle: 1, prefill: NO_LOAD, decode: NO_LOAD, load: NO_LOAD });
    for (let later = 30; later < 90; later += 10) model.learn({ at: at + later, seconds: 10, joules: 600, idle: 10, prefill: NO_LOAD, decode: NO_LOAD, load: NO_LOAD });
  }
}

describe('the idle level', () => {
  const resting: Work = { ran: loadOf({ busy: 0.5, iterations: 5, promptTokens: 5_000 }), prefill: loadOf({ busy: 0.5, iterations: 5, promptTokens: 5_000 }), decode: undefined, mixing: 'turns' };

  it('that work stands on is the one right after work, not the deepest', () => {
    const model = powerModel();
    workAndRest(model);
    const { watts = 0, shares } = model.judge(stretchOf(0, 1, [resting]));
    expect(Math.abs(watts * (shares.of.get('idle') ?? 0) - 55)).toBeLessThan(3);
  });

  it('is taken from the least that was drawn at work where nobody ever rests', () => {
    const model = powerModel();
    expect([model.knowsIdle(), model.idleWatts()]).toEqual([false, 0]);
    for (let at = 0; at < 300; at += 1) model.learn({ at, seconds: 1, joules: at % 2 === 0 ? 300 : 500, idle: 0, prefill: at % 2 === 0 ? NO_LOAD : prefillAt(10_000), decode: at % 2 === 0 ? decodeAt(10) : NO_LOAD, load: at % 2 === 0 ? decodeAt(10) : prefillAt(10_000) });
    expect(model.knowsIdle()).toBe(false);
    expect(model.idleWatts()).toBeGreaterThan(0);
    expect(model.idleWatts()).toBeLessThan(300);
  });

  it('and work too are followed when they change', () => {
    const model = powerModel();
    /** Half a minute of each: nobody, decode, prefill. */
    const round = (at: number, level: number, factor: number): void => {
      model.learn({ at, seconds: 10, joules: 10 * level, idle: 10, prefill: NO_LOAD, decode: NO_LOAD, load: NO_LOAD });
      model.learn({ at: at + 30, seconds: 10, joules: 10 * (level + factor * linear(decodeAt(10))), idle: 0, prefill: NO_LOAD, decode: times(decodeAt(10), 10), load: times(decodeAt(10), 10) });
      model.learn({ at: at + 40, seconds: 10, joules: 10 * (level + factor * linear(prefillAt(10_000))), idle: 0, prefill: times(prefillAt(10_000), 10), decode: NO_LOAD, load: times(prefillAt(10_000), 10) });
    };
    for (let index = 0; index < 200; index += 1) round(index * 60, IDLE, 1);
    for (let index = 200; index < 800; index += 1) round(index * 60, 140, 1.5);
    expect(Math.abs(model.idleWatts() - 140)).toBeLessThan(5);
    expect(Math.abs((model.judge(stretchOf(0, 1, [decodeOnly(decodeAt(10))])).watts ?? 0) / (140 + 1.5 * linear(decodeAt(10))) - 1)).toBeLessThan(0.04);
  });
});
