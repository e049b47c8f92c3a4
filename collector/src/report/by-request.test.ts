import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeBatch, encodeBatch } from '@joulebook/shared/batch.js';
import type { RequestsSlice, Slice } from '@joulebook/shared/slice.js';
import { microjoules, seconds } from '@joulebook/shared/units.js';
import { report as reportShape, type Report, type Row } from '../join/report.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, flagFact, iso, requestsFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { buildReport } from './build.js';
import { FORMATS, render } from './render.js';
import { parseRequest } from './request.js';

let store: Store;
let sequence = 0;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
});
afterEach(() => store.close());

/** As they arrive: over the wire. */
const given = async (...slices: Slice[]): Promise<void> => {
  await store.append(decodeBatch(encodeBatch(batchOf(slices, { sequence: (sequence += 1) }))));
};
const asked = (options: Record<string, string | string[]> = {}): Promise<Report> =>
  buildReport(store, parseRequest(Object.fromEntries(Object.entries(options).map(([name, value]) => [name, [value].flat()])), {}, '--'), '--');
const codes = (of: { flags: readonly { code: string }[] }): string[] => of.flags.map(({ code }) => code);
const names = ({ rows }: Report): string[] => rows.map(({ group }) => Object.values(group).map((value) => value ?? '–').join(' '));
const joulesBy = (report: Report): Record<string, number | null> => Object.fromEntries(report.rows.map((row, index) => [names(report)[index] ?? '', row.joules]));
const micros = (joules: number | null): number => Math.round((joules ?? 0) * 1e6);
const rowFor = (report: Report, name: string): Row => {
  const found = report.rows[names(report).indexOf(name)];
  if (!found) throw new Error(`no row ${name} in ${names(report).join(', ')}`);
  return found;
};
function addsUp(report: Report): void {
  expect(report.rows.reduce((sum, { joules }) => sum + micros(joules), 0)).toBe(micros(report.total.joules));
}

interface Told extends Partial<Omit<RequestsSlice, 'kind' | 'from' | 'to'>> {
  readonly prefill?: number;
  readonly decode?: number;
  readonly from?: number;
}
const told = (request: string, { prefill, decode, ...said }: Told = {}): RequestsSlice =>
  requestsFact({
    request, inputTokens: 100, outputTokens: 10, ...said,
    ...(prefill !== undefined && { prefillMicrojoules: microjoules(Math.round(prefill * 1e6)) }),
    ...(decode !== undefined && { decodeMicrojoules: microjoules(Math.round(decode * 1e6)) }),
  });

/** 100 J: prefill 30 (20 + 6 told), decode 45 (30 + 14 told), active 4, idle 15, unknown 6. */
const measured = (): Slice[] => [
  energyFact({ phase: 'prefill', joules: 30, seconds: seconds(0.3) }), energyFact({ phase: 'decode', joules: 45, seconds: seconds(0.45) }), energyFact({ phase: 'active', joules: 4, seconds: seconds(0.04) }),
  energyFact({ phase: 'idle', joules: 15, seconds: seconds(0.15) }), energyFact({ phase: 'unknown', joules: 6, seconds: seconds(0.06) }),
];
const two = (): Slice[] => [
  told('r-10', { prefill: 20, decode: 30, inputTokens: 400, cachedInputTokens: 200, outputTokens: 60, inputBand: 9, concurrencyBand: 1 }),
  told('r-9', { prefill: 6, decode: 14, inputTokens: 150, outputTokens: 7, inputBand: 7, concurrencyBand: 0, outcome: 'aborted', from: 3 }),
];

describe('by request', () => {
  it('gives each what it drew, and what belongs to none rows of its own', async () => {
    await given(...measured(), ...two());
    const report = await asked({ by: 'request', price: '3.6' });
    expect(joulesBy(report)).toEqual({ 'r-9': 20, 'r-10': 50, '(other requests)': 5, '(active)': 4, '(idle)': 15, '(unknown)': 6 });
    addsUp(report);
    expect(rowFor(report, 'r-10')).toMatchObject({
      tokens: { input: 600, cachedInput: 200, output: 60, useful: 60 }, requests: { ok: 1, aborted: 0, failed: 0 }, joulesPerToken: 50 / 60, energyCost: 50e-6, uncertainty: null,
      joulesPerPromptToken: 20 / 400, joulesPerOutputToken: 0.5, joulesSavedByCache: 10, modelledJoules: null, seconds: null, watts: null, coverage: null, from: iso(0), to: iso(1), flags: [],
    });
    expect(rowFor(report, 'r-9')).toMatchObject({ requests: { ok: 0, aborted: 1, failed: 0 }, joulesSavedByCache: 0, from: iso(3) });
    expect(rowFor(report, '(other requests)')).toMatchObject({ tokens: { input: null, output: null }, requests: { ok: null }, joulesPerToken: null, joulesPerPromptToken: null, flags: [] });
    expect(rowFor(report, '(idle)')).toMatchObject({ seconds: 0.15, coverage: 1, flags: [] });
    expect(codes(report)).toEqual(['NO_TOKENS']);
  });

  it('gives a row to each phase of each where asked, prefill over computed input', async () => {
    await given(...measured(), ...two());
    const report = await asked({ by: 'request,phase' });
    expect(names(report)).toEqual(['r-9 prefill', 'r-9 decode', 'r-10 prefill', 'r-10 decode', '(other requests) prefill', '(other requests) decode', '(active) active', '(idle) idle', '(unknown) unknown']);
    expect(report.rows.map(({ joules }) => joules)).toEqual([6, 14, 20, 30, 4, 1, 4, 15, 6]);
    addsUp(report);
    expect(rowFor(report, 'r-10 prefill')).toMatchObject({ joulesPerToken: 0.05, joulesPerPromptToken: 0.05, joulesPerOutputToken: null, joulesSavedByCache: 10 });
    expect(rowFor(report, 'r-10 decode')).toMatchObject({ joulesPerToken: 0.5, joulesPerPromptToken: null, joulesPerOutputToken: 0.5, joulesSavedByCache: null });
  });

  it('keeps to the phases that are asked for', async () => {
    await given(...measured(), ...two());
    expect(joulesBy(await asked({ by: 'request', where: 'phase=prefill' }))).toEqual({ 'r-9': 6, 'r-10': 20, '(other requests)': 4 });
    expect(joulesBy(await asked({ by: 'request', where: ['phase=idle', 'phase=unknown'] }))).toEqual({ '(idle)': 15, '(unknown)': 6 });
  });

  it('has no row for others where nothing is left, and leaves idle out of ratios on basis serving', async () => {
    await given(energyFact({ joules: 30 }), energyFact({ phase: 'idle', joules: 5 }), told('a', { decode: 30 }));
    const report = await asked({ by: 'request', basis: 'serving' });
    expect(joulesBy(report)).toEqual({ a: 30, '(idle)': 5 });
    expect(codes(rowFor(report, '(idle)'))).toEqual(['NO_SERVING_ENERGY']);
  });

  it('shows a rest below zero as it is and says so, so that the rows add up', async () => {
    await given(energyFact({ phase: 'prefill', joules: 10 }), energyFact({ joules: 10 }), told('a', { prefill: 12.5, decode: 4 }));
    const report = await asked({ by: 'request,phase' });
    expect(joulesBy(report)).toEqual({ 'a prefill': 12.5, 'a decode': 4, '(other requests) prefill': -2.5, '(other requests) decode': 6 });
    addsUp(report);
    expect(rowFor(report, '(other requests) prefill').flags).toEqual([{ code: 'MORE_THAN_MEASURED', detail: expect.stringContaining('2.500 J more in prefill') as unknown }]);
    const whole = await asked({ by: 'request' });
    expect([rowFor(whole, '(other requests)').joules, codes(rowFor(whole, '(other requests)'))]).toEqual([3.5, ['MORE_THAN_MEASURED']]);
    addsUp(whole);
  });

  it('leaves requests that do not tell their energy in the rest, and their tokens out of ratios', async () => {
    await given(energyFact({ joules: 30 }), told('a', { decode: 20, inputBand: 3 }), told('b', { inputBand: 3, outputTokens: 1000 }), told('c'));
    const bands = await asked({ by: 'inputBand' });
    expect(rowFor(bands, '8–15')).toMatchObject({ joules: 20, joulesPerToken: 2, joulesPerOutputToken: 2, tokens: { output: 1010 }, requests: { ok: 2 }, flags: [{ code: 'REQUESTS_WITHOUT_ENERGY', detail: expect.stringMatching(/^1 of 2 /) as unknown }] });
    expect(rowFor(bands, '–')).toMatchObject({ joules: null, joulesPerToken: null, tokens: { output: 10 }, flags: [{ code: 'REQUESTS_WITHOUT_ENERGY' }] });
    expect(rowFor(bands, '(other requests)').joules).toBe(10);
    addsUp(bands);
  });

  it('takes 0 J of a request that drew nothing for 0 J', async () => {
    await given(energyFact(), told('a', { prefill: 0, decode: 0, outputTokens: 0, outcome: 'rejected' }));
    expect(rowFor(await asked({ by: 'request' }), 'a')).toMatchObject({ joules: 0, joulesPerToken: null, requests: { rejected: 1 }, flags: [] });
  });

  it('knows cached tokens only where facts tell them', async () => {
    await given(...measured(), told('a', { prefill: 5 }), tokensFact({ token: 'input' }));
    const prefill = rowFor(await asked({ by: 'request,phase' }), 'a prefill');
    expect(prefill).toMatchObject({ tokens: { input: 100, cachedInput: null }, joulesSavedByCache: null, flags: [{ code: 'CACHED_UNKNOWN' }] });
    await given(tokensFact({ token: 'cachedInput', count: 0 }));
    expect(rowFor(await asked({ by: 'request,phase' }), 'a prefill')).toMatchObject({ tokens: { cachedInput: 0 }, joulesSavedByCache: 0, flags: [] });
  });

  it('says of a store without single requests that only recordings tell them', async () => {
    await given(...measured(), requestsFact({ requests: 3, inputBand: 4 }));
    const report = await asked({ by: 'request' });
    expect(report.flags.find(({ code }) => code === 'NO_SINGLE_REQUESTS')?.detail).toContain('only recordings');
    addsUp(report);
    expect(codes(await asked({ by: 'concurrencyBand' }))).toContain('NO_CONCURRENCYBAND');
    expect(codes(await asked({ by: 'inputBand' }))).not.toContain('NO_INPUTBAND');
  });
});

it.each(['request', 'inputBand'])('by %s of requests that only tell what ran: which source counts, and how to change that', async (by) => {
  await given(...measured(), flagFact({ code: 'REQUESTS_NOT_COUNTED', detail: "requests.jsonl (requests) tells requests, but vllm.log (vllm-log) counts for deployment chat; say 'tokens: count'" }));
  const { flags } = await asked({ by });
  expect(flags.find(({ code }) => code === 'NO_REQUESTS')?.detail).toMatch(/^No request is counted here: .*vllm\.log \(vllm-log\) counts.*tokens: count/);
  expect(flags.map(({ code }) => code)).not.toContain('NO_SINGLE_REQUESTS');
  expect(flags.map(({ code }) => code)).not.toContain('NO_INPUTBAND');
  await given(requestsFact({ requests: 3 }));
  const counted = await asked({ by });
  expect(counted.flags.find(({ code }) => code === 'NO_SINGLE_REQUESTS')?.detail).toMatch(/vllm\.log \(vllm-log\) counts.*tokens: count/);
});

describe('by band', () => {
  it('reads as the counts that are in it, in their order', async () => {
    await given(energyFact({ joules: 60 }), ...[0, 1, 9, 10].map((band, index) => told(`r${index}`, { decode: 10, inputBand: band, concurrencyBand: index })));
    expect(names(await asked({ by: 'inputBand' }))).toEqual(['0–1', '2–3', '512–1023', '1024–2047', '(other requests)']);
    expect(names(await asked({ by: 'concurrencyBand' }))).toEqual(['1', '2–3', '4–7', '8–15', '(other requests)']);
  });

  it('goes with other keys: what belongs to no request has those of energy, and no outcome', async () => {
    await given(
      ...measured(), ...two(), energyFact({ deployment: 'code', joules: 9 }), energyFact({ deployment: 'code', phase: 'idle', joules: 2 }),
      told('x', { deployment: 'code', decode: 8, inputBand: 7, tenant: 't' }),
    );
    const report = await asked({ by: 'deployment,inputBand' });
    expect(joulesBy(report)).toEqual({
      'chat 128–255': 20, 'chat 512–1023': 50, 'chat (other requests)': 5, 'chat (active)': 4, 'chat (idle)': 15, 'chat (unknown)': 6, 'code 128–255': 8, 'code (other requests)': 1, 'code (idle)': 2,
    });
    addsUp(report);
    const combined = await asked({ by: 'outcome,tenant,node,concurrencyBand,inputBand,model' });
    addsUp(combined);
    expect(names(combined)).toContain('ok t node-1 – 128–255 llama');
    expect(names(combined)).toContain('– – node-1 (idle) (idle) llama');
  });

  it('has the prefill and the decode of each band, over the sum of its requests', async () => {
    await given(...measured(), told('a', { prefill: 4, decode: 5, inputBand: 6 }), told('b', { prefill: 6, decode: 10, inputBand: 6 }));
    const report = await asked({ by: 'inputBand,phase' });
    expect(rowFor(report, '64–127 prefill')).toMatchObject({ joules: 10, joulesPerToken: 0.05, requests: { ok: 2 }, tokens: { input: 200, output: 20 } });
    expect(rowFor(report, '64–127 decode')).toMatchObject({ joules: 15, joulesPerToken: 0.75 });
    addsUp(report);
  });

  it('of a filter is those requests alone, and says so', async () => {
    await given(...measured(), ...two());
    const report = await asked({ where: 'inputBand=512–1023' });
    expect(report.rows).toMatchObject([{ group: {}, joules: 50, tokens: { output: 60 } }]);
    expect(codes(report)).toEqual(['REQUESTS_ALONE']);
    expect(joulesBy(await asked({ where: 'request=r-9', by: 'inputBand' }))).toEqual({ '128–255': 20 });
    const none = await asked({ where: 'request=nobody' });
    expect(none.rows).toMatchObject([{ joules: null, tokens: { input: null, output: null }, requests: { ok: null } }]);
    expect(codes(none)).toContain('NO_REQUESTS');
  });

  it('carries flags of the facts where they fit', async () => {
    await given(...measured(), ...two(), flagFact({ deployment: 'chat' }), flagFact({ deployment: 'code', code: 'ELSEWHERE' }));
    expect(codes(rowFor(await asked({ by: 'deployment,inputBand' }), 'chat 512–1023'))).toEqual(['GAP']);
    const single = await asked({ by: 'request' });
    expect([codes(rowFor(single, 'r-9')), codes(single)]).toEqual([[], expect.arrayContaining(['GAP', 'ELSEWHERE'])]);
  });

  it('adds up over steps, though a request stands where it ended', async () => {
    await given(...measured(), energyFact({ from: 60, joules: 10 }), told('a', { decode: 50, from: 60, inputBand: 2 }));
    const report = await asked({ by: 'inputBand', step: '1m' });
    addsUp(report);
    expect(report.rows.map(({ from, joules }) => [from, joules])).toEqual([[iso(0), 75], [iso(0), 4], [iso(0), 15], [iso(0), 6], [iso(60), 50], [iso(60), -40]]);
  });
});

describe('at another boundary', () => {
  it('has no energy of requests, and says so', async () => {
    await given(...measured(), ...two(), energyFact({ boundary: 'server', device: 'bmc', joules: 300 }));
    const report = await asked({ by: 'request', boundary: 'server' });
    expect(report.rows).toMatchObject([{ joules: null, joulesPerPromptToken: null, tokens: { output: 7 } }, { joules: null, tokens: { output: 60 } }]);
    expect(report.flags).toContainEqual({ code: 'REQUEST_ENERGY_AT_GPU_ONLY', detail: 'What a request drew is told at boundary gpu only: at server the energy columns are empty.' });
    expect(report.total.joules).toBe(300);
  });

  it('where gpu was not measured, says that too', async () => {
    await given(...two());
    expect((await asked({ by: 'request' })).flags.find(({ code }) => code === 'REQUEST_ENERGY_AT_GPU_ONLY')?.detail).toContain('none was measured');
  });
});

it('is shown in every format, and read back from json', async () => {
  await given(...measured(), ...two());
  const report = await asked({ by: 'inputBand' });
  expect(reportShape.parse(JSON.parse(render(report, 'json')))).toEqual(report);
  for (const format of ['table', 'markdown', 'html'] as const) {
    const text = render(report, format);
    for (const part of ['512–1023', '(idle)', 'J/prompt tok', 'J/output tok', 'J saved by cache']) expect(text).toContain(part);
  }
  const [head = '', ...lines] = render(report, 'csv').split('\n');
  const line = lines.find((each) => each.startsWith('512–1023'))?.split(',') ?? [];
  expect(['joulesPerPromptToken', 'joulesPerOutputToken', 'joulesSavedByCache'].map((name) => line[head.split(',').indexOf(name)])).toEqual(['0.05', '0.5', '10']);
  expect(render(await asked({ by: 'phase' }), 'table')).not.toContain('J/prompt tok');
});

it('tells 1,000 requests without taking long over any', { timeout: 10_000 }, async () => {
  const requests = Array.from({ length: 1_000 }, (_, index) => told(`request-${index}`, { prefill: 0.001, decode: 0.0035, from: index % 500, inputBand: index % 12 }));
  await given(...Array.from({ length: 500 }, (_, from) => [energyFact({ from, phase: 'prefill', joules: 1 }), energyFact({ from, joules: 2 })]).flat(), ...requests, ...Array.from({ length: 100 }, (_, from) => flagFact({ from, detail: `gap ${from}` })));
  const report = await asked({ by: 'request' });
  expect([report.rows.length, report.rows[1]?.group, report.rows.at(-1)]).toMatchObject([1_001, { request: 'request-1' }, { joules: 1500 - 4.5 }]);
  addsUp(report);
  for (const format of FORMATS) expect(render(report, format).length).toBeGreaterThan(20_000);
});
