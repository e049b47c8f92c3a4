/** A simulation, written and read again by our own sources: nothing is lost on the way but what the real programs do not say. */
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { powerFormats, servingFormats } from '../sources/index.js';
import { all } from '../sources/recorded-file.testing.js';
import { eventsOf, newFolder, simulated, sumsOf, truthFile, type Simulated, type Sums } from './simulation.testing.js';

const SCENARIO = { seed: 5, duration: '90s', traffic: [{ work: 'chat', arrivals: { kind: 'poisson', perSecond: 3 }, aborts: 0.05 }, { work: 'rag', arrivals: { kind: 'poisson', perSecond: 0.3 } }], pauses: [{ from: 0, to: 15 }, { from: 40, to: 65 }] };

const simulationOf = (format: string, options: object = {}, engine: object = {}): Promise<Simulated> => simulated({ ...SCENARIO, engine, recording: { power: [{ format: 'readings' }], serving: [{ format, ...options }] } });

const readBack = async (simulation: Simulated): Promise<Sums & { flagged: string[] }> => sumsOf(eventsOf((await simulation.open()).serving[0]?.source));

const PURE = { batching: 'prefillFirst' };
/** Largest relative difference from the truth; `absent`: the program does not say it. */
type Tolerance = number | 'absent';
interface RoundTrip {
  readonly format: string;
  readonly options?: object;
  readonly engine?: object;
  readonly input: Tolerance;
  readonly cachedInput: Tolerance;
  readonly output: Tolerance;
  readonly flags?: readonly string[];
}

const roundTrips: readonly RoundTrip[] = [
  { format: 'vllm-metrics', input: 0.02, cachedInput: 0.02, output: 0 },
  // Rates are rounded to 0.05 tokens/s of ten seconds; prompts that were broken off are not counted.
  { format: 'vllm-log', input: 0.02, cachedInput: 'absent', output: 0.002 },
  { format: 'vllm-log', options: { iterations: true }, input: 0.02, cachedInput: 'absent', output: 0.002 },
  { format: 'vllm-log', options: { tz: 'America/Chicago', interval: 2 }, input: 0.02, cachedInput: 'absent', output: 0.005 },
  // A decode line stands for 40 batches of which it tells one.
  { format: 'sglang-log', engine: PURE, options: { milliseconds: true }, input: 0, cachedInput: 0, output: 0.07 },
  { format: 'sglang-log', engine: PURE, input: 0, cachedInput: 0, output: 0.07 },
  { format: 'sglang-metrics', engine: PURE, input: 0, cachedInput: 0, output: 0.03 },
  // First tokens are in no line of it.
  { format: 'trtllm-log', input: 0, cachedInput: 'absent', output: 0.01 },
  // What is broken off has no timings, and what the gateway traces is what was answered.
  { format: 'llamacpp-log', input: 0.05, cachedInput: 0.05, output: 0.03 },
  { format: 'llamacpp-log', options: { verbosity: 4 }, input: 0.05, cachedInput: 0.05, output: 0.03 },
  { format: 'tgi-log', input: 'absent', cachedInput: 'absent', output: 0.03 },
  { format: 'requests', input: 0.02, cachedInput: 0.02, output: 0 },
  { format: 'dynamo-trace', input: 0.05, cachedInput: 0.05, output: 0.03 },
];

describe('tokens of a simulation, as told and read again', () => {
  for (const { format, options = {}, engine = {}, ...tolerances } of roundTrips) {
    const known = servingFormats.some(({ name }) => name === format);
    it.skipIf(!known)(`${format} ${JSON.stringify(options)}${known ? '' : ' (skipped: no source reads it yet)'}`, async () => {
      const simulation = await simulationOf(format, options, engine);
      const read = await readBack(simulation);
      for (const kind of ['input', 'cachedInput', 'output'] as const) {
        const tolerance = tolerances[kind];
        const truth = tolerance === 'absent' ? 0 : simulation.truth.tokens[kind];
        const allowed = tolerance === 'absent' ? 0 : truth * tolerance;
        expect(Math.abs(read[kind] - truth), `${kind}: ${read[kind]} read, ${truth} true`).toBeLessThanOrEqual(allowed);
      }
      expect(read.flagged).toEqual([]);
    });
  }

  it('counts nothing twice where requests are preempted and computed again', async () => {
    const simulation = await simulated({ ...SCENARIO, model: { kvTokens: 3000 }, engine: { maxLength: 2500 }, traffic: [{ work: 'chat', arrivals: { kind: 'poisson', perSecond: 3 }, output: { kind: 'fixed', tokens: 600 } }], recording: { serving: [{ format: 'vllm-metrics' }] } });
    const { tokens } = simulation.truth;
    expect(tokens.recomputed).toBeGreaterThan(1000);
    expect(await readBack(simulation)).toMatchObject({ input: tokens.input, cachedInput: tokens.cachedInput, output: tokens.output });
  });

  it('sglang-log: 40 batches for each decode line, and its rate times the time since the last, both give the output', async () => {
    const simulation = await simulationOf('sglang-log', { milliseconds: true }, PURE);
    const lines = [...(await simulation.read('sglang.log')).matchAll(/^\[(\S+) (\S+)\] Decode batch, #running-req: (\d+), .*gen throughput \(token\/s\): ([\d.]+),/gm)].map(([, day, time, running, rate]) => ({ at: Date.parse(`${day}T${time}Z`) / 1000, running: Number(running), rate: Number(rate) }));
    // The first token of each request came with its prefill.
    const decoded = simulation.truth.tokens.output - simulation.truth.requests.length;
    expect(lines.reduce((sum, { running }) => sum + 40 * running, 0) / decoded).toBeCloseTo(1, 1);
    expect(lines.reduce((sum, { at, rate }, index) => sum + rate * (at - (lines[index - 1]?.at ?? at)), 0) / decoded).toBeCloseTo(1, 1);
  });

  it('tells idle time where a log has a word for it', async () => {
    for (const format of ['vllm-log', 'trtllm-log', 'llamacpp-log']) {
      const simulation = await simulationOf(format, format === 'vllm-log' ? { iterations: true } : {});
      const { idleSeconds } = await readBack(simulation);
      const truth = simulation.truth.devices[0]?.idleSeconds ?? 0;
      // Of the pause at the start and the one in the middle a log may know the second only; after its last line nothing.
      expect(idleSeconds, format).toBeGreaterThan(truth / 2);
      expect(idleSeconds, format).toBeLessThan(truth + 45);
    }
  });

  it('gives the same files and the same truth for the same seed, and others for another', async () => {
    const scenario = { ...SCENARIO, duration: '30s', pauses: [{ from: 0, to: 1 }] };
    const [one, two, other] = await Promise.all([simulated(scenario), simulated(scenario), simulated({ ...scenario, seed: 6 })]);
    for (const file of await readdir(one.folder)) expect(await two.read(file), file).toBe(await one.read(file));
    for (const file of one.files) expect(await other.read(file), file).not.toBe(await one.read(file));
  });
});

describe('energy of a simulation, as sensors tell it', () => {
  it.each([
    ['readings', { period: 0.5, jitter: 0 }],
    ['rapl', { period: 1, jitter: 0 }],
  ])('%s: the counter gains the true energy times the gain', async (format, options) => {
    const simulation = await simulated({ ...SCENARIO, recording: { boards: { gains: [1.04] }, power: [{ format, ...options }], serving: [{ format: 'requests' }] } });
    const events = await all(eventsOf((await simulation.open()).power[0]?.source));
    const totals = events.flatMap((event) => (event.kind === 'reading' && event.measures === 'counter' ? [{ at: event.at, total: Number(event.total) / 1e6, range: Number(event.wrapsAt ?? 0) / 1e6 }] : []));
    let gained = 0;
    for (const [index, { total, range }] of totals.entries()) {
      const before = totals[index - 1]?.total ?? total;
      gained += total < before ? total - before + range : total - before;
    }
    const covered = ((totals.at(-1)?.at ?? 0) - (totals[0]?.at ?? 0)) / simulation.truth.duration;
    expect(covered).toBeGreaterThan(0.98);
    const truth = format === 'rapl' ? simulation.truth.cpu : 1.04 * (simulation.truth.total.prefill + simulation.truth.total.decode + simulation.truth.total.idle);
    expect(gained / truth).toBeGreaterThan(0.97);
    expect(gained / truth).toBeLessThan(1.001);
  });

  it('says in truth.json what each sensor would make of the truth, by phase and request', async () => {
    const { folder, truth } = await simulated({ ...SCENARIO, engine: { ranks: 2 }, recording: { boards: { gains: [1.04, 0.97] }, serving: [{ format: 'vllm-log', clock: { offset: -0.5, driftPpm: 20 } }] } });
    const told = await truthFile(folder);
    expect(told.truth.total).toEqual(truth.total);
    expect(told.sensors[0]?.boards?.map(({ gain }) => gain)).toEqual([1.04, 0.97]);
    expect(told.serving).toEqual([{ file: 'vllm.log', clockOffsetSeconds: -0.5, clockDriftPpm: 20 }]);
    const [one, two] = truth.devices;
    expect(told.atSensorGain.total.decode).toBeCloseTo((one?.decode ?? 0) * 1.04 + (two?.decode ?? 0) * 0.97, 6);
    // Each rank has one board, so requests add up to what their boards show.
    const requests = told.atSensorGain.requests.reduce((sum, { prefill, decode }) => sum + prefill + decode, 0);
    expect(requests).toBeCloseTo(told.atSensorGain.total.prefill + told.atSensorGain.total.decode, 3);
  });
});

describe('the folder of a simulation', () => {
  it('says in recording.yaml what there is: the first serving file counts, GPUs have their numbers, files are as old as they say', async () => {
    const simulation = await simulated({ ...SCENARIO, duration: '20s', hardware: 'h100-70b-tp4', recording: { serving: [{ format: 'vllm-metrics' }, { format: 'vllm-log', tz: 'Asia/Tokyo' }] } });
    const { power, serving } = await simulation.open();
    expect(power.map(({ entry }) => entry.format)).toEqual(['nvidia-smi-csv', 'readings']);
    expect(serving.map(({ entry, counts }) => [entry.format, entry.tz, entry.deployment, entry.devices, counts])).toEqual([['vllm-metrics', 'UTC', 'chat', [0, 1, 2, 3], true], ['vllm-log', 'Asia/Tokyo', 'chat', [0, 1, 2, 3], false]]);
    expect((await stat(join(simulation.folder, 'vllm.log'))).mtimeMs / 1000).toBeCloseTo(Date.UTC(2026, 0, 15, 9) / 1000 + simulation.truth.duration, 0);
  });

  it('holds a log for each pool of a disaggregated server, with its role, and leaves a gateway to people', async () => {
    const simulation = await simulated({ ...SCENARIO, engine: { disaggregated: { prefillRanks: 1, decodeRanks: 2 } }, recording: { serving: [{ format: 'vllm-metrics' }, { format: 'requests' }] } });
    expect(simulation.files).toEqual(expect.arrayContaining(['vllm-metrics-prefill.prom', 'vllm-metrics-decode.prom', 'requests.jsonl']));
    const { serving } = await simulation.open();
    expect(serving.map(({ entry, counts }) => [entry.deployment, entry.role, entry.devices, counts])).toEqual([['chat-prefill', 'prefill', [0], true], ['chat-decode', 'decode', [1, 2], true]]);
    const [prefill, decode] = await Promise.all(serving.map(({ source }) => sumsOf(eventsOf(source))));
    const { tokens } = simulation.truth;
    expect(Math.abs((prefill?.input ?? 0) / tokens.input - 1)).toBeLessThan(0.02);
    // Both pools count the first token of each: the one gives it to the other, which gives it to the client.
    expect(decode?.output).toBe(tokens.output);
    expect(prefill?.output).toBe(simulation.truth.requests.length);
  });

  it('is refused where something else is in it, and replaced where a simulation is', async () => {
    const small = { ...SCENARIO, duration: '20s' };
    const foreign = newFolder();
    await mkdir(foreign);
    await writeFile(join(foreign, 'thesis.txt'), 'years');
    await expect(simulated(small, foreign)).rejects.toMatchObject({ code: 'FOLDER_IN_USE', remedy: 'abort' });
    expect(await readdir(foreign)).toEqual(['thesis.txt']);

    const first = await simulated({ ...small, recording: { serving: [{ format: 'tgi-log' }] } });
    await writeFile(join(first.folder, 'notes.txt'), 'mine');
    const second = await simulated({ ...small, recording: { serving: [{ format: 'requests' }] } }, first.folder);
    expect((await readdir(second.folder)).toSorted()).toEqual(['notes.txt', 'power.csv', 'power.jsonl', 'recording.yaml', 'requests.jsonl', 'truth.json']);
    await expect(simulated(small, join(first.folder, 'notes.txt'))).rejects.toMatchObject({ code: 'FOLDER_UNUSABLE' });
  });

  it('never names a file of an earlier run that lies elsewhere', async () => {
    const folder = newFolder();
    await mkdir(folder);
    await writeFile(join(folder, 'truth.json'), JSON.stringify({ simulation: { files: ['../precious'] } }));
    await expect(simulated(SCENARIO, folder)).rejects.toMatchObject({ code: 'FOLDER_IN_USE' });
  });

  it('writes power formats that replay knows', async () => {
    const formats = ['nvidia-smi-csv', 'readings', 'dcgm-exporter', 'rapl', 'ipmi-dcmi'];
    expect(powerFormats.map(({ name }) => name)).toEqual(expect.arrayContaining(formats));
    const simulation = await simulated({ ...SCENARIO, duration: '20s', recording: { power: formats.map((format) => ({ format })) } });
    for (const { source } of (await simulation.open()).power) expect((await all(source.events())).filter(({ kind }) => kind === 'reading').length, source.description).toBeGreaterThan(3);
  });
});
