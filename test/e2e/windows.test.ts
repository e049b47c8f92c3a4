/** Recordings that are imported in parts: their sums are those of the whole, also where a part came before the whole. */
import { simulated } from '@joulebook/agent/simulate/simulation.testing.js';
import { readManifest } from '@joulebook/agent/recording/manifest.js';
import { replay, type ReplayOptions } from '@joulebook/agent/recording/replay.js';
import { encodeBatch } from '@joulebook/shared/batch.js';
import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { reportHere } from '../support/pipe.js';
import { reportSchema } from '../support/report.js';

const SERVING = { format: 'vllm-metrics', period: '4s' };
const CUT = instant(Date.parse('2026-01-15T09:00:31Z') / 1000);

async function reported(lines: string) {
  const { exitCode, stdout, stderr } = await reportHere(lines, ['--format', 'json']);
  expect([exitCode, stderr]).toEqual([0, '']);
  const [row] = reportSchema.parse(JSON.parse(stdout)).rows;
  return { requests: row?.requests, tokens: row?.tokens, joules: row?.joules ?? 0 };
}

describe('a recording', () => {
  it('that is imported in halves, or by half and then whole, has every request and token once', { timeout: 60_000 }, async () => {
    const { folder } = await simulated({ seed: 2, duration: '60s', recording: { power: [{ format: 'nvidia-smi-csv' }], serving: [SERVING] } });
    const recording = await readManifest(folder);
    const linesOf = async (options: ReplayOptions): Promise<string> => {
      let lines = '';
      for await (const batch of replay(recording, options, () => undefined)) lines += `${encodeBatch(batch)}\n`;
      return lines;
    };
    const [whole, before, behind] = [await linesOf({}), await linesOf({ to: CUT }), await linesOf({ from: CUT })];
    const expected = await reported(whole);
    expect(expected.requests?.ok).toBeGreaterThan(50);
    expect(await reported(before + behind)).toEqual(expected);
    const { joules, ...counts } = await reported(before + whole);
    expect(counts).toEqual({ requests: expected.requests, tokens: expected.tokens });
    // At the cut the whole recording has its energy where the model expects it, and a part where it was read.
    expect(Math.abs(joules / expected.joules - 1)).toBeLessThan(0.02);
  });
});
