/**
 * Output tokens by counting steps, through pauses: the count of steps is not set back between rounds of requests, so that a
 * Decode line stands for the end of one round and the begin of the next.
 *
 *     Prefill 2 │ 30 steps … Decode │ 15 steps │   pause   │ Prefill 2 │ 25 steps … Decode │ …
 */
import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import type { ServingEvent } from '../../source.js';
import { booked, DAY, decode, prefill, read, sglangParser, stamp, stepsIn } from './sglang.testing.js';

const STEP = 0.01;
const PROMPT = 1000;

interface Script {
  readonly lines: readonly { readonly text: string; readonly at: number }[];
  /** Moments at which nothing has been printed for a while. */
  readonly pauses: readonly number[];
  readonly decodeLines: number;
}

/** Rounds of so many steps of the same sequences, with pauses between; some of their prompt was cached. */
function rounds(sequences: number, steps: readonly number[], cut: boolean): Script {
  const lines: { readonly text: string; readonly at: number }[] = [];
  const pauses: number[] = [];
  let at = 10;
  let counted = 0;
  let lineBefore = at;
  let decodeLines = 0;
  for (const count of steps) {
    lines.push({ text: prefill(stamp(at, '', cut), { sequences, tokens: PROMPT, cached: 10 }), at });
    for (let step = 1; step <= count; step += 1) {
      at += STEP;
      counted += 1;
      if (counted % 40 !== 0) continue;
      decodeLines += 1;
      lines.push({ text: decode(stamp(at, '', cut), { running: sequences, kv: PROMPT + 10 + step * sequences + 1, rate: (40 * sequences) / (at - lineBefore) }), at });
      lineBefore = at;
    }
    pauses.push(at + 5);
    at += 10.3;
  }
  return { lines, pauses, decodeLines };
}

/** As it was written, and silence is looked at in each pause. */
function readLive({ lines, pauses }: Script): readonly ServingEvent[] {
  const { parser } = sglangParser();
  const events = lines.flatMap(({ text, at }, index) => {
    const pause = pauses.find((moment) => moment < at && moment > (lines[index - 1]?.at ?? at));
    return [...(pause === undefined ? [] : parser.quiet(instant(DAY + pause))), ...parser.line({ number: index + 1, text, arrived: instant(DAY + at + 0.001) })];
  });
  return [...events, ...parser.end()];
}

// The last round ends with a Decode line: nothing is left that none has counted.
const STEPS = [110, 133, 156, 41, 79, 121];
const cases = [2, 3, 16].flatMap((sequences) => [true, false].map((cut) => ({ sequences, cut })));

const meanSequences = (events: readonly ServingEvent[], from: number, to: number): number => {
  const steps = stepsIn(events).filter((each) => each.prefills === 0 && each.from >= DAY + from && each.to <= DAY + to);
  return steps.reduce((sum, { decodes }) => sum + decodes, 0) / steps.reduce((sum, each) => sum + each.steps, 0);
};
const toSecond = (at: number): string => stamp(at, '', true);

describe('output tokens of SGLang by counting steps', () => {
  it.each(cases)('are exact where $sequences sequences run from the begin of each round to its end; stamps cut to seconds: $cut', ({ sequences, cut }) => {
    const script = rounds(sequences, STEPS, cut);
    expect(STEPS.reduce((sum, steps) => sum + steps, 0)).toBe(40 * script.decodeLines);
    expect(booked(read(...script.lines.map(({ text }) => text)).events).output).toBe(40 * sequences * script.decodeLines);
    expect(booked(readLive(script)).output).toBe(40 * sequences * script.decodeLines);
  });

  it('lets those that ended before the others end one by one, and those of the next round together', () => {
    const { events } = read(
      prefill(toSecond(10), { sequences: 4, tokens: PROMPT, cached: 10 }),
      decode(toSecond(11), { running: 4, rate: 160 }),
      decode(toSecond(12), { running: 4, rate: 160 }),
      decode(toSecond(13), { running: 2, rate: 120 }),
      prefill(toSecond(33), { sequences: 2, tokens: PROMPT, cached: 10 }),
      decode(toSecond(33.4), { running: 2, rate: 4 }),
      decode(toSecond(34.2), { running: 2, rate: 100 }),
      prefill(toSecond(54), { sequences: 2, tokens: PROMPT, cached: 10 }),
      decode(toSecond(54.4), { running: 2, rate: 4 }),
    );
    // From two to one of them.
    expect(meanSequences(events, 13.4, 31)).toBeCloseTo(1.5, 1);
    expect(meanSequences(events, 34, 53)).toBe(2);
  });

  it('lets those end together that were joined since the last Decode line', () => {
    const { events } = read(
      prefill(toSecond(10), { tokens: PROMPT }),
      ...[11, 12, 13].map((at) => decode(toSecond(at), { running: 1, rate: 40 })),
      prefill(toSecond(13.9), { sequences: 2, tokens: 300, cached: 10, running: 1 }),
      prefill(toSecond(33), { sequences: 2, tokens: PROMPT, cached: 10 }),
      decode(toSecond(33.9), { running: 2, rate: 6 }),
    );
    expect(meanSequences(events, 13.6, 31)).toBeCloseTo(3, 6);
  });

  it('does so on a node that only decodes, where silence alone tells of an end', () => {
    const { parser } = sglangParser();
    const node = (running: number, at: number): readonly ServingEvent[] =>
      parser.line({ number: 1, text: decode(stamp(at), { running, rate: running * 100, more: 'pre-allocated usage: 0.10, #prealloc-req: 0, #transfer-req: 0, #retracted-req: 0, ' }), arrived: instant(DAY + at) });
    const quiet = (at: number): readonly ServingEvent[] => parser.quiet(instant(DAY + at));
    for (const at of [10, 10.4, 10.8]) node(4, at);
    node(2, 11.2);
    expect(meanSequences(quiet(60), 11, 60)).toBeCloseTo(1.5, 1);
    node(2, 61);
    expect(meanSequences(quiet(120), 60.9, 120)).toBe(2);
  });
});
