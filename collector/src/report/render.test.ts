import { afterAll, beforeAll, expect, it } from 'vitest';
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

it('escapes markdown and the html in it', () => {
  const text = render(report, 'markdown');
  expect(text).toContain(String.raw`\<script\>`);
  expect(text).toContain(String.raw`\|=1+1`);
});

it('shows four digits, and – for what was not measured', () => {
  expect([figure(null), figure(0), figure(10_800_000), figure(0.333333), figure(1.574074e-8)]).toEqual(['–', '0', '10,800,000', '0.3333', '1.574e-8']);
  expect([percent(null), percent(0.99996), percent(1)]).toEqual(['–', '99.9 %', '100.0 %']);
});
