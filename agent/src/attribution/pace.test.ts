import { describe, expect, it } from 'vitest';
import { instant } from '@joulebook/shared/units.js';
import { STEP_SECONDS, tinyEngine } from './engine.testing.js';
import { learnt, type Learnt } from './learnt.js';
import { pace } from './pace.js';
import { timeline } from './timeline.js';
import { requestOf } from './work.testing.js';

/** Requests that decode alone for so long, and meet so many iterations with prompts; `mixing` says what those yield. */
function serve(known: ReturnType<typeof pace>, count: number, step: number, mixing: number): void {
  for (let index = 0; index < count; index += 1) {
    const before = known.began();
    const alone = 1 + (index % 7) * 0.5;
    const prompts = (index % 5) * 10;
    known.pass(alone, true, 0);
    if (prompts > 0) known.pass(2, true, prompts / 2);
    known.pass(100, false, 3);
    known.ended(before, 1 + alone / step + mixing * prompts);
  }
}

describe('the pace of decode', () => {
  it.each([0, 0.5, 1, 3])('is told by requests that got %d steps of each iteration with prompts', (mixing) => {
    const known = pace();
    serve(known, 60, 0.025, mixing);
    expect(known.step()).toBeCloseTo(0.025, 3);
    expect(known.mixing()).toBeCloseTo(mixing, 1);
  });

  it('is not known before there were some, and prompts are taken to be mixed in until then', () => {
    const known = pace();
    serve(known, 2, 0.025, 0);
    expect([known.step(), known.mixing()]).toEqual([undefined, 1]);
  });

  it('is not told by requests of a few tokens', () => {
    const known = pace();
    for (let index = 0; index < 200; index += 1) {
      const before = known.began();
      known.pass(1, true, 0);
      known.ended(before, 3);
    }
    expect(known.step()).toBeUndefined();
  });

  // Nothing was seen of how prompts are mixed in; that is not the same as having seen that they are not.
  it('says nothing of mixing while no request met a prompt', () => {
    const known = pace();
    for (let index = 0; index < 60; index += 1) {
      const before = known.began();
      known.pass(2, true, 0);
      known.ended(before, 101);
    }
    expect(known.step()).toBeCloseTo(0.02, 3);
    expect(known.mixing()).toBe(1);
  });
});

function told(kind: 'chunked' | 'prompts first', load: number): Learnt {
  const knows = learnt();
  const line = timeline({ begin: instant(0), knows });
  for (const { start, firstToken, end, input, output } of tinyEngine(kind, 600, () => load).served) line.evidence(requestOf(start, firstToken, end, input, output));
  for (let at = 10; at <= 700; at += 10) line.advance(instant(at));
  return knows;
}

describe('requests alone tell how an engine works', () => {
  it.each([0.5, 2])('that computes prompts in the iterations that decode (%d requests/s)', (load) => {
    const { pace: known, prefills } = told('chunked', load);
    expect(known.mixing()).toBeGreaterThan(0.6);
    expect(Math.abs((known.step() ?? 0) / STEP_SECONDS - 1)).toBeLessThan(0.15);
    expect(Math.abs((prefills.seconds(2_000) ?? 0) / 0.22 - 1)).toBeLessThan(0.2);
  });

  it.each([0.5, 2])('that holds decode up for prompts (%d requests/s)', (load) => {
    const { pace: known, prefills } = told('prompts first', load);
    expect(known.mixing()).toBeLessThan(0.2);
    expect(Math.abs((known.step() ?? 0) / STEP_SECONDS - 1)).toBeLessThan(0.15);
    expect(Math.abs((prefills.seconds(2_000) ?? 0) / 0.205 - 1)).toBeLessThan(0.2);
  });
});
