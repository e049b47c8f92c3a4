/** Two sources that speak of one deployment: tokens come from one of them, and what ran from whichever knows better. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { replayHere } from '../support/pipe.js';

const T = Date.UTC(2026, 6, 1, 12) / 1000;
/** 10 s at 100 W, but 300 W from 2 s to 5 s: 1,600 J. */
const POWER = ['timestamp, index, uuid, power.draw [W]', ...Array.from({ length: 101 }, (_, step) => `2026/07/01 12:00:${(step / 10).toFixed(3).padStart(6, '0')}, 0, GPU-0, ${step > 20 && step <= 50 ? 300 : 100}.00 W`)].join('\n');

type Told = { readonly kind: string; readonly [key: string]: unknown };
/** Looks at counters every second: what moved in each, and who ran at its end. */
const looks = (...seconds: readonly (readonly [input: number, output: number, running: number])[]): Told[] =>
  seconds.map(([input, output, running], second) => ({ kind: 'window', from: T + second, to: T + second + 1, tokens: { input, output }, running, busy: Math.max(running, seconds[second - 1]?.[2] ?? 0) }));
const idle = (from: number, to: number): Told => ({ kind: 'idle', from: T + from, to: T + to });
const iterations = (from: number, to: number, work: { readonly prefill?: number; readonly decode?: number }): Told => ({
  kind: 'steps', from: T + from, to: T + to, steps: work.decode ?? 1, prefillTokens: work.prefill ?? 0, prefills: work.prefill === undefined ? 0 : 1, decodes: work.decode ?? 0, decodeTokens: work.decode ?? 0,
  tokens: { ...(work.prefill !== undefined && { input: work.prefill }), ...(work.decode !== undefined && { output: work.decode }) }, timing: 'exact',
});
const request = (start: number, firstToken: number, end: number): Told => ({ kind: 'request', id: `r${start}`, start: T + start, firstToken: T + firstToken, end: T + end, tokens: { input: 7, output: 7 }, outcome: 'ok' });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-two-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Joules by phase (to 50 J: the steps of power lie between two readings), and the tokens of all. */
async function told(counts: readonly Told[], evidence: readonly Told[]) {
  const directory = await mkdtemp(join(folder, 'case-'));
  const lines = (list: readonly Told[]): string => list.map((each) => `${JSON.stringify(each)}\n`).join('');
  await writeFile(join(directory, 'power.csv'), POWER);
  await writeFile(join(directory, 'counts.jsonl'), lines(counts));
  await writeFile(join(directory, 'evidence.jsonl'), lines(evidence));
  await writeFile(
    join(directory, 'recording.yaml'),
    `node: n\npower: [{ format: nvidia-smi-csv, file: power.csv, tz: UTC }]\nserving:\n  - { format: evidence, file: counts.jsonl, deployment: chat, tokens: count }\n  - { format: evidence, file: evidence.jsonl, deployment: chat, tokens: evidence }\n`,
  );
  const { rows } = await replayHere(directory, ['--by', 'phase']);
  return { phases: Object.fromEntries(rows.map(({ group, joules }) => [group['phase'] ?? '', 50 * Math.round((joules ?? 0) / 50)] as const)), tokens: rows[0]?.tokens, requests: rows[0]?.requests };
}

const none = looks(...Array.from({ length: 10 }, () => [0, 0, 0] as const));
const busyFrom2To5 = looks([0, 0, 0], [0, 0, 0], [100, 20, 1], [0, 40, 1], [0, 30, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]);

describe('counters that count beside a log that does not', () => {
  it('the log tells what ran, and none of its tokens is booked', async () => {
    const { phases, tokens, requests } = await told(busyFrom2To5, [idle(0, 2), iterations(2, 2.5, { prefill: 999 }), iterations(2.5, 5, { decode: 999 }), idle(5, 10), request(2, 2.5, 5)]);
    expect(phases).toEqual({ idle: 700, prefill: 150, decode: 750 });
    expect(tokens).toMatchObject({ input: 100, output: 90 });
    expect(requests?.['ok']).toBeNull();
  });

  it.each([
    ['a log that says idle', [idle(0, 10)]],
    ['a client that is not alone and told none of it', [request(0.2, 0.4, 1), request(8, 8.5, 9.8)]],
  ])('is not idle where the counters moved, whatever is said by %s', async (_, evidence) => {
    const { phases } = await told(busyFrom2To5, evidence);
    expect(phases['idle']).toBeLessThanOrEqual(700);
  });

  it('is not idle where the log saw iterations, whatever the counters say', async () => {
    const { phases, tokens } = await told(none, [iterations(3, 4, { decode: 10 })]);
    expect(phases).toEqual({ idle: 1300, decode: 300 });
    expect(tokens).toMatchObject({ input: 0, output: 0 });
  });
});

describe('a log that counts beside counters that do not', () => {
  it('its tokens are booked, and it is not idle where it is silent and the counters moved', async () => {
    const { phases, tokens } = await told([iterations(2, 2.5, { prefill: 10 }), iterations(2.5, 4, { decode: 20 })], busyFrom2To5);
    expect(tokens).toMatchObject({ input: 10, output: 20 });
    expect(phases).toMatchObject({ idle: 700, prefill: 150 });
    expect(phases['decode']).toBeGreaterThanOrEqual(450);
  });
});
