import { describe, expect, it } from 'vitest';
import { instant } from '@joulebook/shared/units.js';
import type { WindowEvidence } from '../sources/source.js';
import { tinyEngine, type Run } from './engine.testing.js';
import { learnt } from './learnt.js';
import { timeline } from './timeline.js';
import type { Stretch } from './work.js';
import { countsOf, windowOf } from './work.testing.js';

/** What counters would tell of a run, read every so often. */
function lookedAt({ served, iterations }: Run, until: number, every: number): WindowEvidence[] {
  return Array.from({ length: Math.floor(until / every) }, (_, index) => {
    const [from, to] = [index * every, (index + 1) * every];
    const done = iterations.filter((each) => each.to > from && each.to <= to);
    const firsts = served.filter(({ firstToken }) => firstToken > from && firstToken <= to);
    const decoded = done.reduce((sum, { sequences }) => sum + sequences, 0);
    const running = served.filter(({ start, end }) => start <= to && end > to).length;
    const sequenceSeconds = served.reduce((sum, { firstToken, end }) => sum + Math.max(0, Math.min(end, to) - Math.max(firstToken, from)), 0);
    return windowOf(from, to, {
      tokens: countsOf(done.reduce((sum, { promptTokens }) => sum + promptTokens, 0), decoded),
      prompts: firsts.length,
      running,
      busy: running,
      sequenceSeconds,
      decodeSteps: done.filter(({ sequences }) => sequences > 0).length,
    });
  });
}

/** Seconds of iterations with prompts, of decode alone, and of nobody. */
function told(stretches: readonly Stretch[], from: number): { prefill: number; decode: number; idle: number; all: number } {
  const sums = { prefill: 0, decode: 0, idle: 0, all: 0 };
  for (const { from: begin, to, state, work } of stretches) {
    if (begin < from) continue;
    sums.all += to - begin;
    if (state === 'idle') sums.idle += to - begin;
    else if (work.some(({ prefill }) => prefill)) sums.prefill += to - begin;
    else if (work.some(({ decode }) => decode)) sums.decode += to - begin;
  }
  return sums;
}

function truth({ iterations }: Run, from: number, to: number): { prefill: number; decode: number } {
  const sums = { prefill: 0, decode: 0 };
  for (const each of iterations) if (each.from >= from && each.to <= to) sums[each.promptTokens > 0 ? 'prefill' : 'decode'] += each.to - each.from;
  return sums;
}

const SECONDS = 1_200;
const LEARNING = 600;

describe.each(['chunked', 'prompts first'] as const)('windows of an engine: %s', (kind) => {
  const run = tinyEngine(kind, SECONDS, () => 1);
  const line = timeline({ begin: instant(0) });
  for (const evidence of lookedAt(run, SECONDS, 5)) line.evidence(evidence);
  const found = told(line.advance(instant(SECONDS)), LEARNING);
  const real = truth(run, LEARNING, SECONDS);

  it('tell how long its prompts took', () => {
    expect(Math.abs(found.prefill / real.prefill - 1)).toBeLessThan(0.25);
  });

  it('tell how long it decoded alone', () => {
    expect(Math.abs(found.decode / real.decode - 1)).toBeLessThan(0.25);
  });

  it('are filled whole, with nobody where nobody ran', () => {
    expect(found.prefill + found.decode + found.idle).toBeCloseTo(found.all, 6);
  });
});

it('leaves time to nobody in windows in which somebody comes and goes', () => {
  // How long its work takes is learnt while it is never still.
  const run = tinyEngine('chunked', SECONDS, (at) => (at < LEARNING ? 1 : 0.1));
  const line = timeline({ begin: instant(0) });
  for (const evidence of lookedAt(run, SECONDS, 5)) line.evidence(evidence);
  const { idle } = told(line.advance(instant(SECONDS)), LEARNING);
  const real = truth(run, LEARNING, SECONDS);
  const nobody = SECONDS - LEARNING - real.prefill - real.decode;
  expect(nobody).toBeGreaterThan(200);
  expect(Math.abs(idle - nobody)).toBeLessThan(0.2 * nobody);
});

it('lays nothing out before it has seen prompts and decode together', () => {
  const knows = learnt();
  const line = timeline({ begin: instant(0), knows });
  for (let at = 0; at < 300; at += 5) line.evidence(windowOf(at, at + 5, { tokens: countsOf(0, 500), running: 2, busy: 2 }));
  for (const { window, state } of line.advance(instant(300))) expect([state, window !== undefined]).toEqual(['work', true]);
});
