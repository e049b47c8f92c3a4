import { afterAll, beforeAll, expect, it } from 'vitest';
import { seconds } from '@joulebook/shared/units.js';
import { report as reportShape, type Report } from '../join/report.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, flagFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { buildReport } from './build.js';
import { figure, percent } from './columns.js';
import { render } from './render.js';
import { parseRequest } from './request.js';

const EVIL = `<script>alert("x")</script>|=1+1\u001b[31m`;
let store: Store;
let report: Report;
beforeAll(async () => {
  store = await openDuckdb(':memory:');
  await store.append(batchOf([
    energyFact({ joules: 1000 }), tokensFact({ count: 3000 }), energyFact({ deployment: EVIL }), tokensFact({ deployment: EVIL }), energyFact({ deployment: '=cmd()' }),
    flagFact({ detail: `torn ${EVIL}`, count: 3 }), energyFact({ from: 5, labels: { demonstration: 'true' } }),
  ]));
  report = await buildReport(store, parseRequest({ by: ['deployment'], price: ['0.17'] }, {}, '--'), '--');
});
afterAll(() => store.close());

it('writes json that reads back as the same report', () => {
  expect(reportShape.parse(JSON.parse(render(report, 'json')))).toEqual(report);
});

it('writes a table that says boundary, range, coverage and basis, and no control characters', () => {
  const table = render(report, 'table');
  expect(table).toMatch(/^boundary gpu · 2026-01-01T00:00:00.000Z – 2026-01-01T00:00:06.000Z · coverage 100.0 % · basis all · PUE 1\n/);
  expect(table).toContain('tok/kWh');
  expect(table).toContain('(3×)');
  expect(table).not.toContain('\u001b');
});

it('writes csv with every number unrounded, nothing where not measured, and no formulas', () => {
  const [head = '', ...lines] = render(report, 'csv').trimEnd().split('\n');
  expect(head.startsWith('deployment,from,to,joules,')).toBe(true);
  const silent = lines.find((line) => line.includes('cmd()'));
  expect(silent?.startsWith(`'=cmd(),`)).toBe(true);
  expect(silent).toContain(',,,,');
});

it('escapes everything in html', () => {
  const text = render(report, 'html');
  expect(text).toContain('&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;');
  expect(text).not.toContain('<script');
  expect(text).toContain('Demonstration data — not measured on this machine');
  expect(text).toMatch(/^<!doctype html>\n<html lang="en">/);
});

it('says above all that the figures are simulated, where they are', async () => {
  const simulated = await reportOf([energyFact({ labels: { simulated: 'true', demonstration: 'true' } })], {});
  expect(render(simulated, 'html')).toContain('<p class="demonstration" role="note">Simulated data — made up by a model, measured nowhere</p>');
  expect(render(simulated, 'table')).toContain('SIMULATED: Simulated data: made up by a model, measured nowhere.');
});

it('escapes markdown and the html in it', () => {
  const text = render(report, 'markdown');
  expect(text).toContain(String.raw`\<script\>`);
  expect(text).toContain(String.raw`\|=1+1`);
});

const reportOf = async (slices: Parameters<typeof batchOf>[0], said: Parameters<typeof parseRequest>[0]): Promise<Report> => {
  const own = await openDuckdb(':memory:');
  await own.append(batchOf(slices));
  try {
    return await buildReport(own, parseRequest(said, {}, '--'), '--');
  } finally {
    await own.close();
  }
};

it('tells reservations of single rows that the whole does not carry, once each', async () => {
  const prefill = await reportOf([energyFact({ phase: 'prefill' }), energyFact(), tokensFact({ token: 'input' }), tokensFact(), flagFact()], { by: ['phase'] });
  for (const format of ['table', 'markdown', 'html'] as const) {
    const text = render(prefill, format).replaceAll('\\', '');
    expect(text.split('phase=prefill: CACHED_UNKNOWN: How many').length).toBe(2);
    expect(text.split('GAP: no readings').length).toBe(2);
    expect(text).not.toContain('phase=decode:');
  }
});

it('tells a few of very many', async () => {
  const text = render(await reportOf(Array.from({ length: 25 }, (_, from) => [energyFact({ from, seconds: seconds(0.1), askedSeconds: seconds(from === 0 ? 1 : 0.5) }), tokensFact({ from })]).flat(), { by: ['deployment'], step: ['1s'] }), 'table');
  expect(text.split('\n').filter((line) => line.includes('Z deployment='))).toHaveLength(20);
  expect(text).toContain('… and 5 more reservations of single rows; --format json has them all.');
});

it('keeps labels that are called like columns, or like nothing an object should have, apart from the columns', async () => {
  const labels = { joules: 'a', 'group.joules': 'b', constructor: 'c' };
  const [head, line] = render(await reportOf([energyFact({ labels })], { by: ['joules,group.joules,constructor'] }), 'csv').split('\n');
  expect(head?.split(',').slice(0, 6)).toEqual(['group.group.joules', 'group.joules', 'constructor', 'from', 'to', 'joules']);
  expect(line?.split(',')).toMatchObject({ 0: 'a', 1: 'b', 2: 'c', 5: '100' });
  const odd = { ...report, rows: [{ ...report.total, group: Object.fromEntries([['__proto__', 'x']]) }] };
  expect(render(odd, 'csv')).toMatch(/^__proto__,from,.*\nx,2026/);
});

it('lays out very many rows as one table', async () => {
  const many = await reportOf(Array.from({ length: 120 }, (_, from) => [energyFact({ from, deployment: from === 119 ? 'a-long-name' : `d${from}`, joules: from === 0 ? 1e6 : 1 }), tokensFact({ from, deployment: `d${from}` })]).flat(), { by: ['deployment'] });
  const lines = render(many, 'table').split('\n').slice(1);
  const table = lines.slice(0, lines.findIndex((line) => line.startsWith('└')) + 1);
  expect(table).toHaveLength(many.rows.length + 4);
  expect(new Set(table.map((line) => line.length)).size).toBe(1);
  expect(table.filter((line) => /^[┌├└]/.test(line)).map((line) => line[0])).toEqual(['┌', '├', '└']);
  expect(table.slice(3, -1).map((line) => line.split('│')[1]?.trim())).toEqual(many.rows.map(({ group }) => group['deployment']));
});

it('shows four digits, and – for what was not measured', () => {
  expect([figure(null), figure(0), figure(10_800_000), figure(0.333333), figure(1.574074e-8)]).toEqual(['–', '0', '10,800,000', '0.3333', '1.574e-8']);
  expect([percent(null), percent(0.99996), percent(1)]).toEqual(['–', '99.9 %', '100.0 %']);
});
