import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EnergySlice, Slice } from '@joulebook/shared/slice.js';
import { epochMicros, fromEpochMicros, instant, microjoules, seconds, type Instant } from '@joulebook/shared/units.js';
import { openDuckdb } from '../store/duckdb.js';
import { at, batchOf, energyFact, flagFact, requestsFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { acceptLosses } from '../upkeep/losses.js';
import { parseQuestion, type Question } from './question.js';
import { renderVerification } from './render.js';
import { verification, type Verification } from './verification.js';
import { verify } from './verify.js';

let store: Store;
let sent = 0;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
  sent = 0;
});
afterEach(() => store.close());

const ALL: Question = parseQuestion({}, '');
const send = (slices: Slice[]): Promise<unknown> => store.append(batchOf(slices, { sequence: sent++ }));
const found = async (question = ALL): Promise<Verification> => verification.parse(await verify(store, question));
const codes = async (question = ALL): Promise<string[]> => (await found(question)).reasons.map(({ check, code }) => `${check} ${code}`);
/** Ten minutes, so that boundaries can be compared. */
const minutes = (said: Partial<EnergySlice> & { joules?: number } = {}): EnergySlice[] => Array.from({ length: 60 }, (_, index) => energyFact({ seconds: seconds(10), askedSeconds: seconds(10), ...said, from: index * 10, to: index * 10 + 10 }));

describe('books that close', () => {
  it('are told so, with what was looked at', async () => {
    await send([...minutes({ joules: 1000 }), ...minutes({ joules: 1500, boundary: 'server', device: 'bmc' }), tokensFact({ count: 5000 }), requestsFact({ outputTokens: 5000, prefillMicrojoules: microjoules(1) })]);
    await send([energyFact({ from: 600, to: 601, phase: 'prefill' })]);
    const { closed, checks, reasons } = await found();
    expect([closed, reasons]).toEqual([true, []]);
    expect(Object.fromEntries(checks.map(({ check, closed: closes }) => [check, closes]))).toEqual({ phases: true, boundaries: true, requests: true, tokens: true, sequences: true, losses: true, coverage: true, duplicates: true });
    expect(renderVerification(await found())).toContain('The books close.');
  });

  it('say what there was nothing to compare of', async () => {
    await send([tokensFact()]);
    expect((await found()).checks.filter(({ closed }) => closed === null).map(({ check }) => check)).toEqual(['phases', 'boundaries', 'requests', 'tokens', 'coverage']);
  });
});

describe('books do not close where', () => {
  it('the phases are not what a device drew', async () => {
    await send([energyFact(), energyFact({ phase: 'idle', joules: 5 })]);
    // As a roll-up that was summed wrongly would tell.
    const wrong: Store = { ...store, sum: async (query) => (await store.sum(query)).filter(({ values }) => !(query.kind === 'energy' && values.includes('idle'))) };
    expect((await verify(wrong, ALL)).reasons).toMatchObject([{ check: 'phases', code: 'PHASES_NOT_THE_WHOLE', detail: expect.stringContaining('add up to 100.000000 J, the device drew 105.000000 J') as unknown }]);
  });

  it('a device was seen for longer than time passed', async () => {
    await send([energyFact({ to: 10, seconds: seconds(10) }), energyFact({ to: 10, phase: 'idle', seconds: seconds(10.5) })]);
    expect(await codes()).toContain('phases SEEN_LONGER_THAN_TIME');
    expect((await found()).reasons[0]?.detail).toContain('GPU-0 of node-1 at boundary gpu was seen for 21 s within 10 s');
  });

  it('energy is outside of what its sensor states', async () => {
    await send([energyFact({ lowMicrojoules: microjoules(101e6), highMicrojoules: microjoules(103e6) })]);
    expect(await codes()).toEqual(['phases OUTSIDE_STATED_ERROR']);
  });

  it('a server shows less than its GPUs', async () => {
    await send([...minutes({ joules: 1000 }), ...minutes({ joules: 900, boundary: 'server', device: 'bmc' })]);
    expect(await codes()).toEqual(['boundaries INCLUSION_VIOLATED']);
  });

  it('requests drew more than their GPUs', async () => {
    await send([energyFact({ phase: 'decode', joules: 1 }), requestsFact({ decodeMicrojoules: microjoules(1_000_002) })]);
    expect(await codes()).toEqual(['requests MORE_THAN_MEASURED']);
  });

  it('tokens were counted twice', async () => {
    await send([tokensFact({ count: 10_000 }), tokensFact({ count: 10_000, model: 'llama-by-gateway' }), requestsFact({ outputTokens: 10_000 })]);
    expect(await codes()).toEqual(['tokens TOKENS_DISAGREE']);
    expect((await found()).reasons[0]?.detail).toContain('20000 output tokens were counted, its requests tell of 10000. Do two sources count?');
  });

  it('batches are missing, naming them', async () => {
    await send([tokensFact()]);
    sent = 4;
    await send([tokensFact()]);
    expect((await found()).reasons).toMatchObject([{ check: 'sequences', code: 'SEQUENCES_MISSING', detail: expect.stringMatching(/^3 batches of node-1 are missing since 20\d\d-.*\(0123456789abcdef0123456789abcdef 1–3\)/) as unknown }]);
  });

  it('an agent had to drop what it measured', async () => {
    await send([flagFact({ code: 'SPOOL_LOSS', detail: '611 batches were dropped: 8640 J' }), flagFact({ code: 'CLOCK_STEP' })]);
    expect((await found()).reasons).toEqual([{ check: 'losses', code: 'SPOOL_LOSS', detail: 'node-1: 611 batches were dropped: 8640 J (1 times)' }]);
  });

  it('less was seen than is wanted', async () => {
    await send([energyFact({ to: 10, seconds: seconds(9), askedSeconds: seconds(10) })]);
    expect(await codes()).toEqual(['coverage LOW_COVERAGE']);
    expect(await codes({ ...ALL, leastCoverage: 0.9 })).toEqual([]);
  });

  it('two tell of one device', async () => {
    await send([energyFact()]);
    await store.append(batchOf([energyFact()], { stream: 'b'.repeat(32) }));
    expect(await codes()).toEqual(['duplicates DUPLICATE_DEVICE']);
  });
});

it('gives batches time to overtake each other where they may be on their way', async () => {
  sent = 1;
  await send([tokensFact()]);
  const noticed = (await store.streams())[0]?.missing[0]?.since ?? at(0);
  const after = (passed: number): Instant => instant(fromEpochMicros(noticed) + passed);
  const closed = async (passed: number): Promise<boolean> => (await verify(store, ALL, { now: after(passed), grace: seconds(60) })).closed;
  expect([await closed(59), await closed(61)]).toEqual([true, false]);
});

/** A minute of facts, 10 s each, of which the batches of some seconds never came. */
async function withHole(...lost: readonly number[]): Promise<void> {
  for (let cell = 0; cell < 6; cell += 1) {
    if (lost.includes(cell)) sent += 1;
    else await send([energyFact({ from: cell * 10, to: cell * 10 + 10, seconds: seconds(10) })]);
  }
}
const lookedAt = async (check: string, question = ALL): Promise<string | undefined> => (await found(question)).checks.find((each) => each.check === check)?.looked;
const range = (from: number, to: number): Question => parseQuestion({ from: [String(at(from) / 1e6)], to: [String(at(to) / 1e6)] }, '');

describe('the time of batches that are missing', () => {
  it('was not seen: of all that is stored, of a range, and of one that reaches beyond', async () => {
    await withHole(2, 3);
    expect(await lookedAt('coverage')).toBe('1 devices, 66.7 % of the time asked');
    expect(await codes()).toEqual(['sequences SEQUENCES_MISSING', 'coverage LOW_COVERAGE']);
    expect(await lookedAt('coverage', range(10, 40))).toBe('1 devices, 33.3 % of the time asked');
    expect(await lookedAt('coverage', range(0, 20))).toBe('1 devices, 100.0 % of the time asked');
    expect(await lookedAt('coverage', range(0, 120))).toBe('1 devices, 33.3 % of the time asked');
  });

  it('is that of its own node alone', async () => {
    await withHole(2, 3);
    await store.append(batchOf(minutes({ device: 'GPU-1' }), { node: 'node-2' }));
    expect((await found()).reasons.filter(({ code }) => code === 'LOW_COVERAGE')).toMatchObject([{ detail: expect.stringContaining('GPU-0 of node-1 at boundary gpu was seen for 66.7 % of 60 s') as unknown }]);
  });

  it('that is known to be lost is told, and keeps no books open', async () => {
    await withHole(2, 3);
    await acceptLosses(store, 'node-1', epochMicros(Date.now() * 1000 + 1e9));
    for (const question of [ALL, range(0, 60), range(10, 40)]) {
      const { closed, notes, reasons } = await found(question);
      expect([closed, reasons]).toEqual([true, []]);
      expect(notes).toMatchObject([{ check: 'sequences', code: 'KNOWN_LOSS', detail: expect.stringMatching(/^2 batches of node-1 \(.*of between 2026-01-01T00:00:20.000Z and 2026-01-01T00:00:40.000Z: accepted as lost/) as unknown }]);
    }
    expect(await lookedAt('coverage')).toBe('1 devices, 66.7 % of the time asked');
    expect(await lookedAt('sequences')).toBe('1 streams, 4 batches');
    expect(renderVerification(await found())).toMatch(/The books close, but for this:\n    KNOWN_LOSS {2}2 batches of node-1/);
    // What else was not seen is no less a reason.
    await send([energyFact({ from: 60, to: 70, seconds: seconds(1), askedSeconds: seconds(10) })]);
    expect(await codes()).toEqual(['coverage LOW_COVERAGE']);
  });

  it('is not judged for a moment, which is said', async () => {
    await withHole(2);
    const { closed, notes } = await verify(store, ALL, { now: instant(Date.now() / 1000), grace: seconds(60) });
    expect([closed, notes]).toEqual([true, [expect.objectContaining({ code: 'NOT_JUDGED_YET', detail: expect.stringContaining('1 batches of node-1 are missing since') as unknown })]]);
  });
});

it('tells a device that was seen for longer than it should have been', async () => {
  await send(Array.from({ length: 6 }, (_, index) => energyFact({ from: index * 10, to: index * 10 + 10, seconds: seconds(10), askedSeconds: seconds(1) })));
  expect(await codes()).toEqual(['phases SEEN_LONGER_THAN_ASKED']);
});

it('looks at a part of the time where asked', async () => {
  await send([...minutes(), flagFact({ code: 'SPOOL_LOSS', from: 700 })]);
  expect((await found(parseQuestion({ to: ['2026-01-01T00:10:00Z'] }, ''))).closed).toBe(true);
  expect((await found(parseQuestion({ from: ['2026-01-01T00:10:00Z'] }, ''))).closed).toBe(false);
});

it('tells a few of many reasons, and how many more there are', async () => {
  await send(Array.from({ length: 50 }, (_, index) => energyFact({ device: `GPU-${index}`, seconds: seconds(0.5), askedSeconds: seconds(1) })));
  const { reasons } = await found();
  expect(reasons).toHaveLength(21);
  expect(reasons.at(-1)?.detail).toBe('and 30 more of this kind');
});

it('refuses questions with every fault', () => {
  expect(() => parseQuestion({ from: ['soon'], coverage: ['2'], too: ['1'] }, '--')).toThrow(/--too: unknown; did you mean 'to'\?\n--from: 'soon' is not a time.*\n--coverage: '2' is not a share/);
});
