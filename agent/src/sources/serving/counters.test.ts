import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServingEvent, WindowEvidence } from '../source.js';
import { counters } from './counters.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'counters-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function read(file: string, columns: Record<string, unknown>): Promise<ServingEvent[]> {
  const events: ServingEvent[] = [];
  for await (const event of counters.open({ file: { file, label: 'engine.csv' }, tz: 'UTC', deployment: 'd' }, { columns }).events()) events.push(event);
  return events;
}
async function readText(content: string | Uint8Array, columns: Record<string, unknown>): Promise<ServingEvent[]> {
  const file = join(directory, 'engine.csv');
  await writeFile(file, content);
  return read(file, columns);
}
const windowsIn = (events: readonly ServingEvent[]): WindowEvidence[] => events.filter((event) => event.kind === 'window');
const total = (events: readonly ServingEvent[], kind: 'input' | 'cachedInput' | 'output'): number => windowsIn(events).reduce((sum, { tokens }) => sum + (tokens[kind] ?? 0), 0);
const flags = (events: readonly ServingEvent[]): string[] => events.flatMap((event) => (event.kind === 'flagged' ? [`${event.code} ${event.count} ${event.detail}`] : []));

const COLUMNS = { time: 't', outputTokens: ['out0', 'out1'], inputTokens: 'in', running: 'run', waiting: 'wait', kvCacheUsage: 'kv_pct', requests: 'done' };
const TABLE = 't,out0,out1,in,run,wait,kv_pct,done\n1700000000.0,5,1,100,0,0,0,3\n1700000001.0,9,2,100,2,1,50,4\n';

describe('a table of counters', () => {
  it('gives windows with sums of the listed columns, and gauges', async () => {
    expect(await readText(TABLE, COLUMNS)).toEqual([
      { kind: 'gauge', gauge: 'serving.requests.running', value: 0, at: 1_700_000_000 },
      { kind: 'gauge', gauge: 'serving.requests.waiting', value: 0, at: 1_700_000_000 },
      { kind: 'gauge', gauge: 'serving.kv_cache.usage', value: 0, at: 1_700_000_000 },
      { kind: 'window', from: 1_700_000_000, to: 1_700_000_001, tokens: { input: 0, output: 5 }, busy: 3, requests: { ok: 1 } },
      { kind: 'gauge', gauge: 'serving.requests.running', value: 2, at: 1_700_000_001 },
      { kind: 'gauge', gauge: 'serving.requests.waiting', value: 1, at: 1_700_000_001 },
      { kind: 'gauge', gauge: 'serving.kv_cache.usage', value: 0.5, at: 1_700_000_001 },
    ]);
  });

  it('reads the same with CRLF, a byte order mark and gzip', async () => {
    const plain = await readText(TABLE, COLUMNS);
    expect(await readText(`\uFEFF${TABLE.replaceAll('\n', '\r\n')}`, COLUMNS)).toEqual(plain);
    expect(await readText(gzipSync(TABLE), COLUMNS)).toEqual(plain);
  });

  it("uses the contract's own names where nothing else is said", async () => {
    const events = await readText('time,outputTokens,inputTokens\n2026-05-12T08:00:00Z,1,1\n2026-05-12T08:00:01Z,3,5\n', {});
    expect(windowsIn(events)[0]?.tokens).toEqual({ input: 4, output: 2 });
  });

  it('counts, names and leaves out the rows it can not use, and loses no tokens by that', async () => {
    const events = await readText('t,out,in\n1700000000,1,10\n1700000001,,20\nyesterday,3,30\n1700000002,4\n1700000001.5,5,x\n1700000000,6,60\n1700000003,7,70\n1700000004,9,90\n1700000005,9,90\n1700000006,9,90\n1700000007,9,91\n', {
      time: 't',
      outputTokens: 'out',
      inputTokens: 'in',
    });
    expect(total(events, 'output')).toBe(8);
    expect(total(events, 'input')).toBe(81);
    const said = flags(events).join('\n');
    expect(said).toContain('SKIPPED_LINES');
    expect(said).toContain('engine.csv');
    for (const line of ['line 3', 'line 4', 'line 5', 'line 6', 'line 7']) expect(said).toContain(line);
  });

  it('does not take a last number that was cut off for a restart', async () => {
    const events = await readText('t,in,out\n1700000000,100,1000\n1700000001,110,1200\n1700000002,120,13', { time: 't', outputTokens: 'out', inputTokens: 'in' });
    expect([total(events, 'input'), total(events, 'output')]).toEqual([10, 200]);
    expect(flags(events).join()).toContain('cut off');
  });

  it('says which column is missing, and that one row is not enough', async () => {
    await expect(readText(TABLE, { ...COLUMNS, outputTokens: 'out2' })).rejects.toThrow(/no column 'out2' \(outputTokens\).*'out0'/);
    await expect(readText('t,out\n1700000000,1\n', { time: 't', outputTokens: 'out' })).rejects.toMatchObject({ code: 'TOO_FEW_LOOKS', remedy: 'abort' });
  });

  it('names options that do not exist', () => {
    expect(() => counters.open({ file: { file: 'x', label: 'x' }, tz: 'UTC', deployment: 'd' }, { columns: { outputToken: 'a' } })).toThrow(/outputTokens/);
  });
});

const recording = (path: string): string => fileURLToPath(new URL(`../../../../../shared/recordings/${path}`, import.meta.url));
const powertrace = recording('powertrace-smoke/run1_cache_off/engine.csv');
const inferencex = recording('inferencex-b200-agentic/conc12/metrics_server_metrics.csv');

describe('real recordings', () => {
  it.skipIf(!existsSync(powertrace))('powertrace: last minus first', async () => {
    const events = await read(powertrace, { time: 'timestamp', inputTokens: 'prompt_tokens_total', outputTokens: 'generation_tokens_total', running: 'num_requests_running', waiting: 'num_requests_waiting', kvCacheUsage: 'gpu_cache_usage_perc' });
    expect([total(events, 'input'), total(events, 'output')]).toEqual([18_421, 394]);
    expect(flags(events)).toEqual([]);
  });

  it.skipIf(!existsSync(inferencex))('inferencex: right totals and one flagged gap', async () => {
    const columns = { time: 'timestamp_sec', inputTokens: 'prompt_tokens_total', outputTokens: 'generation_tokens_total', running: 'num_requests_running', waiting: 'num_requests_waiting', requests: 'request_success_total', kvCacheUsage: 'kv_cache_usage_pct' };
    const events = await read(inferencex, { ...columns, cachedInputTokens: ['prompt_tokens_local_cache_hit', 'prompt_tokens_external_kv_transfer'] });
    expect([total(events, 'input'), total(events, 'cachedInput'), total(events, 'output')]).toEqual([1_183_238, 1_530_752, 138_364]);
    expect(flags(events)).toHaveLength(1);
    expect(flags(events)[0]).toMatch(/^COUNTER_GAP 1 .*1277\.164 s/);
    expect(windowsIn(events).reduce((sum, { requests }) => sum + (requests?.ok ?? 0), 0)).toBe(21);
    const without = await read(inferencex, columns);
    expect(total(without, 'input')).toBe(2_713_990);
    expect(windowsIn(without).every(({ tokens }) => tokens.cachedInput === undefined)).toBe(true);
  });
});
