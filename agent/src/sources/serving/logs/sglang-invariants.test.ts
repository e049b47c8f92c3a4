/** What must hold of any log, of whatever lines in whatever order: many made up at random, always the same ones. */
import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import type { ServingEvent } from '../../source.js';
import { DAY, decode, prefill, sglangParser, stamp, stepsIn } from './sglang.testing.js';

interface Made {
  readonly events: readonly ServingEvent[];
  readonly prefills: number;
  readonly decodes: number;
}

/** A linear congruential generator: 0 to 1. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

function made(seed: number): Made {
  const random = dice(seed);
  const [cut, atEnd, live, speculative] = [0.5, 0.5, 0.4, 0.3].map((chance) => random() < chance);
  const { parser } = sglangParser(40);
  const events: ServingEvent[] = [];
  const count = { prefill: 0, decode: 0 };
  let at = 100;
  let running = 0;
  let kv = 101;
  for (let number = 1; number <= 60; number += 1) {
    at += random() < 0.1 ? random() * 40 : random() * 0.8;
    const kind = random() < 0.4 ? 'prefill' : 'decode';
    count[kind] += 1;
    const prefix = stamp(at, '', cut);
    let text: string;
    if (kind === 'prefill') {
      if (random() < 0.4) running = 0;
      text = prefill(prefix, { sequences: 1 + Math.floor(random() * 3), tokens: Math.floor(random() * 5000), running, queue: random() < 0.3 ? 2 : 0, atEnd: atEnd ?? true });
      running += 1;
    } else {
      running = Math.max(1, running);
      kv += Math.floor(random() * 90);
      text = decode(prefix, { running, kv, rate: 1 + random() * 300, ...(speculative && { accept: 1 + random() }) });
    }
    if (live && random() < 0.4) events.push(...parser.quiet(instant(DAY + at - random() * 0.01)));
    events.push(...parser.line({ number, text, ...(live && { arrived: instant(DAY + at + random() * 0.05) }) }));
  }
  if (live) events.push(...parser.quiet(instant(DAY + at + 100)));
  return { events: [...events, ...parser.end()], prefills: count.prefill, decodes: count.decode };
}

const spansOf = (events: readonly ServingEvent[]): { readonly from: number; readonly to: number }[] => events.filter((event) => event.kind === 'steps' || event.kind === 'idle' || event.kind === 'hole');

/** By how much evidence reaches back behind what was said to be told. */
function latest(events: readonly ServingEvent[]): number {
  let watermark = -Infinity;
  let late = -Infinity;
  for (const event of events) {
    if (event.kind === 'watermark') watermark = event.at;
    else if (event.kind === 'steps' || event.kind === 'idle' || event.kind === 'hole') late = Math.max(late, watermark - event.from);
  }
  return late;
}

describe('evidence from any log of SGLang', () => {
  const logs = Array.from({ length: 150 }, (_, seed) => made(seed + 1));

  it('follows without gap or overlap, and each piece takes time', () => {
    for (const { events } of logs) {
      const spans = spansOf(events);
      const seams = spans.slice(1).map(({ from }, index) => Math.abs(from - (spans[index]?.to ?? Infinity)));
      expect(Math.max(...seams)).toBeLessThan(1e-5);
      expect(Math.min(...spans.map(({ from, to }) => to - from))).toBeGreaterThan(0);
    }
  });

  it('holds every prefill once and 40 steps for every Decode line', () => {
    for (const { events, prefills, decodes } of logs) {
      const steps = stepsIn(events);
      const decoded = steps.reduce((sum, each) => sum + (each.prefills > 0 ? 0 : each.steps), 0);
      expect(steps.filter((each) => each.prefills > 0)).toHaveLength(prefills);
      expect(decoded).toBeGreaterThan(40 * decodes - 0.1);
      // What was told before a silence or an end, and no Decode line counted any more.
      expect(decoded).toBeLessThanOrEqual(40 * (decodes + 1));
    }
  });

  it('books whole tokens, never fewer than none', () => {
    for (const { output = 0 } of logs.flatMap(({ events }) => stepsIn(events).map(({ tokens }) => tokens))) expect(Number.isInteger(output) && output >= 0).toBe(true);
  });

  it('never comes later than was said', () => {
    for (const { events } of logs) expect(latest(events)).toBeLessThan(1e-5);
  });
});
