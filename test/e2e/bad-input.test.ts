/** Bad input, as a user meets it: an error or a flag that names file and line and says what to do, never a figure. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flagCodes, replay, replayEndsHere, replayHere, replayInto, report, reportHere } from '../support/pipe.js';

/** Two GPUs at 100 W and 200 W every 0.5 s for 10 s from 12:00 UTC. */
const POWER = ['timestamp, index, uuid, power.draw [W]', ...Array.from({ length: 21 }, (_, step) => [0, 1].map((gpu) => `2026/07/01 12:00:${String(Math.floor(step / 2)).padStart(2, '0')}.${step % 2 ? '500' : '000'}, ${gpu}, GPU-${gpu}, ${100 * (gpu + 1)}.00 W`).join('\n'))].join('\n');
const at = (second: number): number => Date.UTC(2026, 6, 1, 12, 0, second) / 1000;
const REQUESTS = [
  { start: at(1), firstToken: at(2), end: at(4), inputTokens: 100, outputTokens: 20 },
  { start: at(5), firstToken: at(6), end: at(9), inputTokens: 100, outputTokens: 30 },
].map((request) => JSON.stringify(request)).join('\n');

let folder: string;
const put = async (files: Readonly<Record<string, string | Buffer>>): Promise<string> => {
  const directory = await mkdtemp(join(folder, 'case-'));
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
  return directory;
};
const manifest = (power = '', serving = ''): string => `node: n\npower: [{ format: nvidia-smi-csv, file: power.csv, tz: UTC ${power} }]\nserving: [{ format: requests, file: requests.jsonl, deployment: chat ${serving} }]\n`;

const sum = async (power: string | Buffer, requests: string | Buffer = REQUESTS) => replayHere(await put({ 'recording.yaml': manifest(), 'power.csv': power, 'requests.jsonl': requests }), []);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-bad-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('what is right comes out right: 3,000 J in 10 s, and the phases in their time', async () => {
  const directory = await put({ 'recording.yaml': manifest(), 'power.csv': POWER, 'requests.jsonl': REQUESTS });
  const told = await replayInto(directory, ['--by', 'phase']);
  expect([told.from, told.to]).toEqual(['2026-07-01T12:00:01.000Z', '2026-07-01T12:00:09.000Z']);
  expect(Object.fromEntries(told.rows.map(({ group, joules }) => [group['phase'], joules]))).toEqual({ prefill: 600, decode: 1500, idle: 300 });
});

describe('ends with an error that says what to do, and no batch', () => {
  it.each([
    ['an unknown format', { 'recording.yaml': manifest().replace('nvidia-smi-csv', 'nvidia-smi-cvs') }, 2, /power\[0\].*'nvidia-smi-cvs' is unknown; did you mean 'nvidia-smi-csv'/],
    ['a missing file', { 'recording.yaml': manifest(), 'requests.jsonl': REQUESTS }, 1, /power\.csv/],
    ['a file of another format', { 'recording.yaml': manifest(), 'power.csv': REQUESTS, 'requests.jsonl': REQUESTS }, 1, /power\.csv.*nvidia-smi-csv/],
    ['power in the place of requests', { 'recording.yaml': manifest(), 'power.csv': POWER, 'requests.jsonl': POWER }, 1, /requests\.jsonl/],
    ['an empty file', { 'recording.yaml': manifest(), 'power.csv': '', 'requests.jsonl': REQUESTS }, 1, /power\.csv/],
    ['no overlap, by a zone given wrongly', { 'recording.yaml': manifest().replace('tz: UTC', 'tz: America/Chicago'), 'power.csv': POWER, 'requests.jsonl': REQUESTS }, 1, /do not overlap.*-5 h.*tz/s],
    ['an unknown zone', { 'recording.yaml': manifest().replace('tz: UTC', 'tz: America/Chicargo'), 'power.csv': POWER, 'requests.jsonl': REQUESTS }, 2, /Chicargo.*America\/Chicago/s],
    ['a zone that YAML took for a number', { 'recording.yaml': manifest().replace('tz: UTC', 'tz: +0530'), 'power.csv': POWER, 'requests.jsonl': REQUESTS }, 2, /power\.0\.tz: put the zone in quotes/],
    ['devices that the file does not have', { 'recording.yaml': manifest(', devices: [0, 5]'), 'power.csv': POWER, 'requests.jsonl': REQUESTS }, 1, /power\.csv.*5/s],
    ['a column that the file does not have', { 'recording.yaml': manifest('', ', columns: { start: begin }'), 'power.csv': POWER, 'requests.jsonl': REQUESTS }, 1, /requests\.jsonl.*begin/s],
    ['an option that the format does not know', { 'recording.yaml': manifest(', colum: power.draw'), 'power.csv': POWER, 'requests.jsonl': REQUESTS }, 2, /colum.*column/],
    ['two sources that would count the same tokens', { 'recording.yaml': manifest().replace(/serving: \[(.*)\]/, 'serving: [$1, $1]'), 'power.csv': POWER, 'requests.jsonl': REQUESTS }, 2, /chat.*tokens: count/],
    ['a key that no manifest has', { 'recording.yaml': `${manifest()}sevring: []\n` }, 2, /recording\.yaml.*sevring/],
    ['a window that holds nothing', { 'recording.yaml': `${manifest()}window: { from: 2026-07-02T00:00:00Z }\n`, 'power.csv': POWER, 'requests.jsonl': REQUESTS }, 1, /holds nothing/],
    ['no manifest', {}, 2, /recording\.yaml/],
    ['a slice of no length', { 'recording.yaml': `${manifest()}slice: 0\n`, 'power.csv': POWER, 'requests.jsonl': REQUESTS }, 2, /slice.*10 ms/],
    ['a deployment on a device that no file has', { 'recording.yaml': manifest('', ', devices: [7]'), 'power.csv': POWER, 'requests.jsonl': REQUESTS }, 1, /chat.*7.*GPU-0/s],
    ['a power log of one reading', { 'recording.yaml': manifest(), 'power.csv': POWER.split('\n').slice(0, 2).join('\n'), 'requests.jsonl': REQUESTS }, 1, /two readings/],
  ])('%s', async (_, files: Readonly<Record<string, string>>, exitCode, said) => {
    const ended = await replayEndsHere(await put(files));
    expect(ended.stderr).toMatch(said);
    expect([ended.exitCode, ended.stdout]).toEqual([exitCode, '']);
  });

  it.each([
    ['of bad usage', { 'recording.yaml': manifest().replace('nvidia-smi-csv', 'nvidia-smi-cvs') }, 2],
    ['of work that failed', { 'recording.yaml': manifest(), 'power.csv': '', 'requests.jsonl': REQUESTS }, 1],
  ])('as the program ends, %s', async (_, files: Readonly<Record<string, string>>, exitCode) => {
    const folderOf = await put(files);
    const [ended, here] = [await replay([folderOf]), await replayEndsHere(folderOf)];
    expect([ended.exitCode, ended.stdout]).toEqual([exitCode, '']);
    expect(ended.stderr).toBe(here.stderr.split('\n').map((fault) => `joulebook-agent: ${fault}`).join('\n'));
  });

  it('leaves a file that it was to write into as it was', async () => {
    const directory = await put({ 'recording.yaml': manifest(), 'kept.ndjson': 'kept' });
    const ended = await replay([directory, '--out', join(directory, 'kept.ndjson')]);
    expect(ended.exitCode).toBe(1);
    expect(await readFile(join(directory, 'kept.ndjson'), 'utf8')).toBe('kept');
  });

  it('names every fault of a command line at once', async () => {
    const ended = await replay(['--power', 'nvidia-csv=a.csv', '--serving', 'request=b.csv']);
    expect(ended.exitCode).toBe(2);
    expect(ended.stderr).toMatch(/nvidia-csv[\s\S]*'request' is unknown/);
  });
});

describe('goes on without what can not be used, and says so', () => {
  it('a torn last line', async () => {
    const told = await sum(`${POWER}\n2026/07/01 12:00:10.5`);
    expect(told.rows[0]?.joules).toBe(2400);
    expect(told.flags.find(({ code }) => code === 'SKIPPED_LINES')?.detail).toMatch(/power\.csv.*1 line.*44/s);
  });

  it('[N/A] and empty cells: missing coverage, not zero', async () => {
    const lost = POWER.replace(/(12:00:0[3-6]\.\d+, 1, GPU-1), 200\.00 W/g, (_, row: string) => `${row}, [N/A]`);
    const told = await sum(lost);
    expect(told.rows[0]?.joules).toBeCloseTo(2400 - 200 * 4.5, 6);
    expect(told.rows[0]?.coverage).toBeCloseTo(1 - 4.5 / 16, 6);
    expect(flagCodes(told)).toEqual(expect.arrayContaining(['GAP', 'LOW_COVERAGE', 'MISSING_READINGS']));
  });

  it('BOM, CRLF and gzip change nothing', async () => {
    expect((await sum(gzipSync(`\uFEFF${POWER.replaceAll('\n', '\r\n')}\r\n`), `\uFEFF${REQUESTS.replaceAll('\n', '\r\n')}`)).rows[0]).toMatchObject({ joules: 2400, tokens: { output: 50 } });
  });

  it('a request with a bad time: its place is unknown, not idle', async () => {
    const [first, second] = REQUESTS.split('\n');
    const told = await replayHere(await put({ 'recording.yaml': manifest(), 'power.csv': POWER, 'requests.jsonl': `${first}\n{"start":"yesterday","end":5,"inputTokens":7,"outputTokens":7}\n${second}` }), ['--by', 'phase']);
    expect(told.rows.map(({ group }) => group['phase'])).toEqual(['prefill', 'decode', 'unknown']);
    expect(told.flags.find(({ code }) => code === 'SKIPPED_LINES')?.detail).toMatch(/requests\.jsonl.*2/s);
  });

  it('a request told twice: counted once', async () => {
    const twice = REQUESTS.split('\n').map((line, index) => line.replace('{', `{"id":"r${index}",`));
    const told = await sum(POWER, [...twice, ...twice].join('\n'));
    expect(told.rows[0]?.tokens).toMatchObject({ input: 200, output: 50 });
    expect(flagCodes(told)).toContain('REPEATED_REQUEST');
  });

  it('tens of thousands of requests outside the power log: one reservation, not a fact each', async () => {
    const far = Array.from({ length: 30_000 }, (_, index) => JSON.stringify({ start: at(3600) + index, firstToken: at(3601) + index, end: at(3602) + index, inputTokens: 1, outputTokens: 1 }));
    const told = await sum(POWER, [REQUESTS, ...far].join('\n'));
    expect(told.rows[0]?.tokens).toMatchObject({ input: 200, output: 50 });
    expect(told.flags.filter(({ code }) => code === 'REQUEST_OUTSIDE')).toHaveLength(1);
  });

  it('a model that the request log names: its energy is the model\'s', async () => {
    const named = REQUESTS.split('\n').map((line) => line.replace('{', '{"model":"llama",')).join('\n');
    const told = await replayHere(await put({ 'recording.yaml': manifest(), 'power.csv': POWER, 'requests.jsonl': named }), ['--by', 'model']);
    expect(told.rows.map(({ group, joules, tokens }) => [group['model'], joules, tokens.output])).toEqual([['llama', 2400, 50]]);
  });

  it('energy without tokens', async () => {
    const directory = await put({ 'recording.yaml': 'power: [{ format: nvidia-smi-csv, file: power.csv }]\n', 'power.csv': POWER });
    const told = await replayHere(directory, ['--by', 'phase']);
    expect(told.rows).toMatchObject([{ group: { phase: 'unknown' }, joules: 3000, joulesPerToken: null, tokens: { output: null } }]);
    expect(flagCodes(told)).toContain('NO_TOKENS');
  });
});

describe('a report of what is no batch', () => {
  it.each([
    ['nothing', '', /no batch|empty/i],
    ['text', 'hello\n', /line 1/],
    ['a torn batch', '{"schema":1,"stream":"00', /line 1/],
    ['a newer schema', '{"schema":2}\n', /line 1.*schema version 2/s],
  ])('%s', async (_, batches, said) => {
    const ended = await reportHere(batches, ['--format', 'json']);
    expect(ended.stderr).toMatch(said);
    expect([ended.exitCode, ended.stdout]).toEqual([1, '']);
  });

  it('ends the program with 1', async () => {
    expect(await report('hello\n', [])).toMatchObject({ exitCode: 1, stdout: '', stderr: expect.stringContaining('line 1') as unknown });
  });

  it('says what is wrong with its options, all at once', async () => {
    const ended = await reportHere('', ['--price', 'cheap', '--basis', 'none', '--from', 'noon']);
    expect(ended.exitCode).toBe(2);
    for (const option of ['price', 'basis', 'from']) expect(ended.stderr).toContain(option);
  });
});
