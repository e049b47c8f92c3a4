/**
 * Recordings of real machines, through the built programs and the documented pipe. The numbers that must come out are
 * those of their own expected.md. They are not part of the project: where they are absent these tests are skipped.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { flagCodes, replay, replayed, reported } from './support/pipe.js';
import type { Report } from './support/report.js';

const present = existsSync(fileURLToPath(new URL('../../shared/recordings', import.meta.url)));
const folder = (name: string): string => fileURLToPath(new URL(`recordings/${name}`, import.meta.url));
/** What each replay said: many tests ask about the same one. */
const said = new Map<string, Promise<string>>();
const replayInto = async (from: string, reportArgs: readonly string[], replayArgs: readonly string[] = []): Promise<Report> => {
  const asked = [from, ...replayArgs].join(' ');
  const batches = said.get(asked) ?? replayed(from, replayArgs);
  said.set(asked, batches);
  return reported(await batches, reportArgs);
};
const near = (value: number | null | undefined, expected: number, relative: number): void => {
  expect(value, `expected ${expected} ± ${relative * 100} %`).not.toBeNull();
  expect(Math.abs((value ?? Number.NaN) / expected - 1)).toBeLessThanOrEqual(relative);
};
const only = (report: Report) => {
  expect(report.rows).toHaveLength(1);
  const [row] = report.rows;
  if (!row) throw new Error('no row');
  return row;
};
const phase = (report: Report, name: string) => report.rows.find((row) => row.group['phase'] === name);

describe.skipIf(!present)(`recordings of real machines${present ? '' : ' (skipped: ../shared/recordings is not here)'}`, () => {
  it.each([
    ['mlperf-llama2-70b-offline', 0.2435658],
    ['mlperf-llama2-70b-server', 0.2717166],
    ['mlperf-mixtral-8x7b-server', 0.135721],
  ])('%s: joules per token of the published run, over the run window', async (name, expected) => {
    const report = await replayInto(folder(name), ['--boundary', 'meter']);
    near(only(report).joulesPerToken, expected, 3e-4);
    expect(flagCodes(report)).toContain('RATE_DERIVED');
    expect(only(report).coverage).toBeGreaterThan(0.999);
  });

  it('mlperf llama2-70b offline: the window is the run, not the file, and all of it is active', async () => {
    const report = await replayInto(folder('mlperf-llama2-70b-offline'), ['--boundary', 'meter', '--by', 'phase']);
    expect([report.from, report.to].map((time) => new Date(time).toISOString())).toEqual(['2024-07-17T16:52:23.554Z', '2024-07-17T17:44:20.289Z']);
    expect(report.rows.map((row) => row.group['phase'])).toEqual(['active']);
    near(phase(report, 'active')?.watts, 6152.9844, 3e-4);
  });

  it('mlperf gptj offline: refuses a log without tokens per second, naming what is missing', async () => {
    const { exitCode, stderr, stdout } = await replay([folder('mlperf-gptj-offline')]);
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/mlperf_log_detail\.txt.*result_tokens_per_second/s);
  });

  it('wilkins llama2-13b, ended before the call that runs past the power log', async () => {
    const report = await replayInto(folder('wilkins-llama2-13b'), ['--basis', 'serving'], ['--to', '2024-04-18T15:13:23.98Z']);
    near(only(report).joulesPerToken, 32.251, 5e-3);
    expect(only(report).tokens).toMatchObject({ output: 1952, input: 26921 });
  });

  it('wilkins llama2-13b: the broken row moves no window, is told, and its time is unknown', async () => {
    const report = await replayInto(folder('wilkins-llama2-13b'), ['--by', 'phase']);
    near(phase(report, 'active')?.joules, 64_474, 5e-3);
    expect(flagCodes(report)).toEqual(expect.arrayContaining(['PARTIAL_REQUEST', 'UNUSABLE_EVIDENCE', 'SKIPPED_LINES']));
    expect(report.flags.find((flag) => flag.code === 'UNUSABLE_EVIDENCE')?.detail).toMatch(/inferences\.csv.*541 input and 32 output/);
    expect(report.from).toBe('2024-04-18T15:10:19.451715Z');
    // The call took 2.98 s by its own row; the gap it left is a little longer.
    near(phase(report, 'unknown')?.seconds, 3.0, 0.02);
    // The calls follow each other within milliseconds.
    expect(phase(report, 'idle')?.seconds).toBeLessThan(3);
    near((phase(report, 'active')?.seconds ?? 0) + (phase(report, 'unknown')?.seconds ?? 0) + (phase(report, 'idle')?.seconds ?? 0), (Date.parse(report.to) - Date.parse(report.from)) / 1000, 1e-3);
  });

  it('wilkins llama2-70b: four interleaved GPUs without an index column', { timeout: 60_000 }, async () => {
    const report = await replayInto(folder('wilkins-llama2-70b'), ['--basis', 'serving']);
    near(only(report).joulesPerToken, 268.25, 5e-3);
  });

  it('wilkins llama2-70b: tokens belong to all four GPUs and to none of them', async () => {
    const devices = await replayInto(folder('wilkins-llama2-70b'), ['--by', 'device']);
    expect(devices.rows).toHaveLength(4);
    for (const row of devices.rows) expect(row.tokens.output).toBeNull();
  });

  it.each([
    ['powertrace-run1', 5.391, 529.7, 1544.9],
    ['powertrace-run2', 4.401, 276.1, 1413.9],
  ])('%s: joules per output token, and prefill and decode flagged where they are coarse', async (name, perToken, prefill, decode) => {
    const total = only(await replayInto(folder(name), []));
    near(total.joulesPerToken, perToken, 0.02);
    const report = await replayInto(folder(name), ['--by', 'phase']);
    near(phase(report, 'prefill')?.joules, prefill, 0.12);
    near(phase(report, 'decode')?.joules, decode, 0.12);
    expect(phase(report, 'prefill')?.flags.map((flag) => flag.code)).toContain('COARSE');
    expect(phase(report, 'decode')?.flags.map((flag) => flag.code)).not.toContain('COARSE');
    const sum = report.rows.reduce((joules, row) => joules + (row.joules ?? 0), 0);
    expect(Math.abs(sum / (total.joules ?? 0) - 1)).toBeLessThan(1e-9);
  });

  it('powertrace run2: cached input is told apart', async () => {
    const { tokens, tokensOutside } = { ...only(await replayInto(folder('powertrace-run2'), [])) };
    expect((tokens.input ?? 0) + (tokensOutside.input ?? 0)).toBe(18_421);
    expect(tokens.cachedInput).toBe(11_264);
  });

  it('powertrace run1 by the engine\'s own counters: the same joules, the counters\' tokens', async () => {
    const row = only(await replayInto(folder('powertrace-run1-counters'), []));
    const outside = row.tokensOutside;
    expect([(row.tokens.input ?? 0) + (outside.input ?? 0), (row.tokens.output ?? 0) + (outside.output ?? 0)]).toEqual([18_421, 394]);
    near(row.watts, 2140.236 / 6.436098, 0.02);
  });

  it.each([
    ['azure-code', 18_059_974, 245_896, 8819],
    ['azure-conv', 22_361_870, 4_088_665, 19_366],
  ])('%s: tokens without power give token sums and no ratio', async (name, input, output, requests) => {
    const report = await replayInto(folder(name), []);
    const row = only(report);
    expect(row.tokens).toMatchObject({ input, output });
    expect(row.requests['ok']).toBe(requests);
    for (const ratio of [row.joulesPerToken, row.tokensPerWattSecond, row.tokensPerKwh, row.energyCostPerToken, row.joules]) expect(ratio).toBeNull();
    expect(flagCodes(report)).toContain('NO_ENERGY');
  });

  it('inferencex: counters across a gap of 21 minutes keep their totals and the gap is flagged', async () => {
    const report = await replayInto(folder('inferencex-b200'), []);
    expect(only(report).tokens).toMatchObject({ input: 2_713_990, output: 138_364 });
    expect(report.flags.some((flag) => /1277/.test(flag.detail))).toBe(true);
  });

  it.each([
    ['fp16', 0.7183],
    ['int8', 2.0667],
    ['nf4', 2.6748],
  ])('joulebench %s at batch 8, context 256: pooled joules per output token', async (quantization, expected) => {
    const report = await replayInto(folder('joulebench-quant'), ['--by', 'quantization', '--where', 'batch=8', '--where', 'context=256']);
    near(report.rows.find((row) => row.group['quantization'] === quantization)?.joulesPerToken, expected, 1e-4);
  });

  it('is the same stream every time, so importing it twice changes nothing', async () => {
    const [first, second] = await Promise.all([replay([folder('powertrace-run1')]), replay([folder('powertrace-run1')])]);
    expect(first.exitCode).toBe(0);
    expect(first.stdout).toBe(second.stdout);
    const other = await replay([folder('powertrace-run1'), '--slice', '10s']);
    expect(other.stdout.slice(0, 60)).not.toBe(first.stdout.slice(0, 60));
  });
});
