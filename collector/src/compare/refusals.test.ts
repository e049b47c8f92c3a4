import { expect, it } from 'vitest';
import type { Slice } from '@joulebook/shared/slice.js';
import { epochMicros, seconds } from '@joulebook/shared/units.js';
import type { Said } from '../report/request.js';
import { energyFact, flagFact, iso, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import type { Comparison } from './answer.js';
import { compare } from './compare.js';
import { storeOf, stretchesOf, type Stretches } from './facts.testing.js';
import { parseCompare } from './question.js';

const COUNT = 60;
const fp16: Stretches = { labels: { quantization: 'fp16' }, count: COUNT, joulesPerToken: 2 };
const int8: Stretches = { labels: { quantization: 'int8' }, count: COUNT, from: COUNT * 60, joulesPerToken: 3, seed: 2 };
const SIDES: Said = { a: ['quantization=fp16'], b: ['quantization=int8'] };

async function closing<T>(store: Store, work: (store: Store) => Promise<T>): Promise<T> {
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}
const asked = async (sides: readonly (Stretches | readonly Slice[])[], said: Said = {}): Promise<Comparison> => closing(await storeOf(...sides), (store) => compare(store, parseCompare({ ...SIDES, ...said }, {}, '')));

/** `CODE: detail` of the first reason, which the first sentence tells as well. */
async function refusal(sides: readonly (Stretches | readonly Slice[])[], said: Said = {}): Promise<string> {
  const { verdict, reasons: [first], sentences, monthly } = await asked(sides, said);
  if (verdict !== 'not-comparable' || !first) return verdict;
  if (!sentences[0]?.includes(first.detail) || monthly !== null) return `refused, and told otherwise: ${sentences.join(' ')}`;
  return `${first.code}: ${first.detail}`;
}

it('compares what the refusals below take something from', async () => {
  expect((await asked([fp16, int8])).verdict).toBe('a-better');
});

it('a label that no fact carries, and the nearest that one does', async () => {
  expect(await refusal([fp16, int8], { a: ['quantisation=fp16'] })).toMatch(/^LABEL_UNKNOWN: No fact carries the label 'quantisation' of side A; did you mean 'quantization'\?$/);
});

it('a value that no fact has, and those that there are', async () => {
  expect(await refusal([fp16, int8], { b: ['quantization=int88'] })).toMatch(/^VALUE_UNKNOWN: No fact has quantization=int88, as side B asks; did you mean 'int8'\?$/);
  expect(await refusal([fp16, int8], { b: ['node=zebra'] })).toMatch(/^VALUE_UNKNOWN: No fact has node=zebra, as side B asks; there are node-1$/);
});

it('a side that is empty, though each of its names occurs', async () => {
  expect(await refusal([fp16, int8], { 'b-to': [iso(60)] })).toMatch(/^EMPTY_SIDE: There are no facts of side B \(quantization=int8, before 2026/);
  expect(await asked([fp16, int8], { 'b-to': [iso(60)] })).toMatchObject({ a: { estimate: null }, b: { estimate: null }, effect: { relative: null } });
});

it('the same side twice, and sides that share facts', async () => {
  expect(await refusal([fp16, int8], { b: ['quantization=fp16'] })).toMatch(/^SAME_SIDE: .*are the same \(quantization=fp16\)/);
  expect(await refusal([fp16, int8], { b: ['deployment=chat'] })).toMatch(/^OVERLAPPING_SELECTION: .*in A and in B/);
  expect(await refusal([fp16], { a: [], b: [], 'a-to': [iso(1800)], 'b-from': [iso(1200)] })).toMatch(/^OVERLAPPING_SELECTION: .*in A and in B/);
});

it('one GPU at work for both at once', async () => {
  expect(await refusal([fp16, { ...int8, from: 0 }])).toMatch(/^SHARED_DEVICE: GPU-0 of node-1 worked for A and B at the same time/);
});

it('boundaries, methods and sensors that are not the same', async () => {
  expect(await refusal([fp16, { ...int8, energy: { boundary: 'server' } }])).toMatch(/^BOUNDARY_DIFFERS: .*A was measured at gpu, B was measured at server.*--boundary/);
  expect(await refusal([fp16, { ...int8, energy: { method: 'power' } }])).toMatch(/^METHOD_DIFFERS: .*A was measured by counter, B by power/);
  expect(await refusal([fp16, { ...int8, energy: { source: 'dcgm' } }])).toMatch(/^SENSOR_DIFFERS: .*A was read from nvml, B from dcgm/);
});

it('little of a side measured, or much less than of the other', async () => {
  expect(await refusal([fp16, { ...int8, seen: 0.8 }])).toMatch(/^COVERAGE_LOW: Only 80\.0 % of side B was measured/);
  expect(await refusal([fp16, { ...int8, seen: 0.93 }])).toMatch(/^COVERAGE_DIFFERS: 100\.0 % of A was measured and 93\.0 % of B/);
});

const sampled = (samplingVariance: number): Slice[] => stretchesOf(fp16).map((fact) => (fact.kind === 'energy' ? { ...fact, lowMicrojoules: fact.microjoules, highMicrojoules: fact.microjoules, samplingVariance } : fact));
const modelled = (side: Stretches): Slice[] => stretchesOf(side).map((fact) => (fact.kind === 'energy' ? { ...fact, modelledMicrojoules: fact.microjoules } : fact));
const flat = (side: Stretches): Slice[] =>
  Array.from({ length: COUNT }, (_, index) => ({ from: (side.from ?? 0) + index * 60, to: (side.from ?? 0) + index * 60 + 60, labels: { ...side.labels } })).flatMap((time) => [energyFact({ ...time, joules: 600, seconds: seconds(60) }), tokensFact({ ...time, count: 100 })]);
const ofTenant = (tenant: string, side: Stretches): Slice[] => stretchesOf(side).map((fact) => (fact.kind === 'tokens' || fact.kind === 'requests' ? { ...fact, tenant } : fact));

it('power read so seldom that the error of sampling is as large as what is compared', async () => {
  expect((await asked([sampled(1e6), int8])).verdict).toBe('a-better');
  expect(await refusal([sampled(1e8), int8])).toMatch(/^TOO_FEW_READINGS: .*the energy of A may be off by ±\d+\.\d %/);
});

it('phases that a model told apart, and phases shorter than the sensor sees', async () => {
  expect(await refusal([fp16, modelled(int8)], { metric: ['joulesPerOutputToken'] })).toMatch(/^PHASE_MODELLED: 100\.0 % of the decode energy of B was divided by a model/);
  expect((await asked([fp16, modelled(int8)])).verdict).toBe('a-better');
  const flagged = [...stretchesOf(int8), flagFact({ from: COUNT * 60, code: 'COARSE', phase: 'decode', detail: 'decode: stretches with fewer than two power readings in them', count: 9, of: 10, labels: { quantization: 'int8' } })];
  expect(await refusal([fp16, flagged], { metric: ['joulesPerOutputToken'] })).toMatch(/^WINDOWS_TOO_SHORT: Side B, decode: stretches with fewer than two power readings in them \(9 of 10\)/);
});

it('what was not measured, tokens that nobody made, and a cost without a price', async () => {
  expect(await refusal([fp16, int8], { metric: ['joulesPerPromptToken'] })).toMatch(/^NOT_MEASURED: .*no joulesPerPromptToken of side A: no energy was told apart as prefill/);
  expect(await refusal([fp16, int8], { metric: ['energyCostPerToken'] })).toMatch(/^NOT_MEASURED: .*no energyCostPerToken of side A: no price is known/);
  expect(await refusal([stretchesOf(fp16).map((fact) => (fact.kind === 'requests' ? { ...fact, ttftBucket: undefined } : fact)), int8], { metric: ['ttft'] })).toMatch(/^NOT_MEASURED: .*side A: no request tells its first token/);
  expect(await refusal([fp16, stretchesOf(int8).map((fact) => (fact.kind === 'tokens' ? tokensFact({ ...fact, count: 0, from: COUNT * 60, to: COUNT * 120 }) : fact))])).toMatch(/^ZERO_DENOMINATOR: .*no joulesPerToken of side B: no output tokens were counted/);
  expect(await refusal([fp16, stretchesOf(int8).filter(({ kind }) => kind !== 'energy')])).toMatch(/^NOT_MEASURED: .*no joulesPerToken of side B: no energy was measured/);
});

it('one block only, and data without any spread', async () => {
  expect(await refusal([fp16, { ...int8, count: 1 }], { step: ['1m'] })).toMatch(/^TOO_FEW_BLOCKS: B has 1 block/);
  expect(await refusal([flat(fp16), flat(int8)])).toMatch(/^CONSTANT_DATA: .*same figure/);
});

/** Runs of a table: each a fact, from 1970 on. */
function runs(label: string, first: number, tokens: readonly number[]): Slice[] {
  return tokens.flatMap((count, index) => {
    const time = { from: epochMicros((first + index) * 1e6), to: epochMicros((first + index + 1) * 1e6), labels: { quantization: label } };
    return [{ ...energyFact({ joules: 100 + index, source: `${label}.csv`, phase: 'active' }), ...time }, { ...tokensFact({ count }), ...time }];
  });
}

it('compares runs, each by itself and of files of their own, but none that made nothing', async () => {
  const answer = await asked([[...runs('fp16', 0, [100, 101, 99, 100]), ...runs('int8', 4, [50, 51, 49, 50])]]);
  expect(answer).toMatchObject({ design: 'runs', verdict: 'a-better', step: null, a: { blocks: 4, from: null, tokensPerSecond: null }, b: { blocks: 4 }, adjustments: [], monthly: null });
  expect(await refusal([[...runs('fp16', 0, [100, 101, 99, 100]), ...runs('int8', 4, [50, 0, 49, 50])]])).toMatch(/^RUNS_WITHOUT_TOKENS: 1 of the 4 runs of B drew energy and made nothing/);
  expect(await refusal([runs('fp16', 0, [100, 101, 99, 100]), int8])).toMatch(/^RUNS_BESIDE_TIME: Some of this is a table of runs/);
});

it('names no side after facts that can not follow its filter', async () => {
  expect(await refusal([fp16], { a: ['device=GPU-0'], b: ['device=GPU-9'], metric: ['watts'] })).toMatch(/^VALUE_UNKNOWN: No fact has device=GPU-9, as side B asks; did you mean 'GPU-0'\?$/);
});

it('sides by tenant and by class of time are asked as reports ask them', async () => {
  const answer = await asked([ofTenant('gold', fp16), ofTenant('free', int8)], { a: ['tenant=gold'], b: ['tenant=free'] });
  expect(answer).toMatchObject({ verdict: 'a-better', a: { estimate: expect.closeTo(2, 1) as unknown, blocks: COUNT }, b: { estimate: expect.closeTo(3, 1) as unknown } });
  expect((await asked([fp16, int8], { a: ['quantization=fp16'], b: ['loadBand=below P50'] })).reasons.map(({ code }) => code)).toContain('OVERLAPPING_SELECTION');
});

it('GPUs that are not the same, one side after the other, are told and not refused', async () => {
  const answer = await asked([fp16, { ...int8, node: 'node-2', device: 'GPU-7' }]);
  expect([answer.verdict, answer.reasons.map(({ code }) => code)]).toEqual(['a-better', expect.arrayContaining(['OTHER_MACHINES'])]);
});
