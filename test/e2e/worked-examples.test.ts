/**
 * The worked examples of the definitions, from facts sent to a collector to what its command and its API say of them:
 *
 *     a hour   3,000 tokens/s at 1,000 W and $0.17/kWh: 3 tokens/J, 10.8 M tokens/kWh, $1.574e-8 per token
 *     a, b     10,000 × 0.70 × 0.95 = 6,650 and 8,000 × 0.96 × 0.97 = 7,449.6 useful tokens
 *     support  150 tokens × 1.2 attempts × $0.00015 + 150 prompt tokens × $0.000002 = $0.0273 per meaningful response
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { said, serve, type Serving } from '@joulebook/collector/commands/program.testing.js';
import { batchOf, energyFact, requestsFact, tokensFact } from '@joulebook/collector/store/sample-facts.js';
import { encodeBatch } from '@joulebook/shared/batch.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { seconds } from '@joulebook/shared/units.js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';

const PRICE = 0.17;
const BOOK = `
sites:
  default: { tariff: { currency: USD, price: ${PRICE} }, pue: 1 }
costs:
  - { item: gpu, perGpuHour: 246.24, where: { deployment: support } }
outcomes:
  - { sloSuccess: 0.70, accepted: 0.95, where: { deployment: a } }
  - { sloSuccess: 0.96, accepted: 0.97, where: { deployment: b } }
`;
const SLICE = 10;
const hour: Slice[] = Array.from({ length: 3600 / SLICE }, (_, index) => ({ from: index * SLICE, to: (index + 1) * SLICE })).flatMap((time) => [
  energyFact({ ...time, deployment: 'hour', joules: 1000 * SLICE, seconds: seconds(SLICE) }),
  tokensFact({ ...time, deployment: 'hour', count: 3000 * SLICE }),
]);
const ratios: Slice[] = ['a', 'b'].flatMap((deployment, index) => [energyFact({ deployment, device: `GPU-${index + 1}` }), tokensFact({ deployment, count: [10_000, 8000][index] ?? 0 })]);
/**
 * Twelve answers, of which two were refused by a gate: 1,800 tokens of each kind. What they cost at $0.00015 and $0.000002, $0.2736, is half
 * energy and half two seconds of a GPU at $246.24 an hour.
 */
const joulesFor = (perToken: number): number => (1800 * perToken * 3.6e6) / PRICE / 2;
const support: Slice[] = [
  energyFact({ deployment: 'support', device: 'GPU-3', joules: joulesFor(0.00015) }),
  energyFact({ deployment: 'support', device: 'GPU-3', from: 1, phase: 'prefill', joules: joulesFor(0.000002) }),
  tokensFact({ deployment: 'support', count: 1800 }), tokensFact({ deployment: 'support', token: 'input', count: 1800 }),
  requestsFact({ deployment: 'support', requests: 10, inputTokens: 1500, outputTokens: 1500 }),
  requestsFact({ deployment: 'support', outcome: 'rejected', requests: 2, inputTokens: 300, outputTokens: 300 }),
];

let folder: string;
let serving: Serving;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-worked-'));
  await writeFile(join(folder, 'book.yaml'), BOOK);
  serving = await serve(['--store', join(folder, 'store.duckdb'), '--book', join(folder, 'book.yaml')]);
  const sent = await fetch(`${serving.address}/v1/batches`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: encodeBatch(batchOf([...hour, ...ratios, ...support])) });
  if (!sent.ok) throw new Error(`the batch was refused with ${sent.status}: ${await sent.text()}`);
});
afterAll(async () => {
  await serving.stop();
  await rm(folder, { recursive: true, force: true });
});

const amount = z.number().nullable();
const told = z.object({
  currency: z.string(),
  rows: z.array(z.object({
    group: z.record(z.string(), z.string().nullable()), watts: amount, joules: amount, tokensPerWattSecond: amount, tokensPerKwh: amount, energyCostPerToken: amount,
    tokens: z.object({ output: amount, useful: amount }), costPerMeaningfulResponse: amount, joulesPerMeaningfulResponse: amount,
  })),
});
type Row = z.output<typeof told>['rows'][number];

const ASKED = {
  command: async (): Promise<unknown> => {
    const { out, err } = await said(['report', '--collector', serving.address, '--by', 'deployment', '--format', 'json']);
    expect(err).toBe('');
    return JSON.parse(out);
  },
  api: async (): Promise<unknown> => (await fetch(`${serving.address}/v1/report?by=deployment`)).json(),
};

it.each(['command', 'api'] as const)('come out of the %s exactly', async (way) => {
  const { currency, rows } = told.parse(await ASKED[way]());
  expect(currency).toBe('USD');
  const of = (deployment: string): Row | undefined => rows.find(({ group }) => group['deployment'] === deployment);
  expect(of('hour')).toMatchObject({ watts: 1000, joules: 3.6e6, tokensPerWattSecond: 3, tokensPerKwh: 10_800_000, tokens: { output: 10_800_000 } });
  expect(of('hour')?.energyCostPerToken).toBeCloseTo(0.17 / 10_800_000, 22);
  expect(of('hour')?.energyCostPerToken?.toExponential(3)).toBe('1.574e-8');
  expect([of('a')?.tokens.useful, of('b')?.tokens.useful]).toEqual([expect.closeTo(6650, 9), expect.closeTo(7449.6, 9)]);
  expect(of('support')?.costPerMeaningfulResponse).toBeCloseTo(0.0273, 12);
  expect(of('support')?.joulesPerMeaningfulResponse).toBeCloseTo((0.0273 * 3.6e6) / PRICE / 2, 5);
});
