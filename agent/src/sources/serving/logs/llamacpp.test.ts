import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { UsageError } from '@joulebook/shared/errors.js';
import { all, recordedFile } from '../../recorded-file.testing.js';
import type { RecordedServing, ServingEvent } from '../../source.js';
import { llamacpp, llamacppParser } from './llamacpp.js';
import { codesIn, idleIn, readLog, requestsIn, rounded, tailLog, timesOf, type Heard, type Reading, type Tail } from './llamacpp.testing.js';
import { recordedLog } from './recorded-log.js';

const read = (text: string, reading: Reading = {}, started?: number): Heard => readLog(llamacpp, (context) => llamacppParser(context, started === undefined ? undefined : instant(started)), text, reading);
const tail = (): Tail => tailLog(llamacpp, (context) => llamacppParser(context));

const slot = (task: number, message: string, id = 0): string => `slot update_slots: id  ${id} | task ${task} | ${message}`;
const launch = (task: number, id = 0, child = 0): string => slot(task, `processing task, is_child = ${child}`, id);
const timings = (prompt: number, promptTokens: number, decode: number, decodeTokens: number): string[] => [
  `prompt eval time = ${prompt.toFixed(2)} ms / ${promptTokens} tokens (    1.00 ms per token,  1000.00 tokens per second)`,
  `       eval time = ${decode.toFixed(2)} ms / ${decodeTokens} tokens (    1.00 ms per token,  1000.00 tokens per second)`,
  `      total time = ${(prompt + decode).toFixed(2)} ms / ${promptTokens + decodeTokens} tokens`,
];
const release = (task: number, tokens: number, id = 0): string => slot(task, `stop processing: n_tokens = ${tokens}, truncated = 0`, id);
const IDLE = 'srv  update_slots: all slots are idle';
/** The block of several lines. */
const block = (task: number, lines: readonly string[], id = 0): string[] => [`slot print_timing: id  ${id} | task ${task} | `, ...lines];
/** Each timing on a line of its own. */
const flat = (task: number, lines: readonly string[], id = 0): string[] => lines.map((line) => `slot print_timing: id  ${id} | task ${task} | ${line}`);
/** Docker's stamps, `seconds` after 2026-01-01T00:00Z. */
const EPOCH = Date.UTC(2026, 0, 1) / 1000;
const docker = (seconds: number, text: string): string => `${new Date((EPOCH + seconds) * 1000).toISOString().replace('Z', '000000Z')} ${text}`;
const since = (heard: Heard): (number | undefined)[][] => requestsIn(heard.events).map((request) => timesOf(request).map((at) => (at === undefined ? undefined : rounded(at - EPOCH))));
const of = (port: number, line: string): string => `[${port}] ${line}`;
const cancel = (task: number): string => `srv          stop: cancel task, id_task = ${task}`;
/** 4 prompt tokens computed, 96 given, so many in the slot at the end. */
const ofContext = (context: number): string => [docker(0, launch(1)), ...flat(1, timings(100, 4, 200, 96)).map((line) => docker(1, line)), docker(1, release(1, context))].join('\n');
const evidence = (text: string): ServingEvent[] => read(text).events.filter((event) => event.kind !== 'gauge' && event.kind !== 'watermark');
const old = (seconds: number, message: string, fields: string): string => `INFO [            update_slots] ${message} | tid="1" timestamp=${seconds} id_slot=0 ${fields}`;
/** All in one second. */
const brief = (task: number): string[] => [old(100, 'slot is processing task', `id_task=${task}`), ...timings(100, 4, 100, 2).slice(0, 2).map((line) => old(100, line, `id_task=${task}`)), old(100, 'slot released', `id_task=${task}`)];
const up = (stamp: string, text: string): string => `${stamp} I ${text}`;
const open = (options: unknown, text = IDLE): RecordedServing => recordedLog(llamacpp, [llamacpp]).open({ file: recordedFile(text, 'server.log'), tz: 'UTC', deployment: 'd' }, options);

describe('the log of a llama.cpp server', () => {
  it('tells a request from its launch to its end, laid backwards from its timings', () => {
    const lines = [docker(10, launch(7)), docker(10, slot(7, 'new prompt, n_ctx_slot = 4096, n_keep = 0, task.n_tokens = 700')), docker(10, slot(7, 'n_tokens = 40, memory_seq_rm [40, end)')), docker(11, slot(7, 'n_tokens = 552, memory_seq_rm [552, end)'))];
    const heard = read([...lines, ...block(7, timings(1200, 660, 900, 90)).map((line) => docker(12.5, line)), docker(12.5, release(7, 789))].join('\n'), { model: 'm' });
    expect(requestsIn(heard.events)).toMatchObject([{ tokens: { input: 660, cachedInput: 40, output: 90 }, outcome: 'ok', model: 'm', id: 'server.log:1' }]);
    expect(since(heard)).toEqual([[10, 10.4, 11.6, 12.5]]);
    expect(heard.used).toBe(1);
    expect(heard.skipped).toEqual([]);
  });

  it.each([
    ['a block', block],
    ['lines of their own', flat],
  ])('reads timings in %s alike', (_, shape) => {
    const text = [docker(0, launch(1)), ...shape(1, timings(500, 50, 1500, 20)).map((line) => docker(2, line)), docker(2, release(1, 69)), docker(2, IDLE)].join('\r\n');
    const heard = read(text);
    expect(requestsIn(heard.events).map((request) => request.tokens)).toEqual([{ input: 50, cachedInput: 0, output: 20 }]);
    expect(since(heard)).toEqual([[0, 0, 0.5, 2]]);
  });

  it('keeps requests of parallel slots and of servers behind a router apart', () => {
    const heard = read(
      [
        docker(0, of(5001, launch(1))),
        docker(1, of(5001, launch(2, 1))),
        docker(1, of(5002, launch(1))),
        ...block(1, timings(100, 11, 200, 3)).map((line) => docker(3, of(5002, line))),
        docker(3, of(5002, release(1, 13))),
        docker(3, of(5002, IDLE)),
        ...block(2, timings(100, 12, 200, 4), 1).map((line) => docker(4, of(5001, line))),
        ...block(1, timings(100, 13, 200, 5)).map((line) => docker(5, of(5001, line))),
        docker(5, of(5001, release(2, 15, 1))),
        docker(5, of(5001, release(1, 17))),
        docker(5, of(5001, IDLE)),
        docker(9, of(5002, launch(6))),
      ].join('\n'),
    );
    expect(requestsIn(heard.events).map(({ tokens, start, end }) => [tokens.input, rounded(start - EPOCH), rounded(end - EPOCH)])).toEqual([
      [11, 1, 3],
      [12, 1, 4],
      [13, 0, 5],
    ]);
    // One of them is idle at 3, both are at 5.
    expect(idleIn(heard.events)).toEqual([[EPOCH + 5, EPOCH + 9]]);
    expect(heard.events.flatMap((event) => (event.kind === 'gauge' ? [event.value] : []))).toEqual([1, 2, 3, 2, 1, 0, 1]);
  });

  it('says idle from the line that says so to the next launch, and to the last line', () => {
    const heard = read([docker(0, IDLE), docker(4, IDLE), docker(7, launch(1)), docker(8, release(1, 4)), docker(8, IDLE), docker(20, 'srv  params_from_: Chat format: peg-native')].join('\n'));
    expect(idleIn(heard.events)).toEqual([[EPOCH, EPOCH + 7], [EPOCH + 8, EPOCH + 20]]);
  });

  it('does not call the time between two processes idle', () => {
    const heard = read([docker(0, IDLE), docker(5, 'srv  log_server_r: done request: GET /health 127.0.0.1 200'), docker(90, 'build: 7502 (0a1b2c3d) with GNU'), docker(95, 'main: model loaded'), docker(95, IDLE), docker(97, launch(0))].join('\n'));
    expect(idleIn(heard.events)).toEqual([[EPOCH, EPOCH + 5], [EPOCH + 95, EPOCH + 97]]);
  });

  it('counts what a task that was broken off had done, by its context at the end', () => {
    const prompt = (task: number): string[] => [launch(task), slot(task, 'new prompt, n_ctx_slot = 4096, n_keep = 0, task.n_tokens = 1000'), slot(task, 'n_tokens = 100, memory_seq_rm [100, end)')];
    const text = [
      ...[...prompt(1), slot(1, 'prompt processing done, n_tokens = 1000, batch.n_tokens = 4'), cancel(1)].map((line) => docker(0, line)),
      docker(5, release(1, 1006)),
      ...[...prompt(2), slot(2, 'prompt processing progress, n_tokens = 612, batch.n_tokens = 512, progress = 0.612'), cancel(2)].map((line) => docker(6, line)),
      docker(8, release(2, 612)),
      ...[...prompt(3), 'srv    send_error: task id = 3, error: no room'].map((line) => docker(9, line)),
      docker(9, release(3, 100)),
      // An embedding prints no timings, gives no tokens, and is no failure.
      ...prompt(4).map((line) => docker(10, line)),
      docker(10.5, release(4, 1000)),
    ].join('\n');
    expect(requestsIn(read(text).events).map(({ outcome, tokens }) => ({ outcome, ...tokens }))).toEqual([
      { outcome: 'aborted', input: 900, cachedInput: 100, output: 7 },
      { outcome: 'aborted', input: 512, cachedInput: 100, output: 0 },
      { outcome: 'failed', input: 0, cachedInput: 100, output: 0 },
      { outcome: 'ok', input: 900, cachedInput: 100 },
    ]);
  });

  it('places the first token of a task that was broken off by its last progress line', () => {
    const text = [docker(0, launch(1)), docker(9, slot(1, 'n_gen =    150, tg =  50.00 t/s, tg_3s =  50.00 t/s')), docker(9.2, 'srv          stop: cancel task, id_task = 1'), docker(9.3, release(1, 500))].join('\n');
    expect(since(read(text))).toEqual([[0, undefined, 6, 9.3]]);
    expect(requestsIn(read(text).events)[0]).toMatchObject({ outcome: 'aborted', tokens: { output: 150 } });
  });

  it('derives cached input from the context where no line says it', () => {
    expect(requestsIn(read(ofContext(110)).events)[0]?.tokens).toEqual({ input: 4, cachedInput: 11, output: 96 });
    // A context that lost tokens on the way tells nothing.
    expect(requestsIn(read(ofContext(50)).events)[0]?.tokens).toEqual({ input: 4, output: 96 });
    expect(requestsIn(read(ofContext(110).replace('truncated = 0', 'truncated = 1')).events)[0]?.tokens).toEqual({ input: 4, output: 96 });
  });

  it('counts a prompt once that several answers share', () => {
    const text = [0, 1].flatMap((id) => [docker(0, launch(id, id, id)), ...flat(id, timings(100, 60, 200, 10), id).map((line) => docker(1, line)), docker(1, release(id, 69, id))]).join('\n');
    expect(requestsIn(read(text).events).map(({ tokens }) => tokens)).toEqual([{ input: 60, cachedInput: 0, output: 10 }, { input: 0, cachedInput: 60, output: 10 }]);
  });

  it('does not lose a request whose release, or whose launch, is not there', () => {
    const noRelease = [docker(0, launch(1)), ...flat(1, timings(100, 4, 200, 9)).map((line) => docker(1, line)), docker(2, launch(2))].join('\n');
    expect(since(read(noRelease))).toEqual([[0, 0.7, 0.8, 1]]);
    const noLaunch = [docker(0, IDLE), ...flat(1, timings(100, 4, 200, 9)).map((line) => docker(9, line)), docker(9, release(1, 12))].join('\n');
    expect(since(read(noLaunch))).toEqual([[8.7, 8.7, 8.8, 9]]);
    expect(idleIn(read(noLaunch).events)).toEqual([]);
  });

  it('books what a request had done whose end is missing, and says that there is a hole', () => {
    const running = [docker(0, launch(1)), docker(4, slot(1, 'prompt processing, n_tokens =   2048, progress = 0.50, t =   4.00 s / 512.00 tokens per second')), docker(11, slot(1, 'n_gen =    100, tg =  50.00 t/s')), docker(30, 'srv  log_server_r: done request: GET /health 127.0.0.1 200')];
    expect(evidence([docker(0, launch(1)), docker(0, slot(1, 'cached n_tokens = 8, memory_seq_rm [8, end)')), running[1]].join('\n'))).toMatchObject([{ kind: 'window', tokens: { input: 2048, cachedInput: 8, output: 0 } }, { kind: 'hole' }]);
    const expected = [
      { kind: 'window', from: EPOCH, to: EPOCH + 9, tokens: { input: 2048, output: 0 } },
      { kind: 'window', from: EPOCH + 9, to: EPOCH + 11, tokens: { input: 0, output: 100 } },
      { kind: 'hole', from: EPOCH, to: EPOCH + 30 },
    ];
    expect(evidence(running.join('\n'))).toMatchObject(expected);
    expect(evidence([...running, docker(30, 'main: model loaded')].join('\n'))).toMatchObject(expected);
    expect(evidence([...running, docker(30, launch(2)), docker(30, release(2, 1))].join('\n'))).toMatchObject([...expected, { kind: 'request' }]);
  });

  it('skips timings that are no numbers, and those of no task', () => {
    const heard = read(
      [
        docker(0, launch(1)),
        docker(1, 'slot print_timing: id  0 | task 1 | prompt eval time = -1840272.66 ms / 4 tokens'),
        docker(1, 'slot print_timing: id  0 | task 1 |        eval time =    -nan(ind) ms / 9 tokens'),
        docker(1, 'slot print_timing: id  0 | task 1 |        eval time = 200.00 ms'),
        docker(1, release(1, 12)),
        docker(2, 'prompt eval time = 100.00 ms / 4 tokens'),
        docker(3, 'slot print_timing: id  0 | task 9 | prompt eval time = 10'),
      ].join('\n'),
    );
    expect(heard.skipped).toEqual(['2: timings that are no numbers', '3: timings that are no numbers', '4: timings that are no numbers', '6: timings without the task that they are of']);
    expect(requestsIn(heard.events)).toHaveLength(1);
  });

  it('tells what a server says of itself once, when its model is loaded', () => {
    const heard = read(['build: 7502 (0a1b2c3d) with GNU', 'llama_context: n_ctx         = 16384', 'llama_context: n_batch       = 2048', 'llama_context: n_ctx         = 512', 'main: model loaded', 'main: model loaded'].map((line) => docker(3, line)).join('\n'));
    expect(heard.events).toEqual([{ kind: 'engine', at: EPOCH + 3, version: '7502', kvCacheTokens: 16384, chunkTokens: 2048 }]);
  });

  it('takes the timings of a tool, and not the sums that a server prints when it stops', () => {
    const sums = timings(700, 70, 900, 90).map((line) => `llama_perf_context_print: ${line}`);
    expect(requestsIn(read(sums.map((line) => docker(5, line)).join('\n')).events).map(({ tokens }) => tokens)).toEqual([{ input: 70, output: 90 }]);
    const served = [docker(0, launch(1)), ...flat(1, timings(100, 4, 200, 9)).map((line) => docker(1, line)), docker(1, release(1, 12)), ...sums.map((line) => docker(5, line))].join('\n');
    expect(requestsIn(read(served).events).map(({ tokens }) => tokens.input)).toEqual([4]);
    expect(read(served).skipped).toEqual([]);
    // Without its total the end of the file ends it.
    expect(requestsIn(read(sums.slice(0, 2).map((line) => docker(5, line)).join('\n')).events)).toHaveLength(1);
  });

  it('keeps nothing of what prompts say, and survives rubbish', () => {
    const rubbish = ['slot \u0000\uFFFD: id', '{"timestamp":', '{"timestamp":1,"msg":null}', 'prompt: eval time = SECRET', 'slot print_timing: id  9 | task 99999999999999999999 | n_gen = 1, tg = 1.00 t/s', '[[[[', 'x'.repeat(100_000)];
    const heard = read([docker(0, launch(1)), ...rubbish, 'slot print_timing: id  0 | task 1 | SECRET eval time = SECRET ms', docker(1, release(1, 4))].join('\n'));
    expect(JSON.stringify(heard)).not.toContain('SECRET');
    expect(requestsIn(heard.events)).toHaveLength(1);
  });
});

describe('the times of a llama.cpp log', () => {
  it('are put within their second where the durations fit between launch and end', () => {
    // 18.1 s from a launch in second 314 end in second 333 only if they began after 314.9.
    const oldTimings = timings(1000, 4, 17_100, 181).slice(0, 2);
    const heard = read([old(314, 'slot is processing task', 'id_task=1'), old(314, 'kv cache rm [p0, end)', 'id_task=1 p0=3'), ...oldTimings.map((line) => old(333, line, 'id_task=1')), old(333, 'slot released', 'id_task=1'), old(333, 'all slots are idle', ''), old(340, 'slot is processing task', 'id_task=2')].join('\n'));
    expect(requestsIn(heard.events).map(timesOf)).toEqual([[314.95, 314.95, 315.95, 333.05]]);
    expect(requestsIn(heard.events)[0]?.tokens).toEqual({ input: 4, cachedInput: 3, output: 181 });
    expect(idleIn(heard.events)).toEqual([[333.05, 340]]);
    // 19.5 s from a launch in second 314 can't have ended before 333.5.
    const longer = timings(1000, 4, 18_500, 181).slice(0, 2);
    expect(requestsIn(read([old(314, 'slot is processing task', 'id_task=1'), ...longer.map((line) => old(333, line, 'id_task=1')), old(333, 'slot released', 'id_task=1')].join('\n')).events).map(timesOf)).toEqual([[314.25, 314.25, 315.25, 333.75]]);
  });

  it('in one second keep the order of their lines', () => {
    const times = requestsIn(read([1, 2, 3].flatMap(brief).join('\n')).events).map(timesOf);
    expect(times.every(([start, , , end], index) => (start ?? 0) >= (times[index - 1]?.[3] ?? 100) && (end ?? 0) <= 101)).toBe(true);
    expect(times).toHaveLength(3);
  });

  it('a request of 2024 that was released without timings was broken off', () => {
    expect(requestsIn(read([old(5, 'slot is processing task', 'id_task=1'), old(9, 'slot released', 'id_task=1')].join('\n')).events)).toMatchObject([{ outcome: 'aborted', start: 5 }]);
  });

  const uptimes = [up('61.00.250.000', launch(1)), ...flat(1, timings(500, 50, 1000, 20)).map((line) => up('61.01.750.000', line)), up('61.01.751.000', release(1, 69)), up('61.01.751.000', IDLE), up('61.05.000.000', launch(2))];

  it('count from `started` where lines count from the start of the server, beyond an hour', () => {
    const heard = read(uptimes.join('\n'), {}, EPOCH);
    expect(since(heard)).toEqual([[3660.25, 3660.25, 3660.75, 3661.75]]);
    expect(idleIn(heard.events)).toEqual([[EPOCH + 3661.751, EPOCH + 3665]]);
    expect(codesIn(heard.events)).toEqual([]);
  });

  it('end when the file was last changed where nothing else is known, and say so', () => {
    const heard = read(uptimes.join('\n'), { lastChange: EPOCH + 5000 });
    expect(since(heard)).toEqual([[4995.25, 4995.25, 4995.75, 4996.75]]);
    expect(codesIn(heard.events)).toEqual(['UNTIMED_LOG']);
  });

  it('gain the microseconds of the server clock beside a wrapper in whole seconds', () => {
    // The process began at .4 of a second: a line at 61:00.25 is stamped :00, one at 61:01.75 is stamped :02.
    const wrapped = [0, 2, 2, 2, 2, 2, 5].map((second, index) => `Jan 01 00:00:0${second} host llama[7]: ${uptimes[index] ?? ''}`);
    const heard = read(wrapped.join('\n'), { lastChange: EPOCH + 100 });
    const [times] = since(heard);
    expect((times?.[3] ?? 0) - (times?.[1] ?? 0)).toBeCloseTo(1.5, 5);
    expect(times?.[3]).toBeGreaterThanOrEqual(2);
    expect(times?.[3]).toBeLessThan(3);
  });

  it('forgive a wrapper that took some lines late', () => {
    const late = [[0.25, 0.001], [1.75, 0.9], [1.75, 0.9], [1.75, 0.9]].map(([written = 0, delay = 0], index) => docker(written + delay, uptimes[index] ?? ''));
    expect(since(read(late.join('\n')))[0]?.[3]).toBeCloseTo(1.751, 3);
  });

  it('go on after a restart, with a clock that begins anew', () => {
    const again = [up('0.02.000.000', 'srv  llama_server: model loaded'), up('0.03.000.000', launch(1)), ...flat(1, timings(100, 5, 100, 2)).map((line) => up('0.04.000.000', line)), up('0.04.000.000', release(1, 6))];
    const heard = read([...uptimes.slice(0, -1), ...again].join('\n'), {}, EPOCH);
    expect(since(heard)).toEqual([[3660.25, 3660.25, 3660.75, 3661.75], [3662.751, 3663.551, 3663.651, 3663.751]]);
  });

  it('beside a wrapper go on after a restart too', () => {
    const first = [docker(3660.25, uptimes[0] ?? ''), docker(3661.751, up('61.01.751.000', release(1, 69)))];
    const second = [docker(4000, up('0.03.000.000', launch(1))), docker(4001, up('0.04.000.000', release(1, 6)))];
    expect(since(read([...first, ...second].join('\n'))).map(([start, , , end]) => [start, end])).toEqual([[3660.25, 3661.751], [4000, 4001]]);
  });

  it('that are nowhere follow from durations, one request after the other, up to the last change', () => {
    const untimed = [launch(1), ...block(1, timings(1000, 10, 2000, 20)), release(1, 29), IDLE, launch(2), ...block(2, timings(500, 10, 500, 5)), release(2, 14), IDLE];
    const heard = read(untimed.join('\n'), { lastChange: EPOCH + 100 });
    expect(since(heard)).toEqual([[96, 96, 97, 99], [99, 99, 99.5, 100]]);
    expect(codesIn(heard.events)).toEqual(['UNTIMED_LOG']);
    expect(idleIn(heard.events)).toEqual([]);
    expect(read(untimed.join('\n')).events).toMatchObject([{ kind: 'flagged', code: 'UNTIMED_LOG' }]);
  });
});

describe('a llama.cpp log that is being written', () => {
  it('is told by arrival, with watermarks that wait for running requests', () => {
    const log = tail();
    log.says(IDLE, 1000.5);
    expect(log.quiet(1003)).toEqual([{ kind: 'idle', from: 1000.5, to: 1003 }, { kind: 'watermark', at: 1003 }]);
    log.says(launch(1), 1004.25);
    expect(idleIn(log.events)).toEqual([[1003, 1004.25]]);
    expect(log.quiet(1060)).toEqual([{ kind: 'watermark', at: 1004.25 }]);
    for (const line of flat(1, timings(500, 50, 1000, 20))) log.says(line, 1070.5);
    log.says(release(1, 69), 1070.75);
    expect(requestsIn(log.events).map(timesOf)).toEqual([[1004.25, 1069, 1069.5, 1070.5]]);
    expect(log.quiet(1080)).toEqual([{ kind: 'watermark', at: 1080 }]);
  });

  it('tells a request whose release has not come yet when it falls silent', () => {
    const log = tail();
    log.says(launch(1), 10.5);
    for (const line of flat(1, timings(500, 50, 1000, 20))) log.says(line, 12.5);
    expect(requestsIn(log.quiet(14)).map(timesOf)).toEqual([[10.5, 11, 11.5, 12.5]]);
    log.says(release(1, 69), 14.5);
    expect(requestsIn(log.events)).toEqual([]);
  });

  it('is idle from the first look on where its last line says so', () => {
    const log = tail();
    for (const line of [launch(1), release(1, 4), IDLE]) log.says(line);
    expect(log.quiet(1000)).toEqual([{ kind: 'watermark', at: 1000 }]);
    expect(log.quiet(1001)).toEqual([{ kind: 'idle', from: 1000, to: 1001 }, { kind: 'watermark', at: 1001 }]);
    const busy = tail();
    for (const line of [IDLE, launch(1)]) busy.says(line);
    expect(idleIn([...busy.quiet(1000), ...busy.quiet(1001)])).toEqual([]);
    busy.says(release(1, 4), 1005.5);
    busy.says(launch(2), 1006.5);
    expect(idleIn(busy.events)).toEqual([]);
  });

  it('forgets requests that were there before anybody looked, unless their lines say when', () => {
    const before = [launch(1), ...flat(1, timings(500, 50, 1000, 20)), release(1, 69), launch(2)];
    const log = tail();
    for (const line of before) log.says(line);
    expect(log.quiet(1000)).toEqual([{ kind: 'watermark', at: 1000 }]);
    for (const line of flat(2, timings(100, 5, 300, 2))) log.says(line, 1010.5);
    log.says(release(2, 6), 1010.5);
    expect(requestsIn(log.events).map(timesOf)).toEqual([[1010.1, 1010.1, 1010.2, 1010.5]]);

    const clocked = tail();
    for (const line of before) clocked.says(`0.10.000.000 I ${line}`);
    clocked.says(`0.20.000.000 I ${IDLE}`, 2000.5);
    expect(requestsIn(clocked.events).map(timesOf)).toEqual([[1990.5, 1990.5, 1990.5, 1990.5]]);
  });
});

describe('as a recorded format', () => {
  it('takes when the server was started with an offset or in seconds, and nothing else', async () => {
    const text = `0.01.000.000 I ${launch(1)}\n0.02.000.000 I ${release(1, 3)}\n`;
    for (const started of ['2026-01-01T01:00:00+01:00', EPOCH]) expect(requestsIn(await all(open({ started }, text).events())).map(timesOf)).toEqual([[EPOCH + 1, undefined, undefined, EPOCH + 2]]);
    for (const started of ['2026-01-01 00:00', 'yesterday', -5]) expect(() => open({ started })).toThrow(UsageError);
  });

  it('refuses a file that tells of no request', async () => {
    await expect(all(open({}, 'hello\nworld\n').events())).rejects.toThrow('server.log is not llamacpp-log');
  });

  it('does not believe a last line that was cut off in a number', async () => {
    const text = `${[docker(0, launch(1)), ...flat(1, timings(100, 400, 200, 90)).map((line) => docker(1, line))].join('\n')}\n${docker(1, 'slot      release: id  0 | task 1 | stop processing: n_tokens = 4')}`;
    const events = await all(open({}, text).events());
    expect(requestsIn(events).map(({ tokens }) => tokens)).toEqual([{ input: 400, output: 90 }]);
    expect(codesIn(events)).toEqual(['SKIPPED_LINES']);
  });
});
