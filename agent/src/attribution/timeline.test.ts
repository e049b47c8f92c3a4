import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { instant, tokens } from '@joulebook/shared/units.js';
import type { IdleEvidence, RequestEvidence, TokenCounts, WindowEvidence } from '../sources/source.js';
import { learnt } from './learnt.js';
import { timeline, type Timeline } from './timeline.js';
import type { Stretch } from './work.js';
import { stepsOf } from './work.testing.js';

const request = (start: number, firstToken: number | undefined, end: number): RequestEvidence => ({
  kind: 'request',
  id: 'r',
  start: instant(start),
  ...(firstToken !== undefined && { firstToken: instant(firstToken) }),
  end: instant(end),
  tokens: {},
  outcome: 'ok',
});
const counts = (input?: number, output?: number): TokenCounts => ({ ...(input !== undefined && { input: tokens(input) }), ...(output !== undefined && { output: tokens(output) }) });
const window = (from: number, to: number, rest: Partial<WindowEvidence>): WindowEvidence => ({ kind: 'window', from: instant(from), to: instant(to), tokens: {}, ...rest });

const nameOf = ({ state, work }: Stretch): string => {
  if (state !== 'work') return state;
  const ran = (['prefill', 'decode'] as const).filter((phase) => work.some((each) => each[phase] !== undefined));
  return ran.join(' + ') || 'nothing';
};
const phases = (line: Timeline, to: number): string[] => line.advance(instant(to)).map((stretch) => `${stretch.from}-${stretch.to} ${nameOf(stretch)}`);
const from0 = (options: object = {}): Timeline => timeline({ begin: instant(0), ...options });

describe('requests', () => {
  it('tell prefill, decode and both', () => {
    const line = from0();
    line.evidence(request(1, 2, 5));
    line.evidence(request(3, 4, 6));
    line.whole(instant(0), instant(6));
    expect(phases(line, 7)).toEqual(['0-1 idle', '1-2 prefill', '2-3 decode', '3-4 prefill + decode', '4-5 decode', '5-6 decode', '6-7 unknown']);
  });

  it('without a first token make everything active while they run', () => {
    const line = from0();
    line.evidence(request(0, 1, 4));
    line.evidence(request(2, undefined, 3));
    expect(phases(line, 4)).toEqual(['0-1 prefill', '1-2 decode', '2-3 active', '3-4 decode']);
  });

  it('claim no idle where they are not whole', () => {
    const line = from0();
    line.whole(instant(0), instant(4));
    line.evidence({ kind: 'hole', from: instant(1), to: instant(2), reason: 'r' });
    expect(phases(line, 5)).toEqual(['0-1 idle', '1-2 unknown', '2-4 idle', '4-5 unknown']);
  });

  it('outrank counter windows', () => {
    const line = from0();
    line.evidence(window(0, 4, { tokens: counts(10, 5), busy: 1 }));
    line.evidence(request(1, 2, 3));
    expect(phases(line, 4)).toEqual(['0-1 prefill + decode', '1-2 prefill', '2-3 decode', '3-4 prefill + decode']);
  });
});

describe('counter windows', () => {
  it.each([
    ['only input moved', { tokens: counts(10, 0), busy: 1 }, 'prefill'],
    ['only output moved', { tokens: counts(0, 9), busy: 1 }, 'decode'],
    ['both moved', { tokens: counts(10, 9), busy: 1 }, 'prefill + decode'],
    ['nothing moved but somebody was there', { tokens: counts(0, 0), busy: 2 }, 'active'],
    ['nothing moved and nobody was there', { tokens: counts(0, 0), busy: 0 }, 'idle'],
    ['nothing moved and no gauge says whether anybody was there', { tokens: counts(0, 0) }, 'unknown'],
    ['output moved and input is not measured', { tokens: counts(undefined, 9) }, 'active'],
    ['a benchmark ran throughout', { saturated: true }, 'active'],
  ])('%s', (_, rest, phase) => {
    const line = from0();
    line.evidence(window(0, 1, rest));
    expect(phases(line, 1)).toEqual([`0-1 ${phase}`]);
  });

  it('of several models are idle only when all are', () => {
    const line = from0();
    line.evidence(window(0, 2, { tokens: counts(0, 0), busy: 0 }));
    line.evidence(window(1, 2, { tokens: counts(0, 9), busy: 1 }));
    expect(phases(line, 2)).toEqual(['0-1 idle', '1-2 decode']);
  });
});

describe('a role', () => {
  it('names the phase of whatever runs, and leaves idle idle', () => {
    const line = from0({ role: 'decode' });
    line.evidence(window(0, 1, { tokens: counts(5, 9), busy: 1 }));
    line.evidence(window(1, 2, { tokens: counts(0, 0), busy: 0 }));
    expect(phases(line, 3)).toEqual(['0-1 decode', '1-2 idle', '2-3 unknown']);
  });

  it.each(['prefill', 'decode'] as const)('%s is the phase of iterations, requests and counts alike', (role) => {
    const line = from0({ role });
    line.evidence(stepsOf(0, 1, 100, 3));
    line.evidence(request(2, 3, 4));
    line.evidence(window(55, 56, { tokens: counts(5, 9), busy: 1, credits: 'firstToken' }));
    line.evidence(window(56, 57, { tokens: counts(0, 0), busy: 1, running: 1, credits: 'firstToken' }));
    line.evidence(window(57, 58, { tokens: counts(0, 0), busy: 0 }));
    expect(phases(line, 58).filter((each) => !each.endsWith('unknown'))).toEqual([`0-1 ${role}`, `2-3 ${role}`, `3-4 ${role}`, `55-56 ${role}`, `56-57 ${role}`, '57-58 idle']);
  });

  it.each([
    ['prefill', [500, 0, 0]],
    ['decode', [0, 9, 4]],
  ] as const)('%s leaves out of its counts what the other pool computes', (role, found) => {
    const line = from0({ role });
    line.evidence(window(0, 1, { tokens: counts(500, 9), decodeSteps: 4 }));
    const counted = line.advance(instant(1))[0]?.window;
    expect([counted?.prefillTokens, counted?.decodeTokens, counted?.decodeSteps]).toEqual(found);
  });

  it('is all there is where no source says more', () => {
    expect(phases(from0({ role: 'prefill', roleOnly: true }), 2)).toEqual(['0-2 prefill']);
  });
});

it.each([
  ['a pause between iterations belongs to the one before it', undefined, ['0-1 decode', '1-1.3 decode', '1.3-2 decode']],
  ['unless the engine is said to rest', { kind: 'idle', from: instant(1), to: instant(1.3) } as const, ['0-1 decode', '1-1.3 idle', '1.3-2 decode']],
] as const)('%s', (_, rest, found) => {
  const line = from0();
  line.evidence(stepsOf(0, 1, 0, 3));
  if (rest) line.evidence(rest);
  line.evidence(stepsOf(1.3, 2, 0, 3));
  expect(phases(line, 2)).toEqual(found);
});

it('goes on where it stopped, and evidence about the past changes nothing behind it', () => {
  const line = from0();
  line.evidence(request(0, 2, 10));
  expect(phases(line, 3)).toEqual(['0-2 prefill', '2-3 decode']);
  line.evidence(request(1, 4, 5));
  expect(phases(line, 6)).toEqual(['3-4 prefill + decode', '4-5 decode', '5-6 decode']);
});

describe('iterations', () => {
  it('tell what ran in each; a gap of milliseconds belongs to the one before it', () => {
    const line = from0();
    line.evidence(stepsOf(1, 2, 100, 0));
    line.evidence(stepsOf(2.004, 3, 0, 5));
    line.evidence(stepsOf(3.003, 4, 100, 5));
    expect(phases(line, 5)).toEqual(['0-1 unknown', '1-2 prefill', '2-2.004 prefill', '2.004-3 decode', '3-3.003 decode', '3.003-4 prefill + decode', '4-5 unknown']);
  });

  it('far apart say nothing of the time between them', () => {
    const line = from0();
    line.evidence(stepsOf(0, 1, 100, 0));
    line.evidence(stepsOf(5, 6, 0, 5));
    expect(phases(line, 6)).toEqual(['0-1 prefill', '1-5 unknown', '5-6 decode']);
  });

  it('carry their work as rates, alike in the gap behind them', () => {
    const line = from0();
    line.evidence(stepsOf(0, 0.5, 1_000, 20, { kvTokens: 7_000 }));
    line.evidence(stepsOf(0.6, 1, 0, 5));
    const [first, gap] = line.advance(instant(1));
    expect(first?.work[0]?.ran).toEqual({ busy: 1, iterations: 2, promptTokens: 2_000, decoded: 40, kvTokens: 14_000 });
    expect(gap?.work[0]?.ran).toEqual(first?.work[0]?.ran);
    expect(gap).toMatchObject({ from: 0.5, to: 0.6 });
  });

  it('of several ranks run at the same time', () => {
    const line = from0();
    line.evidence(stepsOf(0, 2, 100, 0, { rank: '0' }));
    line.evidence(stepsOf(1, 3, 0, 5, { rank: '1' }));
    const stretches = line.advance(instant(3));
    expect(stretches.map((each) => `${each.from}-${each.to} ${nameOf(each)} ${each.work.length}`)).toEqual(['0-1 prefill 1', '1-2 prefill + decode 2', '2-3 decode 1']);
  });

  it('without work in them are no work', () => {
    const line = from0();
    line.evidence(stepsOf(0, 1, 0, 0));
    line.evidence(stepsOf(1, 2, 0, 3));
    expect(phases(line, 2)).toEqual(['0-1 unknown', '1-2 decode']);
  });

  it('that did both say how long each would have taken alone, once that is known', () => {
    const line = from0();
    for (let at = 0; at < 40; at += 1) line.evidence(stepsOf(at, at + 0.5, at % 2 === 0 ? 1_000 : 0, at % 2 === 0 ? 0 : 10));
    line.evidence(stepsOf(40, 40.8, 1_000, 10));
    const mixed = line.advance(instant(41)).find(({ from }) => from === 40)?.work[0];
    expect(mixed?.prefill?.busy).toBeCloseTo(0.5 / 0.8, 1);
    expect(mixed?.decode?.busy).toBeCloseTo(0.5 / 0.8, 1);
  });
});

/** A line each second says what ran since the last one; each iteration is given the same time. */
function lines(line: Timeline, seconds: number): void {
  const pattern = [100, 0, 0, 0, 0, 0, 0];
  for (let second = 0; second < seconds; second += 1) for (const [index, prompt] of pattern.entries()) line.evidence(stepsOf(second + index / 7, second + (index + 1) / 7, prompt, prompt > 0 ? 0 : 10, { timing: 'inferred' }));
}

describe('iterations of which only the order is known', () => {
  const prefillTakes = 0.4;
  const decodeTakes = 0.1;
  it('keep their order and all their time, without overlap', () => {
    const line = from0();
    lines(line, 100);
    const stretches = line.advance(instant(100));
    const withRanks = (ranks: (count: number) => boolean): number => stretches.filter(({ work }) => ranks(work.length)).reduce((sum, { from, to }) => sum + to - from, 0);
    expect(withRanks((count) => count === 1)).toBeCloseTo(100, 6);
    expect(withRanks((count) => count > 1)).toBeLessThan(1e-6);
    expect(stretches.at(-1)?.to).toBe(100);
    const tokensRun = stretches.reduce((sum, { from, to, work: [work] }) => sum + (to - from) * (work?.ran.promptTokens ?? 0), 0);
    expect(tokensRun).toBeCloseTo(100 * 100, 3);
  });

  it('get the time that their work takes, as soon as that is known', () => {
    const knows = learnt();
    for (let at = 0; at < 400; at += 1) {
      knows.speed.learn(stepsOf(at, at + prefillTakes, 100, 0));
      knows.speed.learn(stepsOf(at + 0.4, at + 0.4 + decodeTakes, 0, 10));
    }
    const line = from0({ knows });
    lines(line, 20);
    const sums = new Map<string, number>();
    for (const stretch of line.advance(instant(20))) sums.set(nameOf(stretch), (sums.get(nameOf(stretch)) ?? 0) + stretch.to - stretch.from);
    expect(sums.get('prefill')).toBeCloseTo(20 * prefillTakes, 1);
    expect(sums.get('decode')).toBeCloseTo(20 * 6 * decodeTakes, 1);
  });

  it('come out alike whether swept at once or second by second, as far as time goes', () => {
    const line = from0();
    const stretches: Stretch[] = [];
    const pattern = [100, 0, 0, 0];
    for (let second = 0; second < 30; second += 1) {
      for (const [index, prompt] of pattern.entries()) line.evidence(stepsOf(second + index / 4, second + (index + 1) / 4, prompt, prompt > 0 ? 0 : 10, { timing: 'inferred' }));
      stretches.push(...line.advance(instant(second + 1)));
    }
    expect(stretches.reduce((sum, { from, to, work: [work] }) => sum + (to - from) * (work?.ran.promptTokens ?? 0), 0)).toBeCloseTo(30 * 100, 3);
    for (const [index, { from }] of stretches.entries()) expect(from).toBe(index === 0 ? 0 : stretches[index - 1]?.to);
  });
});

describe('who is believed', () => {
  it('steps before requests before windows', () => {
    const line = from0();
    line.evidence(window(0, 10, { tokens: counts(10, 5), busy: 1 }));
    line.evidence(request(2, 5, 8));
    line.evidence(stepsOf(4, 6, 0, 3));
    // An engine that tells iterations did nothing where it tells none: not even what its windows say.
    expect(phases(line, 10)).toEqual(['0-2 unknown', '2-4 prefill', '4-5 decode', '5-6 decode', '6-8 decode', '8-10 unknown']);
  });

  it('windows of a rank that tells no iterations, beside one that does', () => {
    const line = from0();
    line.evidence(window(0, 4, { tokens: counts(10, 0), busy: 1, rank: '1' }));
    line.evidence(window(0, 4, { tokens: counts(10, 0), busy: 1, rank: '0' }));
    line.evidence(stepsOf(1, 2, 0, 3, { rank: '0' }));
    expect(phases(line, 4)).toEqual(['0-1 prefill', '1-2 decode', '2-4 prefill']);
  });

  it('iterations before what says that nobody ran', () => {
    const line = from0();
    line.evidence({ kind: 'idle', from: instant(0), to: instant(4) });
    line.evidence(stepsOf(1, 2, 0, 3));
    line.whole(instant(0), instant(4));
    expect(phases(line, 4)).toEqual(['0-1 idle', '1-2 decode', '2-4 idle']);
  });

  it('a hole before idle evidence and whole requests', () => {
    const line = from0();
    line.evidence({ kind: 'idle', from: instant(0), to: instant(6) });
    line.evidence({ kind: 'hole', from: instant(2), to: instant(3), reason: 'r' });
    expect(phases(line, 7)).toEqual(['0-2 idle', '2-3 unknown', '3-6 idle', '6-7 unknown']);
  });
});

const idle = (from: number, to: number, rank?: string): IdleEvidence => ({ kind: 'idle', from: instant(from), to: instant(to), ...(rank !== undefined && { rank }) });

describe('idle evidence', () => {
  it('of one rank is idle only when every rank that runs iterations says so', () => {
    const line = from0();
    line.evidence(stepsOf(0, 1, 0, 3, { rank: '0' }));
    line.evidence(stepsOf(0, 1, 0, 3, { rank: '1' }));
    line.evidence(idle(1, 4, '0'));
    line.evidence(idle(2, 5, '1'));
    expect(phases(line, 5)).toEqual(['0-1 decode', '1-2 unknown', '2-4 idle', '4-5 unknown']);
  });

  it('of one rank does not silence the windows of another', () => {
    const line = from0();
    line.evidence(idle(0, 4, '0'));
    line.evidence(window(1, 2, { tokens: counts(0, 10), busy: 1, running: 1, rank: '1' }));
    line.evidence(window(2, 3, { tokens: counts(0, 10), busy: 1, running: 1, rank: '0' }));
    expect(phases(line, 4)).toEqual(['0-1 idle', '1-2 decode', '2-3 idle', '3-4 idle']);
  });

  it('of the whole engine does not outweigh windows that saw work', () => {
    const line = from0();
    line.evidence(idle(0, 3));
    line.evidence(window(1, 2, { tokens: counts(0, 10), busy: 1, running: 1 }));
    expect(phases(line, 3)).toEqual(['0-1 idle', '1-2 decode', '2-3 idle']);
  });
});

describe('windows', () => {
  it.each([1, 3])('that credit prompts at their first token, and in which %d requests ran without yielding any, are prefill', (running) => {
    const line = from0();
    line.evidence(window(0, 5, { tokens: counts(0, 0), credits: 'firstToken', running, busy: running }));
    expect(phases(line, 5)).toEqual(['0-5 prefill']);
  });

  it('that credit prompts at their first token say nothing of the kind when nobody ran, nor when nothing tells of it', () => {
    const line = from0();
    line.evidence(window(0, 5, { tokens: counts(0, 0), credits: 'firstToken', running: 0, busy: 0 }));
    line.evidence(window(5, 9, { tokens: counts(0, 0), credits: 'firstToken' }));
    expect(phases(line, 9)).toEqual(['0-5 idle', '5-9 unknown']);
  });

  it('whose phases have their time told are divided by it, and what is left over is nobody’s', () => {
    const line = from0();
    line.evidence(window(0, 10, { tokens: counts(1_000, 500), phaseSeconds: { prefill: 2, decode: 4 }, decodeSteps: 100, running: 1, busy: 1 }));
    const [only, ...rest] = line.advance(instant(10));
    expect(rest).toEqual([]);
    expect(only).toMatchObject({ from: 0, to: 10, state: 'work', groupEnd: 10, work: [{ mixing: 'turns' }] });
    expect(only?.work[0]?.ran.busy).toBeCloseTo(0.6, 9);
    expect(only?.work[0]?.prefill).toMatchObject({ busy: 0.2, promptTokens: 100 });
    expect(only?.work[0]?.decode).toMatchObject({ busy: 0.4, iterations: 10, decoded: 50 });
  });

  it('whose phases are told to last longer than the window fill it', () => {
    const line = from0();
    line.evidence(window(0, 10, { tokens: counts(1_000, 500), phaseSeconds: { prefill: 5, decode: 15 }, running: 1, busy: 1 }));
    const [only] = line.advance(instant(10));
    expect(only?.work[0]?.prefill?.busy).toBeCloseTo(0.25, 9);
    expect(only?.work[0]?.decode?.busy).toBeCloseTo(0.75, 9);
  });

  it('are one to measuring: all their stretches say where they end', () => {
    const line = from0();
    line.evidence(window(0, 5, { tokens: counts(10, 50), running: 1, busy: 1 }));
    line.evidence(window(5, 10, { tokens: counts(10, 50), running: 1, busy: 1 }));
    for (const { from, groupEnd } of line.advance(instant(10))) expect(groupEnd).toBe(from < 5 ? 5 : 10);
  });

  // Two looks at the same moment: 0 sequence seconds in 0 s are no number, and what is learnt of windows is none from then on.
  it('without length change nothing', () => {
    const [plain, touched] = [from0(), from0()];
    for (const line of [plain, touched]) {
      for (let at = 0; at < 200; at += 5) {
        line.evidence(window(at, at + 5, { tokens: counts(500 + (at % 35) * 20, 800 - (at % 55) * 9), prompts: 1 + (at % 15) / 5, running: 2, busy: 2, sequenceSeconds: 10, decodeSteps: 200 }));
        if (line === touched) line.evidence(window(at + 5, at + 5, { tokens: counts(400, 100), prompts: 1, running: 2, busy: 2, sequenceSeconds: 0 }));
      }
    }
    expect(phases(touched, 200)).toEqual(phases(plain, 200));
  });
});

it('hands out consecutive stretches whatever it is told and however it is swept', () => {
  const time = fc.integer({ min: 0, max: 30_000 }).map((ms) => ms / 1_000);
  const small = fc.nat(3);
  const said = fc.tuple(fc.constantFrom('request', 'steps', 'inferred', 'window', 'idle', 'hole', 'whole'), time, time, time, small, small, fc.constantFrom(undefined, '0', '1'), fc.boolean());
  fc.assert(
    fc.property(fc.array(said, { maxLength: 40 }), fc.array(time, { maxLength: 6 }), fc.constantFrom(undefined, 'prefill', 'decode'), (all, sweeps, role) => {
      const line = from0({ role });
      const stretches: Stretch[] = [];
      const ends = sweeps.toSorted((a, b) => a - b);
      for (const [index, [kind, a, b, c, input, output, rank, flag]] of all.entries()) {
        const [from = 0, middle = 0, to = 0] = [a, b, c].toSorted((x, y) => x - y);
        if (kind === 'request') line.evidence(request(from, flag ? middle : undefined, to));
        else if (kind === 'steps' || kind === 'inferred') line.evidence(stepsOf(from, to, input * 100, output, { timing: kind === 'steps' ? 'exact' : 'inferred', ...(rank !== undefined && { rank }) }));
        else if (kind === 'window') line.evidence(window(from, to, { tokens: counts(flag ? input * 100 : undefined, output * 10), running: input, ...(flag && { busy: input }), ...(rank !== undefined && { rank }), ...(output === 2 && { credits: 'firstToken' }) }));
        else if (kind === 'idle') line.evidence({ kind, from: instant(from), to: instant(to), ...(rank !== undefined && { rank }) });
        else if (kind === 'hole') line.evidence({ kind, from: instant(from), to: instant(to), reason: 'r' });
        else line.whole(instant(from), instant(to));
        const end = index % 7 === 6 ? ends.shift() : undefined;
        if (end !== undefined) stretches.push(...line.advance(instant(end)));
      }
      stretches.push(...line.advance(instant(31)));
      let at = 0;
      for (const { from, to, state, work, groupEnd } of stretches) {
        expect(from).toBe(at);
        expect(to).toBeGreaterThan(from);
        expect(groupEnd ?? to).toBeGreaterThanOrEqual(to);
        expect(work.length > 0).toBe(state === 'work');
        for (const { ran, prefill, decode } of work) for (const load of [ran, prefill, decode]) for (const rate of Object.values(load ?? {})) expect(Number.isFinite(rate) && rate >= 0).toBe(true);
        at = to;
      }
      expect(at).toBe(31);
    }),
    { numRuns: 300 },
  );
});
