import { seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { iterations, run, simulate } from './engine.js';
import { type Scenario, scenarioSchema } from './scenario.js';
import { hardwareOf } from './scenario-hardware.js';
import type { Iteration, Simulation } from './trace.js';

const of = (more: object = {}): Scenario => scenarioSchema.parse({ duration: '60s', pauses: [{ from: 20, to: 30 }], ...more });
const rag = { work: 'rag', arrivals: { kind: 'poisson', perSecond: 2 } };
const chat = { work: 'chat', arrivals: { kind: 'poisson', perSecond: 6 } };

const SCENARIOS: readonly (readonly [string, object])[] = [
  ['as it comes', {}],
  ['chunks of 512', { engine: { maxBatchedTokens: 512 }, traffic: [chat, rag] }],
  ['prompts first', { engine: { batching: 'prefillFirst' }, traffic: [chat, rag] }],
  ['four GPUs for one model', { hardware: 'h100-70b-tp4', traffic: [{ ...chat, arrivals: { kind: 'poisson', perSecond: 2 } }] }],
  ['two ranks', { engine: { ranks: 2 }, traffic: [chat, rag] }],
  ['two pools', { engine: { disaggregated: { prefillRanks: 1, decodeRanks: 2 } }, traffic: [rag] }],
  ['speculation', { engine: { speculative: {} }, traffic: [chat] }],
  ['clients that leave', { traffic: [{ ...chat, aborts: 0.5 }, { ...rag, aborts: 0.5 }] }],
  ['a small KV cache', { model: { kvTokens: 12_000 }, traffic: [chat, rag] }],
  ['a small KV cache, prompts first', { model: { kvTokens: 12_000 }, engine: { batching: 'prefillFirst' }, traffic: [chat, rag] }],
  ['a low power limit', { board: { capWatts: 350 }, traffic: [chat, rag] }],
  ['users that wait for answers', { traffic: [{ arrivals: { kind: 'closed', users: 40, think: 1 } }] }],
  ['no gap between iterations', { engine: { gapSeconds: 0, jitter: 0 }, traffic: [chat] }],
];

const sum = <T>(list: readonly T[], of1: (item: T) => number): number => list.reduce((total, item) => total + of1(item), 0);
const relative = (a: number, b: number): number => Math.abs(a / b - 1);
const spent = ({ power, gpus }: Simulation, { pool, rank }: Iteration, from: number, to: number): number =>
  sum(gpus, (gpu) => (gpu.pool === pool && gpu.rank === rank ? (power.gpus[gpu.index]?.joulesUntil(seconds(to)) ?? 0) - (power.gpus[gpu.index]?.joulesUntil(seconds(from)) ?? 0) : 0));

const everythingOf = (scenario: Scenario): string => {
  const { iterations: steps, requests, truth } = simulate(scenario);
  return JSON.stringify([steps, requests, truth]);
};

const mixedShare = (batching: string): number => simulate(of({ engine: { batching }, traffic: [chat, rag] })).truth.mixedShare;

const decodeSteps = (speculative?: object): number => simulate(of({ engine: { speculative }, traffic: [{ ...chat, output: { kind: 'fixed', tokens: 200 } }] })).iterations.reduce((count, { decode }) => count + decode.length, 0);

describe.each(SCENARIOS)('%s', (_, more) => {
  const scenario = of(more);
  const simulation = simulate(scenario);
  const { truth, requests, power } = simulation;
  const all = simulation.iterations;

  it('conserves every joule: by phase, by device, by request', () => {
    const { prefill, decode, idle } = truth.total;
    const drawn = sum(power.gpus, (trace) => trace.joulesUntil(truth.duration));
    expect(relative(prefill + decode + idle, drawn)).toBeLessThan(1e-9);
    expect(relative(sum(truth.requests, (request) => request.prefill + request.decode) + idle, drawn)).toBeLessThan(1e-9);
    expect(relative(sum(truth.requests, (request) => request.prefill), prefill)).toBeLessThan(1e-9);
    for (const [index, device] of truth.devices.entries()) {
      expect(relative(device.prefill + device.decode + device.idle, power.gpus[index]?.joulesUntil(truth.duration) ?? 0)).toBeLessThan(1e-9);
      expect(device.joules).toBeCloseTo(device.prefill + device.decode + device.idle, 6);
    }
    expect(Math.min(prefill, decode, idle)).toBeGreaterThan(0);
  });

  it('books the energy of pure iterations and of gaps as the trace has it', () => {
    const byRank = new Map<string, Iteration[]>();
    for (const iteration of all) {
      const place = `${iteration.pool}/${iteration.rank}`;
      const ranked = byRank.get(place);
      if (ranked) ranked.push(iteration);
      else byRank.set(place, [iteration]);
    }
    let [prefill, decode, mixed, overlaps, delayed] = [0, 0, 0, 0, 0];
    for (const ranked of byRank.values()) {
      for (const [index, iteration] of ranked.entries()) {
        const stays = iteration.running - iteration.ended.length + iteration.waiting > 0;
        const next = ranked[index + 1];
        if (next && next.from < iteration.to) overlaps += 1;
        if (next && next.from > iteration.to + scenario.engine.gapSeconds + 1e-9 && next.decode.some(({ request }) => iteration.decode.some((step) => step.request === request))) delayed += 1;
        const energy = spent(simulation, iteration, iteration.from, stays ? iteration.to + scenario.engine.gapSeconds : iteration.to);
        if (iteration.decode.length === 0) prefill += energy;
        else if (iteration.prefill.length === 0) decode += energy;
        else mixed += energy;
      }
    }
    expect([overlaps, delayed]).toEqual([0, 0]);
    const busy = truth.total.prefill + truth.total.decode;
    expect(relative(prefill + decode + mixed, busy)).toBeLessThan(1e-6);
    expect(Math.abs(mixed / busy - truth.mixedShare)).toBeLessThan(1e-6);
    expect(truth.total.prefill - prefill).toBeGreaterThan(-1e-6 * busy);
    expect(truth.total.decode - decode).toBeGreaterThan(-1e-6 * busy);
  });

  it('counts every token once', () => {
    const { tokens } = truth;
    expect(tokens.input).toBe(sum(all, ({ prefill }) => sum(prefill, (chunk) => chunk.tokens - chunk.recomputed)));
    expect(tokens.recomputed).toBe(sum(all, ({ prefill }) => sum(prefill, (chunk) => chunk.recomputed)));
    expect(tokens.cachedInput).toBe(sum(all, ({ prefill }) => sum(prefill, (chunk) => chunk.cached)));
    expect(tokens.output).toBe(sum(all, ({ prefill, decode }) => prefill.filter(({ last }) => last).length + sum(decode, (step) => step.tokens)));
    for (const request of requests) {
      expect(request.computedTokens).toBeGreaterThanOrEqual(0);
      expect(request.inputTokens - request.computedTokens - request.cachedTokens).toBeGreaterThanOrEqual(0);
    }
    for (const request of requests.filter(({ outcome }) => outcome === 'ok')) {
      expect(request.computedTokens + request.cachedTokens).toBe(request.inputTokens);
    }
  });

  it('tells requests whose moments and ends fit its iterations', () => {
    const starts = new Map<number, number>();
    for (const { from, prefill } of all) for (const { request } of prefill) if (!starts.has(request)) starts.set(request, from);
    expect(requests.map(({ id }) => id)).toEqual(requests.map((__, index) => index));
    expect(truth.requests.map(({ id }) => id)).toEqual(requests.map(({ id }) => id));
    for (const { id, arrival, scheduled, firstToken, end } of requests) {
      expect(scheduled).toBe(starts.get(id));
      expect(arrival <= (scheduled ?? end) && (scheduled ?? arrival) <= (firstToken ?? end) && (firstToken ?? arrival) <= end && end <= truth.duration).toBe(true);
    }
    expect(requests.filter(({ outcome, firstToken }) => outcome === 'ok' && firstToken === undefined)).toEqual([]);
    const lastPool = scenario.engine.disaggregated ? 'decode' : 'serve';
    const ends = all.filter(({ pool }) => pool === lastPool).flatMap(({ ended }) => ended);
    const finishedFirst = requests.filter(({ outcome, outputTokens }) => outcome === 'ok' && !(lastPool === 'decode' && outputTokens === 1));
    expect(ends.toSorted((a, b) => a - b)).toEqual(finishedFirst.map(({ id }) => id));
  });

  it('keeps order, limits and the power cap', () => {
    const { engine } = scenario;
    const { board, model } = hardwareOf(scenario);
    const from = all.map((iteration) => iteration.from);
    expect(from).toEqual(from.toSorted((a, b) => a - b));
    const verified = engine.batching === 'chunked' ? 1 + (engine.speculative?.tokens ?? 0) : 0;
    const most = (of1: (iteration: Iteration) => number): number => all.reduce((highest, iteration) => Math.max(highest, of1(iteration)), -Infinity);
    expect(most(({ prefill, decode }) => sum(prefill, ({ tokens }) => tokens) + decode.length * verified)).toBeLessThanOrEqual(engine.maxBatchedTokens);
    expect(most(({ running }) => running)).toBeLessThanOrEqual(engine.maxSequences);
    expect(most(({ kvTokens }) => kvTokens)).toBeLessThanOrEqual(model.kvTokens);
    expect(most(({ prefill, decode }) => -prefill.length - decode.length)).toBeLessThan(0);
    const wattsAt = (at: number): number => Math.max(...power.gpus.map((trace) => trace.wattsAt(seconds(at))));
    expect(most(({ from: start, to }) => Math.max(wattsAt((start + to) / 2), wattsAt(to)))).toBeLessThanOrEqual(board.capWatts);
    expect(power.server.until).toBe(truth.duration);
    expect(truth.server).toBeGreaterThan(sum(truth.devices, (device) => device.joules) + truth.cpu);
  });
});

describe('a simulation', () => {
  it('is the same for the same seed, byte for byte, and another for another', () => {
    expect(everythingOf(of({ seed: 5 }))).toBe(everythingOf(of({ seed: 5 })));
    expect(everythingOf(of({ seed: 5 }))).not.toBe(everythingOf(of({ seed: 6 })));
  });

  it('gives the same iterations one by one, keeping none', () => {
    const scenario = of({ traffic: [chat, rag] });
    expect([...iterations(scenario)]).toEqual(simulate(scenario).iterations);
  });

  it('may be read while it is made: power is known and small', () => {
    const { happenings, power, truth } = run(of({ engine: { ranks: 3 }, duration: 120, traffic: [{ work: 'chat', arrivals: { kind: 'poisson', perSecond: 0.5 } }] }));
    let lag = 0;
    let [energy, read] = [0, 0];
    const look = (): void => {
      const until = power.server.until;
      energy += power.server.joulesUntil(until) - power.server.joulesUntil(seconds(read));
      read = until;
      power.server.forget(until);
    };
    for (const happening of happenings) {
      if (happening.kind !== 'iteration') continue;
      lag = Math.max(lag, happening.iteration.from - power.server.until);
      look();
    }
    look();
    expect(lag).toBeLessThan(1.5);
    expect(read).toBe(truth().duration);
    expect(relative(energy, truth().server)).toBeLessThan(1e-9);
  });

  it('runs nobody in a pause once all are answered, and says so', () => {
    const { iterations: steps, truth } = simulate(of({ pauses: [{ from: 0, to: 30 }], traffic: [chat] }));
    expect(steps[0]?.from).toBeGreaterThan(30);
    expect(truth.devices[0]?.idleSeconds).toBeGreaterThan(30);
    expect(truth.devices[0]?.idle).toBeGreaterThan(30 * 60);
  });

  it('without one request is idle from end to end', () => {
    const { iterations: steps, truth } = simulate(of({ pauses: [{ from: 0, to: 60 }] }));
    expect(steps).toEqual([]);
    expect(truth).toMatchObject({ duration: 60, idleShare: 1, mixedShare: 0, total: { prefill: 0, decode: 0 }, tokens: { input: 0, cachedInput: 0, output: 0, recomputed: 0 } });
  });

  it('prompts first never mixes; chunked does', () => {
    expect(mixedShare('prefillFirst')).toBe(0);
    expect(mixedShare('chunked')).toBeGreaterThan(0.3);
  });

  it('pools do one thing each, on GPUs of their own, with the way of the KV cache between them', () => {
    const { iterations: steps, requests, truth, gpus } = simulate(of({ engine: { disaggregated: { transferSeconds: 0.5 } }, traffic: [rag] }));
    expect(steps.every(({ pool, prefill, decode }) => (pool === 'prefill' ? decode.length === 0 : pool === 'decode' && prefill.length === 0))).toBe(true);
    expect(gpus).toEqual([{ name: 'GPU-0', index: 0, pool: 'prefill', rank: 0 }, { name: 'GPU-1', index: 1, pool: 'decode', rank: 0 }]);
    expect([truth.devices[0]?.decode, truth.devices[1]?.prefill]).toEqual([0, 0]);
    const firstDecode = new Map<number, number>();
    for (const { from, decode } of steps) for (const { request } of decode) if (!firstDecode.has(request)) firstDecode.set(request, from);
    const waited = requests.map(({ id, firstToken, inputTokens }) => (firstDecode.get(id) ?? Infinity) - (firstToken ?? 0) - 0.5 - (inputTokens * 131_072) / 4e10);
    expect(Math.min(...waited)).toBeGreaterThan(-1e-9);
    expect(Math.max(...waited)).toBeLessThan(0.05);
  });

  it('spreads requests over ranks', () => {
    const { requests } = simulate(of({ engine: { ranks: 4 }, traffic: [{ arrivals: { kind: 'poisson', perSecond: 20 } }] }));
    for (const rank of [0, 1, 2, 3]) expect(requests.filter((request) => request.rank === rank).length / requests.length).toBeGreaterThan(0.15);
  });

  it('GPUs that share a model draw nearly, not exactly, the same', () => {
    const { truth } = simulate(of({ hardware: 'h100-70b-tp4', traffic: [{ arrivals: { kind: 'poisson', perSecond: 1 } }] }));
    const energies = truth.devices.map((device) => device.joules);
    expect(new Set(energies).size).toBe(4);
    expect(Math.max(...energies) / Math.min(...energies)).toBeLessThan(1.06);
  });

  it('a small KV cache preempts, and the work done again costs energy', () => {
    const small = simulate(of({ model: { kvTokens: 12_000 }, engine: { maxLength: 8000 }, traffic: [chat, rag] }));
    const large = simulate(of({ engine: { maxLength: 8000 }, traffic: [chat, rag] }));
    expect(sum(small.requests, ({ preempted }) => preempted)).toBeGreaterThan(0);
    expect(small.truth.tokens.recomputed).toBeGreaterThan(0);
    expect(sum(large.requests, ({ preempted }) => preempted)).toBe(0);
    expect(small.truth.tokens.input + small.truth.tokens.cachedInput).toBe(large.truth.tokens.input + large.truth.tokens.cachedInput);
    expect(small.truth.total.prefill).toBeGreaterThan(large.truth.total.prefill);
  });

  it('as many requests are aborted as clients leave, and they have less than they asked for', () => {
    const { requests } = simulate(of({ traffic: [{ ...chat, aborts: 0.3, output: { kind: 'fixed', tokens: 100 } }] }));
    const aborted = requests.filter(({ outcome }) => outcome === 'aborted');
    expect(aborted.length / requests.length).toBeGreaterThan(0.2);
    expect(aborted.length / requests.length).toBeLessThan(0.4);
    expect(aborted.every(({ outputTokens }) => outputTokens < 100)).toBe(true);
  });

  it('speculation needs fewer steps for the same tokens', () => {
    expect(decodeSteps({ acceptance: 0.8 })).toBeLessThan(0.5 * decodeSteps());
  });

  it('a lower power limit makes the same work last longer and never draws more', () => {
    const work = { engine: { jitter: 0 }, traffic: [{ work: 'rag', arrivals: { kind: 'closed', users: 4, think: 0 }, prompt: { kind: 'fixed', tokens: 4000 }, output: { kind: 'fixed', tokens: 4 }, cache: { share: 0, part: 0 } }] };
    const free = simulate(of(work));
    const limited = simulate(of({ ...work, board: { capWatts: 350 } }));
    expect(limited.requests.length).toBeLessThan(0.9 * free.requests.length);
    expect(relative((limited.truth.devices[0]?.joules ?? 0) / limited.truth.duration, 350)).toBeLessThan(0.25);
  });
});
