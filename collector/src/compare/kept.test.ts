/** Comparisons of a time whose facts retention deleted: told by what is left of them, or not at all. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { epochMicros, instant, seconds } from '@joulebook/shared/units.js';
import { openDuckdbFile } from '../store/duckdb-file.js';
import { at, batchOf } from '../store/sample-facts.js';
import type { Extent } from '../store/store.js';
import type { EmbeddedStore } from '../store/upkeep.js';
import type { Comparison } from './answer.js';
import { compare } from './compare.js';
import { stretchesOf } from './facts.testing.js';
import { parseCompare } from './question.js';
import { captionOf } from './render.js';

const HOUR = 3600;
const HOURS = 24;
let folder: string;
let store: EmbeddedStore;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-kept-'));
  store = await openDuckdbFile({ path: join(folder, 'facts.duckdb'), readOnly: false }, { wall: () => instant(at(4 * HOURS * HOUR) / 1e6), monotonic: () => seconds(0) });
  const sides = ['air', 'liquid'].map((cooling, index) => stretchesOf({ labels: { cooling }, from: index * HOURS * HOUR, count: HOURS * 12, every: 300, joulesPerToken: index === 0 ? 2 : 1.6, seed: index + 1 }));
  await store.append(batchOf(sides.flat()));
});
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

const REQUEST = parseCompare({ a: ['cooling=air'], b: ['cooling=liquid'] }, {}, '');
const codes = ({ reasons }: Comparison): string[] => reasons.map(({ code }) => code);
/** The same part of each of the first hours of a day. */
const within = (day: number, from: number, to: number): Extent[] => Array.from({ length: 12 }, (_, hour) => ({ from: at((day * HOURS + hour) * HOUR + from), to: at((day * HOURS + hour) * HOUR + to) }));
/** Turns, as an experiment asks for them. */
const turns = (from: number, to: number): Promise<Comparison> => {
  const [ofA, ofB] = [within(0, from, to), within(1, from, to)];
  return compare(store, { ...REQUEST, a: { ...REQUEST.a, from: ofA[0]?.from, to: ofA.at(-1)?.to, within: ofA }, b: { ...REQUEST.b, from: ofB[0]?.from, to: ofB.at(-1)?.to, within: ofB } });
};

it('tells blocks as long as what is kept, and turns only where sums by the hour begin and end with them', async () => {
  const before = await compare(store, REQUEST);
  expect(before).toMatchObject({ step: 60, verdict: 'b-better', a: { blocks: 12 * HOURS } });
  expect([codes(before).includes('SUMS_ARE_LEFT'), (await turns(600, 3000)).verdict]).toEqual([false, 'b-better']);

  await store.retain({ raw: HOURS * HOUR, minute: HOURS * HOUR, hour: null });
  const after = await compare(store, REQUEST);
  expect(after).toMatchObject({ step: HOUR, verdict: 'b-better', a: { blocks: HOURS, estimate: before.a.estimate }, b: { blocks: HOURS } });
  expect(captionOf(after)).toContain('blocks of 60 min');
  expect(after.reasons).toContainEqual({ code: 'SUMS_ARE_LEFT', detail: 'Of some of this time only sums by the hour are kept, so a block is 60 min and not 60 s.' });
  // Half an hour more than asked for, up to whole hours.
  expect((await compare(store, { ...REQUEST, step: epochMicros(5400e6) })).step).toBe(2 * HOUR);

  const parts = await turns(600, 3000);
  expect([parts.verdict, codes(parts), parts.a.estimate, parts.a.blocks]).toEqual(['not-comparable', ['TURNS_NOT_KEPT', 'TURNS_NOT_KEPT'], null, 0]);
  expect(parts.sentences[0]).toContain('were deleted and only sums by the hour are kept');
  expect(await turns(0, 3600)).toMatchObject({ verdict: 'b-better', step: HOUR, a: { blocks: 12 } });
});
