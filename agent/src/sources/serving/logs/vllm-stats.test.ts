import { describe, expect, it } from 'vitest';
import { at, codesIn, header, idleIn, reader, since, story, v0, v1, windowsIn } from './vllm.testing.js';
import { STATISTICS_SECONDS } from './vllm.js';

const SAID = { prompt: 40, output: 9, running: 3, waiting: 2, kv: 12.5 };
const windowEnds = (stamps: readonly number[]): number[] => windowsIn(reader().all(...stamps.map((stamp) => v1(stamp, SAID)))).map(({ to }) => since(to));
const banner = (version: string): string => `${header(-60)}vLLM API server version ${version}`;
const drafts = (seconds: number, accepted: number, drafted: number): string =>
  `${header(seconds, 'metrics.py:120')}SpecDecoding metrics: Mean acceptance length: ${(1 + (3 * accepted) / drafted).toFixed(2)}, Accepted throughput: 1.00 tokens/s, Drafted throughput: 1.00 tokens/s, Accepted: ${accepted} tokens, Drafted: ${drafted} tokens, Per-position acceptance rate: 0.9, 0.5, 0.2, Avg Draft acceptance rate: 50.0%`;
const total = (seconds: number, drafted: number): string => `${header(seconds)}Speculative metrics: Draft acceptance rate: 0.5, System efficiency: 0.4, Number of speculative tokens: 4, Number of accepted tokens: 1, Number of draft tokens: ${drafted}, Number of emitted tokens: 2.`;

const quiet = (lines: readonly string[], ...moments: readonly number[]): string[][] => {
  const { read, parser } = reader();
  const events = [read(...lines), ...moments.map((moment) => parser.quiet(at(moment)))];
  return events.map((each) => [...story(each), ...each.flatMap((event) => (event.kind === 'watermark' ? [`said to ${since(event.at)}`] : []))]);
};

describe('the time of a line of statistics', () => {
  it('is taken from a steady timer, moved only as far as a stamp asks', () => {
    expect(windowEnds([0, 10, 20, 31, 41, 51])).toEqual([0.5, 10.5, 20.5, 31, 41, 51]);
    expect(windowEnds([0, 10, 20, 29])).toEqual([0.5, 10.5, 20.5, 29.999]);
  });

  it('keeps every stamp, leaves no gap, and makes windows of the true length over a day of drift', () => {
    const ticks = Array.from({ length: 8640 }, (_, tick) => 0.3 + tick * 10.0011);
    const windows = windowsIn(reader().all(...ticks.map((tick) => v1(Math.floor(tick), SAID))));
    expect(windows).toHaveLength(ticks.length);
    expect(windows.map(({ to }) => Math.floor(since(to)))).toEqual(ticks.map(Math.floor));
    expect(windows.slice(1).map(({ from }) => from)).toEqual(windows.slice(0, -1).map(({ to }) => to));
    expect(Math.max(...windows.slice(1000).map(({ from, to }) => to - from))).toBeLessThan(10.6);
    expect(windows.filter(({ from, to }) => Math.abs(to - from - 10) > 0.05).length).toBeLessThan(12);
  });

  it.each([
    ['1 s', [0, 1, 2, 3, 5, 6], 1],
    ['30 s', [0, 30, 60, 90, 120], 30],
    ['the usual 10 s', [0, 10, 20, 30], 10],
  ])('follows an interval of %s', (_, stamps, interval) => {
    const windows = windowsIn(reader().all(...stamps.map((stamp) => v1(stamp, { output: 100, running: 1 }))));
    expect(windows.slice(1).map(({ tokens }) => tokens.output)).toEqual(stamps.slice(1).map(() => 100 * interval));
  });

  it('knows an interval of 1 s at the first line when the second comes', () => {
    expect(story(reader().all(v1(0, SAID), v1(1, SAID)))[0]).toBe('-0.5 to 0.5: 40/9 busy 5');
  });

  it('is that of a container, which tells it to the nanosecond', () => {
    const stamped = [0.331095, 10.332184, 20.333055].map((second) => `2026-06-01T12:00:${second.toFixed(6).padStart(9, '0')}044Z ${v1(Math.floor(second), SAID)}`);
    expect(windowsIn(reader().all(...stamped)).map(({ to }) => since(to))).toEqual([0.331, 10.332, 20.333]);
  });

  it('that was late is told with the tokens of all the time since the line before', () => {
    expect(story(reader().all(v1(0, SAID), v1(10, SAID), v1(24, SAID), v1(34, SAID)))[2]).toBe('10.5 to 24.5: 560/126 busy 5');
  });

  it('that should have come and did not leaves a hole', () => {
    expect(story(reader().all(v1(0, SAID), v1(100, SAID)))).toEqual(['-9.5 to 0.5: 400/90 busy 5', '0.5 to 90.5 hole', '90.5 to 100.5: 400/90 busy 5']);
  });

  it('that goes back begins anew', () => {
    expect(story(reader().all(v1(100, SAID), v1(50, SAID), v1(60, SAID)))).toEqual(['90.5 to 100.5: 400/90 busy 5', '40.5 to 50.5: 400/90 busy 5', '50.5 to 60.5: 400/90 busy 5']);
  });
});

describe('tokens', () => {
  it('are whole numbers whose sum follows the rates', () => {
    const windows = windowsIn(reader().all(...Array.from({ length: 100 }, (_, tick) => v1(tick, { output: 0.3, running: 1 }))));
    expect(windows.every(({ tokens }) => Number.isInteger(tokens.output))).toBe(true);
    expect(windows.reduce((sum, { tokens }) => sum + (tokens.output ?? 0), 0)).toBe(30);
  });

  it('of more per second than can be are left out, and a person is told', () => {
    const events = reader().all(v0(0, { output: 30_273.6, running: 8 }), v0(5, { output: 400, running: 8 }));
    expect(story(events)).toEqual(['-4.5 to 0.5: -/- busy 8', '0.5 to 5.5: 0/2000 busy 8']);
    expect(codesIn(events)).toEqual(['IMPLAUSIBLE_RATE']);
    expect(codesIn(reader().all(v1(0, { prompt: 6e6 })))).toEqual(['IMPLAUSIBLE_RATE']);
    expect(codesIn(reader().all(v1(0, { output: 30_000 }), v0(10, { output: 30_000, running: 200 })))).toEqual([]);
  });

  it('from a prefix cache are told to be in the input, by versions that do not take them out', () => {
    const codes = (version: string, hits: number): string[] => codesIn(reader().all(banner(version), v1(0, { ...SAID, hits })));
    expect(codes('0.15.1', 50)).toEqual(['CACHED_INPUT_INCLUDED']);
    expect([codes('0.15.1', 0), codes('0.16.0', 50), codes('1.0.0', 50), codesIn(reader().all(v1(0, { ...SAID, hits: 50 })))]).toEqual([[], [], [], []]);
  });
});

describe('silence', () => {
  const END = { prompt: 10, output: 5, running: 1 };

  it('after nobody ran is idle', () => {
    expect(story(reader().all(v1(0, { output: 9 }), v1(10), v1(60, END)))).toEqual(['-9.5 to 0.5: 0/90 busy 0', '0.5 to 10.5 idle', '10.5 to 50.5 idle', '50.5 to 60.5: 100/50 busy 1']);
  });

  it('while somebody runs is a long prompt, told when it gives its first token', () => {
    const events = reader().all(v1(0, { output: 9, running: 1 }), v1(10, { running: 1 }), v1(320, { prompt: 19_820.6, output: 0.8, running: 1 }));
    expect(story(events).slice(1)).toEqual(['0.5 to 10.5: 0/0 busy 1', '10.5 to 310.5: 0/0 busy 1', '310.5 to 320.5: 198206/8 busy 1']);
    expect(idleIn(events)).toEqual([]);
    expect(windowsIn(events)[2]).toMatchObject({ credits: 'firstToken', running: 1 });
  });

  it('with somebody waiting is not idle', () => {
    expect(idleIn(reader().all(v1(0, { output: 9 }), v1(10, { waiting: 1 }), v1(60, END)))).toEqual([]);
  });

  it('longer than a prompt takes is a hole', () => {
    expect(story(reader().all(v1(0, { running: 1 }), v1(1010, END))).slice(1, 3)).toEqual(['0.5 to 600.5: 0/0 busy 1', '600.5 to 1000.5 hole']);
  });

  it('before a prompt that takes longer than an interval is not claimed to be idle as long as that', () => {
    expect(story(reader().all(v1(0, { output: 9 }), v1(10), v1(210, { prompt: 2000, output: 1, running: 1 }))).slice(2)).toEqual(['10.5 to 170.5 idle', '170.5 to 200.5: 0/0', '200.5 to 210.5: 20000/10 busy 1']);
  });

  it('is idle only until a request came', () => {
    expect(story(reader().all(v1(0, { output: 9 }), v1(10), `${header(38)}Added request cmpl-1.`, v1(60, END))).slice(2, 4)).toEqual(['10.5 to 38 idle', '38 to 50.5: 0/0']);
  });

  it('of old versions is lines of nothing', () => {
    expect(story(reader().all(v1(0, { output: 9 }), v1(10), v1(20), v1(30)))).toEqual(['-9.5 to 0.5: 0/90 busy 0', '0.5 to 10.5 idle', '10.5 to 20.5 idle', '20.5 to 30.5 idle']);
  });

  it('of V0, which writes every 10 s when nothing runs, is one window', () => {
    expect(story(reader().all(v0(0), v0(10), v0(20, { output: 5, running: 1 })))).toEqual(['-4.5 to 0.5: 0/0 busy 0', '0.5 to 10.5 idle', '10.5 to 20.5: 0/50 busy 1']);
  });

  it('across a restart says nothing of the time between', () => {
    const events = reader().all(v1(0, { output: 9 }), v1(10), `${header(100)}vLLM API server version 0.22.0`, v1(200, END));
    expect(story(events)).toEqual(['-9.5 to 0.5: 0/90 busy 0', '0.5 to 10.5 idle', '190.5 to 200.5: 100/50 busy 1']);
  });
});

describe('live', () => {
  it('silence is told interval by interval, and the watermark follows', () => {
    const [, first, again, later] = quiet([v1(0, { output: 9 }), v1(10)], 13, 22, 45);
    expect([first, again, later]).toEqual([['0.5 to 10.5 idle', 'said to 10.5'], ['10.5 to 20.5 idle', 'said to 20.5'], ['20.5 to 40.5 idle', 'said to 40.5']]);
  });

  it('silence while somebody runs is busy', () => {
    expect(quiet([v1(0, { output: 9 }), v1(10, { running: 1 })], 13, 33)[2]).toEqual(['10.5 to 30.5: 0/0 busy 1', 'said to 30.5']);
  });

  it('nothing is claimed after a line that must be followed by another', () => {
    expect(quiet([v1(0, SAID), v1(10, SAID)], 15, 40)).toEqual([['-9.5 to 0.5: 400/90 busy 5'], ['0.5 to 10.5: 400/90 busy 5', 'said to 10.5'], ['said to 10.5']]);
    expect(quiet([v1(0, SAID), v1(10, SAID)], 15, 400)[2]).toEqual(['said to 360']);
  });

  it('of a log that says nothing the watermark is as late as a line may be', () => {
    expect(quiet([], 100)[1]).toEqual([`said to ${100 - STATISTICS_SECONDS}`]);
  });

  it('tells the same as a file in the end', () => {
    const lines = [v1(0, SAID), v1(10, SAID), v1(20), v1(30, SAID)];
    const { read, parser } = reader();
    const events = lines.flatMap((line, index) => [...read(line), ...parser.quiet(at(index * 10 + 3))]);
    expect(story([...events, ...parser.quiet(at(40))])).toEqual(story(reader().all(...lines)));
  });
});

describe('drafts', () => {
  it('tell how many iterations decoded, in the window of the line before them', () => {
    const events = reader().all(v1(0, { output: 20, running: 2 }), drafts(0, 100, 300), v1(10, { output: 20, running: 4 }), drafts(10, 80, 180), v1(20, { output: 1, running: 1 }));
    expect(windowsIn(events).map(({ decodeSteps }) => decodeSteps)).toEqual([50, 20, undefined]);
  });

  it('without a list of positions tell it by their mean length', () => {
    const line = drafts(0, 100, 300).replace(/Per-position[^A]*/, '');
    expect(windowsIn(reader().all(v1(0, { output: 20, running: 2 }), line))[0]?.decodeSteps).toBeCloseTo(50, 6);
  });

  it('of V0 are totals, of which the difference counts', () => {
    const events = reader().all(v0(0, { output: 20, running: 1 }), total(0, 4000), v0(5, { output: 20, running: 1 }), total(5, 4200));
    expect(windowsIn(events).map(({ decodeSteps }) => decodeSteps)).toEqual([undefined, 50]);
  });
});
