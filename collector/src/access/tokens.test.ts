import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '@joulebook/shared/clock.js';
import { instant, seconds } from '@joulebook/shared/units.js';
import { formatScope, ingestOf, parseScope, satisfies, writes } from './scope.js';
import { openTokens, type NewToken, type Tokens } from './tokens.js';

let parent: string;
let folder: string;
let passed: number;
const BEGIN = 1_800_000_000;
let begin = BEGIN;
const clock: Clock = { wall: () => instant(begin + passed), monotonic: () => seconds(passed) };
const never = (error: unknown): never => {
  throw error;
};
const reader: NewToken = { scopes: [{ may: 'read' }], expires: undefined, note: undefined };
const opened = (onFault: (error: unknown) => void = never): Promise<Tokens> => openTokens(folder, clock, onFault);
const kindOf = async (tokens: Tokens, text: string): Promise<string> => (await tokens.find(text)).kind;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'joulebook-tokens-'));
  folder = join(parent, 'store.duckdb.tokens');
  passed = 0;
  begin = BEGIN;
});
afterEach(() => rm(parent, { recursive: true }));

describe('tokens', () => {
  it('are known at once to who made them, within a second to others, and after a restart', async () => {
    const [one, other] = [await opened(), await opened()];
    expect(await one.areKept()).toBe(false);
    const { text, token } = await one.create(reader);
    expect(await kindOf(one, text)).toBe('valid');
    passed += 1.1;
    expect([await other.areKept(), await kindOf(other, text), await kindOf(await opened(), text)]).toEqual([true, 'valid', 'valid']);
    expect(await one.revoke(token.id)).toBe(true);
    expect(await kindOf(one, text)).toBe('unknown');
    passed += 1.1;
    expect([await kindOf(other, text), await kindOf(await opened(), text)]).toEqual(['unknown', 'unknown']);
    expect([await one.revoke(token.id), await one.revoke('../store')]).toEqual([false, false]);
    expect([await one.areKept(), await (await opened()).areKept()]).toEqual([true, true]);
  });

  it('are revoked at once while the folder is being read', async () => {
    const tokens = await opened();
    const { text, token } = await tokens.create(reader);
    const kept = await readFile(join(folder, `${token.id}.json`), 'utf8');
    const others = Array.from({ length: 500 }, (_, index) => index.toString(16).padStart(12, '0'));
    await Promise.all(others.map((id) => writeFile(join(folder, `${id}.json`), kept.replace(token.id, id))));
    passed += 1.1;
    const reading = tokens.find(text);
    await tokens.revoke(token.id);
    await reading;
    expect(await kindOf(tokens, text)).toBe('unknown');
  });

  it('are seen though the folder shows the time of an earlier change', async () => {
    begin = Math.floor(Date.now() / 1000);
    const one = await opened();
    await one.create(reader);
    await utimes(folder, begin, begin);
    const other = await opened();
    const { text } = await one.create(reader);
    await utimes(folder, begin, begin);
    passed += 1.1;
    expect(await kindOf(other, text)).toBe('valid');
  });

  it('are all kept when several programs make them at once', async () => {
    const programs = [await opened(), await opened(), await opened()];
    const made = await Promise.all(Array.from({ length: 30 }, async (_, index) => (programs[index % 3] ?? never('')).create(reader)));
    expect(new Set((await (await opened()).list()).map(({ id }) => id))).toEqual(new Set(made.map(({ token }) => token.id)));
    for (const { text } of made) expect(await kindOf(programs[0] ?? never(''), text)).toBe('valid');
  });

  it('keep no text of a token, in files that only their owner can read', async () => {
    const tokens = await opened();
    const { text, token } = await tokens.create({ scopes: [parseScope('ingest:gpu-*'), { may: 'read' }], expires: new Date((BEGIN + 10) * 1000), note: 'rack 7' });
    const file = join(folder, `${token.id}.json`);
    expect(await readFile(file, 'utf8')).not.toContain(text.split('_')[2]);
    expect([(await stat(file)).mode & 0o777, (await stat(folder)).mode & 0o777]).toEqual([0o600, 0o700]);
    expect(await readdir(folder)).toEqual([`${token.id}.json`]);
    expect(await (await opened()).list()).toEqual([{ id: token.id, scopes: [{ may: 'ingest', node: 'gpu-', andLonger: true }, { may: 'read' }], created: new Date(BEGIN * 1000), expires: new Date((BEGIN + 10) * 1000), note: 'rack 7', lastUsed: undefined }]);
  });

  it('expire, and say so only to who has the secret', async () => {
    const tokens = await opened();
    const { text } = await tokens.create({ ...reader, expires: new Date((BEGIN + 10) * 1000) });
    passed = 9.9;
    expect(await kindOf(tokens, text)).toBe('valid');
    passed = 10;
    expect([await kindOf(tokens, text), await kindOf(tokens, `${text.slice(0, -4)}0000`)]).toEqual(['expired', 'unknown']);
  });

  it('tell to the hour when they were last used', async () => {
    const tokens = await opened();
    const { text } = await tokens.create(reader);
    passed = 100;
    await tokens.find(text);
    passed = 3000;
    await tokens.find(text);
    await expect.poll(async () => (await tokens.list())[0]?.lastUsed, { timeout: 10_000 }).toEqual(new Date((BEGIN + 100) * 1000));
    passed = 3701;
    await tokens.find(text);
    await expect.poll(async () => (await tokens.list())[0]?.lastUsed, { timeout: 10_000 }).toEqual(new Date((BEGIN + 3701) * 1000));
  });

  it('refuse to begin with a file that is no token, and hold on to what was known when one appears', async () => {
    const faults: unknown[] = [];
    const tokens = await opened((error) => faults.push(error));
    const { text } = await tokens.create(reader);
    await writeFile(join(folder, '0123456789ab.json'), '{"id":"0123456789ab"');
    for (passed = 2; passed < 6; passed += 2) expect(await kindOf(tokens, text)).toBe('valid');
    expect(faults.map(String)).toEqual([expect.stringContaining('0123456789ab.json is no token')]);
    await expect(opened()).rejects.toMatchObject({ code: 'TOKENS_UNREADABLE' });
  });

  it('are read from files alone: a pipe, a device, a folder and a loop of links are named, left alone, and keep nobody waiting', async () => {
    const { token, text } = await (await opened()).create(reader);
    const odd = ['pipe', 'zero', 'loop', 'folder'].map((name) => join(folder, `${name}.json`));
    const [pipe = '', zero = '', loop = '', inner = ''] = odd;
    execFileSync('mkfifo', [pipe, join(folder, `${token.id}.used`)]);
    await symlink('/dev/zero', zero);
    await symlink('loop.json', loop);
    await mkdir(inner);
    const told: string[] = [];
    const tokens = await openTokens(folder, clock, never, (message) => told.push(message));
    for (passed = 2; passed < 6; passed += 2) expect(await kindOf(tokens, text)).toBe('valid');
    expect(await tokens.list()).toMatchObject([{ id: token.id, lastUsed: undefined }]);
    expect(told.toSorted()).toEqual([...odd, join(folder, `${token.id}.used`)].toSorted().map((path) => expect.stringContaining(`${path} is `) as unknown));
    expect(told.toSorted().join()).toMatch(/folder\.json is a folder.*loop\.json is a loop of links.*pipe\.json is a pipe.*zero\.json is a device/s);
    // A token that is kept elsewhere and linked, as secrets are, is one.
    await rename(join(folder, `${token.id}.json`), join(parent, 'elsewhere'));
    await symlink(join(parent, 'elsewhere'), join(folder, `${token.id}.json`));
    expect(await kindOf(await openTokens(folder, clock, never), text)).toBe('valid');
  }, 10_000);

  it('are not taken under the name of another', async () => {
    const tokens = await opened();
    const { token } = await tokens.create(reader);
    await writeFile(join(folder, '0123456789ab.json'), await readFile(join(folder, `${token.id}.json`)));
    await expect(opened()).rejects.toThrow(`it is of token ${token.id}`);
  });

  it('are not kept where there is no place for them', async () => {
    await expect((await openTokens(undefined, clock, never)).create(reader)).rejects.toMatchObject({ code: 'TOKENS_NOT_KEPT' });
  });
});

const may = (scope: string, node: string): boolean => writes([parseScope(scope)], node);

describe('scopes', () => {
  it('are read as they are written', () => {
    for (const text of ['read', 'admin', 'ingest:gpu-01', 'ingest:gpu-*', 'ingest:*', 'ingest:a b:c']) expect(formatScope(parseScope(text))).toBe(text);
    for (const text of ['', 'write', 'Read', 'ingest', 'ingest:', 'ingest:a*b', 'ingest:**', 'ingest: a', 'ingest:a\nb', `ingest:${'x'.repeat(513)}`]) expect(() => parseScope(text), text).toThrow('is no scope');
  });

  it('let write whom they name and nobody else', () => {
    for (const [scope, node] of [['ingest:gpu-01', 'gpu-01'], ['ingest:gpu-*', 'gpu-'], ['ingest:gpu-*', 'gpu-99'], ['ingest:*', 'any'], ['admin', 'any']] as const) expect(may(scope, node), `${scope} ${node}`).toBe(true);
    for (const [scope, node] of [['ingest:gpu-01', 'gpu-011'], ['ingest:gpu-01', 'GPU-01'], ['ingest:gpu-*', 'gpu'], ['ingest:gpu-*', 'xgpu-1'], ['read', 'any']] as const) expect(may(scope, node), `${scope} ${node}`).toBe(false);
    expect(writes([ingestOf('gpu-*')], 'gpu-01')).toBe(false);
    expect(writes([], 'any')).toBe(false);
  });

  it('of one kind do not stand for another, but admin for all', () => {
    const needs = ['ingest', 'read', 'admin'] as const;
    const of = (scope: string): boolean[] => needs.map((need) => satisfies([parseScope(scope)], need));
    expect([of('ingest:*'), of('read'), of('admin')]).toEqual([[true, false, false], [false, true, false], [true, true, true]]);
  });
});
