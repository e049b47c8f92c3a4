import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { NO_BILL } from '../../no-bill.testing.js';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { instant, seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LiveContext, ServingEvent, WindowEvidence } from '../../source.js';
import { parsePrometheusText } from './prometheus-text.js';
import type { Page } from './dialect.js';
import { liveMetrics, metricsAt, recordedMetrics } from './source.js';
import { vllm } from './vllm.js';

const windowsIn = (events: readonly ServingEvent[]): WindowEvidence[] => events.filter((event) => event.kind === 'window');
const codes = (events: readonly ServingEvent[]): string[] => events.flatMap((event) => (event.kind === 'flagged' ? [event.code] : []));
const engine = (index: number): string => `{engine="${index}",model_name="llama"}`;

const look = (text: string): Page => vllm.pages().read(parsePrometheusText(text).samples, instant(1));
const counted = (text: string): (string | number)[][] => [...look(text).look.counters.values()].map(({ counts, value }) => [counts, value]).toSorted((a, b) => (String(a) < String(b) ? -1 : 1));
const creditsOf = (line: string): unknown => look(`vllm:prompt_tokens_total 5\n${line}`).look.credits;
const stepsTold = (sum: number, more = ''): unknown =>
  counted(`vllm:prompt_tokens_total 1000\nvllm:generation_tokens_total 50\nvllm:iteration_tokens_total_sum ${sum}\nvllm:iteration_tokens_total_count 40\n${more}`).filter(([counts]) => counts === 'decodeSteps');
const watermarks = (events: readonly ServingEvent[]): number => events.filter((event) => event.kind === 'watermark').length;
const page = (time: string | number, prompt: number, output: number): string => `# scrape ${time}\n# TYPE x counter\nvllm:prompt_tokens_total${engine(0)} ${prompt}\nvllm:generation_tokens_total${engine(0)} ${output}\nother{} 1\n`;

describe('a metrics page of vLLM', () => {
  it('is summed over engines in its gauges and kept apart by engine in its counters', () => {
    const { look: found, gauges } = look(
      [0, 1].map((index) => `vllm:generation_tokens_total${engine(index)} ${index + 1}\nvllm:num_requests_running${engine(index)} ${index + 2}\nvllm:num_requests_waiting${engine(index)} 1\nvllm:kv_cache_usage_perc${engine(index)} ${index / 2}`).join('\n'),
    );
    expect(found.counters.size).toBe(2);
    expect([...found.busy]).toEqual([['llama', 7]]);
    expect(gauges.map(({ gauge, value, model }) => [gauge, value, model])).toEqual([
      ['serving.requests.running', 5, 'llama'],
      ['serving.requests.waiting', 2, 'llama'],
      ['serving.kv_cache.usage', 0.25, 'llama'],
    ]);
  });

  it.each(['vllm:generation_tokens_total', 'vllm:generation_tokens', 'ray_vllm:generation_tokens_total', 'vllm_generation_tokens_total', 'ray_vllm_generation_tokens'])('is known as %s', (name) => {
    expect(counted(`${name}{model_name="m"} 7`)).toEqual([['output', 7]]);
  });

  it('is counted once when it says a counter in two spellings', () => {
    expect(counted('vllm:generation_tokens_total 7\nray_vllm:generation_tokens_total 7\nvllm_generation_tokens 7')).toEqual([['output', 7]]);
  });

  it('maps how requests ended to outcomes', () => {
    const reasons = ['stop', 'length', 'repetition', 'abort', 'error'].map((reason, index) => `vllm:request_success_total{finished_reason="${reason}"} ${index}`);
    expect(counted(`vllm:prompt_tokens_total 5\n${reasons.join('\n')}`)).toEqual([
      ['aborted', 3],
      ['failed', 4],
      ['ok', 0],
      ['ok', 1],
      ['ok', 2],
      ['prompt', 5],
    ]);
  });

  it('tells cached tokens by source before the cached counter before cache hits', () => {
    const lines = ['vllm:prompt_tokens_total 100'];
    const cached = (): unknown => counted(lines.join('\n')).filter(([counts]) => counts === 'cachedInput').map(([, value]) => value);
    expect(cached()).toEqual([]);
    lines.push('vllm:prefix_cache_hits_total 1');
    expect(cached()).toEqual([1]);
    lines.push('vllm:prompt_tokens_cached_total 2');
    expect(cached()).toEqual([2]);
    lines.push('vllm:prompt_tokens_by_source_total{source="local_compute"} 3', 'vllm:prompt_tokens_by_source_total{source="local_cache_hit"} 4', 'vllm:prompt_tokens_by_source_total{source="external_kv_transfer"} 5');
    expect(cached()).toEqual([4, 5]);
  });

  it('keeps to the counter of cached tokens it began with', () => {
    const pages = vllm.pages();
    const kinds = (text: string): string[] => [...pages.read(parsePrometheusText(text).samples, instant(1)).look.counters.keys()];
    expect(kinds('vllm:prompt_tokens_total 1\nvllm:prefix_cache_hits_total 1').join()).toContain('prefix_cache_hits');
    expect(kinds('vllm:prompt_tokens_total 1\nvllm:prefix_cache_hits_total 1\nvllm:prompt_tokens_cached_total 1').join()).not.toContain('cached[');
    expect(kinds('vllm:prompt_tokens_total 1\nvllm:prompt_tokens_cached_total 1').join()).toContain('prompt_tokens_cached');
  });

  it('tells how many run and how full the KV cache is, over the engines of a model', () => {
    const { look: found } = look([0, 1].map((index) => `vllm:num_requests_running${engine(index)} ${index + 2}\nvllm:kv_cache_usage_perc${engine(index)} ${index / 2}`).join('\n'));
    expect([...(found.running ?? [])]).toEqual([['llama', 5]]);
    expect([...(found.kvUsage ?? [])]).toEqual([['llama', 0.25]]);
  });

  it('credits prompts at their first token, and only V0 where they were computed', () => {
    expect([creditsOf('vllm:num_requests_running 1'), creditsOf('vllm:num_requests_swapped 0'), creditsOf('vllm:cpu_cache_usage_perc 0')]).toEqual(['firstToken', undefined, undefined]);
  });

  it('tells iterations that gave tokens, and none where the histogram means something else', () => {
    const bySource = 'vllm:prompt_tokens_by_source_total{source="local_compute"} 300\nvllm:prompt_tokens_by_source_total{source="local_cache_hit"} 700';
    expect([stepsTold(1050), stepsTold(350, bySource), stepsTold(1049), stepsTold(1050, 'vllm:num_requests_swapped 0')]).toEqual([[['decodeSteps', 40]], [['decodeSteps', 40]], [], []]);
  });

  it('keeps to what the count of iterations is, once something was generated', () => {
    const pages = vllm.pages();
    const kinds = (prompt: number, output: number, sum: number): string[] =>
      [...pages.read(parsePrometheusText(`vllm:prompt_tokens_total ${prompt}\nvllm:generation_tokens_total ${output}\nvllm:iteration_tokens_total_sum ${sum}\nvllm:iteration_tokens_total_count 1`).samples, instant(1)).look.counters.values()].map(({ counts }) => counts);
    expect(kinds(0, 0, 0)).not.toContain('decodeSteps');
    expect(kinds(9, 1, 10)).toContain('decodeSteps');
    expect(kinds(20, 1, 10)).toContain('decodeSteps');
  });

  it('does not take the seconds of requests for seconds of the engine', () => {
    expect(counted('vllm:prompt_tokens_total 5\nvllm:request_prefill_time_seconds_sum 9\nvllm:request_decode_time_seconds_sum 90')).toEqual([['prompt', 5]]);
  });

  it('of NIM leaves the prefix out', () => {
    const text = 'num_requests_running{model_name="m"} 2\nprompt_tokens_total{model_name="m"} 7\ngeneration_tokens_total{model_name="m"} 3\ngpu_cache_usage_perc{model_name="m"} 0.5\nrequest_success_total{model_name="m"} 4\nrequest_failure_total{model_name="m"} 1\nrequest_finish_total{finished_reason="stop"} 4';
    expect(counted(text)).toEqual([['failed', 1], ['ok', 4], ['output', 3], ['prompt', 7]]);
    expect([...look(text).look.busy]).toEqual([['m', 2]]);
    expect(parsePrometheusText(text).samples.filter(vllm.isOf)).toHaveLength(6);
  });

  it('is not taken from names without prefix of another program', () => {
    expect(() => look('prompt_tokens_total 7\ngeneration_tokens_total 3')).toThrow('no vllm: counters');
    expect(counted('vllm:prompt_tokens_total 5\ngeneration_tokens_total 3')).toEqual([['prompt', 5]]);
  });

  it('under Triton is of the model that Triton names', () => {
    expect([...look('vllm:prompt_tokens_total{model="vllm_model",version="1"} 10').look.counters.values()].map(({ model }) => model)).toEqual(['vllm_model']);
  });

  it('of older V1 tells cache hits of the GPU', () => {
    expect(counted('vllm:prompt_tokens_total 9\nvllm:gpu_prefix_cache_hits_total 4')).toEqual([['cachedInput', 4], ['prompt', 9]]);
  });

  it('is not that of another program', () => {
    expect(() => look('node_load1 0.5')).toThrow('no vllm: counters');
    expect(parsePrometheusText('node_load1 0.5\nvllm:x 1\nprocess_start_time_seconds 5').samples.filter(vllm.isOf)).toHaveLength(2);
  });
});

describe('a server that is scraped', () => {
  let server: Server;
  let url: string;
  let answer: () => { status?: number; body: string } | undefined;
  let logged: string[];
  const listen = (port = 0): Promise<void> =>
    new Promise((resolve) => {
      server = createServer((_, response) => {
        const said = answer();
        if (said) response.writeHead(said.status ?? 200).end(said.body);
      }).listen(port, '127.0.0.1', () => {
        const address = server.address();
        url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/metrics`;
        resolve();
      });
    });
  const stopped = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  beforeEach(async () => {
    logged = [];
    await listen();
  });
  afterEach(stopped);

  async function scrape(until: (events: readonly ServingEvent[]) => boolean | Promise<boolean>, timeout = 5): Promise<ServingEvent[]> {
    const stop = new AbortController();
    const log = { info: (message: string) => logged.push(`info ${message}`), warn: (message: string) => logged.push(`warn ${message}`) };
    const context: LiveContext = { now: () => instant(Date.now() / 1000), environment: {}, signal: stop.signal, log, bill: NO_BILL };
    const events: ServingEvent[] = [];
    for await (const event of metricsAt(vllm, { url, interval: seconds(0.05), timeout: seconds(timeout) }).events(context)) {
      events.push(event);
      if (await until(events)) stop.abort();
    }
    return events;
  }
  it('gives windows, gauges and a watermark at a steady pace', async () => {
    let tokens = 0;
    answer = () => ({ body: `vllm:generation_tokens_total${engine(0)} ${(tokens += 3)}\nvllm:num_requests_running${engine(0)} 1\n` });
    const began = performance.now();
    const events = await scrape((soFar) => watermarks(soFar) === 11);
    expect((performance.now() - began) / 1000).toBeGreaterThan(0.4);
    expect((performance.now() - began) / 1000).toBeLessThan(1.5);
    expect(windowsIn(events).map((window) => window.tokens.output)).toEqual(Array.from({ length: 10 }, () => 3));
    expect(windowsIn(events)[0]).toMatchObject({ busy: 1, model: 'llama' });
  });

  it('that goes away and comes back is logged once each, and no token is lost', async () => {
    let tokens = 0;
    answer = () => ({ body: `vllm:generation_tokens_total ${(tokens += 1)}\n` });
    const port = Number(new URL(url).port);
    let downed = false;
    const events = await scrape(async (soFar) => {
      if (watermarks(soFar) === 3 && !downed) {
        downed = true;
        await stopped();
        setTimeout(() => void listen(port), 300);
      }
      return watermarks(soFar) >= 6 && codes(soFar).includes('SCRAPES_FAILED');
    });
    expect(logged.map((line) => line.slice(0, 4))).toEqual(['warn', 'info']);
    expect(windowsIn(events).reduce((sum, window) => sum + (window.tokens.output ?? 0), 0)).toBe(tokens - 1);
    for (const [index, window] of windowsIn(events).entries()) expect(window.from).toBe(windowsIn(events)[index - 1]?.to ?? window.from);
  });

  it('that hangs, fails, or answers something else gives no window and never stops the stream', async () => {
    const good = { body: 'vllm:generation_tokens_total 1\n' };
    const answers = [good, undefined, { status: 500, body: 'x' }, { body: '<html>' }, { body: 'node_load1 1' }, good];
    answer = () => (answers.length > 0 ? answers.shift() : good);
    const events = await scrape((soFar) => watermarks(soFar) === 3, 0.2);
    expect(events.find((event) => event.kind === 'flagged')).toMatchObject({ code: 'SCRAPES_FAILED', count: 4 });
    expect(logged.filter((line) => line.startsWith('warn'))).toHaveLength(1);
  });

  it('is left when the signal aborts in the middle of a scrape', async () => {
    answer = () => undefined;
    const stop = new AbortController();
    const context: LiveContext = { now: () => instant(1), environment: {}, signal: stop.signal, bill: NO_BILL, log: { info: () => undefined, warn: (message) => logged.push(message) } };
    setTimeout(() => stop.abort(), 100);
    for await (const event of metricsAt(vllm, { url, interval: seconds(1), timeout: seconds(30) }).events(context)) expect.unreachable(event.kind);
    expect(logged).toEqual([]);
  });

  it('is configured by an address, and a wrong one is a usage error', () => {
    expect(liveMetrics(vllm).open({ url }).description).toContain('every 1 s');
    expect(() => liveMetrics(vllm).open({ url: 'nonsense' })).toThrow(/url/);
  });
});

describe('a recording of scrapes', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'scrapes-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });
  async function read(content: string | Uint8Array): Promise<ServingEvent[]> {
    const file = join(directory, 'metrics.txt');
    await writeFile(file, content);
    const events: ServingEvent[] = [];
    for await (const event of recordedMetrics(vllm).open({ file: { file, label: 'metrics.txt' }, tz: 'UTC', deployment: 'd' }, {}).events()) events.push(event);
    return events;
  }
  it('told apart by comments, ISO or epoch, gzipped or not, gives the same each time it is read', async () => {
    const text = page('2026-05-12T08:00:00Z', 10, 1) + page('2026-05-12T08:00:01.5Z', 30, 6) + page(1_778_572_803, 30, 6);
    const events = await read(text);
    expect(windowsIn(events).map(({ from, to, tokens }) => [to - from, tokens.input, tokens.output])).toEqual([
      [1.5, 20, 5],
      [1.5, 0, 0],
    ]);
    expect(await read(gzipSync(text.replaceAll('\n', '\r\n')))).toEqual(events);
  });

  it('told apart by timestamps on the samples gives the same', async () => {
    const stamped = [0, 1, 2].flatMap((index) => [`vllm:prompt_tokens_total ${index * 20 + 10} ${1_778_572_800_000 + index * 1000}`, `vllm:generation_tokens_total ${index * 5} ${1_778_572_800_000 + index * 1000}`]);
    // By metric, as exporters write them, and not by time.
    const events = await read(`${stamped.toSorted().join('\n')}\n`);
    expect(windowsIn(events).map(({ tokens }) => [tokens.input, tokens.output])).toEqual([
      [20, 5],
      [20, 5],
    ]);
  });

  it('flags bad lines and a gap, and keeps the totals', async () => {
    const pages = [0, 1, 2, 3, 60].map((at) => page(1_778_572_800 + at, 10 * at, at));
    const events = await read(pages.join('rubbish here\n'));
    expect(codes(events)).toEqual(['COUNTER_GAP', 'SKIPPED_LINES']);
    expect(windowsIn(events).reduce((sum, { tokens }) => sum + (tokens.input ?? 0), 0)).toBe(600);
  });

  it('does not take a last number that was cut off for a restart', async () => {
    const text = page(1_778_572_800, 1000, 500) + page(1_778_572_801, 1200, 600) + `# scrape 1778572802\nvllm:generation_tokens_total${engine(0)} 700\nvllm:prompt_tokens_total${engine(0)} 13`;
    const events = await read(text);
    expect(windowsIn(events).map(({ tokens }) => [tokens.input, tokens.output])).toEqual([
      [200, 100],
      [0, 100],
    ]);
    expect(codes(events)).toEqual(['SKIPPED_LINES']);
  });

  it('says what is needed when nothing tells the time, when there is one scrape, and when it is of something else', async () => {
    await expect(read('vllm:prompt_tokens_total 1\n')).rejects.toMatchObject({ code: 'SCRAPE_TIME_MISSING', remedy: 'abort' });
    await expect(read('vllm:prompt_tokens_total 1\n')).rejects.toThrow('# scrape <');
    await expect(read(page(1_778_572_800, 1, 1))).rejects.toMatchObject({ code: 'TOO_FEW_LOOKS' });
    await expect(read('# scrape 1778572800\nnode_load1 1\n# scrape 1778572801\nnode_load1 1\n')).rejects.toMatchObject({ remedy: 'abort' });
    await expect(read('INFO 05-12 08:00:00 [loggers.py:1] hello\n')).rejects.toMatchObject({ code: 'FILE_FORMAT' });
  });
});
