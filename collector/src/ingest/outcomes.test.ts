/** Outcomes that are learnt later: over HTTP, into a real store, and what reports make of them. */
import * as fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import { latencyBucket, OUTCOMES } from '@joulebook/shared/slice.js';
import { fromEpochMicros, seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { runningCollector, type RunningCollector } from '../collector.testing.js';
import { at, batchOf, energyFact, iso, requestsFact, tokensFact } from '../store/sample-facts.js';
import { decodeOutcomes } from './outcomes.js';

let running: RunningCollector | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

const answer = z.looseObject({ error: z.string().optional(), message: z.string().optional(), duplicate: z.boolean().optional() });
async function told(address: string, body: unknown, token = ''): Promise<[number, z.output<typeof answer>]> {
  const response = await fetch(`${address}/v1/outcomes`, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'content-type': 'application/json', ...(token !== '' && { authorization: `Bearer ${token}` }) } });
  return [response.status, answer.parse(await response.json())];
}
const rejected = (requests: number) => ({ at: iso(12), was: 'ok', outcome: 'rejected', requests, inputTokens: 10 * requests, outputTokens: 20 * requests, ttft: 0.5, tpot: 0.02 });
const begin = async (): Promise<RunningCollector> => (running = await runningCollector({}, { wall: () => fromEpochMicros(at(1000)), monotonic: () => seconds(performance.now() / 1000) }));
const total = async (address: string, query = '') => z.looseObject({ total: z.looseObject({ requests: z.record(z.string(), z.number().nullable()), tokens: z.looseObject({ useful: z.number().nullable() }) }) }).parse(await (await fetch(`${address}/v1/report?${query}`)).json()).total;

it('takes requests from one outcome to another, once, and useful tokens with them', async () => {
  const { address, store } = await begin();
  const cell = { ttftBucket: latencyBucket(seconds(0.5)), tpotBucket: latencyBucket(seconds(0.02)) };
  await store.append(batchOf([energyFact({ from: 10 }), tokensFact({ from: 10, count: 200 }), requestsFact({ from: 10, to: 20, requests: 10, inputTokens: 100, outputTokens: 200, ...cell })]));
  expect((await total(address, 'slo=ttft%3D1s')).tokens.useful).toBe(200);
  const body = { id: 'gate 1', deployment: 'chat', model: 'llama', outcomes: [rejected(3)] };
  expect(await told(address, body)).toMatchObject([200, { duplicate: false }]);
  expect(await told(address, body)).toMatchObject([200, { duplicate: true }]);
  expect(await total(address, 'slo=ttft%3D1s')).toMatchObject({ requests: { ok: 7, rejected: 3 }, tokens: { useful: 140 } });
  expect(await told(address, { ...body, outcomes: [rejected(4)] })).toMatchObject([409, { message: expect.stringContaining('an id of their own') as unknown }]);
});

it('is flagged where more was taken than is there', async () => {
  const { address } = await begin();
  expect(await told(address, { id: 'gate 2', deployment: 'chta', outcomes: [rejected(3)] })).toMatchObject([200, { duplicate: false }]);
  const report: unknown = await (await fetch(`${address}/v1/report?by=deployment`)).json();
  expect(JSON.stringify(report)).toContain("More requests were taken from 'ok' than were booked as such here: 3 too many");
});

it('says everything that is wrong, each with its field', async () => {
  const { address } = await begin();
  const [status, { message }] = await told(address, { id: 'x', outcomes: [{ ...rejected(1), at: 'noon', was: 'rejected' }, { ...rejected(1), outputTokens: -1, prompt: 'secret' }] });
  expect(status).toBe(400);
  for (const part of ['body.deployment', "body.outcomes.0.at: 'noon' is not a time", 'body.outcomes.1.outputTokens', "'prompt'"]) expect(message).toContain(part);
  expect(message).not.toContain('secret');
  expect(await told(address, '{"id":')).toMatchObject([400, { error: 'OUTCOMES_NOT_JSON' }]);
  expect(await told(address, { id: 'x', deployment: 'chat', outcomes: [{ ...rejected(1), outcome: 'ok' }] })).toMatchObject([400, { message: expect.stringContaining('is what it was') as unknown }]);
});

it('moves requests and their tokens between outcomes, and makes or loses none, for any corrections', () => {
  const one = fc.record({ at: fc.integer({ min: 1, max: 2e9 }), was: fc.constantFrom(...OUTCOMES), outcome: fc.constantFrom(...OUTCOMES), requests: fc.integer({ min: 1, max: 1e6 }), inputTokens: fc.nat(1e9), cachedInputTokens: fc.nat(1e9), outputTokens: fc.nat(1e9), ttft: fc.option(fc.double({ min: 1e-3, max: 1e3, noNaN: true }), { nil: undefined }) }).filter(({ was, outcome }) => was !== outcome);
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 20 }), (outcomes) => {
      const { slices } = decodeOutcomes(JSON.stringify({ id: 'any', deployment: 'chat', outcomes }));
      expect(slices).toHaveLength(2 * outcomes.length);
      for (const key of ['requests', 'inputTokens', 'cachedInputTokens', 'outputTokens'] as const) expect(slices.reduce((sum, slice) => sum + (slice.kind === 'requests' ? slice[key] : Number.NaN), 0)).toBe(0);
    }),
  );
});
