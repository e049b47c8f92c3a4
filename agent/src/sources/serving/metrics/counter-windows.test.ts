import { instant, seconds } from '@joulebook/shared/units.js';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ServingEvent, WindowEvidence } from '../../source.js';
import { counterWindows } from './counter-windows.js';
import type { Counted, Counter, Look } from './look.js';

interface Sketch {
  readonly busy?: number | Record<string, number>;
  readonly start?: number;
}

/** `look(3, { 'output m e0': 5 })`: at 3 s the output counter of model m in process e0 stands at 5. */
function look(at: number, values: Record<string, number>, { busy, start }: Sketch = {}): Look {
  const counters = new Map<string, Counter>();
  for (const [key, value] of Object.entries(values)) {
    const [name, model, process] = key.split(' ');
    counters.set(key, { counts: counted(name), value, model: model === '-' ? undefined : model, process: process ?? 'p' });
  }
  const gauges = busy === undefined ? [] : typeof busy === 'number' ? [[undefined, busy] as const] : Object.entries(busy);
  return { at: instant(at), counters, busy: new Map<string | undefined, number>(gauges), processStart: start };
}

function counted(name: string | undefined): Counted {
  const kind = (['prompt', 'cachedInput', 'output', 'ok', 'aborted', 'failed'] as const).find((each) => each === name);
  if (!kind) throw new Error(`unknown counter ${name}`);
  return kind;
}

function play(looks: readonly Look[], period = 1): ServingEvent[] {
  const windows = counterWindows({ label: 'test', period: seconds(period) });
  return [...looks.flatMap((each) => windows.since(each)), ...windows.end()];
}
const windowsIn = (events: readonly ServingEvent[]): WindowEvidence[] => events.filter((event) => event.kind === 'window');
const codes = (events: readonly ServingEvent[]): string[] => events.flatMap((event) => (event.kind === 'flagged' ? [event.code] : []));

describe('counters looked at now and then', () => {
  it('give nothing for the baseline and then what moved, summed over label sets', () => {
    expect(play([look(0, { 'output - e0': 100, 'output - e1': 50 }), look(1, { 'output - e0': 130, 'output - e1': 55 })])).toEqual([{ kind: 'window', from: 0, to: 1, tokens: { output: 35 } }]);
  });

  it('count a label set that appears later from 0', () => {
    const [window] = windowsIn(play([look(0, { 'output - e0': 100 }), look(1, { 'output - e0': 100, 'output - e1': 7 })]));
    expect(window?.tokens.output).toBe(7);
  });

  it('go on from the last value when a label set is missing for a while', () => {
    const windows = windowsIn(play([look(0, { 'output - e0': 5, 'output - e1': 9 }), look(1, { 'output - e0': 6 }), look(2, { 'output - e0': 6, 'output - e1': 11 })]));
    expect(windows.map((window) => window.tokens.output)).toEqual([1, 2]);
  });

  it('count in full and say so after a reset, the counters of that process that are higher already included', () => {
    const events = play([look(0, { 'output - e0': 1000, 'prompt - e0': 10, 'output - e1': 100 }), look(1, { 'output - e0': 30, 'prompt - e0': 20, 'output - e1': 101 })]);
    expect(codes(events)).toEqual(['COUNTER_RESET']);
    expect(windowsIn(events)[0]?.tokens).toEqual({ input: 20, output: 31 });
  });

  it('take a new process start time for a reset even where all values are higher', () => {
    const events = play([look(0, { 'output - e0': 100 }, { start: 1000 }), look(1, { 'output - e0': 150 }, { start: 1000.2 }), look(2, { 'output - e0': 170 }, { start: 2000 })]);
    expect(windowsIn(events).map((window) => window.tokens.output)).toEqual([50, 170]);
    expect(codes(events)).toEqual(['COUNTER_RESET']);
  });

  it('are evidence of idleness when nothing moves', () => {
    expect(play([look(0, { 'output m p': 5 }, { busy: 0 }), look(1, { 'output m p': 5 }, { busy: 0 })])).toEqual([{ kind: 'window', from: 0, to: 1, tokens: { output: 0 }, busy: 0, model: 'm' }]);
    expect(play([look(0, { 'output m p': 5, 'output n p': 1 }), look(1, { 'output m p': 5, 'output n p': 1 })])).toEqual([{ kind: 'window', from: 0, to: 1, tokens: { output: 0 } }]);
  });

  it('speak of each model that moved or is busy', () => {
    const windows = windowsIn(play([look(0, { 'output a p': 0, 'output b p': 0, 'output c p': 0 }, { busy: { a: 1, b: 2, c: 0 } }), look(1, { 'output a p': 5, 'output b p': 0, 'output c p': 0 }, { busy: { a: 3, b: 0, c: 0 } })]));
    expect(windows.map(({ model, tokens, busy }) => [model, tokens.output, busy])).toEqual([
      ['a', 5, 3],
      ['b', 0, 2],
    ]);
  });

  it('tell how requests ended', () => {
    const windows = windowsIn(play([look(0, { 'ok - p': 1, 'aborted - p': 0 }), look(1, { 'ok - p': 3, 'aborted - p': 0 })]));
    expect(windows[0]?.requests).toEqual({ ok: 2 });
  });

  it('reach back over looks that failed, and beyond five periods or 5 s are a hole as well', () => {
    const short = play([look(0, { 'output - p': 0 }), look(5, { 'output - p': 9 })]);
    expect(short.map((event) => event.kind)).toEqual(['window']);
    const long = play([look(0, { 'output - p': 0 }, { busy: 0 }), look(5.5, { 'output - p': 9 }, { busy: 0 })]);
    expect(long).toMatchObject([{ kind: 'hole', from: 0, to: 5.5 }, { code: 'COUNTER_GAP' }, { kind: 'window', from: 0, to: 5.5, tokens: { output: 9 } }]);
    expect(play([look(0, { 'output - p': 0 }), look(45, { 'output - p': 9 })], 10).map((event) => event.kind)).toEqual(['window']);
  });

  it('carry cache hits that come before their prompt', () => {
    const windows = windowsIn(
      play([look(0, { 'prompt - p': 0, 'cachedInput - p': 0 }), look(1, { 'prompt - p': 0, 'cachedInput - p': 80 }), look(2, { 'prompt - p': 50, 'cachedInput - p': 80 }), look(3, { 'prompt - p': 150, 'cachedInput - p': 90 })]),
    );
    expect(windows.map(({ tokens }) => [tokens.input, tokens.cachedInput])).toEqual([
      [0, 0],
      [0, 50],
      [60, 40],
    ]);
  });

});

const outputs = (events: readonly ServingEvent[]): (readonly [number, number, number | undefined])[] => windowsIn(events).map(({ from, to, tokens }) => [from, to, tokens.output]);
/** Output of one process at 0 s, 1 s, 2 s …, with nothing else on the page. */
const course = (...values: readonly number[]): ServingEvent[] => play(values.map((value, at) => look(at, { 'output - p': value })));
const upTo30 = Array.from({ length: 30 }, (_, at) => at);

describe('values that can be no count', () => {
  it.each([['NaN', Number.NaN], ['infinite', Infinity], ['below 0', -7]])('%s: the look is left out whole, and the next one reaches back', (_, odd) => {
    const events = play([
      look(0, { 'output - p': 5, 'prompt - p': 5 }, { busy: 1 }), look(1, { 'output - p': odd, 'prompt - p': 9 }, { busy: 0 }), look(2, { 'output - p': 8, 'prompt - p': 9 }, { busy: odd }),
      { ...look(3, { 'output - p': odd, 'prompt - p': 11 }), noCounts: ['m:output'] }, look(4, { 'output - p': 12, 'prompt - p': 11 }, { busy: 0 }),
    ]);
    expect(windowsIn(events)).toMatchObject([{ from: 0, to: 4, tokens: { input: 6, output: 7 }, busy: 1 }]);
    expect(events.at(-1)).toMatchObject({ code: 'NO_COUNT', count: 3, detail: expect.stringMatching(/^test: 3 looks, the first at 1970-01-01T00:00:01.*m:output in 1/) as unknown });
  });

  it('that never was a number keeps nobody waiting', () => {
    const events = play([0, 1, 2].map((at) => look(at, { 'output - p': at, 'prompt - p': Number.NaN })));
    expect([outputs(events), codes(events)]).toEqual([[[0, 1, 1], [1, 2, 1]], []]);
  });

  it('that is none for good is gone after a while: the rest is told, idle time is not, and what it missed comes when it is back', () => {
    const events = play(upTo30.map((at) => look(at, { 'output - p': at, 'prompt - p': at > 3 && at < 20 ? Number.NaN : 10 * at }, { busy: 0 })));
    expect(outputs(events).reduce((sum, [, , output]) => sum + (output ?? 0), 0)).toBe(29);
    expect(windowsIn(events).reduce((sum, { tokens }) => sum + (tokens.input ?? 0), 0)).toBe(290);
    const lacking = windowsIn(events).filter(({ to }) => to > 8 && to < 20);
    expect(lacking).toHaveLength(11);
    for (const { from, to } of lacking) expect(events).toContainEqual(expect.objectContaining({ kind: 'hole', from, to }));
    expect(events).not.toContainEqual(expect.objectContaining({ kind: 'hole', to: 21 }));
  });
});

describe('counters that do not go on', () => {
  it.each([
    ['an old page', [1000, 1010, 1020, 1015, 1030], 30, 1],
    ['an old page, long before', [1000, 1010, 1020, 3, 1030], 30, 1],
    ['two servers by turns', [1000, 800, 1010, 812, 825, 1020, 1030, 840, 1040], 40, 4],
    ['half of it for some looks', [1000, 1010, 505, 510, 515, 520, 1060], 60, 4],
    ['a leap and back', [1000, 1010, 1e12, 1020], 20, 1],
  ])('%s: nothing is counted twice, and it is said', (_, values, output, strays) => {
    const events = course(...values);
    expect(outputs(events).reduce((sum, [, , each]) => sum + (each ?? 0), 0)).toBe(output);
    expect(events.filter((event) => event.kind === 'flagged')).toContainEqual(expect.objectContaining({ code: 'COUNTER_WENT_BACK', count: strays }));
    expect(codes(events)).not.toContain('COUNTER_RESET');
  });

  it('a restart is known once they did not come back, with the very windows that were held', () => {
    const events = course(1000, 1020, ...upTo30.map((at) => 4 + 20 * at));
    expect(outputs(events).slice(0, 4)).toEqual([[0, 1, 20], [1, 2, 4], [2, 3, 20], [3, 4, 20]]);
    expect([outputs(events).length, codes(events)]).toEqual([31, ['COUNTER_RESET']]);
  });

  it('what is held is not told to be done, and comes within 10 s', () => {
    const windows = counterWindows({ label: 'test', period: seconds(1) });
    const told = [1000, 1020, ...upTo30.map((at) => 4 + 20 * at)].map((value, at) => {
      windows.since(look(at, { 'output - p': value }));
      return windows.told;
    });
    expect([told.slice(0, 12), told.slice(12, 15)]).toEqual([[0, 1, ...Array<number>(10).fill(1)], [12, 13, 14]]);
  });

  it('another server in place of the first begins a new account: what it counted before is not of this time', () => {
    const events = course(1000, 1020, ...upTo30.map((at) => 700 + 20 * at));
    expect(codes(events)).toEqual(['COUNTER_REPLACED']);
    expect(outputs(events).slice(0, 4)).toEqual([[0, 1, 20], [1, 2, 0], [2, 3, 20], [3, 4, 20]]);
    expect(events).toContainEqual(expect.objectContaining({ kind: 'hole', from: 1, to: 2 }));
  });

  it('by process start times, two servers by turns are told apart where the other one is ahead', () => {
    const events = play([[0, 5000], [1, 900], [2, 5010], [3, 912], [4, 5020]].map(([at = 0, value = 0], index) => look(2000 + at, { 'output - p': value }, { start: index % 2 === 0 ? 100 : 700 })));
    expect([outputs(events), codes(events)]).toEqual([[[2000, 2002, 10], [2002, 2004, 10]], ['COUNTER_WENT_BACK']]);
  });
});

const models = (events: readonly ServingEvent[]): unknown[] => windowsIn(events).map(({ model, tokens, requests }) => [model, tokens.input, tokens.output, requests]);

describe('series that were not there', () => {
  it('in place of one that is gone and as high go on from it, told once, under the new name', () => {
    const events = play([
      look(0, { 'prompt a a': 5e9, 'output a a': 900, 'ok a a': 7, 'prompt c c': 5, 'output c c': 5, 'ok c c': 0 }),
      look(1, { 'prompt b b': 5e9 + 40, 'output b b': 930, 'ok b b': 9, 'prompt c c': 5, 'output c c': 6, 'ok c c': 0 }),
      look(2, { 'prompt b b': 5e9 + 50, 'output b b': 931, 'ok b b': 9, 'prompt c c': 5, 'output c c': 6, 'ok c c': 0 }),
    ]);
    expect(models(events)).toEqual([['c', 0, 1, {}], ['b', 40, 30, { ok: 2 }], ['b', 10, 1, {}]]);
    expect(events.filter((event) => event.kind === 'flagged')).toMatchObject([{ code: 'COUNTER_RENAMED', count: 1, detail: expect.stringMatching(/^test: before 1970-01-01T00:00:01.000Z/) as unknown }]);
  });

  it('are renamed back, and two at once, by how high they stand', () => {
    const events = play([
      look(0, { 'output a a': 900, 'output b b': 3000 }), look(1, { 'output x x': 910, 'output y y': 3020 }), look(2, { 'output b b': 3021, 'output a a': 911 }),
    ]);
    expect([outputs(events).reduce((sum, [, , output]) => sum + (output ?? 0), 0), codes(events)]).toEqual([32, ['COUNTER_RENAMED', 'COUNTER_RENAMED']]);
  });

  it('that stand lower than what is gone count from 0: another model, whose counters are new', () => {
    const events = play([look(0, { 'output a a': 900, 'prompt a a': 50 }), look(1, { 'output b b': 30, 'prompt b b': 60 })]);
    expect([models(events), codes(events)]).toEqual([[['b', 60, 30, undefined]], []]);
  });

  it('are no old ones by another name where the server began anew', () => {
    const events = play([look(1000, { 'output a a': 900 }, { start: 5 }), look(1001, { 'output b b': 930 }, { start: 1000.5 })]);
    expect([models(events), codes(events)]).toEqual([[['b', undefined, 930, undefined]], ['COUNTER_RESET']]);
    const more = play([look(1000, { 'output - e0': 900 }, { start: 5 }), look(1001, { 'output - e0': 10, 'output - e1': 3e5 }, { start: 1000.5 })]);
    expect([outputs(more), codes(more)]).toEqual([[[1000, 1001, 300_010]], ['COUNTER_RESET']]);
  });

  it.each([7e6, 7e12])('beside others, and at %d tokens a second later, are counted from where they stand, with all of their process', (value) => {
    const events = play([look(0, { 'output - e0': 100 }), look(1, { 'output - e0': 110, 'output - e1': value, 'ok - e1': 5000 }), look(2, { 'output - e0': 115, 'output - e1': value + 20, 'ok - e1': 5001 })]);
    expect(models(events)).toEqual([[undefined, undefined, 10, {}], [undefined, undefined, 25, { ok: 1 }]]);
    expect(events.filter((event) => event.kind === 'flagged')).toMatchObject([{ code: 'COUNTER_JOINED', count: 1 }]);
  });

  it('count from 0 up to what can be counted since the last look', () => {
    expect(outputs(play([look(0, { 'output - e0': 1 }), look(1, { 'output - e0': 1, 'output - e1': 1e5 })]))).toEqual([[0, 1, 1e5]]);
    expect(outputs(play([look(0, { 'output - e0': 1 }), look(4, { 'output - e0': 1, 'output - e1': 4e5 })]))).toEqual([[0, 4, 4e5]]);
  });
});

interface Moment {
  readonly engine: number;
  readonly grows: readonly [prompt: number, hits: number, output: number];
  readonly restart: boolean;
  readonly look: 'good' | 'failed';
}
const moment: fc.Arbitrary<Moment> = fc.record({
  engine: fc.integer({ min: 0, max: 3 }),
  grows: fc.tuple(fc.nat(1000), fc.nat(1000), fc.nat(1000)),
  restart: fc.boolean(),
  look: fc.constantFrom('good' as const, 'good' as const, 'failed' as const),
});

/** Engines count; each knows what was counted since it was last looked at, which is what a restart loses. */
function history(moments: readonly Moment[], told: boolean): { looks: Look[]; truth: number } {
  const engines = new Map<number, { prompt: number; cachedInput: number; output: number; unseen: number }>();
  const looks: Look[] = [];
  let truth = 0;
  let generation = 0;
  let at = 0;
  for (const { engine, grows, restart, look: how } of moments) {
    at += 1;
    const state = engines.get(engine) ?? { prompt: 0, cachedInput: 0, output: 0, unseen: 0 };
    engines.set(engine, state);
    if (restart) {
      // All of a process begins anew; with a start time on the page, all engines on it are one process.
      for (const each of told ? engines.values() : [state]) Object.assign(each, { prompt: 0, cachedInput: 0, output: 0, unseen: 0 });
      generation += 1000;
    }
    const [prompt, hits, output] = grows;
    state.prompt += prompt;
    state.cachedInput += Math.min(hits, prompt);
    state.output += output;
    state.unseen += output + prompt;
    if (how === 'failed') continue;
    const values: Record<string, number> = {};
    for (const [index, each] of engines) {
      values[`prompt - e${index}`] = each.prompt;
      values[`cachedInput - e${index}`] = each.cachedInput;
      values[`output - e${index}`] = each.output;
      if (looks.length > 0) truth += each.unseen;
      each.unseen = 0;
    }
    looks.push(look(at, values, told ? { start: generation } : {}));
  }
  return { looks, truth };
}
const total = (windows: readonly WindowEvidence[], kind: 'input' | 'cachedInput' | 'output'): number => windows.reduce((all, { tokens }) => all + (tokens[kind] ?? 0), 0);

describe('over any history of growth, restarts, new engines and failed looks', () => {
  it('the deltas add up to all that was counted, but for what a restart took unseen', () => {
    fc.assert(
      fc.property(fc.array(moment, { maxLength: 40 }), (moments) => {
        const { looks, truth } = history(moments, true);
        const windows = windowsIn(play(looks));
        expect(total(windows, 'input') + total(windows, 'cachedInput') + total(windows, 'output')).toBe(truth);
        for (const { tokens } of windows) expect(Math.min(tokens.input ?? 0, tokens.cachedInput ?? 0)).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 300 },
    );
  });

  it('without a start time, where a restart may not show, they are never more than that', () => {
    fc.assert(
      fc.property(fc.array(moment, { maxLength: 40 }), (moments) => {
        const { looks, truth } = history(moments, false);
        const windows = windowsIn(play(looks));
        expect(total(windows, 'input') + total(windows, 'cachedInput') + total(windows, 'output')).toBeLessThanOrEqual(truth);
      }),
      { numRuns: 300 },
    );
  });

  it('the windows follow each other without gap or overlap', () => {
    fc.assert(
      fc.property(fc.array(moment, { maxLength: 40 }), (moments) => {
        const { looks } = history(moments, true);
        const windows = windowsIn(play(looks));
        expect(windows.map(({ from, to }) => [from, to])).toEqual(looks.slice(1).map(({ at }, index) => [looks[index]?.at, at]));
      }),
    );
  });
});
