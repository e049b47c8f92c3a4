/** Experiments over facts in a store: what is of which side, and what is said of it. */
import { describe, expect, it, beforeAll, afterAll } from 'vitest';
import type { Slice } from '@joulebook/shared/slice.js';
import { faultsOf, stretchesOf } from '../compare/facts.testing.js';
import { EMPTY_BOOK } from '../book/book.js';
import { openDuckdb } from '../store/duckdb.js';
import { at, batchOf, iso, requestsFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { experimentNamed, startExperiment, stopExperiment } from './change.js';
import { evaluate } from './evaluate.js';
import { experimentsOf, isRunning, markOf, type Definition } from './mark.js';
import { parseName, parseStart } from './request.js';
import { renderExperiment, renderList } from './render.js';
import { experimentShown, showExperiment } from './shown.js';
import { secondsOf, sidesOf } from './sides.js';

const HOUR = 3600;
const DAY = 24 * HOUR;
const START = 2 * DAY;
/** The change takes a tenth of the energy away, after ten minutes in which it draws twice as much. */
const BETTER = 0.9;
const ON = 1800;
const OFF = 1800;
const TURNS = 9;
const [BASE, SETTLING] = [2, 4];

/** Two days of a node, then turns of half an hour, of which the first ten minutes are settling. */
function switching(node: number): Slice[] {
  const stretch = (from: number, length: number, joulesPerToken: number, seed: number): Slice[] => stretchesOf({ from, count: length / 60, joulesPerToken, spread: 0.05, seed: seed + 97 * node });
  const turns = Array.from({ length: TURNS }, (_, turn) => {
    const from = START + turn * (ON + OFF);
    return [...stretch(from, 600, SETTLING, turn), ...stretch(from + 600, ON - 600, BASE * BETTER, 100 + turn), ...stretch(from + ON, 600, SETTLING, 200 + turn), ...stretch(from + ON + 600, OFF - 600, BASE, 300 + turn)];
  });
  return [...stretch(START - 6 * HOUR, 6 * HOUR, BASE, 999), ...turns.flat()];
}

const END = START + TURNS * (ON + OFF);
const said = (over: Record<string, readonly string[]> = {}) => ({ name: ['power-300'], label: ['powerLimit=300W'], nodes: ['node-1'], where: ['deployment=chat'], before: ['6h'], ...over });
const start = (store: Store, over: Record<string, readonly string[]>, now: number) => startExperiment(store, parseStart({ ...over }, '--'), at(now), '--');
const stop = (store: Store, name: string, now: number, when?: number) => stopExperiment(store, parseName({ name: [name], ...(when !== undefined && { at: [iso(when)] }) }, '--', true), at(now), '--');
const shown = async (store: Store, now: number, name = 'power-300') => evaluate(store, await experimentNamed(store, name), at(now), {}, EMPTY_BOOK);

describe('the sides of an experiment', () => {
  const definition: Definition = { labels: { a: 'b' }, nodes: ['n'], against: [], where: [], metric: 'watts', precision: 0.02, guardrails: [], slo: null, settle: 600, before: 2 * HOUR };
  const turns = [{ from: at(DAY + 7), to: at(DAY + HOUR) }, { from: at(DAY + 2 * HOUR), to: null }];

  it('are the turns after they have settled, and the time before them, in whole minutes', () => {
    const { a, b, settling } = sidesOf({ name: 'x', definition, turns }, at(DAY + 3 * HOUR + 30));
    expect(b).toEqual([{ from: at(DAY + 660), to: at(DAY + HOUR) }, { from: at(DAY + 2 * HOUR + 600), to: at(DAY + 3 * HOUR - 60) }]);
    expect(a).toEqual([{ from: at(DAY + 60 - 2 * HOUR), to: at(DAY) }, { from: at(DAY + HOUR + 600), to: at(DAY + 2 * HOUR) }]);
    expect(settling.map(({ from, to }) => [from, to])).toEqual([[at(DAY + 7), at(DAY + 607)], [at(DAY + HOUR), at(DAY + HOUR + 600)], [at(DAY + 2 * HOUR), at(DAY + 2 * HOUR + 600)]]);
    expect(secondsOf(b)).toBe(HOUR - 660 + HOUR - 660);
  });

  it('are the same time where other nodes stay as they are', () => {
    const { a, b } = sidesOf({ name: 'x', definition: { ...definition, against: ['m'] }, turns }, at(DAY + 3 * HOUR));
    expect(a).toEqual(b);
  });

  it('are none where a turn is shorter than it takes to settle', () => {
    expect(sidesOf({ name: 'x', definition, turns: [{ from: at(DAY), to: at(DAY + 500) }] }, at(2 * DAY)).b).toEqual([]);
  });

  it('follow from what was said, in whatever order two collectors said it', () => {
    const begin = markOf({ event: 'begin', name: 'x', at: at(10), definition }, at(10));
    const marks = [begin, markOf({ event: 'begin', name: 'x', at: at(11), definition: { ...definition, nodes: ['other'] } }, at(11)), markOf({ event: 'stop', name: 'y', at: at(12) }, at(12)), markOf({ event: 'stop', name: 'x', at: at(20) }, at(21)), markOf({ event: 'stop', name: 'x', at: at(25) }, at(25)), markOf({ event: 'start', name: 'x', at: at(15) }, at(26)), markOf({ event: 'start', name: 'x', at: at(30) }, at(30))];
    const experiment = { name: 'x', definition, turns: [{ from: at(10), to: at(20) }, { from: at(30), to: null }] };
    expect(experimentsOf(marks)).toEqual([experiment]);
    // As a clock that was set back has them.
    const [first, , , ...others] = marks;
    expect(experimentsOf([...others.toReversed(), ...(first ? [first] : [])])).toEqual([experiment]);
    // A turn that begins when the one before it ends, by a clock that was set back in between.
    const tied = [begin, markOf({ event: 'start', name: 'x', at: at(20) }, at(12)), markOf({ event: 'stop', name: 'x', at: at(20) }, at(21))];
    expect(experimentsOf(tied)).toEqual([{ name: 'x', definition, turns: [{ from: at(10), to: at(20) }, { from: at(20), to: null }] }]);
    expect(() => experimentsOf([{ at: at(1), text: '{"event":"pause","name":"x"}' }])).toThrow(/release that wrote it/);
  });
});

describe('an experiment over facts', () => {
  let store: Store;
  beforeAll(async () => {
    store = await openDuckdb(':memory:');
    await store.append(batchOf(switching(1), { node: 'node-1' }));
    await store.append(batchOf(stretchesOf({ from: START - 6 * HOUR, count: (END - START + 6 * HOUR) / 60, joulesPerToken: BASE, spread: 0.05, seed: 5 }), { node: 'node-2' }));
    await store.append(batchOf([requestsFact({ from: START + 900, outcome: 'failed', requests: 500 })], { node: 'node-1', sequence: 1 }));
  });
  afterAll(() => store.close());

  it('is refused where what is said of it can not be', async () => {
    expect(await faultsOf(() => start(store, { name: ['a b'], label: ['x'], metric: ['joulePerToken'], precision: ['2'], guardrail: ['usefulshare>=1', 'watts'], settle: ['soon'], nodes: ['n'], against: ['n'], where: ['node=n'], at: ['today'] }, START))).toEqual([
      expect.stringMatching(/^--metric: 'joulePerToken' is no metric; did you mean 'joulesPerToken'/), expect.stringMatching(/^--where: say the nodes with --nodes/), expect.stringMatching(/^--against: 'n' can't be changed and stay/),
      "--label: 'x' is not key=value", expect.stringMatching(/^--precision: '2' is no share/), expect.stringMatching(/^--guardrail: 'usefulshare>=1' names no figure; did you mean 'usefulShare'/), expect.stringMatching(/^--guardrail: 'watts' is no limit/),
      expect.stringMatching(/^--settle: 'soon' is not a duration/), expect.stringMatching(/^--name: 'a b' is no name/), expect.stringMatching(/^--at: 'today' is not a time/),
    ]);
    expect(await faultsOf(() => start(store, said({ where: ['node=n', 'phase=decode'] }), START))).toEqual(['--where: say the nodes with --nodes', expect.stringMatching(/^--where: phase does not divide/)]);
    expect(await faultsOf(() => start(store, said({ nodes: ['node-l'], against: ['nod-2'], label: [] }), START))).toEqual([
      "--nodes: no node is called 'node-l'; did you mean 'node-1'?", "--against: no node is called 'nod-2'; did you mean 'node-2'?", expect.stringMatching(/^--label: say what is different/),
    ]);
    expect(await faultsOf(() => start(store, said({ at: [iso(START + 60)] }), START))).toEqual([expect.stringMatching(/^--at: .* is still to come/)]);
    expect(await faultsOf(() => start(store, said({ nodes: [], where: ['deployment=code'] }), START))).toEqual([expect.stringMatching(/^--nodes: no node has facts with deployment=code/)]);
    expect(await faultsOf(() => start(store, said({ where: ['dedployment=chat'] }), START))).toEqual(["--where: no fact carries the label 'dedployment'; did you mean 'deployment'?"]);
    const early = '2020-01-01T00:00:00.000Z';
    expect(await faultsOf(() => start(store, said({ nodes: ['node-1'], against: ['node-2'], at: [early] }), START))).toEqual(['node-1', 'node-2'].map((node) => `--at: the first that is known of ${node} is of ${iso(START - 6 * HOUR)}, and ${early} is before it; say when the change was made`));
    const limits = ['usefulShare>=2s', 'failedShare<=500%', 'ttftP95<=5%', 'ttftP95<=0s', 'watts<=300W', 'watts<=2s', 'joulesPerToken<=5%', 'coverage>=1.5'];
    expect(await faultsOf(() => start(store, said({ guardrail: limits }), START))).toEqual(limits.map((text): unknown => expect.stringMatching(new RegExp(`^--guardrail: '${text}' has no limit of \\w+: it is a (share between 0 and 1|time above zero|plain number)`))));
    expect(await store.experimentMarks()).toEqual([]);
  });

  it('says what holds afterwards, whatever clocks and other collectors do', async () => {
    const own = await openDuckdb(':memory:');
    await own.append(batchOf(stretchesOf({ count: 10, joulesPerToken: 2 }), { node: 'node-1' }));
    await start(own, said({ where: [], at: [iso(60)] }), 210);
    // The clock goes back by 90 s.
    await expect(stop(own, 'power-300', 59)).rejects.toThrow(/was started at .*, not before .* If the clock here was set back, say it again/);
    await expect(stop(own, 'power-300', 60)).rejects.toMatchObject({ code: 'EXPERIMENT_TOO_EARLY' });
    const stopped = await stop(own, 'power-300', 120);
    expect([isRunning(stopped), await experimentNamed(own, 'power-300')]).toEqual([false, stopped]);
    await start(own, { name: ['power-300'] }, 130);
    // Another collector of the same store says that it was stopped before.
    const beside: Store = { ...own, markExperiment: async (mark) => {
      await own.markExperiment(markOf({ event: 'stop', name: 'power-300', at: at(140) }, at(150)));
      await own.markExperiment(mark);
    } };
    await expect(stop(beside, 'power-300', 150)).rejects.toMatchObject({ code: 'EXPERIMENT_NOT_KEPT' });
    expect((await experimentNamed(own, 'power-300')).turns.at(-1)).toEqual({ from: at(130), to: at(140) });
    await own.close();
  });

  it('is held against other nodes in the same time where that is said', async () => {
    await expect(start(store, said({ name: ['tenants'], nodes: [], against: ['node-1'], where: ['tenant=a', 'loadBand=below P50'], at: [iso(START - 5 * HOUR - 1)] }), START - 5 * HOUR)).resolves.toMatchObject({ definition: { nodes: ['node-2'] } });
    await stop(store, 'tenants', START - 5 * HOUR);
    await start(store, said({ name: ['fans'], nodes: ['node-2'], against: ['node-1'], at: [iso(START - 5 * HOUR)], settle: ['0s'] }), START - 1 + 60);
    await stop(store, 'fans', START - 1 + 60, START - 1);
    const { comparison, settling, sentences } = await shown(store, START - 1 + 60, 'fans');
    expect(settling).toEqual([]);
    expect(comparison).toMatchObject({ design: 'parallel', verdict: 'no-difference-shown' });
    expect(sentences[0]).toMatch(/on node-2, held against node-1; no time is left out/);
  });

  it('says nothing while it settles, then how far it has come, and finds the change at last', async () => {
    const guardrail = ['usefulShare>=95%', 'failedShare<=1%', 'ttftP95<=2s', 'watts<=1', 'costPerUsefulToken<=1'];
    await start(store, said({ guardrail, precision: ['1%'] }), START);
    const early = await shown(store, START + 300);
    expect(early.comparison).toBeNull();
    expect(early.sentences).toEqual([expect.stringContaining('is running since 2026-01-03T00:00:00.000Z on node-1; 10 min after each switch'), expect.stringMatching(/still settling/)]);

    for (let turn = 0; turn < TURNS; turn += 1) {
      const from = START + turn * (ON + OFF);
      if (turn > 0) await start(store, { name: ['power-300'] }, from);
      await stop(store, 'power-300', from + ON + 1, from + ON);
      if (turn !== 0) continue;
      const first = await shown(store, from + ON + 60);
      expect(first.comparison?.design).toBe('before-after');
      expect([first.progress.a, first.progress.b]).toEqual([6 * HOUR, ON - 600]);
      expect(first.comparison?.reasons[0]?.code).toBe('TOO_FEW_BLOCKS');
      expect(first.sentences[1]).toMatch(/^A was measured for 6 h and B for 20 min. As A varied by itself, either side needs about [\d.]+ (h|days) for ±1.0 %.$/);
    }
    const found = await shown(store, END);
    expect(experimentShown.parse(JSON.parse(JSON.stringify(found)))).toEqual(found);
    expect(found).toMatchObject({ running: false, turns: { length: TURNS }, settling: { length: 2 * TURNS - 1 }, progress: { b: TURNS * (ON - 600), a: 6 * HOUR + (TURNS - 1) * (OFF - 600) } });
    const { comparison } = found;
    expect(comparison).toMatchObject({ design: 'switchback', sequential: true, verdict: 'b-better', b: { name: 'powerLimit=300W' }, a: { name: 'without powerLimit=300W' } });
    // Settling, which draws twice as much, is in neither side.
    expect(comparison?.a.estimate).toBeCloseTo(BASE, 1);
    expect(comparison?.b.estimate).toBeCloseTo(BASE * BETTER, 1);
    const [low = 0, high = 0] = comparison?.effect.alwaysValid ?? [];
    expect([low < BETTER - 1, high > BETTER - 1, high < 0]).toEqual([true, true, true]);
    const [once = 0] = comparison?.effect.ci95 ?? [];
    expect(once).toBeGreaterThan(low);
    // The precision is that of the interval which the verdict rests on.
    expect(found.progress.reached).toBeCloseTo((high - low) / 2 / (1 + (comparison?.effect.relative ?? 0)), 12);
    expect(found.guardrails.map(({ guardrail: text, status }) => [text, status])).toEqual([['usefulShare>=95%', 'ok'], ['failedShare<=1%', 'violated'], ['ttftP95<=2s', 'ok'], ['watts<=1', 'violated'], ['costPerUsefulToken<=1', 'unknown']]);
    const text = renderExperiment(found);
    expect(text).toContain('failedShare<=1% is VIOLATED');
    expect(text).toMatch(/│ settling │ 2026-01-03T08:00:00.000Z │ 2026-01-03T08:10:00.000Z │\n│ B +│ 2026-01-03T08:10:00.000Z │ 2026-01-03T08:30:00.000Z │\n/);
    expect(text).toContain(`(the last 12 of ${4 * TURNS - 1}; --json has all)`);
    expect(renderList([showExperiment(await experimentNamed(store, 'power-300'))])).toContain('powerLimit=300W');
  });

  it('runs once at a time, is what it was when it goes on, and shares its nodes with no other', async () => {
    await expect(stop(store, 'power-300', END)).rejects.toMatchObject({ code: 'EXPERIMENT_NOT_RUNNING' });
    await expect(stop(store, 'power-30', END)).rejects.toThrow(/did you mean 'power-300'/);
    await expect(start(store, { name: ['power-300'], at: [iso(START)] }, END)).rejects.toMatchObject({ code: 'EXPERIMENT_TOO_EARLY' });
    expect(await faultsOf(() => start(store, said({ metric: ['watts'], nodes: ['node-2'] }), END))).toEqual([expect.stringMatching(/^--nodes: 'power-300' was begun with \["node-1"\]/), expect.stringMatching(/^--metric: .*"joulesPerToken"/)]);
    await start(store, said(), END);
    await expect(start(store, said(), END + 1)).rejects.toMatchObject({ code: 'EXPERIMENT_RUNNING' });
    await expect(start(store, said({ name: ['other'] }), END + 1)).rejects.toThrow(/'power-300' is running on node-1: what each of two changes did/);
    await expect(stop(store, 'power-300', END + 9, END - 9)).rejects.toMatchObject({ code: 'EXPERIMENT_TOO_EARLY' });
    await stop(store, 'power-300', END + 2);
    await expect(start(store, said({ name: ['other'], at: [iso(START + 5)] }), END + 3)).rejects.toThrow(/'power-300' ran until .* on node-1/);
    await start(store, said({ name: ['other'] }), END + 4);
    await stop(store, 'other', END + 5 + 900);
    expect((await shown(store, END + 2000, 'other')).flags).toEqual([expect.objectContaining({ code: 'OTHER_EXPERIMENT' })]);
  });
});
