import { afterAll, expect, it } from 'vitest';
import type { Slice } from '@joulebook/shared/slice.js';
import { epochMicros, seconds } from '@joulebook/shared/units.js';
import type { Said } from '../report/request.js';
import { energyFact, flagFact, iso, tokensFact } from '../store/sample-facts.js';
import type { Comparison } from './answer.js';
import { compare } from './compare.js';
import { SharedStores, stretchesOf, type Stretches } from './facts.testing.js';
import { parseCompare } from './question.js';

const COUNT = 60;
/** A label that only these facts carry. */
const first = (quantization: string, rest: Partial<Stretches> = {}): Stretches => ({ labels: { quantization }, count: COUNT, joulesPerToken: 2, ...rest });
const then = (quantization: string, rest: Partial<Stretches> = {}): Stretches => ({ labels: { quantization }, count: COUNT, from: COUNT * 60, joulesPerToken: 3, seed: 2, ...rest });

const sampled = (side: Stretches, samplingVariance: number): Slice[] => stretchesOf(side).map((fact) => (fact.kind === 'energy' ? { ...fact, lowMicrojoules: fact.microjoules, highMicrojoules: fact.microjoules, samplingVariance } : fact));
const modelled = (side: Stretches): Slice[] => stretchesOf(side).map((fact) => (fact.kind === 'energy' ? { ...fact, modelledMicrojoules: fact.microjoules } : fact));
const flat = (side: Stretches): Slice[] =>
  Array.from({ length: COUNT }, (_, index) => ({ from: (side.from ?? 0) + index * 60, to: (side.from ?? 0) + index * 60 + 60, labels: { ...side.labels } })).flatMap((time) => [energyFact({ ...time, joules: 600, seconds: seconds(60) }), tokensFact({ ...time, count: 100 })]);
const ofTenant = (tenant: string, side: Stretches): Slice[] => stretchesOf(side).map((fact) => (fact.kind === 'tokens' || fact.kind === 'requests' ? { ...fact, tenant } : fact));
const noFirstToken = (side: Stretches): Slice[] => stretchesOf(side).map((fact) => (fact.kind === 'requests' ? { ...fact, ttftBucket: undefined } : fact));
const nothingMade = (side: Stretches): Slice[] => stretchesOf(side).map((fact) => (fact.kind === 'tokens' ? { ...fact, count: 0 } : fact));
const noEnergy = (side: Stretches): Slice[] => stretchesOf(side).filter(({ kind }) => kind !== 'energy');
const coarse = (quantization: string): Slice[] =>
  [...stretchesOf(then(quantization)), flagFact({ from: COUNT * 60, code: 'COARSE', phase: 'decode', detail: 'decode: stretches with fewer than two power readings in them', count: 9, of: 10, labels: { quantization } })];

/** Runs of a table: each a fact, from 1970 on. */
function runs(quantization: string, begin: number, tokens: readonly number[]): Slice[] {
  return tokens.flatMap((count, index) => {
    const time = { from: epochMicros((begin + index) * 1e6), to: epochMicros((begin + index + 1) * 1e6), labels: { quantization } };
    return [{ ...energyFact({ joules: 100 + index, source: `${quantization}.csv`, phase: 'active' }), ...time }, { ...tokensFact({ count }), ...time }];
  });
}

const stores = new SharedStores();
afterAll(() => stores.close());

/** All in one store; a side is what one label selects of it. */
const FACTS = [
  first('fp16'), then('int8'), then('together', { from: 0 }), then('of the server', { energy: { boundary: 'server' } }), then('by power', { energy: { method: 'power' } }), then('from dcgm', { energy: { source: 'dcgm' } }),
  then('little seen', { seen: 0.8 }), then('less seen', { seen: 0.93 }), then('one minute', { count: 1 }), sampled(first('sampled'), 1e6), sampled(first('sampled seldom'), 1e8), modelled(then('modelled')), coarse('coarse'),
  noFirstToken(first('no first token')), nothingMade(then('nothing made')), noEnergy(then('no energy')), flat(first('flat')), flat(then('flat as well')),
  runs('run of fp16', 0, [100, 101, 99, 100]), runs('run of int8', 4, [50, 51, 49, 50]), runs('run of nothing', 8, [50, 0, 49, 50]), then('elsewhere', { node: 'node-2', device: 'A100-7' }),
];
const ofStore = async (said: Said): Promise<Comparison> => compare(await stores.of(...FACTS), parseCompare(said, {}, ''));
const asked = (a: string, b: string, said: Said = {}): Promise<Comparison> => ofStore({ a: [`quantization=${a}`], b: [`quantization=${b}`], ...said });

/** `CODE: detail` of the first reason, which the first sentence tells as well. */
async function refusal(answer: Promise<Comparison>): Promise<string> {
  const { verdict, reasons: [reason], sentences, monthly, effect, adjustments, also, minimumDetectableEffect, precision: { reached, blocksPerSide } } = await answer;
  if (verdict !== 'not-comparable' || !reason) return verdict;
  if (!sentences[0]?.includes(reason.detail) || monthly !== null) return `refused, and told otherwise: ${sentences.join(' ')}`;
  // Nothing is concluded from sides that can't be held against each other, by this measure or by another.
  const concluded = [effect.relative, effect.ci95, effect.alwaysValid, effect.pValue, minimumDetectableEffect, reached, blocksPerSide, ...also.flatMap((each) => [each.relative, each.ci95, each.alwaysValid])];
  if (adjustments.length > 0 || concluded.some((each) => each !== null)) return `refused, and concluded all the same: ${JSON.stringify([adjustments, concluded])}`;
  return `${reason.code}: ${reason.detail}`;
}

it('compares what the refusals below take something from', async () => {
  expect((await asked('fp16', 'int8')).verdict).toBe('a-better');
});

it('a label that no fact carries, and the nearest that one does', async () => {
  expect(await refusal(ofStore({ a: ['quantisation=fp16'], b: ['quantization=int8'] }))).toMatch(/^LABEL_UNKNOWN: No fact carries the label 'quantisation' of side A; did you mean 'quantization'\?$/);
});

it('a value that no fact has, and those that there are', async () => {
  expect(await refusal(asked('fp16', 'int88'))).toMatch(/^VALUE_UNKNOWN: No fact has quantization=int88, as side B asks; did you mean 'int8'\?$/);
  expect(await refusal(ofStore({ a: ['quantization=fp16'], b: ['node=zebra'] }))).toMatch(/^VALUE_UNKNOWN: No fact has node=zebra, as side B asks; there are node-1, node-2$/);
});

it('a side that is empty, though each of its names occurs', async () => {
  const answer = asked('fp16', 'int8', { 'b-to': [iso(60)] });
  expect(await refusal(answer)).toMatch(/^EMPTY_SIDE: There are no facts of side B \(quantization=int8, before 2026/);
  expect(await answer).toMatchObject({ a: { estimate: null }, b: { estimate: null }, effect: { relative: null } });
});

it('the same side twice, and sides that share facts', async () => {
  expect(await refusal(asked('fp16', 'fp16'))).toMatch(/^SAME_SIDE: .*are the same \(quantization=fp16\)/);
  expect(await refusal(ofStore({ a: ['quantization=fp16'], b: ['deployment=chat'] }))).toMatch(/^OVERLAPPING_SELECTION: .*in A and in B/);
  expect(await refusal(ofStore({ where: ['quantization=fp16'], 'a-to': [iso(1800)], 'b-from': [iso(1200)] }))).toMatch(/^OVERLAPPING_SELECTION: .*in A and in B/);
});

it('one GPU at work for both at once', async () => {
  expect(await refusal(asked('fp16', 'together'))).toMatch(/^SHARED_DEVICE: GPU-0 of node-1 worked for A and B at the same time/);
});

it('boundaries, methods and sensors that are not the same', async () => {
  expect(await refusal(asked('fp16', 'of the server'))).toMatch(/^BOUNDARY_DIFFERS: .*A was measured at gpu, B was measured at server.*--boundary/);
  expect(await refusal(asked('fp16', 'by power'))).toMatch(/^METHOD_DIFFERS: .*A was measured by counter, B by power/);
  expect(await refusal(asked('fp16', 'from dcgm'))).toMatch(/^SENSOR_DIFFERS: .*A was read from nvml, B from dcgm/);
});

it('little of a side measured, or much less than of the other', async () => {
  expect(await refusal(asked('fp16', 'little seen'))).toMatch(/^COVERAGE_LOW: Only 80\.0 % of side B was measured/);
  expect(await refusal(asked('fp16', 'less seen'))).toMatch(/^COVERAGE_DIFFERS: 100\.0 % of A was measured and 93\.0 % of B/);
});

it('power read so seldom that the error of sampling is as large as what is compared', async () => {
  expect((await asked('sampled', 'int8')).verdict).toBe('a-better');
  expect(await refusal(asked('sampled seldom', 'int8'))).toMatch(/^TOO_FEW_READINGS: .*the energy of A may be off by ±\d+\.\d %/);
});

it('phases that a model told apart, and phases shorter than the sensor sees', async () => {
  expect(await refusal(asked('fp16', 'modelled', { metric: ['joulesPerOutputToken'] }))).toMatch(/^PHASE_MODELLED: 100\.0 % of the decode energy of B was divided by a model/);
  expect((await asked('fp16', 'modelled')).verdict).toBe('a-better');
  expect(await refusal(asked('fp16', 'coarse', { metric: ['joulesPerOutputToken'] }))).toMatch(/^WINDOWS_TOO_SHORT: Side B, decode: stretches with fewer than two power readings in them \(9 of 10\)/);
});

it('what was not measured, tokens that nobody made, and a cost without a price', async () => {
  expect(await refusal(asked('fp16', 'int8', { metric: ['joulesPerPromptToken'] }))).toMatch(/^NOT_MEASURED: .*no joulesPerPromptToken of side A: no energy was told apart as prefill/);
  expect(await refusal(asked('fp16', 'int8', { metric: ['energyCostPerToken'] }))).toMatch(/^NOT_MEASURED: .*no energyCostPerToken of side A: no price is known/);
  expect(await refusal(asked('no first token', 'int8', { metric: ['ttft'] }))).toMatch(/^NOT_MEASURED: .*side A: no request tells its first token/);
  expect(await refusal(asked('fp16', 'nothing made'))).toMatch(/^ZERO_DENOMINATOR: .*no joulesPerToken of side B: no output tokens were counted/);
  expect(await refusal(asked('fp16', 'no energy'))).toMatch(/^NOT_MEASURED: .*no joulesPerToken of side B: no energy was measured/);
});

it('of several measures, the one that can not be told, beside those that can', async () => {
  const { verdict, also, sentences, together } = await asked('fp16', 'modelled', { metric: ['joulesPerToken,energyCostPerToken', 'joulesPerOutputToken'] });
  expect([verdict, together]).toEqual(['a-better', 1]);
  expect(also.map((each) => [each.metric, each.verdict, each.pValue === null, each.reasons.map(({ code }) => code)])).toEqual([
    ['energyCostPerToken', 'not-comparable', true, expect.arrayContaining(['NOT_MEASURED'])], ['joulesPerOutputToken', 'not-comparable', true, ['PHASE_MODELLED']], ['joulesPerRequest', 'a-better', false, []],
  ]);
  expect(sentences).toContainEqual(expect.stringMatching(/^By energy cost per output token they can't be compared: There is no energyCostPerToken of side A: no price is known/));
});

it('one block only, and data without any spread', async () => {
  expect(await refusal(asked('fp16', 'one minute', { step: ['1m'] }))).toMatch(/^TOO_FEW_BLOCKS: B has 1 block/);
  expect(await refusal(asked('flat', 'flat as well'))).toMatch(/^CONSTANT_DATA: .*same figure/);
});

it('prompts of lengths that the other side never saw, in words for people, and a share without a unit', async () => {
  const longer = stretchesOf(then('int8')).map((fact): Slice => (fact.kind === 'requests' ? { ...fact, inputTokens: fact.inputTokens * 4 } : fact));
  const store = await stores.of(first('fp16', { seed: 3 }), longer);
  const request = { a: ['quantization=fp16'], b: ['quantization=int8'], adjust: ['inputLength'] };
  expect(await refusal(compare(store, parseCompare(request, {}, '')))).toMatch(/^LITTLE_OVERLAP: Only 0 % of the work of a side was done in the range of prompt length that the other side saw as well \(A 300, B 1200 on average/);
  expect((await compare(store, parseCompare({ ...request, metric: ['usefulShare'], adjust: ['none'] }, {}, ''))).sentences[0]).toContain('As measured it is 1 instead of 1, ');
});

it('compares runs, each by itself and of files of their own, but none that made nothing', async () => {
  expect(await asked('run of fp16', 'run of int8')).toMatchObject({ design: 'runs', verdict: 'a-better', step: null, a: { blocks: 4, from: null, tokensPerSecond: null }, b: { blocks: 4 }, adjustments: [], monthly: null });
  expect(await refusal(asked('run of fp16', 'run of nothing'))).toMatch(/^RUNS_WITHOUT_TOKENS: 1 of the 4 runs of B drew energy and made nothing/);
  expect(await refusal(asked('run of fp16', 'int8'))).toMatch(/^RUNS_BESIDE_TIME: Some of this is a table of runs/);
});

it('names no side after facts that can not follow its filter', async () => {
  expect(await refusal(ofStore({ a: ['device=GPU-0'], b: ['device=GPU-9'], metric: ['watts'] }))).toMatch(/^VALUE_UNKNOWN: No fact has device=GPU-9, as side B asks; did you mean 'GPU-0'\?$/);
});

it('sides by tenant and by class of time are asked as reports ask them', async () => {
  const store = await stores.of(ofTenant('gold', first('fp16')), ofTenant('free', then('int8')));
  const answer = await compare(store, parseCompare({ a: ['tenant=gold'], b: ['tenant=free'] }, {}, ''));
  expect(answer).toMatchObject({ verdict: 'a-better', a: { estimate: expect.closeTo(2, 1) as unknown, blocks: COUNT }, b: { estimate: expect.closeTo(3, 1) as unknown } });
  expect((await compare(store, parseCompare({ a: ['quantization=fp16'], b: ['loadBand=below P50'] }, {}, ''))).reasons.map(({ code }) => code)).toContain('OVERLAPPING_SELECTION');
});

it('GPUs that are not the same, one side after the other, are told and not refused', async () => {
  const answer = await asked('fp16', 'elsewhere');
  expect([answer.verdict, answer.reasons.map(({ code }) => code)]).toEqual(['a-better', expect.arrayContaining(['OTHER_MACHINES'])]);
});
