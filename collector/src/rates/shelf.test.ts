/** What providers have told, on disk: over restarts, crashes and disks that refuse; and as a series with its gaps and its end. */
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import type { ProviderEntry, Reported } from './provider.js';
import { HOUR } from './provider.testing.js';
import { openShelf, union } from './shelf.js';

const BEGIN = Date.parse('2026-11-22T00:00:00Z') * 1000;
const at = (hour: number) => epochMicros(BEGIN + hour * HOUR);
const span = (from: number, to: number) => ({ from: at(from), to: at(to) });
const value = (hour: number, grams: number, estimated = false): Reported => ({ ...span(hour, hour + 1), grams, estimated });
const ENTRY: ProviderEntry = { provider: 'electricitymaps', zone: 'DE', url: 'https://example.com', tokenFile: '/nowhere', lastGoodFor: 7200, backfill: 0 };

let folder: string;
let warned: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shelf-'));
  warned = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const shelf = () => openShelf(join(folder, 'rates'), (message) => void warned.push(message));
const file = async (): Promise<string> => join(folder, 'rates', (await readdir(join(folder, 'rates')))[0] ?? '');

describe('the shelf', () => {
  it('has after a restart what it had, each time with the newest value, and what was asked', async () => {
    const before = shelf();
    await before.add(ENTRY, [value(1, 310), value(0, 300, true)], span(0, 2));
    await before.add(ENTRY, [value(0, 305), value(2, 320)], span(2, 3));
    const expected = { reported: [value(0, 305), value(1, 310), value(2, 320)], asked: [span(0, 3)] };
    expect(await before.series(ENTRY)).toMatchObject(expected);
    expect(await shelf().series(ENTRY)).toMatchObject(expected);
    expect(warned).toEqual([]);
  });

  it('keeps each provider, zone and address apart, and writes nothing that is known', async () => {
    const one = shelf();
    await one.add(ENTRY, [value(0, 300)], span(0, 1));
    await one.add({ ...ENTRY, zone: '../../FR' }, [value(0, 50)], undefined);
    await one.add({ ...ENTRY, url: 'https://elsewhere.example' }, [value(0, 70)], undefined);
    const names = await readdir(join(folder, 'rates'));
    expect(names).toHaveLength(3);
    expect(names.every((name) => /^electricitymaps-(DE|______FR)-[0-9a-f]{8}\.jsonl$/.test(name))).toBe(true);
    const path = join(folder, 'rates', names.find((name) => name.includes('FR')) ?? '');
    const written = await readFile(path, 'utf8');
    await one.add({ ...ENTRY, zone: '../../FR' }, [value(0, 50)], undefined);
    expect(await readFile(path, 'utf8')).toBe(written);
  });

  it('leaves out lines that can not be read, says how many, and mends the file with the next value', async () => {
    await shelf().add(ENTRY, [value(0, 300)], span(0, 1));
    await appendFile(await file(), '{"from":"2026-11-22T05:00:00.000Z","to":"2026-11-22T06:00:00.000Z","grams":-3,"estimated":false}\nrubbish\n{"from":"2026-11-22T01:00:00.000Z","to":"2026-');
    const after = shelf();
    expect((await after.series(ENTRY)).reported).toEqual([value(0, 300)]);
    expect(warned).toEqual([expect.stringMatching(/: 3 lines can't be read and are left out/)]);
    await after.add(ENTRY, [value(1, 310)], undefined);
    warned = [];
    expect(await shelf().series(ENTRY)).toMatchObject({ reported: [value(0, 300), value(1, 310)], asked: [span(0, 1)] });
    expect(warned).toEqual([]);
  });

  it('is written anew where most of it is outdated', async () => {
    const one = shelf();
    for (let round = 0; round < 60; round += 1) await one.add(ENTRY, Array.from({ length: 100 }, (_, hour) => value(hour, 300 + round)), undefined);
    expect((await readFile(await file(), 'utf8')).split('\n').length).toBeLessThan(5200);
    const { reported } = await shelf().series(ENTRY);
    expect([reported.length, reported[7]]).toEqual([100, value(7, 359)]);
  });

  it('says that it can not be written, and knows the values all the same', async () => {
    await writeFile(join(folder, 'rates'), 'no folder');
    const one = openShelf(join(folder, 'rates', 'below'));
    await expect(one.add(ENTRY, [value(0, 300)], undefined)).rejects.toThrow(/can't be (written|read)/);
  });
});

const hourOf = (micros: number): number => (micros - BEGIN) / HOUR;
async function shown(from: number, to: number) {
  const { value: over, doubt } = await shelf().provided(ENTRY);
  return { values: over(span(from, to)).map((piece) => [hourOf(piece.from), piece.value]), doubts: doubt(span(from, to)).map((piece) => [hourOf(piece.from), piece.value?.kind ?? null]) };
}

describe('as a series', () => {
  it('a gap stays a gap; the last value stands in for as long as the book says, and no longer', async () => {
    await shelf().add(ENTRY, [value(0, 300), value(1, 310), value(3, 330), value(4, 340, true)], undefined);
    expect(await shown(-1, 9)).toEqual({
      values: [[-1, null], [0, 300], [1, 310], [2, null], [3, 330], [4, 340], [7, null]],
      doubts: [[-1, 'untold'], [0, null], [2, 'untold'], [3, null], [4, 'estimated'], [5, 'last'], [7, 'untold']],
    });
  });

  it('without a value is not known', async () => {
    expect(await shown(0, 2)).toEqual({ values: [[0, null]], doubts: [[0, 'untold']] });
  });

  it('a value ends where the next begins, whatever it said of its length', async () => {
    await shelf().add(ENTRY, [{ ...span(0, 1), grams: 300, estimated: false }, { from: at(0.5), to: at(0.75), grams: 400, estimated: false }], undefined);
    expect((await shown(0, 1)).values).toEqual([[0, 300], [0.5, 400]]);
  });
});

it('puts spans together that touch or overlap', () => {
  expect(union([span(5, 6), span(0, 2), span(2, 3), span(1, 2), span(4, 4)])).toEqual([span(0, 3), span(5, 6)]);
});
