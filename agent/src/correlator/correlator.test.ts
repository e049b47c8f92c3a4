import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EnergySlice, FlagSlice, Slice, TokensSlice } from '@joulebook/shared/slice.js';
import { instant, microjoules, seconds, tokens, watts } from '@joulebook/shared/units.js';
import type { Span } from '../sampler/integrator.js';
import type { Deployment } from '../sources/deployments.js';
import type { Channel, RequestEvidence } from '../sources/source.js';
import { GPU_BOARD } from '../sources/power/sensors.js';
import { windowOf } from '../attribution/work.testing.js';
import { correlator } from './correlator.js';
import { slicer } from './slicer.js';

const channelOf = (device: string, index: number): Channel => ({ id: `${device}/power`, device, index, boundary: 'gpu', source: 'test', measures: 'power', sensor: GPU_BOARD });
const spanOf = (channel: Channel, from: number, to: number, microjoule: number): Span => ({ channel, from: instant(from), to: instant(to), microjoules: microjoules(microjoule), variance: 0, ramp: { start: watts(100), end: watts(100) } });
const request = (id: string, start: number, firstToken: number | undefined, end: number, input: number, output: number): RequestEvidence => ({
  kind: 'request',
  id,
  start: instant(start),
  ...(firstToken !== undefined && { firstToken: instant(firstToken) }),
  end: instant(end),
  tokens: { input: tokens(input), output: tokens(output) },
  outcome: 'ok',
});

function bench(options: { from: number; to: number; hasTo?: boolean; deployments?: readonly Deployment[]; slice?: number }) {
  const window = { from: instant(options.from), to: instant(options.to), hasTo: options.hasTo ?? false };
  const slices = slicer({ length: seconds(options.slice ?? 1), window });
  const facts = correlator({ deployments: options.deployments ?? [{ name: 'chat' }], window, slicer: slices });
  const out: Slice[] = [];
  return {
    facts,
    advance(to: number) {
      facts.advance(instant(to));
      out.push(...slices.close(instant(to)));
    },
    end(): Slice[] {
      facts.advance(window.to);
      out.push(...slices.finish(window.to));
      return out;
    },
  };
}

const energyOf = (slices: readonly Slice[]): EnergySlice[] => slices.filter((slice) => slice.kind === 'energy');
const tokensOf = (slices: readonly Slice[]): TokensSlice[] => slices.filter((slice) => slice.kind === 'tokens');
const flagsOf = (slices: readonly Slice[]): FlagSlice[] => slices.filter((slice) => slice.kind === 'flag');
const joulesBy = (slices: readonly Slice[], key: 'phase' | 'device' | 'deployment'): Record<string, number> => {
  const sums: Record<string, number> = {};
  for (const slice of energyOf(slices)) sums[slice[key] ?? 'none'] = (sums[slice[key] ?? 'none'] ?? 0) + slice.microjoules / 1e6;
  return sums;
};

describe('the pools of disaggregated serving', () => {
  const pools = [{ name: 'chat-prefill', role: 'prefill', devices: [0] }, { name: 'chat-decode', role: 'decode', devices: [1] }] as const;

  it('count prompts where they are computed, answers and requests where they end', () => {
    const { facts, end } = bench({ from: 0, to: 10, deployments: pools });
    for (const { name } of pools) {
      facts.evidence(name, { kind: 'window', from: instant(0), to: instant(5), tokens: { input: tokens(100), cachedInput: tokens(30), output: tokens(20) }, requests: { ok: 2 } }, true);
      facts.evidence(name, request('a', 5, 6, 9, 40, 7), true);
    }
    const slices = end();
    const sums: Record<string, number> = {};
    for (const { token, deployment, count } of tokensOf(slices)) sums[`${deployment} ${token}`] = (sums[`${deployment} ${token}`] ?? 0) + count;
    expect(sums).toEqual({ 'chat-prefill input': 140, 'chat-prefill cachedInput': 30, 'chat-decode output': 27 });
    expect(slices.filter(({ kind }) => kind === 'requests').every((slice) => slice.deployment === 'chat-decode')).toBe(true);
    expect(outcomes(slices)).toEqual({ ok: 3 });
  });
});

describe('energy', () => {
  it('is divided over the phases that ran when it was drawn', () => {
    const { facts, end } = bench({ from: 0, to: 10 });
    const gpu = channelOf('gpu0', 0);
    for (let at = 0; at < 10; at += 1) facts.span(spanOf(gpu, at, at + 1, 100e6));
    facts.evidence('chat', request('a', 2, 3.5, 7, 100, 50), true);
    facts.whole('chat', instant(0), instant(10));
    expect(joulesBy(end(), 'phase')).toEqual({ idle: 500, prefill: 150, decode: 350 });
  });

  it('without evidence, or of a device that serves nobody, is unknown', () => {
    const { facts, end } = bench({ from: 0, to: 2, deployments: [{ name: 'chat', devices: [0] }] });
    facts.span(spanOf(channelOf('GPU-a', 0), 0, 2, 60e6));
    facts.span(spanOf(channelOf('GPU-b', 1), 0, 2, 40e6));
    const slices = end();
    expect(joulesBy(slices, 'phase')).toEqual({ unknown: 100 });
    expect(joulesBy(slices, 'deployment')).toEqual({ chat: 60, none: 40 });
  });

  it('of a device that serves two goes to the one that runs, and evenly where both do', () => {
    const { facts, end } = bench({ from: 0, to: 6, deployments: [{ name: 'a' }, { name: 'b' }] });
    for (let at = 0; at < 6; at += 1) facts.span(spanOf(channelOf('gpu0', 0), at, at + 1, 100e6));
    facts.evidence('a', request('a', 1, 2, 4, 100, 50), true);
    facts.evidence('b', request('b', 3, 4, 5, 100, 50), true);
    for (const name of ['a', 'b']) facts.whole(name, instant(0), instant(6));
    const slices = end();
    expect(joulesBy(slices, 'deployment')).toEqual({ a: 350, b: 250 });
    expect(joulesBy(slices, 'phase')).toEqual({ idle: 200, prefill: 150, decode: 250 });
    expect(energyOf(slices).every(({ microjoules: whole, modelledMicrojoules }) => modelledMicrojoules === whole)).toBe(true);
  });

  it('of a device that serves two is divided evenly and flagged', () => {
    const { facts, end } = bench({ from: 0, to: 1, deployments: [{ name: 'a' }, { name: 'b' }] });
    facts.span(spanOf(channelOf('gpu0', 0), 0, 1, 100e6 + 1));
    const slices = end();
    expect(energyOf(slices).reduce((sum, slice) => sum + slice.microjoules, 0)).toBe(100e6 + 1);
    expect(flagsOf(slices).map((flag) => flag.code)).toContain('SHARED_DEVICE');
  });

  it('that was not measured is asked for and not seen', () => {
    const { facts, end } = bench({ from: 0, to: 10 });
    const gpu = channelOf('gpu0', 0);
    facts.span(spanOf(gpu, 0, 4, 4e6));
    facts.gap({ channel: gpu, from: instant(4), to: instant(9) });
    facts.span(spanOf(gpu, 9, 10, 1e6));
    const slices = end();
    const sum = (key: 'seconds' | 'askedSeconds'): number => energyOf(slices).reduce((total, slice) => total + slice[key], 0);
    expect([sum('seconds'), sum('askedSeconds')]).toEqual([5, 10]);
    expect(flagsOf(slices)).toMatchObject([{ code: 'GAP', device: 'gpu0' }]);
  });

  it('that comes late is booked as unknown, not lost', () => {
    const { facts, advance, end } = bench({ from: 0, to: 4 });
    const gpu = channelOf('gpu0', 0);
    facts.watch(gpu);
    facts.evidence('chat', request('a', 0, 1, 4, 1, 1), true);
    advance(2);
    facts.span(spanOf(gpu, 0, 4, 40e6));
    expect(joulesBy(end(), 'phase')).toEqual({ unknown: 20, decode: 20, prefill: 0 });
  });

  it('is active where prefill and decode ran at once and too little is known to divide them', () => {
    const { facts, end } = bench({ from: 0, to: 4 });
    facts.span(spanOf(channelOf('gpu0', 0), 0, 4, 40e6));
    facts.evidence('chat', request('a', 0, 1, 4, 1, 1), true);
    facts.evidence('chat', request('b', 2, 3, 4, 1, 1), true);
    const slices = end();
    expect(joulesBy(slices, 'phase')).toEqual({ prefill: 10, decode: 20, active: 10 });
    expect(energyOf(slices).every((slice) => slice.modelledMicrojoules === 0)).toBe(true);
  });

  it('in a stretch with fewer than two readings is flagged as coarse', () => {
    const { facts, end } = bench({ from: 0, to: 4 });
    const gpu = channelOf('gpu0', 0);
    for (let at = 0; at < 4; at += 1) facts.span(spanOf(gpu, at, at + 1, 1e6));
    facts.evidence('chat', request('a', 0.2, 0.4, 3.5, 1, 1), true);
    facts.whole('chat', instant(0), instant(4));
    const flags = flagsOf(end()).filter((flag) => flag.code === 'COARSE');
    expect(flags.map(({ phase, count, of }) => [phase, count, of])).toEqual([['prefill', 1, 1], ['decode', 0, 1]]);
  });
});

const wide = (slices: readonly Slice[]): Slice[] => slices.filter((slice) => slice.kind === 'energy' && slice.boundary === 'server');

it('loses no energy when time leaps, and spells the leap out in no cells', () => {
  const { facts, advance, end } = bench({ from: 0, to: 1_000_010, slice: 1 });
  const gpu = channelOf('gpu0', 0);
  facts.span(spanOf(gpu, 0, 3, 30e6));
  advance(2);
  facts.skip(instant(1_000_000));
  facts.span(spanOf(gpu, 1_000_000, 1_000_010, 100e6));
  const slices = end();
  expect(energyOf(slices).reduce((sum, slice) => sum + slice.microjoules, 0)).toBe(130e6);
  expect(slices.length).toBeLessThan(20);
  expect(energyOf(slices).reduce((sum, slice) => sum + slice.askedSeconds, 0)).toBeCloseTo(13, 6);
});

it('follows a deployment that moves from one GPU to another', () => {
  const { facts, advance, end } = bench({ from: 0, to: 4, deployments: [{ name: 'chat' }] });
  const [a, b] = [channelOf('GPU-a', 0), channelOf('GPU-b', 1)];
  for (const channel of [a, b]) facts.watch(channel);
  facts.assign('chat', new Set(['GPU-a']));
  for (const channel of [a, b]) facts.span(spanOf(channel, 0, 2, 10e6));
  advance(2);
  facts.assign('chat', new Set(['GPU-b']));
  for (const channel of [a, b]) facts.span(spanOf(channel, 2, 4, 10e6));
  const slices = energyOf(end()).filter(({ deployment }) => deployment === 'chat');
  expect(slices.filter(({ microjoules: energy }) => energy > 0).map(({ device, from }) => [device, from / 1e6])).toEqual([['GPU-a', 0], ['GPU-a', 1], ['GPU-b', 2], ['GPU-b', 3]]);
});

describe('a wider boundary', () => {
  const server: Channel = { id: 'ipmi/server/power', device: 'server', boundary: 'server', source: 'ipmi', measures: 'power', sensor: GPU_BOARD };

  it('takes the phases of the GPUs in it over its own interval, in proportion to their energy', () => {
    const { facts, end } = bench({ from: 0, to: 10, deployments: [{ name: 'chat', devices: [0] }] });
    const gpu = channelOf('gpu0', 0);
    facts.span(spanOf(gpu, 0, 2, 600e6));
    facts.span(spanOf(gpu, 2, 10, 400e6));
    facts.span(spanOf(server, 0, 10, 2000e6));
    facts.evidence('chat', request('a', 0, 2, 10, 1, 1), true);
    const slices = wide(end());
    expect(joulesBy(slices, 'phase')).toEqual({ prefill: 1200, decode: 800 });
    expect(joulesBy(slices, 'deployment')).toEqual({ chat: 2000 });
  });

  it('is unknown for the part in which its GPUs were not seen', () => {
    const { facts, end } = bench({ from: 0, to: 10 });
    const gpu = channelOf('gpu0', 0);
    facts.span(spanOf(gpu, 0, 5, 100e6));
    facts.span(spanOf(server, 0, 10, 2000e6));
    facts.evidence('chat', request('a', 0, 0, 10, 1, 1), true);
    expect(joulesBy(wide(end()), 'phase')).toEqual({ decode: 1000, unknown: 1000 });
  });

  it('has the phases over time where no GPU is measured', () => {
    const { facts, end } = bench({ from: 0, to: 10 });
    facts.span(spanOf(server, 0, 10, 2000e6));
    facts.evidence('chat', request('a', 0, 2, 10, 1, 1), true);
    expect(joulesBy(wide(end()), 'phase')).toEqual({ prefill: 400, decode: 1600 });
  });
});

it('states the interval of the sensor, and adds what the ends of the window may hide', () => {
  const { facts, end } = bench({ from: 0, to: 2 });
  const gpu = channelOf('gpu0', 0);
  facts.span({ ...spanOf(gpu, 0, 2, 100e6), variance: 4 });
  facts.advance(instant(2));
  facts.edge(gpu, { less: 1e6, more: 3e6 });
  const energy = energyOf(end());
  const sum = (key: 'lowMicrojoules' | 'highMicrojoules' | 'samplingVariance'): number => energy.reduce((total, slice) => total + (slice[key] ?? 0), 0);
  expect([sum('lowMicrojoules'), sum('highMicrojoules'), sum('samplingVariance')]).toEqual([94e6, 108e6, 4]);
});

describe('tokens', () => {
  it('stand where they were produced; what lies outside the window is told apart', () => {
    const { facts, end } = bench({ from: 1, to: 3 });
    facts.evidence('chat', request('a', 0, 2, 4, 100, 40), true);
    const slices = end();
    const sum = (kind: string): number => tokensOf(slices).filter((slice) => slice.token === kind).reduce((total, slice) => total + slice.count, 0);
    expect([sum('input'), sum('outsideInput'), sum('output'), sum('outsideOutput')]).toEqual([50, 50, 20, 20]);
    expect(flagsOf(slices)).toMatchObject([{ code: 'PARTIAL_REQUEST' }]);
    expect(slices.some((slice) => slice.kind === 'requests')).toBe(false);
  });

  it('of an instant at the very end of the recording are inside it', () => {
    const { facts, end } = bench({ from: 0, to: 3, hasTo: true });
    facts.evidence('chat', request('last', 3, undefined, 3, 7, 5), true);
    expect(tokensOf(end()).map(({ token, count }) => [token, count])).toEqual([['input', 7], ['output', 5]]);
  });

  it('of a stretch that lies apart from the window are outside it, and that there were none there tells nothing of it', () => {
    const { facts, end } = bench({ from: 10, to: 13 });
    for (const from of [0, 20]) facts.evidence('chat', windowOf(from, from + 5, { tokens: { input: tokens(6), output: tokens(0), cachedInput: tokens(0) } }), true);
    expect(tokensOf(end()).map(({ token, count }) => [token, count])).toEqual([['outsideInput', 6], ['outsideInput', 6]]);
  });

  it('of a source that only tells phases are not counted', () => {
    const { facts, end } = bench({ from: 0, to: 3 });
    facts.evidence('chat', request('a', 0, 1, 3, 7, 5), false);
    expect(end().filter((slice) => slice.kind !== 'energy')).toEqual([]);
  });

  it('measured as none are a fact, not measured are no fact', () => {
    const { facts, end } = bench({ from: 0, to: 3 });
    facts.evidence('chat', { kind: 'window', from: instant(0), to: instant(1), tokens: { output: tokens(0) }, busy: 0 }, true);
    expect(tokensOf(end()).map(({ token, count }) => [token, count])).toEqual([['output', 0]]);
  });
});

function outcomes(slices: readonly Slice[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const each of slices) if (each.kind === 'requests') sums[each.outcome] = (sums[each.outcome] ?? 0) + each.requests;
  return sums;
}

it('leaves out what is measured, flagged and checked apart from the window', () => {
  const { facts, end } = bench({ from: 10, to: 13 });
  const gpu = channelOf('gpu0', 0);
  facts.span(spanOf(gpu, 8, 11, 30e6));
  facts.span(spanOf(gpu, 13, 14, 7e6));
  for (const [code, from, to] of [['BEFORE', 5, 9], ['ACROSS', 5, 10], ['INSIDE', 12, 12], ['BEHIND', 13, 14], ['ON', 2, Infinity]] as const) facts.flag({ kind: 'flagged', code, detail: '', count: 1, during: { from: instant(from), to: instant(to) } });
  facts.held('gpu0', 'check.power other', 100, instant(0), instant(12));
  facts.held('gpu0', 'check.power other', 100, instant(60), instant(120));
  const slices = end();
  expect(energyOf(slices).reduce((sum, each) => sum + each.microjoules, 0)).toBe(10e6);
  expect(flagsOf(slices).map(({ code }) => code)).toEqual(['ACROSS', 'INSIDE', 'ON']);
  expect(slices.reduce((sum, each) => sum + (each.kind === 'gauge' ? each.seconds : 0), 0)).toBe(2);
});

describe('requests that ended in a window', () => {
  const ended = { ok: 5, rejected: 2, aborted: 0 };
  const window = { kind: 'window', from: instant(0), to: instant(2), tokens: { output: tokens(9) }, running: 1, busy: 1, requests: ended } as const;

  it('are booked by their outcome, also those that were turned away', () => {
    const { facts, end } = bench({ from: 0, to: 3 });
    facts.evidence('chat', window, true);
    expect(outcomes(end())).toEqual(ended);
  });

  it('are spread over its time, as its tokens are', () => {
    const { facts, end } = bench({ from: 0, to: 4 });
    facts.evidence('chat', { ...window, to: instant(4), requests: { ok: 8 } }, true);
    expect(end().flatMap((each) => (each.kind === 'requests' ? [[each.from / 1e6, each.requests]] : []))).toEqual([[0, 2], [1, 2], [2, 2], [3, 2]]);
  });

  it('belong to the windows that are asked about by the time in each, and to none beside them', () => {
    const asked = [[-9, -5], [-5, 0.5], [0.5, 1.25], [1.25, 3], [3, 9]].map(([from = 0, to = 0]) => {
      const { facts, end } = bench({ from, to });
      facts.evidence('chat', { ...window, requests: { ok: 8, failed: 1 } }, true);
      return outcomes(end());
    });
    expect(asked).toEqual([{}, { ok: 2 }, { ok: 3, failed: 1 }, { ok: 3 }, {}]);
  });

  it('one by one belong to the window that their end lies in; of two that meet there, to the second', () => {
    const asked = [[0, 4], [4, 6], [6, 9]].map(([from = 0, to = 0]) => {
      const { facts, end } = bench({ from, to, hasTo: to === 9 });
      for (const [id, until] of [['a', 4], ['b', 5], ['c', 6], ['d', 9]] as const) facts.evidence('chat', request(id, 1, 2, until, 10, 10), true);
      return outcomes(end());
    });
    expect(asked).toEqual([{}, { ok: 2 }, { ok: 2 }]);
  });

  it('of a source that only tells phases are not', () => {
    const { facts, end } = bench({ from: 0, to: 3 });
    facts.evidence('chat', window, false);
    expect(outcomes(end())).toEqual({});
  });
});

it('conserves every microjoule per device and every token, whatever runs and however it is swept', () => {
  const time = fc.double({ min: 0, max: 30, noNaN: true });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(2), fc.nat(2_000_000_000)), { minLength: 1, maxLength: 60 }),
      fc.array(fc.tuple(time, time, time, fc.boolean(), fc.nat(5000), fc.nat(5000)), { maxLength: 20 }),
      fc.array(time, { maxLength: 6 }),
      fc.constantFrom(1, 10),
      (drawn, requests, sweeps, slice) => {
        const { facts, advance, end } = bench({ from: 2, to: 25.3, slice, deployments: [{ name: 'chat', devices: [0, 1] }, { name: 'other', devices: [1] }] });
        const measured: Record<string, number> = {};
        const reached = [2, 2, 2];
        for (const [device, energy] of drawn) {
          const from = reached[device] ?? 2;
          const to = Math.min(25.3, from + 0.7);
          if (to <= from) continue;
          reached[device] = to;
          facts.span(spanOf(channelOf(`gpu${device}`, device), from, to, energy));
          measured[`gpu${device}`] = (measured[`gpu${device}`] ?? 0) + energy;
        }
        let given = 0;
        for (const [index, [a, b, c, known, input, output]] of requests.entries()) {
          const [start = 0, first = 0, last = 0] = [a, b, c].toSorted((x, y) => x - y);
          facts.evidence('chat', request(`r${index}`, start, known ? first : undefined, last, input, output), true);
          given += input + output;
        }
        for (const at of sweeps.toSorted((a, b) => a - b)) advance(Math.min(at, 25.3));
        const slices = end();
        const booked = joulesBy(slices, 'device');
        for (const [device, energy] of Object.entries(measured)) expect(Math.round((booked[device] ?? 0) * 1e6)).toBe(energy);
        expect(tokensOf(slices).reduce((sum, each) => sum + each.count, 0)).toBe(given);
        const keys = slices.map(({ from, to: _to, ...rest }) => JSON.stringify([from, rest.kind, 'phase' in rest && rest.phase, 'device' in rest && rest.device, rest.deployment, 'token' in rest && rest.token, 'gauge' in rest && rest.gauge, 'code' in rest && [rest.code, rest.detail], 'outcome' in rest && [rest.outcome, rest.ttftBucket, rest.tpotBucket]]));
        expect(new Set(keys).size).toBe(keys.length);
      },
    ),
    { numRuns: 200 },
  );
});
