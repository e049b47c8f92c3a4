/** What follows from silence, and how early things are said. */
import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import type { ServingEvent } from '../../source.js';
import { asLines, booked, DAY, decode, holesIn, idleIn, oneRequest, prefill, sglangParser, stamp, stepsIn, told, watermarks } from './sglang.testing.js';

const live = (lines: readonly string[]): { readonly quiet: (second: number) => readonly ServingEvent[]; readonly line: (text: string, arrived: number) => readonly ServingEvent[]; readonly events: ServingEvent[] } => {
  const { parser } = sglangParser();
  const events = asLines(lines.join('\n')).flatMap((line) => parser.line({ ...line, arrived: instant(DAY + 15) }));
  return { quiet: (second) => parser.quiet(instant(DAY + second)), line: (text, arrived) => parser.line({ number: 9, text, arrived: instant(DAY + arrived) }), events };
};

const node = (second: number): string => decode(stamp(second), { running: 1, more: 'pre-allocated usage: 0.10, #prealloc-req: 0, #transfer-req: 0, #retracted-req: 0, ' });

describe('a growing log of SGLang', () => {
  it('is idle half an interval after the last line, once nothing can run any more', () => {
    const { quiet } = live(oneRequest(10));
    expect(told(quiet(12))).toEqual([]);
    const first = quiet(14);
    expect(told(first)).toEqual(['11.600–11.800 20.0 steps of 1', '11.800–13.760 idle']);
    expect(watermarks(first)).toEqual([expect.closeTo(13.76, 5)]);
    expect(first.filter((event) => event.kind === 'gauge' && event.gauge === 'serving.requests.running')).toMatchObject([{ value: 0 }]);
    expect(told(quiet(17))).toEqual(['13.760–16.760 idle']);
  });

  it('takes the steps it told before off the next Decode line', () => {
    const { quiet, line, events } = live(oneRequest(10));
    const more = [...quiet(20), ...line(prefill(stamp(25), { tokens: 100 }), 25), ...line(decode(stamp(25.2), { running: 1, kv: 121 }), 25.2)];
    expect(told(more).slice(1)).toEqual(['11.800–19.760 idle', '19.760–24.990 idle', '24.990–25.000 prefill 100', '25.000–25.200 20.0 steps of 1']);
    expect(booked([...events, ...more]).output).toBe(200);
  });

  it('does not call idle what a prefill may take that is printed when it is done', () => {
    const { quiet, line } = live([...oneRequest(10), prefill(stamp(12), { tokens: 8192, queue: 1 }), prefill(stamp(13), { tokens: 8192 }), decode(stamp(13.4), { running: 2 })]);
    const before = [...quiet(60), ...quiet(61)];
    const after = line(prefill(stamp(61.2), { tokens: 8192 }), 61.2);
    const idleTo = idleIn(before).at(-1)?.to ?? 0;
    // Half as long again as the second that its size takes, or nearly.
    expect(idleTo).toBeCloseTo(DAY + 59.5, 0);
    expect(idleTo).toBeLessThan(DAY + 60.2 - 0.5);
    expect(told([...after, ...line(decode(stamp(61.3), { running: 1 }), 61.3)]).slice(0, 2)).toEqual([expect.stringMatching(/^59\.5\d\d–60\.2\d\d idle$/), expect.stringMatching(/^60\.2\d\d–61\.200 prefill 8192$/)]);
  });

  it('does not call idle the steps before the first Decode line of a node that only decodes', () => {
    const { quiet, line } = live([node(10), node(10.4)]);
    expect(idleIn(quiet(30)).at(-1)?.to).toBeCloseTo(DAY + 29.6, 3);
    expect(told(line(node(30.1), 30.1))).toEqual(['29.600–29.900 idle', '29.900–30.100 20.0 steps of 1']);
  });

  it('counts 40 steps per Decode line through any number of silences', () => {
    const { quiet, line, events } = live(oneRequest(10));
    const more = [30, 60, 90].flatMap((second) => [...quiet(second - 5), ...line(prefill(stamp(second), { tokens: 100 }), second), ...line(decode(stamp(second + 0.2), { running: 1, kv: 121 }), second + 0.2)]);
    expect(booked([...events, ...more]).output).toBe(160 + 3 * 40);
  });

  it('is not idle while requests wait', () => {
    const lines = [...oneRequest(10), decode(stamp(12), { running: 1, kv: 301, queue: 3 })];
    const silent = live(lines).quiet(60);
    expect(idleIn(silent)).toEqual([]);
    expect(holesIn(silent)).toHaveLength(1);
  });

  it('waits longer behind a long prompt', () => {
    const { quiet, line } = live([...oneRequest(10), prefill(stamp(12.4), { tokens: 5000, running: 1 }), decode(stamp(12.6), { running: 2, rate: 100 })]);
    line(prefill(stamp(13), { tokens: 500_000, running: 2, atEnd: false }), 13);
    expect(idleIn(quiet(20))).toEqual([]);
    expect(idleIn(quiet(400)).length).toBe(1);
  });

  it('says up to when all is said as it goes', () => {
    const { events } = live([0, 2, 4, 6].flatMap((from) => oneRequest(10 + from)));
    const marks = watermarks(events);
    expect(marks.length).toBeGreaterThan(2);
    expect(marks).toEqual(marks.toSorted((one, other) => one - other));
    for (const mark of marks) expect(mark).toBeLessThanOrEqual(17.6);
  });

  it('tells of a row of prefills before a Decode line comes', () => {
    const { events } = live(Array.from({ length: 30 }, (_, index) => prefill(stamp(10 + index), { tokens: 4096, running: index, queue: 40 })));
    expect(stepsIn(events).length).toBeGreaterThan(20);
  });

  it('does not place a line after it was read', () => {
    const { parser } = sglangParser();
    const events = [0, 1].flatMap((index) => parser.line({ number: index, text: decode(stamp(10, '', true), { running: 1, rate: 2000 }), arrived: instant(DAY + 10.1) }));
    for (const { to } of stepsIn([...events, ...parser.end()])) expect(to).toBeLessThanOrEqual(DAY + 10.1 + 1e-5);
  });
});
