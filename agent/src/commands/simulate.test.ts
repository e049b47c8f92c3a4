import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '@joulebook/shared/errors.js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { readManifest } from '../recording/manifest.js';
import { replay, type ReplaySummary } from '../recording/replay.js';
import { EXAMPLE } from '../simulate/example.js';
import { planOf, simulationSchema } from '../simulate/recording.js';
import { truthFile } from '../simulate/simulation.testing.js';
import { simulateCommand } from './simulate.js';

const folder = mkdtempSync(join(tmpdir(), 'joulebook-simulate-'));
let told = '';
beforeEach(() => {
  told = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    told += String(text);
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());

let count = 0;
function scenarioFile(text: string): string {
  count += 1;
  const file = join(folder, `scenario-${count}.yaml`);
  writeFileSync(file, text);
  return file;
}
const simulate = async (...args: string[]): Promise<void> => void (await simulateCommand().exitOverride().parseAsync(args, { from: 'user' }));

async function faultsOf(attempt: Promise<unknown>): Promise<readonly string[]> {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof UsageError) return error.faults;
    throw error;
  }
  return [];
}

/** Joules of the GPUs by phase, as replay books them. */
async function replayed(recording: string): Promise<{ joules: Map<string, number>; summary: ReplaySummary }> {
  const joules = new Map<string, number>();
  let summary: ReplaySummary | undefined;
  for await (const batch of replay(await readManifest(recording), {}, (said) => (summary = said))) {
    for (const slice of batch.slices) {
      if (slice.kind !== 'energy' || slice.boundary !== 'gpu') continue;
      joules.set(slice.phase, (joules.get(slice.phase) ?? 0) + slice.microjoules / 1e6);
    }
  }
  if (!summary) throw new Error('no summary');
  return { joules, summary };
}

describe('simulate', () => {
  it('writes an H100 with vLLM where nothing is said, for ten minutes or as long as is said, which replay reads and books as it was drawn', { timeout: 60_000 }, async () => {
    const out = join(folder, 'usual');
    await simulate('--out', out, '--duration', '3m');
    expect(planOf(simulationSchema.parse({}), 'nothing').scenario.duration).toBe(600);
    expect(told).toMatch(/^2026-01-15T09:00:00\.000Z to 2026-01-15T09:03:\d\d\.\d{3}Z: [\d,]+ requests, .*\n.*true energy of the GPUs: prefill .* J .*\npower\.csv, power\.jsonl, vllm-metrics\.prom, vllm\.log, recording\.yaml, truth\.json are in /ms);
    const { truth, atSensorGain } = await truthFile(out);
    const { joules, summary } = await replayed(out);
    expect(summary.window && summary.window.to - summary.window.from).toBeGreaterThan(truth.duration - 3);
    const measured = [...joules.values()].reduce((sum, each) => sum + each, 0);
    const shown = Object.values(atSensorGain.total).reduce((sum, each) => sum + each, 0);
    expect(Math.abs(measured / shown - 1)).toBeLessThan(0.01);
  });

  it('takes seed and duration from the command line before the file', async () => {
    const file = scenarioFile('seed: 3\nduration: 1h\nrecording: { node: made-up, serving: [{ format: requests }] }\n');
    await simulate('--scenario', file, '--out', join(folder, 'short'), '--duration', '20s', '--seed', '8');
    const { scenario, truth } = await truthFile(join(folder, 'short'));
    expect([scenario.seed, scenario.duration]).toEqual([8, 20]);
    expect(truth.duration).toBeLessThan(120);
    expect((await readManifest(join(folder, 'short'))).manifest.node).toBe('made-up');
  });

  it.each([
    ['duration: soon', /duration: 'soon' is not a duration/],
    ['engine: { batch: chunked }', /engine: 'batch' is not a setting here/],
    ['traffic: [{ work: poetry }]', /traffic\.0\.work/],
    ['recording: { power: [{ format: nvidia-smi-csb }] }', /recording\.power\.0: format 'nvidia-smi-csb' is unknown; did you mean 'nvidia-smi-csv'/],
    ['recording: { power: [{ format: rapl, periods: 1 }] }', /recording\.power\.0: 'periods' is not a setting here; did you mean 'period'/],
    ['recording: { serving: [{ format: vllm-log, clock: { offsett: 1 } }] }', /recording\.serving\.0\.clock: 'offsett' is not a setting here/],
    ['recording: { serving: [{ format: vllm-log, tz: Mars }] }', /recording\.serving\.0\.tz: not a time zone/],
    ['recording: { serving: [{ format: vllm-log, file: ../up.log }] }', /recording\.serving\.0\.file: a name without a folder/],
    ['recording: { serving: [{ format: vllm-log, file: truth.json }] }', /recording\.serving\.0\.file: a name that the simulation itself needs/],
    ['recording: { serving: [{ format: vllm-log }, { format: vllm-log }] }', /recording: two entries write vllm\.log/],
    ['recording: { start: yesterday }', /recording\.start: 'yesterday' is not a time/],
    ['- a list', /expected a scenario/],
    ['a: [', /scenario-\d+\.yaml: /],
  ])('names the field at fault: %s', async (text, fault) => {
    const out = join(folder, 'faulty');
    const faults = await faultsOf(simulate('--scenario', scenarioFile(text), '--out', out));
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(fault);
    expect(existsSync(out)).toBe(false);
  });

  it('tells all faults of the entries at once', async () => {
    const faults = await faultsOf(simulate('--scenario', scenarioFile('recording: { power: [{ format: x }, { format: rapl, gain: 9 }], serving: [{ format: tgi-log, a: 1 }] }'), '--out', join(folder, 'faulty')));
    expect(faults).toHaveLength(3);
  });

  it.each([
    [['--seed', '1.5'], "--seed: '1.5' is not a whole number"],
    [['--duration', '0s'], "--duration: '0s' is not a duration; write 90s, 10m or 24h"],
    [['--scenario', join(folder, 'absent.yaml')], expect.stringContaining('absent.yaml: ')],
  ])('refuses %j', async (flags, fault) => {
    expect(await faultsOf(simulate('--out', join(folder, 'faulty'), ...flags))).toEqual([fault]);
  });

  it('shows a scenario in its help that is one', () => {
    let help = '';
    const command = simulateCommand().configureOutput({ writeOut: (text) => (help += text) });
    command.outputHelp();
    expect(help).toContain('pauses: [{ from: 5m, to: 330s }]');
    expect(help).toMatch(/^ {2}sglang-log /m);
    const { scenario, sensors, serving } = planOf(simulationSchema.parse(parse(EXAMPLE)), 'example');
    expect([scenario.traffic.length, sensors.length, serving.length]).toEqual([4, 3, 2]);
  });
});
