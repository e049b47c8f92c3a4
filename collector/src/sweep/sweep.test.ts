/** Operating curves of facts in a store, whose best point is known. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Slice } from '@joulebook/shared/slice.js';
import { microjoules, seconds as inSeconds } from '@joulebook/shared/units.js';
import { faultsOf, storeOf, stretchesOf } from '../compare/facts.testing.js';
import { batchOf, energyFact, iso, requestsFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import type { SweepAnswer } from './answer.js';
import { sweepAnswer } from './answer.js';
import { binned } from './bins.js';
import { picture } from './picture.js';
import { parseSweep } from './question.js';
import { renderSweep } from './render.js';
import { sweep } from './sweep.js';

const HOUR = 3600;
const ask = (store: Store, said: Record<string, readonly string[]>): Promise<SweepAnswer> => sweep(store, parseSweep(said, {}, '--'));

const cells = (values: readonly number[]) => values.map((value, index) => ({ value, seconds: 60, of: index }));

describe('points of an axis', () => {
  it('are the values of a knob, without the moments in which it was turned', () => {
    const { bins, left } = binned(cells([...Array.from({ length: 60 }, () => 300), 350, ...Array.from({ length: 60 }, () => 400.1)]), 'steps');
    expect(bins.map(({ name, cells: { length } }) => [name, length])).toEqual([['300', 60], ['400', 60]]);
    expect(left).toBe(60);
    const wavering = binned(cells(Array.from({ length: 300 }, (_, index) => (index < 150 ? 1200 : 1410) + (index % 31) - 15)), 'steps');
    expect(wavering.bins.map(({ name, cells: { length } }) => [name, length])).toEqual([['1,200', 150], ['1,410', 150]]);
    expect(binned(cells(Array.from({ length: 300 }, (_, index) => 40 + index / 8)), 'steps').bins.length).toBeGreaterThan(3);
  });

  it('are doublings of counts, and even parts of the rest', () => {
    expect(binned(cells([0.2, 1, 1.4, 2, 3.9, 4, 9]), 'counts').bins.map(({ name, cells: { length } }) => [name, length])).toEqual([['below 0.5', 1], ['1', 2], ['2–3', 2], ['4–7', 1], ['8–15', 1]]);
    const even = binned(cells(Array.from({ length: 1000 }, (_, index) => index / 10)), 'even');
    expect(even.bins.length).toBeGreaterThan(4);
    expect(even.bins.reduce((sum, { cells: { length } }) => sum + length, 0) * 60 + even.left).toBe(60_000);
    expect(binned(cells([5, 5]), 'even').bins).toMatchObject([{ name: '5', value: 5 }]);
    expect(binned([], 'even')).toEqual({ bins: [], left: 0 });
  });
});

/** J per token and seconds to the first token at each limit; a tenth of a percent is not to be told apart. */
const LIMITS = [{ watts: 250, joulesPerToken: 1.5, slow: true }, { watts: 300, joulesPerToken: 2, slow: false }, { watts: 350, joulesPerToken: 2.002, slow: false }, { watts: 400, joulesPerToken: 2.4, slow: false }] as const;

/** Half an hour each in turn, nine times, on a node that asks for more power as the limit rises. */
const limits = (): Slice[] =>
  Array.from({ length: 9 * LIMITS.length }, (_, turn) => {
    const { watts, joulesPerToken, slow } = LIMITS[turn % LIMITS.length] ?? LIMITS[0];
    const facts = stretchesOf({ from: turn * 1800, count: 30, joulesPerToken, spread: 0.04, seed: turn + 1, labels: { powerLimit: String(watts) }, gauges: { 'serving.requests.running': watts / 50 } });
    const gauge = stretchesOf({ from: turn * 1800, count: 30, joulesPerToken, gauges: { 'gpu.power.limit': watts } }).flatMap((fact) => (fact.kind === 'gauge' ? [{ ...fact, valueSeconds: watts * fact.seconds }] : []));
    return [...facts.map((fact) => (fact.kind === 'requests' && slow ? { ...fact, ttftBucket: 12 } : fact)), ...gauge];
  }).flat();

const band = (from: number, concurrencyBand: number, joules: number): Slice[] => [
  energyFact({ from, to: from + 10, joules: joules * 2 }), tokensFact({ from, to: from + 10, count: 20 }),
  requestsFact({ from, to: from + 10, request: `r${from}`, concurrencyBand, inputTokens: 10, outputTokens: 20, prefillMicrojoules: microjoules(0), decodeMicrojoules: microjoules(joules * 1e6), ttftBucket: concurrencyBand > 2 ? 12 : -4 }),
];

describe('a sweep', () => {
  let store: Store;
  let found: SweepAnswer;
  beforeAll(async () => {
    store = await storeOf(limits());
    found = await ask(store, { over: ['gpu.power.limit'], slo: ['ttft=2s'] });
  });
  afterAll(() => store.close());

  it('over a power limit finds the point inside the targets that needs least, and what is as good', () => {
    expect(sweepAnswer.parse(JSON.parse(JSON.stringify(found)))).toEqual(found);
    expect(found.points.map(({ name, inside, blocks, seconds }) => [name, inside, blocks, seconds])).toEqual(LIMITS.map(({ watts, slow }) => [String(watts), !slow, 270, 4.5 * HOUR]));
    for (const [index, { joulesPerToken }] of LIMITS.entries()) {
      const { joulesPerToken: perToken, tokensPerWattSecond } = found.points[index]?.figures ?? {};
      expect(perToken?.estimate).toBeCloseTo(joulesPerToken, 1);
      expect((perToken?.estimate ?? 0) * (tokensPerWattSecond?.estimate ?? 0)).toBeCloseTo(1, 9);
      const [low = 0, high = 0] = perToken?.ci95 ?? [];
      expect([low < joulesPerToken, high > joulesPerToken]).toEqual([true, true]);
    }
    const { best } = found;
    expect(['300', '350']).toContain(best?.point);
    expect([best?.toldApart, new Set([best?.point, best?.runnerUp])]).toEqual([false, new Set(['300', '350'])]);
    expect(best?.evidence.map(({ point, verdict }) => [point, verdict])).toEqual([[best?.runnerUp, 'not-told-apart'], ['400', 'worse']]);
    const [low = 0, high = 0] = best?.evidence[1]?.ci95 ?? [];
    expect([low > 0.15, high < 0.25, low < 0.2, high > 0.2]).toEqual([true, true, true, true]);
    expect(found.sentences).toEqual([
      expect.stringMatching(/^Of the points with 95.0 % of their requests inside the targets: power limit 3[05]0 W has the best energy per output token, /),
      expect.stringMatching(/^The next best, power limit 3[05]0 W, is not told apart from it: .*either may be the best.$/), 'Outside the targets: 250 (0.0 % inside).',
    ]);
  });

  it('without targets takes every point, and by a label says the same', async () => {
    const byLabel = await ask(store, { over: ['powerLimit'] });
    expect(byLabel).toMatchObject({ axis: { numeric: true }, wantedInside: null, best: { point: '250', toldApart: true } });
    expect(byLabel.points.map(({ value, figures }) => [value, figures])).toEqual(found.points.map(({ value, figures }) => [value, figures]));
    expect(byLabel.sentences[0]).toMatch(/^No latency targets are said, so all points count: powerLimit 250 has/);
  });

  it('over what engines say of requests takes doublings, over load what was made', async () => {
    const { points, axis } = await ask(store, { over: ['concurrency'], slo: ['ttft=2s'] });
    expect([axis.title, points.map(({ name, inside }) => [name, inside])]).toEqual(['requests running', [['4–7', false], ['8–15', true]]]);
    const load = await ask(store, { over: ['load'], metric: ['watts', 'joulesPerToken'] });
    expect(load.points.length).toBeGreaterThan(3);
    const watts = load.points.filter(({ thin }) => !thin).map(({ figures }) => figures['watts']?.estimate ?? 0);
    expect(watts).toEqual(watts.toSorted((a, b) => a - b));
    expect(load.points.reduce((sum, { seconds }) => sum + (seconds ?? 0), 0) + load.secondsLeftOut).toBe(18 * HOUR);
  });

  it('says what is asked wrong, and of what nothing is known', async () => {
    expect(await faultsOf(() => ask(store, { metric: ['jouls'], inside: ['2'], slo: ['fast'] }))).toEqual([
      expect.stringMatching(/^--over: say what was turned/), expect.stringMatching(/^--metric: 'jouls' is no metric/), expect.stringMatching(/^--slo: 'fast' names no targets/), expect.stringMatching(/^--inside: '2' is no share/),
    ]);
    expect(await faultsOf(() => ask(store, { over: ['gpu.power.limits'] }))).toEqual([expect.stringMatching(/^--over: no gauge 'gpu.power.limits' is known .* did you mean 'gpu.power.limit'\?/)]);
    expect(await faultsOf(() => ask(store, { over: ['powrLimit'] }))).toEqual([expect.stringMatching(/^--over: no fact of this carries the label 'powrLimit'; did you mean 'powerLimit'\?/)]);
    await expect(ask(store, { over: ['concurrencyBand'] })).rejects.toThrow(/only recordings do/);
    expect(await faultsOf(() => ask(store, { over: ['load'], where: ['phase=decode', 'outcome=ok'] }))).toEqual([expect.stringMatching(/^--where: phase does not divide/), expect.stringMatching(/^--where: outcome does not divide/)]);
    expect(await faultsOf(() => ask(store, { over: ['concurrencyBand'], metric: ['watts'] }))).toEqual([expect.stringMatching(/^--metric: watts is not known of single requests/)]);
    await expect(ask(store, { over: ['load'], where: ['deployment=none'] })).rejects.toMatchObject({ code: 'NO_FACTS' });
    const { sentences, best } = await ask(store, { over: ['gpu.power.limit'], slo: ['ttft=1ms'] });
    expect([best, sentences[0]]).toEqual([null, 'No point has 95.0 % of its requests inside the targets, so none is the best.']);
  });

  it('over bands of recorded requests takes what they drew themselves', async () => {
    const recorded = await storeOf(Array.from({ length: 90 }, (_, index) => band(index * 10, (index % 3) + 1, 120 / ((index % 3) + 1) + (index % 5))).flat());
    const { points, best, reasons } = await ask(recorded, { over: ['concurrencyBand'], slo: ['ttft=2s'] });
    expect(points.map(({ name, blocks, inside, figures }) => [name, blocks, inside, figures['joulesPerToken']?.estimate])).toEqual([['2–3', 30, true, 6.1], ['4–7', 30, true, 3.1], ['8–15', 30, false, 2.1]]);
    expect(best).toMatchObject({ point: '4–7', runnerUp: '2–3', toldApart: true });
    expect(reasons).toEqual([expect.objectContaining({ code: 'ENERGY_OF_REQUESTS' })]);
    await recorded.close();
  });

  it('over load leaves out the time in which nothing was made, and says so', async () => {
    const idle = Array.from({ length: 20 }, (_, index) => energyFact({ from: 2400 + index * 60, to: 2460 + index * 60, seconds: inSeconds(60), phase: 'idle' }));
    const rested = await storeOf([...stretchesOf({ count: 40, joulesPerToken: 2 }), ...idle]);
    const { points, secondsLeftOut, reasons } = await ask(rested, { over: ['load'] });
    expect([points.reduce((sum, point) => sum + (point.seconds ?? 0), 0) + secondsLeftOut, secondsLeftOut >= 1200, points.every(({ value }) => (value ?? 0) > 50)]).toEqual([3600, true, true]);
    expect(reasons).toEqual([expect.objectContaining({ code: 'IDLE_LEFT_OUT' })]);
    await rested.close();
  });

  it('of several nodes has each at its own value; where one counts the tokens of all, at the mean', async () => {
    const [count, half] = [60, 30];
    const node = (name: string, watts: readonly [number, number]) => watts.map((limit, index) => ({ node: name, from: index * half * 60, count: half, joulesPerToken: limit / 200, seed: limit, gauges: { 'gpu.power.limit': limit } }));
    const each = await storeOf(...node('node-1', [300, 400]), ...node('node-2', [400, 300]));
    const { points, best } = await ask(each, { over: ['gpu.power.limit'] });
    expect(points.map(({ name, blocks, figures }) => [name, blocks, Math.round((figures['joulesPerToken']?.estimate ?? 0) * 50) / 50])).toEqual([['300', count, 1.5], ['400', count, 2]]);
    expect(best).toMatchObject({ point: '300', toldApart: true });
    await each.close();
    const one = await storeOf(...node('node-1', [300, 300]));
    await one.append(batchOf(stretchesOf({ count, joulesPerToken: 1, gauges: { 'gpu.power.limit': 400 } }).filter(({ kind }) => kind === 'energy' || kind === 'gauge'), { node: 'node-2' }));
    const pooled = await ask(one, { over: ['gpu.power.limit'] });
    expect(pooled.points.map(({ name }) => name)).toEqual(['350']);
    expect(pooled.points[0]?.figures['joulesPerToken']?.estimate).toBeCloseTo(2.5, 1);
    await one.close();
  });

  it('holds no point against others that a comparison would refuse, and shows it', async () => {
    const [count, source] = [40, 'ipmi'];
    const asked = await storeOf(
      { node: 'a', count, joulesPerToken: 2 }, { node: 'b', count, joulesPerToken: 2.6, seed: 2 }, { node: 'half', count, joulesPerToken: 1, seen: 0.5, seed: 3 },
      { node: 'wide', count, joulesPerToken: 1.5, seed: 4, energy: { boundary: 'server', source } }, { node: 'read', count, joulesPerToken: 1.6, seed: 5, energy: { method: 'power' } }, { node: 'other', count, joulesPerToken: 1.7, seed: 6, energy: { source } },
    );
    const answer = await ask(asked, { over: ['node'] });
    expect(answer.boundary).toBe('gpu');
    expect(answer.points.map(({ name, figures, reasons }) => [name, figures['joulesPerToken']?.estimate === null, reasons.map(({ code }) => code)])).toEqual([
      ['a', false, []], ['b', false, []], ['half', false, ['COVERAGE_LOW']], ['other', false, []], ['read', false, []], ['wide', true, ['BOUNDARY_DIFFERS']],
    ]);
    // The better figures are of other methods and sensors, and can be held against no other.
    expect(answer.best).toMatchObject({ point: 'a', runnerUp: 'b', toldApart: true });
    expect(answer.best?.evidence.map(({ point, verdict, relative, reasons }) => [point, verdict, relative === null, reasons.at(-1)?.code])).toEqual([
      ['read', 'not-comparable', true, 'METHOD_DIFFERS'], ['other', 'not-comparable', true, 'SENSOR_DIFFERS'], ['b', 'worse', false, 'UNITS_IN_EFFECT'],
    ]);
    expect(answer.sentences).toEqual([
      expect.stringMatching(/: node a has the best energy per output token, /), expect.stringMatching(/^The next best, node b, is worse/),
      expect.stringMatching(/^node read \(B\) can't be held against it \(A\): A was measured by counter, B by power/), expect.stringMatching(/^node other \(B\) can't be held/),
      expect.stringMatching(/^node half is shown and not held against the others. Only 50.0 % of side half was measured/), expect.stringMatching(/^node wide is shown .* was measured at server and not at gpu/),
    ]);
    expect(renderSweep(answer, 'table')).toMatch(/half .*refused/);
    const apart = await ask(asked, { over: ['node'], where: ['node=a', 'node=read'] });
    expect([apart.best, apart.unchosen?.code, apart.sentences[0]]).toEqual([null, 'NOTHING_COMPARABLE', expect.stringMatching(/^No point is named the best. No point can be held against any other. 'read' \(A\) against a \(B\): A was measured by power/)]);
    // Of one GPU at work for both at once the energy was divided by a rule.
    await asked.append(batchOf(['x', 'y'].flatMap((part, index) => stretchesOf({ count, joulesPerToken: 2 + index, seed: 7 + index, labels: { part } })), { node: 'shared' }));
    const shared = await ask(asked, { over: ['part'] });
    expect([shared.best, shared.unchosen]).toEqual([null, expect.objectContaining({ detail: expect.stringMatching(/^No point can be held against any other. 'x' \(A\) against y \(B\): GPU-0 of shared worked for A and B at the same time/) as unknown })]);
    await asked.close();
  });

  it('takes as the best what is so at equal conditions, names none of constant figures, and leaves out limits that were half measured', async () => {
    const [turns, minutes, idle] = [24, 10, 12_000] as const;
    const turn = (index: number, limit: number, tokens: number, joulesPerToken: number, seen = 1): Slice[] =>
      stretchesOf({ from: index * minutes * 60, count: minutes, joulesPerToken, tokens, seed: index + 1, seen, gauges: { 'gpu.power.limit': limit } })
        .map((fact) => (fact.kind === 'energy' ? { ...fact, microjoules: microjoules(fact.microjoules + idle * 1e6) } : fact));
    // 300 W takes a tenth off what a token costs beside what is drawn anyway, and ran at less load.
    const taken = Array.from({ length: turns }, (_, index) => (index % 2 === 0 ? turn(index, 400, 8400, 2) : turn(index, 300, 7000, 1.8)));
    const loaded = await storeOf([...taken, turn(turns, 200, 8400, 0.5, 0.5), turn(turns + 1, 200, 8400, 0.5, 0.5)].flat());
    const { points, best, sentences } = await ask(loaded, { over: ['gpu.power.limit'] });
    const [half, low, high] = points.map(({ figures }) => figures['joulesPerToken']?.estimate ?? 0);
    expect([(half ?? 0) < (high ?? 0), (low ?? 0) > (high ?? 0)]).toEqual([true, true]);
    expect(points.map(({ reasons }) => reasons.map(({ code }) => code))).toEqual([['COVERAGE_LOW'], [], []]);
    expect(best).toMatchObject({ point: '300', runnerUp: '400', toldApart: true, evidence: [{ point: '400', verdict: 'worse' }] });
    const [evidence] = best?.evidence ?? [];
    expect([(evidence?.ci95?.[0] ?? 0) < 0.06, (evidence?.ci95?.[1] ?? 0) > 0.06, (evidence?.ci95?.[0] ?? 0) > 0]).toEqual([true, true, true]);
    expect(sentences[0]).toMatch(/power limit 300 W has the best energy per output token at equal conditions. As measured it is 3.5.* and better at 400, under other conditions.$/);

    const constant = await ask(loaded, { over: ['load'], metric: ['ttft'], to: [iso(turns * minutes * 60)] });
    expect(constant.points.every(({ figures }) => figures['ttft']?.estimate !== null && figures['ttft']?.ci95 === null)).toBe(true);
    expect([constant.best, constant.unchosen?.code, constant.sentences.some((line) => line.includes('told apart'))]).toEqual([null, 'NOTHING_COMPARABLE', false]);
    expect(constant.unchosen?.detail).toMatch(/Every block of both sides has the same figure/);
    const only = await ask(loaded, { over: ['gpu.power.limit'], metric: ['ttft'], to: [iso(minutes * 60)] });
    expect([only.points.length, only.best, only.unchosen?.code]).toEqual([1, null, 'CONSTANT_DATA']);
    await loaded.close();
  });

  it('is shown as a table and as a picture that tells the same', () => {
    const table = renderSweep(found, 'table');
    expect(table).toMatch(/power limit \(W\).*joulesPerToken \(J\/token\).*95 % interval.*inside targets/);
    expect([/250 .*outside/.test(table), /400 .*worse/.test(table), /3[05]0 .*best/.test(table)]).toEqual([true, true, true]);
    expect(sweepAnswer.parse(JSON.parse(renderSweep(found, 'json')))).toEqual(found);
    const svg = String(picture({ ...found, points: [...found.points.slice(1), { ...found.points[0], name: '<b>&', value: 250, seconds: 1, blocks: 1, tokensPerSecond: 1, figures: found.points[0]?.figures ?? {}, insideShare: 0, inside: false, thin: false, reasons: [] }] }));
    expect(svg.match(/<circle class="dot/g)).toHaveLength(2 * LIMITS.length);
    expect([svg.match(/<circle class="dot out"/g)?.length, svg.match(/<circle class="best"/g)?.length, svg.includes('<b>&'), svg.includes('NaN')]).toEqual([2, 2, false, false]);
  });
});
