/** What requests drew, from a stream of batches written by hand, once through the built program: every number here is worked out by hand. */
import { expect, it } from 'vitest';
import { z } from 'zod';
import { report, reportHere } from '../support/pipe.js';

const START = Date.UTC(2026, 6, 1, 12) * 1000;
const span = (from: number, to: number) => ({ from: START + from * 1e6, to: START + to * 1e6 });
const energy = (from: number, phase: string, joules: number, division?: number) => ({
  kind: 'energy', ...span(from, from + 1), device: 'GPU-0', boundary: 'gpu', phase, deployment: 'chat', model: 'm', microjoules: joules * 1e6, modelledMicrojoules: division === undefined ? 0 : joules * 1e6,
  seconds: 1, askedSeconds: 1, lowMicrojoules: joules * 0.95e6, highMicrojoules: joules * 1.06e6, ...(division !== undefined && { divisionMicrojoules: division * 1e6 }), source: 'nvml', method: 'counter',
});
const tokens = (from: number, token: string, count: number) => ({ kind: 'tokens', ...span(from, from + 1), deployment: 'chat', model: 'm', token, count });
const request = (from: number, name: string, inputBand: number, [input, cached, output]: readonly number[], [prefill, decode]: readonly number[]) => ({
  kind: 'requests', ...span(from, from + 1), deployment: 'chat', model: 'm', outcome: 'ok', requests: 1, inputTokens: input, cachedInputTokens: cached, outputTokens: output,
  request: name, inputBand, concurrencyBand: 0, prefillMicrojoules: prefill, decodeMicrojoules: decode,
});
const BATCHES = [
  [energy(0, 'prefill', 100, 12), energy(1, 'decode', 200, 12), energy(2, 'idle', 40), tokens(0, 'input', 1000), tokens(0, 'cachedInput', 300), tokens(1, 'output', 100)],
  // Microjoules that no double of joules holds exactly; the last request had not ended.
  [request(1, 'a', 9, [600, 300, 60], [60_000_001, 120_000_003]), request(1, 'b', 8, [300, 0, 30], [30_000_000, 50_000_000])],
].map((slices, sequence) => JSON.stringify({ schema: 1, stream: 'a'.repeat(32), sequence, node: 'n', slices })).join('\n');

const amount = z.number().nullable();
const told = z.object({
  flags: z.array(z.object({ code: z.string() })),
  total: z.object({ joules: amount }),
  rows: z.array(z.object({
    group: z.record(z.string(), z.string().nullable()), joules: amount, joulesPerToken: amount, joulesPerPromptToken: amount, joulesPerOutputToken: amount, joulesSavedByCache: amount,
    tokens: z.object({ input: amount, cachedInput: amount, output: amount }), requests: z.record(z.string(), amount), uncertainty: z.object({ joules: z.array(z.number()).nullable() }).nullable(),
  })),
});
async function asked(options: readonly string[], ask: typeof reportHere | typeof report = reportHere): Promise<z.output<typeof told>> {
  const ended = await ask(`${BATCHES}\n`, [...options, '--format', 'json']);
  expect([ended.exitCode, ended.stderr]).toEqual([0, '']);
  return told.parse(JSON.parse(ended.stdout));
}
const micros = (joules: number | null): number => Math.round((joules ?? 0) * 1e6);

it('by request: each request, then what belongs to none, and together what was measured', async () => {
  const { rows, total } = await asked(['--by', 'request'], report);
  expect(rows.map(({ group, joules }) => [group['request'], micros(joules)])).toEqual([['a', 180_000_004], ['b', 80_000_000], ['(other requests)', 39_999_996], ['(idle)', 40_000_000]]);
  expect([rows.reduce((sum, { joules }) => sum + micros(joules), 0), micros(total.joules)]).toEqual([340_000_000, 340_000_000]);
  expect(rows[0]).toMatchObject({ tokens: { input: 900, cachedInput: 300, output: 60 }, requests: { ok: 1 }, joulesPerToken: 180.000004 / 60 });
  expect([rows[0]?.joulesPerPromptToken, rows[0]?.joulesPerOutputToken, rows[0]?.joulesSavedByCache]).toEqual([60.000001 / 600, 120.000003 / 60, 300 * (60.000001 / 600)]);
});

it('by prompt length and phase', async () => {
  const { rows } = await asked(['--by', 'inputBand,phase', '--where', 'deployment=chat']);
  expect(rows.map(({ group, joules }) => [group['inputBand'], group['phase'], micros(joules)])).toEqual([
    ['256–511', 'prefill', 30_000_000], ['256–511', 'decode', 50_000_000], ['512–1023', 'prefill', 60_000_001], ['512–1023', 'decode', 120_000_003],
    ['(other requests)', 'prefill', 9_999_999], ['(other requests)', 'decode', 29_999_997], ['(idle)', 'idle', 40_000_000],
  ]);
  expect(rows[0]?.joulesPerToken).toBe(0.1);
});

it('by phase: the interval of a phase is wider by its division, that of the whole is not', async () => {
  const [prefill] = (await asked(['--by', 'phase'])).rows;
  expect(prefill?.uncertainty?.joules).toEqual([expect.closeTo(87, 9), expect.closeTo(100 + Math.sqrt(180), 9)]);
  const [whole] = (await asked([])).rows;
  expect(whole?.uncertainty?.joules).toEqual([expect.closeTo(340 * 0.95, 9), expect.closeTo(340 * 1.06, 9)]);
  expect(whole).toMatchObject({ joulesPerPromptToken: 0.1, joulesPerOutputToken: 2, joulesSavedByCache: 30 });
});

it('in a table for people, and refused where it makes no sense', async () => {
  const table = (await reportHere(`${BATCHES}\n`, ['--by', 'concurrencyBand'])).stdout;
  for (const part of ['│ 1 ', '(other requests)', '(idle)', 'J/prompt tok', 'J saved by cache']) expect(table).toContain(part);
  expect(await reportHere(`${BATCHES}\n`, ['--by', 'request,device'])).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(`'device' does not go with 'request'`) as unknown });
});
