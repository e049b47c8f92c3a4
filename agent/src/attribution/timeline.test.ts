import { describe, expect, it } from 'vitest';
import { instant, tokens } from '@joulebook/shared/units.js';
import type { RequestEvidence, TokenCounts, WindowEvidence } from '../sources/source.js';
import { timeline, type Timeline } from './timeline.js';
import type { Stretch } from './work.js';

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

  it('is all there is where no source says more', () => {
    expect(phases(from0({ role: 'prefill', roleOnly: true }), 2)).toEqual(['0-2 prefill']);
  });
});

it('goes on where it stopped, and evidence about the past changes nothing behind it', () => {
  const line = from0();
  line.evidence(request(0, 2, 10));
  expect(phases(line, 3)).toEqual(['0-2 prefill', '2-3 decode']);
  line.evidence(request(1, 4, 5));
  expect(phases(line, 6)).toEqual(['3-4 prefill + decode', '4-5 decode', '5-6 decode']);
});
