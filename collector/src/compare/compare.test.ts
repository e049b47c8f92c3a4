import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Slice } from '@joulebook/shared/slice.js';
import { JOULES_PER_KWH } from '@joulebook/shared/units.js';
import { EMPTY_BOOK, readBook, type Book } from '../book/book.js';
import { FIGURES } from '../figures/table.js';
import type { Report } from '../join/report.js';
import { buildReport } from '../report/build.js';
import type { Said } from '../report/request.js';
import { iso } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { comparison, type Comparison } from './answer.js';
import { compare } from './compare.js';
import { noise, SharedStores, stretchesOf, type Stretches } from './facts.testing.js';
import { METRICS } from './metrics.js';
import { parseCompare, requestOf } from './question.js';
import { renderComparison } from './render.js';
import { intervalText } from './sentence.js';

const AIR = { cooling: 'air' };
const LIQUID = { cooling: 'liquid' };
const SIDES: Said = { a: ['cooling=air'], b: ['cooling=liquid'] };
const HOURS = 26;
const COUNT = HOURS * 6;
/** More than a day of each, told by 10 minutes, one after the other on one GPU. */
const air: Stretches = { labels: AIR, count: COUNT, every: 600, joulesPerToken: 2, spread: 0.04 };
const liquid: Stretches = { labels: LIQUID, from: HOURS * 3600, count: COUNT, every: 600, joulesPerToken: 1.8, spread: 0.04, seed: 2 };

async function asked(store: Store, said: Said, book: Book = EMPTY_BOOK): Promise<Comparison> {
  const answer = await compare(store, parseCompare(said, {}, ''), book);
  // What a collector sends is what a command line reads back.
  expect(comparison.parse(JSON.parse(JSON.stringify(answer)))).toEqual(answer);
  return answer;
}
const stores = new SharedStores();
afterAll(() => stores.close());
const of = async (sides: readonly Stretches[], said: Said = {}): Promise<Comparison> => asked(await stores.of(...sides), { ...SIDES, ...said });
const codes = ({ reasons }: Comparison): string[] => reasons.map(({ code }) => code);

describe('a change of 10 % in the same traffic', () => {
  it('is found, with an interval that holds it, by the side that is better', async () => {
    const { effect, verdict, design, step, a, b, minimumDetectableEffect, sentences } = await of([air, liquid]);
    expect(effect.relative).toBeCloseTo(-0.1, 2);
    const [low = 0, high = 0] = effect.ci95 ?? [];
    expect([low < -0.1, high > -0.1, high < 0]).toEqual([true, true, true]);
    expect([verdict, design, step, a.blocks, b.blocks]).toEqual(['b-better', 'before-after', 60, COUNT, COUNT]);
    expect([minimumDetectableEffect ?? 0, high - low].map((value) => value > 0 && value < 0.1)).toEqual([true, true]);
    expect(sentences[0]).toMatch(/B \(cooling=liquid\) has (?:9\.\d|10\.\d) % less energy per output token than A \(cooling=air\).* B is better\./);
  });

  it('is worse the other way round, and by tokens per joule as well', async () => {
    expect((await of([air, liquid], { a: ['cooling=liquid'], b: ['cooling=air'] })).verdict).toBe('a-better');
    const inverse = await of([air, liquid], { metric: ['tokensPerWattSecond'] });
    expect([inverse.verdict, inverse.effect.relative]).toEqual(['b-better', expect.closeTo(1 / 0.9 - 1, 2)]);
  });

  it('is not there where there is none', async () => {
    const { verdict, sentences } = await of([air, { ...liquid, joulesPerToken: 2 }]);
    expect(verdict).toBe('no-difference-shown');
    expect(sentences[0]).toMatch(/no difference in energy per output token .* is shown/i);
  });

  it('means so much a month at the traffic of A', async () => {
    const { monthly, a, effect } = await of([air, liquid], { price: ['0.2'], pue: ['1.5'], carbon: ['400'], adjust: ['none'] });
    const kwh = ((a.tokensPerSecond ?? 0) * (a.estimate ?? 0) * 2_629_800) / JOULES_PER_KWH;
    expect(a.tokensPerSecond).toBeCloseTo(100, -1);
    expect(monthly?.a.kwh).toBeCloseTo(kwh, 6);
    expect(monthly?.a.cost).toBeCloseTo(kwh * 1.5 * 0.2, 6);
    expect(monthly?.a.carbonKg).toBeCloseTo(kwh * 1.5 * 0.4, 6);
    expect(monthly?.change.kwh).toBeCloseTo(kwh * (effect.relative ?? 0), 6);
    expect([monthly?.low.kwh, monthly?.high.kwh]).toEqual([expect.closeTo(kwh * (effect.ci95?.[0] ?? 0), 6), expect.closeTo(kwh * (effect.ci95?.[1] ?? 0), 6)]);
    const inverse = await of([air, liquid], { metric: ['tokensPerKwh'], adjust: ['none'] });
    expect(inverse.monthly?.change.kwh).toBeCloseTo(monthly?.change.kwh ?? Number.NaN, 6);
    // Less power may take longer for the same traffic.
    expect((await of([air, liquid], { metric: ['watts'] })).monthly).toBeNull();
  });

  it('rests with all that follows from it on the interval for every look, where one looks again and again', async () => {
    const said = { metric: ['joulesPerRequest'], adjust: ['none'] };
    const [once, always] = [await of([air, liquid], said), await of([air, liquid], { ...said, sequential: [''] })];
    const [low = 0, high = 0] = always.effect.alwaysValid ?? [];
    const kwh = always.monthly?.a.kwh ?? 0;
    expect([always.monthly?.low.kwh, always.monthly?.high.kwh]).toEqual([expect.closeTo(kwh * low, 6), expect.closeTo(kwh * high, 6)]);
    expect(always.monthly?.low.kwh).toBeLessThan(once.monthly?.low.kwh ?? -Infinity);
    const [perToken] = always.also;
    expect(perToken?.alwaysValid?.[0]).toBeLessThan(perToken?.ci95?.[0] ?? -Infinity);
    expect(always.sentences.find((sentence) => sentence.startsWith('It is the same by energy per output token'))).toContain(intervalText(perToken?.alwaysValid ?? [0, 0]));
    expect(renderComparison(always, 'table').split('\n').find((line) => line.includes('energy per output token') && line.includes('│'))).toContain(intervalText(perToken?.alwaysValid ?? [0, 0]));
  });
});

/** Beside each answer that was given so many requests came to nothing; and their lengths are told minute by minute a little otherwise. */
function alsoFailing(side: Stretches, failed: number, outcome: 'failed' | 'rejected' = 'failed'): Slice[] {
  const next = noise(side.seed ?? 1);
  return stretchesOf(side).flatMap((fact): Slice[] => {
    if (fact.kind !== 'requests') return [fact];
    const answered = { ...fact, inputTokens: Math.round(fact.inputTokens * (1 + 0.03 * next())) };
    return failed === 0 ? [answered] : [answered, { ...answered, outcome, ttftBucket: undefined, tpotBucket: undefined, requests: Math.round(fact.requests * failed), inputTokens: 0, cachedInputTokens: 0, outputTokens: 0 }];
  });
}

it('what failed or was refused is an outcome: it makes no length shorter, no side another, and is told', async () => {
  const before: Stretches = { labels: AIR, count: 120, joulesPerToken: 2 };
  const after: Stretches = { labels: LIQUID, from: 7200, count: 120, joulesPerToken: 1.88, seed: 2 };
  for (const [failed, outcome] of [[0.05, 'failed'], [0.25, 'rejected']] as const) {
    const answer = await asked(await stores.of(alsoFailing(before, 0), alsoFailing(after, failed, outcome)), SIDES);
    const by = (name: string): number => answer.also.find(({ metric }) => metric === name)?.relative ?? Number.NaN;
    expect(answer.adjustments.map(({ covariate }) => covariate)).toContain('inputLength');
    expect(codes(answer)).not.toContain('LITTLE_OVERLAP');
    expect([answer.effect.relative, by('joulesPerUsefulRequest'), by('joulesPerRequest')]).toEqual([expect.closeTo(-0.06, 2), expect.closeTo(-0.06, 2), expect.closeTo(0.94 / (1 + failed) - 1, 2)]);
    expect(answer.reasons).toContainEqual({ code: 'OUTCOMES_DIFFER', detail: expect.stringMatching(/^0\.0 % of the requests of A and (?:4\.[78]|20\.[01]) % of those of B ended without an answer/) as unknown });
  }
});

it('an answer that a gate rejected has the length that it has, also where engines refuse others in the same minute', async () => {
  const gated = alsoFailing({ labels: LIQUID, from: 7200, count: 120, joulesPerToken: 1.88, seed: 2 }, 0.25, 'rejected')
    .flatMap((fact): Slice[] => (fact.kind !== 'requests' || fact.outcome !== 'ok' ? [fact] : [{ ...fact, outcome: 'rejected' }]));
  const answer = await asked(await stores.of(alsoFailing({ labels: AIR, count: 120, joulesPerToken: 2 }, 0), gated), SIDES);
  expect(answer.adjustments.find(({ covariate }) => covariate === 'inputLength')?.detail).toMatch(/A (?:299|30\d), B (?:299|30\d) on average/);
  expect(answer.effect.relative).toBeCloseTo(-0.06, 2);
});

it('tells per token and per request apart: longer answers cost less per token and more per request', async () => {
  const { verdict, also, sentences } = await of([{ ...air, tokensPerRequest: 100 }, { ...liquid, tokensPerRequest: 160 }], { adjust: ['none'] });
  expect([verdict, also.map((each) => [each.metric, each.verdict])]).toEqual(['b-better', [['joulesPerRequest', 'a-better']]]);
  expect(also[0]?.relative).toBeCloseTo(0.9 * 1.6 - 1, 1);
  expect(sentences).toContainEqual(expect.stringMatching(/^It is not the same by energy per request \+4\d\.\d %.*: there A is better\.$/));
  const perRequest = await of([{ ...air, tokensPerRequest: 100 }, { ...liquid, tokensPerRequest: 160 }], { adjust: ['none'], per: ['request'] });
  expect([perRequest.metric, perRequest.verdict, perRequest.also.map(({ metric }) => metric)]).toEqual(['joulesPerRequest', 'a-better', ['joulesPerToken']]);
});

it('of several measures calls one different only where that holds for all of them together, and says so', async () => {
  const sides = [air, { ...liquid, joulesPerToken: 1.88 }];
  const [one, three] = [await of(sides), await of(sides, { metric: ['joulesPerToken,watts', 'joulesPerUsefulToken'] })];
  expect([one.verdict, one.together, three.verdict, three.together]).toEqual(['b-better', 1, 'no-difference-shown', 3]);
  expect([three.effect.pValue, three.effect.ci95]).toEqual([expect.closeTo(3 * (one.effect.pValue ?? 0), 12), one.effect.ci95]);
  expect(three.also.map(({ metric, verdict }) => [metric, verdict])).toEqual([['watts', 'no-difference-shown'], ['joulesPerUsefulToken', 'no-difference-shown'], ['joulesPerRequest', 'b-better']]);
  expect([one.sentences.join(' '), three.sentences.join(' ')].map((text) => text.includes('Verdicts hold for the 3 measures that were asked for together'))).toEqual([false, true]);
});

it('says when power fell and energy per token rose', async () => {
  const { sentences, a, b } = await of([air, { ...liquid, joulesPerToken: 4, tokens: 15_000 }], { adjust: ['none'] });
  expect([a.watts, b.watts]).toEqual([expect.closeTo(200, -1), expect.closeTo(100, -1)]);
  expect(sentences).toContainEqual(expect.stringMatching(/^Mean power fell by 5\d\.\d % .* while energy per output token rose by (?:99|10\d)\.\d %: less power is not less energy, the same tokens take longer\.$/));
});

describe('designs', () => {
  it('turns by label on one node are a switchback', async () => {
    const turns = Array.from({ length: 20 }, (_, turn): Stretches => ({ labels: turn % 2 === 0 ? AIR : LIQUID, from: turn * 1800, count: 30, joulesPerToken: turn % 2 === 0 ? 2 : 1.8, seed: turn + 1 }));
    expect(await of(turns)).toMatchObject({ design: 'switchback', verdict: 'b-better', a: { blocks: 300 }, b: { blocks: 300 } });
  });

  it('two nodes in the same time are parallel, and what the machines differ by is said to be in it', async () => {
    const answer = await of([air, { ...liquid, from: 0, node: 'node-2', device: 'GPU-1' }]);
    expect([answer.design, codes(answer)]).toEqual(['parallel', expect.arrayContaining(['UNITS_IN_EFFECT'])]);
  });

  it('of several nodes a side, how nodes differ among themselves is part of the error', async () => {
    const nodes = [2, 2.4, 2.1, 1.8, 2.2, 1.6].map((joulesPerToken, index): Stretches => ({ ...air, count: 150, joulesPerToken, labels: index < 3 ? AIR : LIQUID, node: `node-${index}`, device: `GPU-${index}`, seed: index + 1 }));
    const answer = await of(nodes);
    expect(answer).toMatchObject({ design: 'parallel', verdict: 'no-difference-shown', a: { blocks: 450 }, b: { blocks: 450 } });
    expect((answer.effect.ci95?.[1] ?? 0) - (answer.effect.ci95?.[0] ?? 0)).toBeGreaterThan(0.3);
    // Of three nodes of 100 each, not of three times as long a time.
    expect(answer.a.tokensPerSecond).toBeCloseTo(300, -1);
  });

  it('a node that counts no tokens of its own has no figure of its own', async () => {
    const workers = ['node-3', 'node-4', 'node-5'].map((node, index): Stretches => ({ ...air, count: 150, joulesPerToken: 1, node, device: `GPU-${node}`, labels: index === 0 ? AIR : LIQUID }));
    const store = await stores.of({ ...air, count: 150, node: 'node-1' }, { ...liquid, from: 0, count: 150, node: 'node-2', device: 'GPU-2' }, ...workers);
    // Without node-3's: deployments that name another node for their tokens.
    const answer = await asked({ ...store, sum: async (query) => (await store.sum(query)).filter(({ values }) => query.kind === 'booked' || query.kind === 'energy' || !values.includes('node-3')) }, SIDES);
    expect(answer.a.blocks).toBe(150);
  });

  it('nodes that both sides share are told together: they differ in neither', async () => {
    const nodes = ['node-1', 'node-2'].flatMap((node, index) => [air, liquid].map((side): Stretches => ({ ...side, count: 60, node, device: `GPU-${node}`, seed: index + 1 })));
    expect((await of(nodes)).a.blocks).toBe(60);
  });

  it('before and after by time alone', async () => {
    const cut = iso(HOURS * 3600);
    expect(await of([air, liquid], { a: [], b: [], 'a-to': [cut], 'b-from': [cut] })).toMatchObject({ design: 'before-after', verdict: 'b-better', a: { name: `before ${cut}`, to: cut }, b: { from: cut } });
  });
});

describe('temperature', () => {
  it('of the inlet is adjusted for where both sides know it', async () => {
    const answer = await of([{ ...air, gauges: { 'inlet.temperature': 22, 'gpu.temperature': 70 } }, { ...liquid, gauges: { 'inlet.temperature': 22, 'gpu.temperature': 45 } }]);
    expect(answer.adjustments.map(({ covariate }) => covariate)).toContain('temperature');
    expect(codes(answer)).not.toContain('GPU_TEMPERATURE_LEFT');
  });

  it('of GPUs is not, since cooling works through it, and that is said', async () => {
    const sides = [{ ...air, gauges: { 'gpu.temperature': 70 } }, { ...liquid, gauges: { 'gpu.temperature': 45 } }];
    const answer = await of(sides);
    expect([answer.verdict, answer.adjustments.map(({ covariate }) => covariate), codes(answer)]).toEqual(['b-better', expect.not.arrayContaining(['temperature']), expect.arrayContaining(['GPU_TEMPERATURE_LEFT'])]);
    expect(codes(await of(sides, { adjust: ['temperature'] }))).toEqual(expect.arrayContaining(['GPU_TEMPERATURE', 'LITTLE_OVERLAP']));
    expect(codes(await of([air, liquid], { adjust: ['temperature'] }))).toContain('TEMPERATURE_UNKNOWN');
  });
});

/** Of each look at energy with wall time, whether it is exact. */
async function exactWalls(store: Store, metric: string): Promise<boolean[]> {
  const queries: boolean[] = [];
  const watching: Store = { ...store, sum: (query) => (query.kind === 'energy' && queries.push(query.wallByCell !== true), store.sum(query)) };
  await compare(watching, parseCompare({ ...SIDES, metric: [metric] }, {}, ''));
  return [...new Set(queries)];
}

/** Requests that ended bring a third more tokens than were made. */
const fewerMade = (side: Stretches): Slice[] => stretchesOf(side).map((fact) => (fact.kind === 'tokens' && fact.token === 'output' ? { ...fact, count: Math.round(fact.count * 0.75) } : fact));

describe('figures are those of a report', () => {
  let store: Store;
  let book: Book;
  let reports: readonly Report[];
  beforeAll(async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'joulebook-compare-')), 'book.yaml');
    writeFileSync(file, `currency: EUR
sites: { default: { tariff: { zone: UTC, periods: [{ name: peak, price: 0.3, from: "08:00", to: "20:00" }, { name: off-peak, price: 0.2 }] }, pue: 1.2, carbon: { location: 300 } } }
costs: [{ item: gpu, perGpuHour: 2 }]
slo: [{ ttft: 2s, tpot: 50ms }]
`);
    book = await readBook(file);
    store = await stores.of(...[air, { ...liquid, count: 120 }].flatMap((side): Stretches[] => [side, { ...side, device: 'GPU-9', seed: 9, joulesPerToken: 0.7, energy: { phase: 'prefill' } }]));
    const request = parseCompare(SIDES, {}, '');
    reports = [await buildReport(store, requestOf(request, request.a, undefined), '', book), await buildReport(store, requestOf(request, request.b, undefined), '', book)];
  });
  it('whatever is compared, in the currency of the book', async () => {
    const names = [...METRICS.keys()].filter((name) => name in FIGURES);
    const { metric, a, b, also, currency } = await compare(store, parseCompare({ ...SIDES, metric: names }, {}, ''), book);
    expect([names.length, currency, [metric, ...also.map((each) => each.metric)]]).toEqual([18, 'EUR', names]);
    for (const [index, side] of [a, b].entries()) {
      const { total, coverage } = reports[index] ?? {};
      expect([side.coverage, side.watts]).toEqual([coverage, expect.closeTo(total?.watts ?? Number.NaN, 6)]);
      for (const name of names) {
        const estimate = name === metric ? side.estimate : also.find((each) => each.metric === name)?.[index === 0 ? 'a' : 'b'];
        const figure: unknown = Object.entries(total ?? {}).find(([known]) => known === name)?.[1];
        expect((estimate ?? Number.NaN) / (typeof figure === 'number' ? figure : Number.NaN), name).toBeCloseTo(1, 9);
      }
    }
  });

  it('wall time is asked for exactly where the metric is power, and by minute where that is enough', async () => {
    expect([await exactWalls(store, 'watts'), await exactWalls(store, 'joulesPerToken')]).toEqual([[true], [false]]);
  });

  it('useful tokens are never more than were made, though requests that ended here began before', async () => {
    const facts = await stores.of(fewerMade({ ...air, count: 60 }), fewerMade({ ...liquid, count: 60 }));
    const { a } = await asked(facts, { ...SIDES, metric: ['joulesPerUsefulToken'] });
    expect(a.estimate).toBeCloseTo(a.joulesPerToken ?? Number.NaN, 9);
  });

  it('mean latencies are inside the buckets of their requests', async () => {
    const { a } = await of([air, liquid], { metric: ['ttft'] });
    // Bucket −4: (2^(−5/4), 2^(−1)] s.
    expect([a.estimate, (a.estimate ?? 0) > 2 ** -1.25 && (a.estimate ?? 0) < 0.5]).toEqual([expect.closeTo(2 ** -1.125, 12), true]);
  });
});
