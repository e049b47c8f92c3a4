/** From what holds to what a sink is told: real HTTP servers that fail, and restarts in between. From facts on it is told in rules.test.ts and commands/alerts.test.ts. */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { epochMicros, instant, seconds } from '@joulebook/shared/units.js';
import { readBook } from '../book/book.js';
import { createMetrics, type Metrics } from '../ingest/metrics.js';
import { openDuckdb } from '../store/duckdb.js';
import { at, batchOf, tokensFact } from '../store/sample-facts.js';
import type { NodeSeen, Store } from '../store/store.js';
import { startAlerts, type Alerts } from './alerts.js';
import type { Incident } from './incident.js';
import { send } from './sink.js';
import { receiver, type Receiver } from './sinks.testing.js';
import { Teller } from './teller.js';

const ORIGIN = at(0) / 1e6;
let folder: string;
let store: Store;
let now: number;
let sink: Receiver;
let lastSeen: number;
const closing: (() => Promise<unknown>)[] = [];
let lines: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'alerts-'));
  store = await openDuckdb(':memory:');
  sink = await receiver();
  [now, lastSeen, lines] = [600, 0, []];
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await sink.close();
  await store.close();
  await rm(folder, { recursive: true });
});

const QUIET = 'alerts: [{ name: quiet, kind: silent, after: 5m }]\n';
const webhook = (more = ''): string => `${QUIET}sinks: [{ name: pager, kind: webhook, url: "${sink.url}/hook"${more} }]\n`;
const HOST: NodeSeen['host'] = { hostname: 'gpu-01', os: '', kernel: '', cpu: { model: '', sockets: 1, cores: 1 }, memoryBytes: 1, gpus: [], agentVersion: '1' };

async function started(book: string, metrics: Metrics = createMetrics()): Promise<Alerts> {
  await writeFile(join(folder, 'book.yaml'), book);
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const seen: Store = { ...store, sum: (query) => store.sum(query), nodes: () => Promise.resolve([{ node: 'gpu-01', lastSeen: epochMicros((ORIGIN + lastSeen) * 1e6), batches: 1, slices: 1, host: HOST }]) };
  const alerts = await startAlerts({ store: seen, book: await readBook(join(folder, 'book.yaml')), settings: { alertSchedule: '0 0 29 2 *' }, folder: join(folder, 'state'), metrics, log, clock: { wall: () => instant(ORIGIN + now), monotonic: () => seconds(now) }, firstWait: 0.01 });
  closing.push(() => alerts.stop());
  return alerts;
}
/** A minute in which the agent is silent, or not; without waiting for sinks. */
async function pass(alerts: Alerts, silent: boolean): Promise<void> {
  lastSeen = silent ? now - 600 : now;
  await alerts.tick();
  now += 60;
}
async function minute(alerts: Alerts, silent: boolean): Promise<void> {
  await pass(alerts, silent);
  await alerts.settled();
}

const hook = z.object({ version: z.literal(1), alerts: z.array(z.looseObject({ status: z.string(), alert: z.string(), labels: z.record(z.string(), z.string()), startsAt: z.string(), endsAt: z.string().nullable(), summary: z.string() })) });
const toldTo = ({ taken }: Receiver): string[] => taken.flatMap(({ body }) => hook.parse(JSON.parse(body)).alerts.map(({ status, alert, labels }) => `${status} ${alert} ${labels['node'] ?? ''}`));

describe('a webhook', () => {
  it('is told once when an alert fires and once when it is resolved', async () => {
    const alerts = await started(webhook());
    for (const silent of [false, true, true, true, false, false]) await minute(alerts, silent);
    expect(toldTo(sink)).toEqual(['firing quiet gpu-01', 'resolved quiet gpu-01']);
    const [first] = hook.parse(JSON.parse(sink.taken[0]?.body ?? '')).alerts;
    expect(first).toMatchObject({ endsAt: null, startsAt: '2026-01-01T00:11:00.000Z', summary: 'gpu-01 sent its last batch at 2026-01-01T00:01:00.000Z, 10 min ago. Is its agent running, and can it reach the collector?' });
    expect(alerts.shown().alerts).toEqual([]);
  });

  it('is told what a restart came between, and nothing twice', async () => {
    let alerts = await started(webhook());
    await minute(alerts, true);
    await alerts.stop();
    alerts = await started(webhook());
    expect(alerts.shown().alerts).toMatchObject([{ status: 'firing', startsAt: '2026-01-01T00:10:00.000Z' }]);
    await minute(alerts, true);
    await alerts.stop();
    alerts = await started(webhook());
    await minute(alerts, false);
    await alerts.stop();
    alerts = await started(webhook());
    await minute(alerts, false);
    expect(toldTo(sink)).toEqual(['firing quiet gpu-01', 'resolved quiet gpu-01']);
  });

  it('is asked again where it failed, hung up or sent elsewhere', async () => {
    sink.answer(500, 0, 302, 429);
    const alerts = await started(webhook());
    await minute(alerts, true);
    await sink.has(1);
    await minute(alerts, false);
    expect(toldTo(sink)).toEqual(['firing quiet gpu-01', 'resolved quiet gpu-01']);
    expect(sink.all.map(({ path }) => path)).toEqual(Array.from({ length: 6 }, () => '/hook'));
    expect(new Set(sink.all.slice(0, 5).map(({ headers }) => headers['idempotency-key'])).size).toBe(1);
    // Once when it begins, once when it is over.
    expect(lines.filter((line) => line.includes('could not be told'))).toHaveLength(1);
    expect(lines.filter((line) => line.includes('told again"'))).toHaveLength(1);
  });

  it('that is away from firing to resolve is told of it as resolved', async () => {
    const url = join(folder, 'pager.url');
    const book = `${QUIET}sinks: [{ name: pager, kind: webhook, urlFile: pager.url }]\n`;
    let alerts = await started(book);
    await writeFile(url, 'http://127.0.0.1:1/secret-path');
    for (const silent of [true, false]) await pass(alerts, silent);
    expect(alerts.shown().sinks).toMatchObject([{ name: 'pager', waiting: 1 }]);
    await alerts.stop();
    await writeFile(url, `${sink.url}/secret-path\n`);
    alerts = await started(book);
    await alerts.tick();
    await alerts.settled();
    expect(toldTo(sink)).toEqual(['resolved quiet gpu-01']);
    expect(lines.join('')).toContain('could not be told');
    expect(lines.join('')).not.toContain('secret-path');
  });

  it('gets the token of its file, which is in no log', async () => {
    await writeFile(join(folder, 'token'), 's3cret\n');
    const alerts = await started(webhook(', tokenFile: token'));
    await minute(alerts, true);
    expect(sink.taken[0]).toMatchObject({ path: '/hook', headers: { authorization: 'Bearer s3cret' } });
    expect(lines.join('')).not.toContain('s3cret');
    await rm(join(folder, 'token'));
    await pass(alerts, false);
    await writeFile(join(folder, 'token'), 'another\n');
    await sink.has(2);
    await alerts.settled();
    expect(sink.taken[1]?.headers.authorization).toBe('Bearer another');
  });

  it('that names a time to come back at is not asked before', async () => {
    const busy = await receiver({ 'retry-after': '1' });
    closing.push(() => busy.close());
    busy.answer(429);
    const alerts = await started(`${QUIET}sinks: [{ name: pager, kind: webhook, url: "${busy.url}" }]\n`);
    const begun = performance.now();
    await minute(alerts, true);
    expect(busy.all).toHaveLength(2);
    expect(performance.now() - begun).toBeGreaterThan(950);
  });
});

const posted = z.array(z.object({ labels: z.record(z.string(), z.string()), annotations: z.record(z.string(), z.string()), startsAt: z.string(), endsAt: z.string() }));

describe('an Alertmanager', () => {
  it('is told every minute that an alert still fires, and once that it is resolved', async () => {
    const alerts = await started(`${QUIET}sinks: [{ name: am, kind: alertmanager, url: "${sink.url}/prefix" }]\n`);
    for (const silent of [true, true, false, false]) await minute(alerts, silent);
    const posts = sink.taken.map(({ path, body }) => ({ path, alerts: posted.parse(JSON.parse(body)) }));
    expect(posts.map(({ path }) => path)).toEqual(Array.from({ length: 3 }, () => '/prefix/api/v2/alerts'));
    expect(posts.map(({ alerts: [one] }) => [one?.startsAt, one?.endsAt])).toEqual([
      ['2026-01-01T00:10:00.000Z', '2026-01-01T00:15:00.000Z'], ['2026-01-01T00:10:00.000Z', '2026-01-01T00:16:00.000Z'], ['2026-01-01T00:10:00.000Z', '2026-01-01T00:12:00.000Z'],
    ]);
    expect(posts[0]?.alerts[0]?.labels).toMatchObject({ alertname: 'quiet', severity: 'warning', node: 'gpu-01', fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/) as unknown });
  });
});

const statusesIn = async (path: string): Promise<string[]> => (await readFile(path, 'utf8')).trim().split('\n').map((line) => z.looseObject({ status: z.string() }).parse(JSON.parse(line)).status);

describe('a file', () => {
  it('gets a line for each, beside a webhook that does not answer', async () => {
    const book = `${QUIET}sinks:\n  - { name: log, kind: file, file: alerts.jsonl }\n  - { name: pager, kind: webhook, url: "http://127.0.0.1:1/" }\n`;
    const alerts = await started(book);
    for (const silent of [true, false]) {
      await pass(alerts, silent);
      await expect.poll(() => alerts.shown().sinks.find(({ name }) => name === 'log')?.waiting).toBe(0);
    }
    expect(await statusesIn(join(folder, 'alerts.jsonl'))).toEqual(['firing', 'resolved']);
  });

  it('that is a pipe is refused, whether somebody reads it or not', async () => {
    const file = join(folder, 'pipe');
    await promisify(execFile)('mkfifo', [file]);
    const told = (): Promise<void> => send({ name: 'log', kind: 'file', file }, [], 0, new AbortController().signal);
    await expect(told()).rejects.toThrow(`${file} is no plain file`);
    const reader = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    await expect(told()).rejects.toThrow(`${file} is no plain file`);
    await reader.close();
  });
});

it('a sink that hangs is counted and keeps nobody from stopping', async () => {
  const urlFile = join(folder, 'pipe');
  await promisify(execFile)('mkfifo', [urlFile]);
  const firing: Incident = { rule: 'quiet', kind: 'silent', severity: 'info', fingerprint: '0', labels: {}, status: 'firing', since: 0, startsAt: 0, overSince: null, endsAt: null, knownAt: 0, value: null, summary: '' };
  const noted: unknown[] = [];
  const log = { warn: (...said: unknown[]) => void noted.push(said), info: () => undefined };
  const teller = new Teller({ name: 'pager', kind: 'webhook', urlFile }, { notes: { incidents: () => [firing], told: () => ({}), note: () => Promise.reject(new Error('it was not told')) }, now: () => 0, log, firstWait: 0.01, limit: 0.01 });
  teller.tell();
  await expect.poll(() => teller.failures).toBeGreaterThan(1);
  await teller.stop();
  expect(noted).toMatchObject([[{ sink: 'pager', error: 'no answer within 0.01 s' }, expect.anything()]]);
  // Whoever reads it may end.
  await writeFile(urlFile, '');
});

it('resolves alerts whose rule a new book does not have, refuses a book whose rules can not be asked, and tells faults once', async () => {
  const alerts = await started(webhook());
  await minute(alerts, true);
  const other = { ...(await readBook(join(folder, 'book.yaml'))), alerts: [] };
  expect(() => alerts.prepare({ ...other, alerts: [{ name: 'x', kind: 'anomaly', severity: 'info', where: {}, by: ['phase'], for: 0, keepFiring: 0 }] }, {})).toThrow("alerts.x: energy per token can't be watched by 'phase'");
  await alerts.prepare(other, {})();
  await alerts.tick();
  await alerts.settled();
  expect(toldTo(sink)).toEqual(['firing quiet gpu-01', 'resolved quiet gpu-01']);
  await store.append(batchOf([tokensFact()]));
  const odd = await started('alerts: [{ name: hot, kind: figure, figure: joulesPerToken, above: 20, by: [nobody-has-this] }]\n');
  await odd.tick();
  now += 60;
  await odd.tick();
  expect(odd.shown().faults).toMatchObject([{ rule: 'hot', message: expect.stringContaining("no fact carries the label 'nobody-has-this'") as unknown }]);
  expect(lines.filter((line) => line.includes('can not be asked'))).toHaveLength(1);
});

it('goes on where its state can not be written, and does not begin where it can not be read', async () => {
  await writeFile(join(folder, 'state'), 'a file where a folder should be');
  await expect(started(webhook())).rejects.toThrow(/state of alerts in .*state\.json can't be read/);
  await rm(join(folder, 'state'));
  await mkdir(join(folder, 'state'));
  await writeFile(join(folder, 'state/state.json'), '{"version":1,"evalua');
  const alerts = await started(webhook());
  // What was damaged is there for whoever wants to look at it.
  expect(await readFile(join(folder, 'state/state.json.damaged-2026-01-01T00:10:00.000Z'), 'utf8')).toBe('{"version":1,"evalua');
  expect(lines.filter((line) => line.includes('"level":50') && line.includes('state.json.damaged-'))).toHaveLength(1);
  await minute(alerts, false);
  await rm(join(folder, 'state'), { recursive: true });
  await writeFile(join(folder, 'state'), 'a file where a folder should be');
  for (const silent of [true, true, false]) await minute(alerts, silent);
  expect(toldTo(sink)).toEqual(['firing quiet gpu-01', 'resolved quiet gpu-01']);
  expect(lines.filter((line) => line.includes('can not be written'))).toHaveLength(1);
});

it('tells of itself on /metrics', async () => {
  const metrics = createMetrics();
  await store.append(batchOf([tokensFact({ from: 400, count: 10 })]));
  const alerts = await started(`${webhook()}budgets: [{ name: tokens, of: outputTokens, amount: 100, per: day }]\n`, metrics);
  await minute(alerts, true);
  const { text } = await metrics.expose();
  expect(text).toMatch(/joulebook_alert_firing\{alert="quiet",severity="warning",group="node=gpu-01",fingerprint="[0-9a-f]{16}"\} 1\n/);
  expect(text).toContain('joulebook_alert_untold{sink="pager"} 0\n');
  expect(text).toContain('joulebook_budget_spent_share{budget="tokens",group=""} 0.1\n');
});
