/** `joulebook alerts`, of a running collector, of a store that nobody holds, and of what one has noted. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fromEpochMicros, seconds } from '@joulebook/shared/units.js';
import { alertsShown, type AlertsShown } from '../alerts/shown.js';
import { runningCollector } from '../collector.testing.js';
import { openDuckdb } from '../store/duckdb.js';
import { at, batchOf, energyFact, iso, tokensFact } from '../store/sample-facts.js';
import { said as program, type Said } from './program.testing.js';

const BOOK = `
alerts: [{ name: hot, kind: figure, figure: joulesPerToken, above: 3, by: [deployment] }]
budgets: [{ name: tokens, of: outputTokens, amount: 1000, per: day }]
targets: [{ name: chat, figure: joulesPerToken, atMost: 4, where: { deployment: chat } }]
sinks: [{ name: log, kind: file, file: alerts.jsonl }]
`;
const FACTS = [energyFact({ from: 3660, joules: 500 }), tokensFact({ from: 3660, count: 100 })];
const LATER = 7200;

let folder: string;
let book: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-alerts-'));
  book = join(folder, 'book.yaml');
  await writeFile(book, BOOK);
});
afterAll(() => rm(folder, { recursive: true }));

const said = (...argv: string[]): Promise<Said> => program(['alerts', ...argv]);
const shown = ({ out }: Said): AlertsShown => alertsShown.parse(JSON.parse(out));
const firing = ({ alerts }: AlertsShown): string[] => alerts.map(({ status, alert, labels }) => `${status} ${alert} ${labels['deployment'] ?? ''}`);

it('lists what fires in a collector, which tells its sinks and notes it in its folder', async () => {
  let now = LATER - 60;
  const clock = { wall: () => fromEpochMicros(at(now)), monotonic: () => seconds(performance.now() / 1000) };
  const folderOf = join(folder, 'noted');
  const collector = await runningCollector({ book, alertFolder: folderOf, alertSchedule: '* * * * * *' }, clock);
  try {
    await collector.store.append(batchOf(FACTS));
    // Rules that were asked before are asked again a minute later.
    now = LATER;
    await expect.poll(async () => firing(shown(await said('--collector', collector.address, '--json'))), { timeout: 10_000 }).toContain('firing hot chat');
    const { code, out } = await said('--collector', collector.address);
    expect([code, out]).toEqual([0, expect.stringMatching(/2 firing\.[\s\S]*hot: Energy per token of deployment chat over 60 min: 5 J\/token; alert above 3\.[\s\S]*tokens [\s\S]*100 +│ 1,000 outputTokens │ 10\.0 %[\s\S]*chat[\s\S]*NO/)]);
    await expect.poll(async () => (await readFile(join(folder, 'alerts.jsonl'), 'utf8').catch(() => '')).trim().split('\n')).toHaveLength(2);
    // As of before there was anything.
    expect(shown(await said('--collector', collector.address, '--check', '--at', iso(3600), '--json')).alerts).toEqual([]);
    expect(await said('--collector', collector.address, '--check')).toMatchObject({ code: 3, out: expect.stringContaining('2 firing') as unknown });
    expect((await fetch(`${collector.address}/v1/alerts?at=noon&on=x`)).status).toBe(400);
  } finally {
    await collector.close();
  }
  expect(firing(shown(await said('--alert-folder', folderOf, '--json')))).toEqual(['firing chat ', 'firing hot chat']);
});

it('checks a store that nobody holds, and tells nobody', async () => {
  const path = join(folder, 'store.duckdb');
  const store = await openDuckdb(path);
  await store.append(batchOf(FACTS));
  await store.close();
  const before = await readFile(join(folder, 'alerts.jsonl'), 'utf8').catch(() => '');
  const checked = await said('--check', '--at', iso(LATER), '--store', path, '--book', book, '--json');
  expect([checked.code, checked.err, firing(shown(checked))]).toEqual([3, '', ['firing chat ', 'firing hot chat']]);
  expect(await said('--check', '--at', iso(LATER + 5 * 86_400), '--store', path, '--book', book)).toMatchObject({ code: 0, out: expect.stringContaining('nothing fires') as unknown });
  expect(await said('--store', path)).toMatchObject({ code: 0, out: expect.stringContaining('No rule has been asked yet.') as unknown });
  expect(await readFile(join(folder, 'alerts.jsonl'), 'utf8').catch(() => '')).toBe(before);
});

it('says what is wrong with the question', async () => {
  expect(await said('--at', 'noon', '--collector', 'x', '--book', book)).toMatchObject({ code: 2, err: expect.stringMatching(/--collector: not an address[\s\S]*--book: a collector has its own[\s\S]*--at: 'noon' is not a time[\s\S]*--at: goes with --check/) as unknown });
  expect(await said('--check', '--store', ':memory:')).toMatchObject({ code: 2, err: expect.stringContaining('has no budgets, targets or alerts') as unknown });
  expect(await said('--store', ':memory:')).toMatchObject({ code: 2, err: expect.stringContaining('alertFolder') as unknown });
});

it('keeps a collector from starting with rules that can not be asked', async () => {
  await writeFile(join(folder, 'odd.yaml'), 'alerts: [{ name: x, kind: anomaly, by: [tenant] }]');
  await expect(runningCollector({ book: join(folder, 'odd.yaml') })).rejects.toThrow("alerts.x: energy per token can't be watched by 'tenant'");
});
