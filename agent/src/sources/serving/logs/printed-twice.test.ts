import { instant } from '@joulebook/shared/units.js';
import { expect, it } from 'vitest';
import { all, details, recordedFile } from '../../recorded-file.testing.js';
import { zone } from '../../timestamps.js';
import { logFrom } from './live-log.js';
import { idsOf, plainDialect } from './live-log.testing.js';
import { printedTwice } from './printed-twice.js';
import { recordedLog } from './recorded-log.js';
import { booked } from './sglang.testing.js';
import { sglang } from './sglang.js';

const isOf = (text: string): boolean => text.startsWith('[');
/** Which of these lines are copies, by their position. */
function copies(lines: readonly string[]): number[] {
  const twice = printedTwice(isOf);
  return lines.flatMap((text, index) => (twice.isCopy({ text }) ? [index] : []));
}
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
const doubled = (lines: readonly string[]): string[] => lines.flatMap((line) => [line, line]);

it('copies are known once four runs of the engine’s lines held an even number, whatever stands between them once', () => {
  expect(copies(doubled(upTo(7).map((at) => `[${at}]`)))).toEqual([9, 11, 13]);
  expect(copies(upTo(7).flatMap((at) => [`[${at}]`, `[${at}]`, `POST ${at}`]))).toEqual([13, 16, 19]);
  expect(copies([...doubled(upTo(4).map((at) => `[${at}]`)), '[x]', '[x]', '[x]', '[x]'])).toEqual([9, 11]);
});

it('equal lines among single ones are not copies, nor are those of two writers', () => {
  expect(copies(upTo(40).flatMap((at) => (at % 3 === 0 ? [`[${at}]`] : [`[${at}]`, `[${at}]`])))).toEqual([]);
  expect(copies(upTo(40).flatMap((at) => [`[${at}]`, ...doubled([`POST ${at}`])]))).toEqual([]);
  const twice = printedTwice(isOf);
  expect(upTo(40).flatMap((at) => ['0', '1'].map((writer) => twice.isCopy({ text: `[${at}]`, writer })))).not.toContain(true);
});

it('a server that is started anew with another logger is counted whole again', () => {
  const single = upTo(60).map((at) => `[${100 + at}]`);
  expect(copies([...doubled(upTo(40).map((at) => `[${at}]`)), ...single, '[x]', '[x]'])).toEqual(upTo(36).map((at) => 9 + 2 * at));
});

const BATCHES = upTo(50).flatMap((at) => {
  const time = `[2026-05-12 08:${String(Math.floor(at / 10)).padStart(2, '0')}:${String(3 * (at % 10)).padStart(2, '0')}]`;
  return [
    `${time} Prefill batch, #new-seq: 1, #new-token: ${400 + at}, #cached-token: 0, token usage: 0.01, #running-req: 0, #queue-req: 0`,
    `${time} Decode batch, #running-req: 1, #token: ${400 + at}, token usage: 0.01, gen throughput (token/s): 41.5, #queue-req: 0`,
  ];
});
const readLog = async (lines: readonly string[]) => all(recordedLog(sglang, [sglang]).open({ file: recordedFile(lines.map((line) => `${line}\n`).join(''), 'sglang.log'), tz: 'UTC', deployment: 'chat' }, {}).events());

it('a recorded log of which each line was printed twice tells what it tells once, from its first line on, and how many were left out', async () => {
  const [once, twice] = await Promise.all([readLog(BATCHES), readLog(doubled(BATCHES))]);
  expect(booked(once).input).toBe(upTo(50).reduce((sum, at) => sum + 400 + at, 0));
  expect(booked(twice)).toEqual(booked(once));
  expect(details(twice)).toContain('sglang.log: 100 lines skipped: line 2: printed twice; line 4: printed twice; line 6: printed twice; and 97 more');
});

it('two prompts of a length in one second are both counted where other lines stand alone', async () => {
  const lines = BATCHES.flatMap((line, index) => (index % 4 === 0 ? [line, line] : [line]));
  const extra = upTo(50).reduce((sum, at) => sum + (400 + at) * (at % 2 === 0 ? 2 : 1), 0);
  expect(booked(await readLog(lines)).input).toBe(extra);
});

it('live, copies are left out as soon as they are known', async () => {
  const lines = doubled(upTo(9).map((at) => `did ${at} at 12:00:0${at}`));
  const place = {
    name: 'a place',
    async *batches() {
      yield* [{ lines, at: instant(Date.parse('2026-05-12T12:00:10Z') / 1000), caughtUp: true }];
    },
  };
  const start = instant(Date.parse('2026-05-12T12:00:00Z') / 1000);
  const context = { now: () => start, environment: {}, signal: new AbortController().signal, log: { info: () => undefined, warn: () => undefined }, bill: { read: () => undefined, missed: () => undefined } };
  const events = await all(logFrom(plainDialect, (each) => plainDialect.parser(each, {}), place, zone('UTC')).events(context));
  expect(idsOf(events)).toEqual(['#1', '#1', '#2', '#2', '#3', '#3', '#4', '#5', '#6', '#7', '#8']);
  expect(details(events)[0]).toMatch(/: 5 lines skipped: line 10: printed twice/);
});
