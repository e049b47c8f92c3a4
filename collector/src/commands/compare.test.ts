import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeBatch } from '@joulebook/shared/batch.js';
import { comparison } from '../compare/answer.js';
import { stretchesOf, type Stretches } from '../compare/facts.testing.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf } from '../store/sample-facts.js';
import { said, serve, type Serving } from './program.testing.js';

const COUNT = 60;
const fp16: Stretches = { labels: { quantization: 'fp16' }, count: COUNT, joulesPerToken: 2 };
const int8: Stretches = { labels: { quantization: 'int8' }, count: COUNT, from: COUNT * 60, joulesPerToken: 3, seed: 2 };
const batches = [batchOf(stretchesOf(fp16)), batchOf(stretchesOf(int8), { sequence: 1 })];
const ndjson = batches.map((batch) => `${encodeBatch(batch)}\n`).join('');
const SIDES = ['--a', 'quantization=fp16', '--b', 'quantization=int8'];

let folder: string;
let serving: Serving;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-compare-'));
  const store = await openDuckdb(join(folder, 'store.duckdb'));
  for (const batch of batches) await store.append(batch);
  await store.close();
  serving = await serve(['--store', ':memory:']);
  for (const batch of batches) await fetch(`${serving.address}/v1/batches`, { method: 'POST', body: encodeBatch(batch), headers: { 'content-type': 'application/json' } });
});
afterAll(async () => {
  await serving.stop();
  await rm(folder, { recursive: true });
});

const jsonOf = (text: string) => comparison.parse(JSON.parse(text));

it('says the same of a pipe, a file, a store and a collector', async () => {
  const file = join(folder, 'batches.ndjson');
  await writeFile(file, ndjson);
  const piped = await said(['compare', ...SIDES, '--input', '-', '--format', 'json'], { stdin: ndjson });
  expect([piped.code, piped.err]).toEqual([0, '']);
  const answer = jsonOf(piped.out);
  expect(answer).toMatchObject({ metric: 'joulesPerToken', verdict: 'a-better', a: { blocks: COUNT }, b: { blocks: COUNT } });
  for (const place of [['--input', file], ['--store', join(folder, 'store.duckdb')], ['--collector', serving.address]]) expect(jsonOf((await said(['compare', ...SIDES, ...place, '--format', 'json'])).out)).toEqual(answer);
});

const ran = (sides: readonly string[], format: string, ...more: string[]) => said(['compare', ...sides, '--input', '-', '--format', format, ...more], { stdin: ndjson });
const MORE = ['--where', 'deployment=chat', '--sequential', '--adjust', 'none', '--price', '0.17'];

describe('formats and how it ends: with 3 where B is worse and that is asked to be a fault, else with 0', () => {
  it('table: the answer in words, and every measure', async () => {
    const { code, out } = await ran(SIDES, 'table', ...MORE, '--fail-on-regression');
    expect(code).toBe(3);
    expect(out).toMatch(/^B \(quantization=int8\) has [\d.]+ % more energy per output token than A \(quantization=fp16\).*however often one looks.* A is better\.\n/);
    expect(out).toMatch(/│ energy per request +│ J\/request │/);
    expect(out).toMatch(/A month of A's traffic of [\d.]+ output tokens\/s is [\d,.]+ kWh and [\d,.]+ USD; by B it would be [\d,.]+ kWh more/);
  });

  it('markdown: the verdict first; of several measures, that it holds for all of them', async () => {
    const { code, out } = await ran(SIDES, 'markdown', ...MORE, '--metric', 'joulesPerToken,watts', '--metric', 'energyCostPerToken');
    expect(code).toBe(0);
    expect(out).toMatch(/^\*\*A is better\.\*\* B \(quantization=int8\)/);
    for (const name of ['| energy per output token | J/token |', '| mean power | W |', '| energy cost per output token | USD/token |']) expect(out).toContain(name);
    expect(out).toContain('Verdicts hold for the 3 measures that were asked for together');
  });

  it('svg: the picture alone', async () => {
    const { code, out } = await ran(['--a', 'quantization=int8', '--b', 'quantization=fp16'], 'svg', '--fail-on-regression');
    expect([code, out]).toEqual([0, expect.stringMatching(/^<svg [^]*<\/svg>\n$/)]);
  });

  it('html: a page around it, also where there is no answer', async () => {
    const { code, out } = await ran(['--a', 'quantization=fp16', '--b', 'quantization=int9'], 'html', '--fail-on-regression');
    expect([code, out]).toEqual([0, expect.stringMatching(/^<!doctype html>[^]*<h1>Joulebook comparison<\/h1>[^]*<svg [^]*<\/svg>[^]*<\/html>\n$/)]);
  });
});

it('ends with 2 and every fault at once', async () => {
  const { code, out, err } = await said(['compare', '--a', 'x', '--metric', 'joules', '--format', 'csv', '--input', '-', '--store', 'y', '--price', 'free']);
  expect([code, out]).toEqual([2, '']);
  for (const fault of ['--price: ', "--a: 'x' is not key=value", '--b: say what side B is', "--metric: 'joules' is no", '--input and --store: say one place', "--format: 'csv' is no format; write one of table, json, html, svg, markdown"]) expect(err).toContain(`joulebook: ${fault}`);
  expect(await said(['compare', ...SIDES, '--collector', serving.address, '--step', '0'])).toMatchObject({ code: 2, err: expect.stringContaining("--step: '0' is not") as unknown });
  expect(await said(['compare', ...SIDES, '--input', '-'])).toMatchObject({ code: 1, err: expect.stringContaining('There are no facts in stdin') as unknown });
});

const page = async (query: string): Promise<Response> => fetch(`${serving.address}/compare${query}`);

describe('the page', () => {
  it('asks what to compare', async () => {
    const text = await (await page('')).text();
    expect(text).toContain('Say what differs between A and B');
    expect(text).toMatch(/<input name="a-from"[^]*<select name="metric" multiple[^]*joulesPerToken/);
  });

  it('answers with the picture, in a style that its policy allows, and keeps what was asked', async () => {
    const response = await page('?a=quantization%3Dfp16&b=quantization%3Dint8&where=&metric=joulesPerToken&per=');
    const nonce = /style-src 'nonce-([^']+)'/.exec(response.headers.get('content-security-policy') ?? '')?.[1] ?? 'none';
    const text = await response.text();
    expect(response.status).toBe(200);
    expect([...text.matchAll(/<style([^>]*)>/g)].map(([, attributes]) => attributes)).toEqual([` nonce="${nonce}"`, ` nonce="${nonce}"`]);
    expect(text).not.toMatch(/ style="/);
    expect(text).toMatch(/<input name="a" value="quantization=fp16"[^]*<strong>A is better<\/strong>[^]*<svg /);
  });

  it('tells faults in words, and escapes what was asked', async () => {
    const response = await page('?a=%3Cscript%3E&b=x%3D1');
    expect(response.status).toBe(400);
    const text = await response.text();
    expect(text).toContain('a: &#39;&lt;script&gt;&#39; is not key=value');
    expect(text).not.toContain('<script>');
    expect(await (await fetch(`${serving.address}/v1/compare?a=x%3D1`)).json()).toMatchObject({ error: 'USAGE', faults: ['b: say what side B is: key=value (a label, deployment, node …), or a time with b-from and b-to'] });
  });
});
