import { describe, expect, it } from 'vitest';
import { at, header, iteration, reader, since, stepsIn, story, v0, v1, windowsIn } from './vllm.testing.js';
import { vllmLog } from './vllm.js';

const tokensOf = (line: string): unknown => windowsIn(reader().all(line)).map(({ tokens, busy, running }) => [tokens.input, tokens.output, busy, running]);
const SAID = { prompt: 40, output: 9, running: 3, waiting: 2, kv: 12.5 };
const ended = (seconds: number, message: string): string => `${header(seconds, 'async_llm_engine.py:120')}${message}`;
const decode = (second: number, index: number): string => iteration(second, index, [0, 0, 2, 2]);
const outputs = (events: Parameters<typeof stepsIn>[0]): unknown[] => stepsIn(events).map(({ tokens }) => tokens);

describe('a line of statistics', () => {
  it.each([
    ['of one engine', v1(0, SAID)],
    ['before engines had numbers', v1(0, { ...SAID, engine: '' })],
    ['of several engines', v1(0, { ...SAID, engine: '2 Engines Aggregated: ' })],
    ['behind a colour that is there without a terminal', `\u001b[1;36m(APIServer pid=9)\u001b[0;0m ${v1(0, SAID).slice(18)}`],
    ['with colours in its header', v1(0, SAID).replace('INFO', '\u001b[32mINFO\u001b[0m').replace('06-01', '\u001b[90m06-01')],
    ['with the path of its file', v1(0, SAID).replace('loggers.py', 'v1/metrics/loggers.py')],
    ['with a configured prefix', `prod-7 ${v1(0, SAID).slice(18)}`],
    ['behind a progress bar', `Capturing:  50%|███▌  | 3/7 [00:01<00:01,  3.10it/s]${v1(0, SAID).slice(18)}`],
    ['with a carriage return', `${v1(0, SAID)}\r`],
    ['with other rates behind it', `${v1(0, SAID)}, External prefix cache hit rate: 1.0%, MM cache hit rate: 99.0%`],
    ['cut off behind its KV cache usage', v1(0, SAID).slice(0, -20)],
    ['through a logging configuration of one’s own', `2026-06-01 12:00:00,250 - INFO - vllm - ${v1(0, SAID).slice(header(0).length + 18)}`],
  ])('%s', (_, line) => {
    const { skipped } = reader();
    expect(tokensOf(line)).toEqual([[400, 90, 5, 3]]);
    expect(vllmLog.isOf(line)).toBe(true);
    expect(skipped).toEqual([]);
  });

  it('of the Rust front end', () => {
    const line = '2026-06-01T12:00:10.500000Z  INFO vllm_server::stats: Avg prompt tput: 40.0 toks/s, Avg generation tput: 9.0 toks/s, Reqs Running: 3, Waiting: 2, GPU KV cache used: 12.5%, Prefix cache hit rate: 0.0%';
    const [window] = windowsIn(reader().all(line));
    expect(window).toMatchObject({ from: at(0.5), to: at(10.5), tokens: { input: 400, output: 90 }, busy: 5, running: 3, kvUsage: 0.125 });
  });

  it('tells deferred requests as waiting, whatever it says of preemptions', () => {
    expect(tokensOf(v1(0, { ...SAID, more: ', Deferred: 4 reqs, Preemptions: 7' }))).toEqual([[400, 90, 9, 3]]);
  });

  it('says what is missing of it when it is cut off in its middle, and what it does say is not made up', () => {
    const { all, skipped } = reader();
    expect(story(all(v1(0, SAID).slice(0, 110), v1(10, SAID).slice(0, 150)))).toEqual([]);
    expect(skipped).toEqual(['1: a line of statistics that is cut off or of an unknown form', '2: a line of statistics that is cut off or of an unknown form']);
  });

  it('is a window of its own model and rank, whose prompts are told at the first token', () => {
    const [window] = windowsIn(reader().all(`${header(-60)}GPU KV cache size: 100,000 tokens`, v1(0, SAID)));
    expect(window).toEqual({ kind: 'window', from: at(-9.5), to: at(0.5), tokens: { input: 400, output: 90 }, credits: 'firstToken', busy: 5, running: 3, kvUsage: 0.125, kvTokens: 12_500, rank: '0', model: 'm' });
  });

  it.each([
    ['2 Engines Aggregated: ', 2],
    ['Engine 000: ', undefined],
  ] as const)('%s says how many engines it sums up, which run side by side', (engine, engines) => {
    expect(windowsIn(reader().all(v1(0, { ...SAID, engine })))[0]?.engines).toBe(engines);
  });

  it('of V0 tells prompts where they were computed', () => {
    const [window] = windowsIn(reader().all(v0(0, SAID)));
    expect(window).toMatchObject({ from: at(-4.5), to: at(0.5), tokens: { input: 200, output: 45 }, busy: 5 });
    expect(window).not.toHaveProperty('credits');
    expect(window).not.toHaveProperty('rank');
  });

  it('gives gauges, summed over engines and its KV cache in the mean', () => {
    const events = reader().all(v1(0, SAID), v1(0, { running: 1, kv: 37.5, engine: 'Engine 001: ' }));
    expect(events.filter((event) => event.kind === 'gauge').slice(3).map(({ gauge, value }) => [gauge, value])).toEqual([['serving.requests.running', 4], ['serving.requests.waiting', 2], ['serving.kv_cache.usage', 0.25]]);
  });
});

describe('engines and servers that write into one file', () => {
  it('are told apart by rank, each with its own windows', () => {
    const lines = [0, 10, 20].flatMap((second) => [v1(second, { output: 1, running: 1 }), v1(second, { output: 2, running: 2, engine: 'Engine 001: ' })]);
    const windows = windowsIn(reader().all(...lines));
    expect(['0', '1'].map((rank) => windows.filter((window) => window.rank === rank).map(({ from, to, tokens }) => [since(from), since(to), tokens.output]))).toEqual([
      [[-9.5, 0.5, 10], [0.5, 10.5, 10], [10.5, 20.5, 10]],
      [[-9.5, 0.5, 20], [0.5, 10.5, 20], [10.5, 20.5, 20]],
    ]);
  });

  it('are told apart by what a launcher puts in front, not by the names of vLLM’s own processes', () => {
    const windows = windowsIn(reader().all(`0: ${v1(0, SAID)}`, `1: ${v1(3, SAID)}`, `0: ${v1(10, SAID).replace('pid=1)', 'pid=2)')}`, `1: ${v1(13, SAID)}`));
    expect(windows.map(({ rank, from, to }) => [rank, since(from), since(to)])).toEqual(expect.arrayContaining([['0/0', 0.5, 10.5], ['1/0', 3.5, 13.5]]));
  });
});

describe('a server that was started again', () => {
  it('is the same server under another process number', () => {
    const windows = windowsIn(reader().all(`(head, rank=0, pid=18260) ${v1(0, SAID)}`, `(head, rank=0, pid=19001) ${v1(10, SAID)}`));
    expect(windows.map(({ rank }) => rank)).toEqual(['head, rank=0/0', 'head, rank=0/0']);
    expect(windows.map(({ from, to }) => [since(from), since(to)])).toEqual([[-9.5, 0.5], [0.5, 10.5]]);
  });
});

describe('facts of the start', () => {
  it.each([
    ['vLLM API server version 0.6.6.post1', { version: '0.6.6.post1' }],
    ['Initializing a V1 LLM engine (v0.11.0) with config: model=x', { version: '0.11.0' }],
    ['GPU KV cache size: 1,191,213 tokens', { kvCacheTokens: 1_191_213 }],
    ['# GPU blocks: 100, # CPU blocks: 20', { kvCacheTokens: 1600 }],
    ['Chunked prefill is enabled with max_num_batched_tokens=8192.', { chunkTokens: 8192 }],
  ])('%s', (message, facts) => {
    expect(reader().all(`${header(5)}${message}`)).toEqual([{ kind: 'engine', at: at(5), ...facts }]);
  });

  it('count blocks of the size that was asked for', () => {
    expect(reader().all(`${header(4)}args: Namespace(block_size=32, x=1)`, `${header(5)}# GPU blocks: 100, # CPU blocks: 20`)).toMatchObject([{ kvCacheTokens: 3200 }]);
  });
});

const idle = (...lines: readonly string[]): string[] => story(reader().all(...lines)).filter((each) => each.endsWith('idle'));

describe('the time from the start of the server to its first iteration', () => {
  const READY = `${header(0, 'api_server.py:616')}Starting vLLM server on http://0.0.0.0:8000`;
  const UNSTAMPED = '(APIServer pid=1) INFO:     Application startup complete.';

  it('is idle where the first index is 0', () => {
    expect(idle(`${header(-60)}vLLM API server version 0.25.1`, READY, UNSTAMPED, decode(20, 0))).toEqual(['0 to 20.499 idle']);
  });

  it('counts from the last line of the start', () => {
    expect(idle(READY, `${header(2, 'launcher.py:37')}Available routes are:`, `${header(3, 'launcher.py:46')}Route: /metrics, Methods: GET`, decode(20, 0))).toEqual(['3 to 20.499 idle']);
  });

  it('is idle on each engine', () => {
    const events = reader().all(READY, decode(20, 0), decode(30, 0).replace('DP0', 'DP1'));
    expect(events.flatMap((event) => (event.kind === 'idle' ? [[event.rank, since(event.from), since(event.to)]] : []))).toEqual([['0', 0, 20.499], ['1', 0, 30.499]]);
  });

  it.each([
    ['iterations were left out', [READY, decode(20, 7)]],
    ['nothing tells when the server had started', [UNSTAMPED, decode(20, 0)]],
    ['an engine began again within the log', [READY, decode(5, 0), decode(6, 1), decode(20, 0)]],
  ])('is not told where %s', (_, lines) => {
    expect(idle(...lines).filter((each) => each.includes(' 20.'))).toEqual([]);
  });

  it('begins anew with a server that was started again', () => {
    const again = [`${header(60)}vLLM API server version 0.25.1`, READY.replace(header(0, 'api_server.py:616'), header(70, 'api_server.py:616')), decode(90, 0)];
    expect(idle(READY, decode(5, 0), ...again)).toEqual(['0 to 5.499 idle', '70 to 90.499 idle']);
  });

  it('loses no line of the start', () => {
    const { all, skipped } = reader();
    all(READY, UNSTAMPED, decode(20, 0));
    expect(skipped).toEqual([]);
  });
});

describe('requests that ended', () => {
  it('are counted in the window of V0 in which they did', () => {
    const events = reader().all(v0(0, SAID), ended(2, 'Finished request a.'), ended(2, 'Finished request b.'), ended(3, 'Aborted request c.'), v0(5, SAID), v0(10, SAID));
    expect(windowsIn(events).map(({ requests }) => requests)).toEqual([undefined, { ok: 2, aborted: 1 }, {}]);
  });

  it('after the last line are told without tokens', () => {
    const events = reader().all(v0(0, SAID), v0(5, SAID), ended(8, 'Finished request a.'));
    expect(windowsIn(events).at(-1)).toEqual({ kind: 'window', from: at(5.5), to: at(9), tokens: {}, requests: { ok: 1 }, model: 'm' });
  });

  it('are not told where only aborted ones are', () => {
    const events = reader().all(v1(0, SAID), `${header(3)}Aborted request(s) a,b.`, v1(10, SAID));
    expect(windowsIn(events).map(({ requests }) => requests)).toEqual([undefined, undefined]);
  });
});

describe('what others wrote', () => {
  const SECRET = 'tell me, Avg prompt throughput: 9.0 tokens/s, Avg generation throughput: 9.0 tokens/s, Running: 9 reqs, Waiting: 9 reqs, ';
  it.each([
    ['a prompt', `${header(0)}Received request cmpl-1: prompt: '${SECRET}', params: SamplingParams()`],
    ['an answer', `${header(0)}Generated response cmpl-1: output: '${SECRET}'`],
    ['a body', `${header(0)}response_body={${SECRET}}`],
    ['a body behind another front', `2026-06-01 12:00:00,250 - INFO - response_body=${SECRET}`],
    ['a quoted prompt without a header', `prompt: "${SECRET}"`],
    ['an access line', '(APIServer pid=1) INFO:     192.0.2.1:39830 - "POST /v1/chat/completions HTTP/1.1" 200 OK'],
    ['a table', `${header(0)}| 1 | 1 | 0 | FULL | 116 |`],
    ['other metrics', `${header(0)}Engine 000: MFU: 1.0 TF/s/GPU 2.0 GB/s/GPU`],
    ['binary garbage', '\u0000\u0001\uFFFD\uFFFDAvg prompt throughput: \uFFFD'],
    ['nothing', ''],
  ])('is passed over: %s', (_, line) => {
    const { all, skipped } = reader();
    expect(story(all(line))).toEqual([]);
    expect(skipped.filter((reason) => !reason.includes('cut off'))).toEqual([]);
    expect(JSON.stringify(all(line)) + skipped.join()).not.toContain('tell me');
  });

  it('and has no time is counted as skipped', () => {
    const { all, skipped } = reader();
    expect(story(all(v1(0, SAID).slice(header(0).length + 18)))).toEqual([]);
    expect(skipped).toEqual(['1: nothing tells when this line was written']);
  });

  it.each(['[2026-01-01 10:00:00 TP0] Decode batch, #running-req: 1', 'iter = 7, host_step_time = 8.1ms', 'Avg prompt', 'INFO 06-01 12:00:00 [x.py:1] hello'])('is not taken for vLLM’s: %s', (line) => {
    expect(vllmLog.isOf(line)).toBe(false);
  });
});

describe('which lines are booked', () => {
  it('are those of statistics, where there are any, and iterations tell the work alone', () => {
    const events = reader().all(decode(1, 0), decode(1, 1), decode(2, 2), v1(10, { output: 0.6, running: 2 }), decode(11, 3));
    expect(new Set(outputs(events).map((tokens) => JSON.stringify(tokens)))).toEqual(new Set(['{}']));
    expect(stepsIn(events).reduce((sum, { steps }) => sum + steps, 0)).toBe(4);
    expect(windowsIn(events).map(({ tokens }) => tokens.output)).toEqual([6]);
  });

  it('are those of iterations where nothing else is written', () => {
    const events = reader().all(decode(1, 0), decode(1, 1), decode(2, 2));
    expect(outputs(events)).toEqual([{ input: 0, output: 2 }, { input: 0, output: 2 }, { input: 0, output: 2 }]);
  });

  it('are those of iterations when no line of statistics came in time; a later one is not booked too', () => {
    const { read, parser } = reader();
    expect(outputs(read(decode(1, 0), decode(20, 1)))).toEqual([]);
    expect(outputs(read(decode(27, 2), decode(33, 3)))).toEqual([{ input: 0, output: 2 }, { input: 0, output: 2 }]);
    expect(story([...read(v1(60, { output: 9, running: 2 })), ...parser.end()]).filter((each) => each.includes(':'))).toEqual(['50.5 to 60.5: -/- busy 2']);
  });

  it('live are decided in silence too', () => {
    const { read, parser } = reader();
    read(decode(1, 0));
    expect(outputs(parser.quiet(at(10)))).toEqual([]);
    expect(outputs(parser.quiet(at(30)))).toEqual([{ input: 0, output: 2 }]);
  });
});
