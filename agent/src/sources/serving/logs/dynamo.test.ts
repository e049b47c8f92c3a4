import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, flags, recordedFile } from '../../recorded-file.testing.js';
import { dynamo } from './dynamo.js';
import { recordedLog } from './recorded-log.js';
import { haveLogs, ifNoLogs, linesOf, reader, requestsIn, rounded, utc } from './rust-tracing.testing.js';

const TARGET = 'dynamo_llm::http::service::metrics';
const at = (second: string): string => `2026-03-04T05:06:${second}Z`;
const received = (second: string, id = 'a'): string => `${at(second)}  INFO http-request: ${TARGET}: request received request_id=${id} model=m endpoint=chat_completions request_type=stream method=POST uri=/v1/chat/completions request_id=outer-${id}`;
const completed = (second: string, own: string, span: string, id = 'a'): string =>
  `${at(second)}  INFO http-request: ${TARGET}: request completed request_id=${id} model=m endpoint=chat_completions request_type=stream ${own} method=POST request_id=outer-${id} model="m" ${span}`;
const USUAL = 'input_tokens=900 output_tokens=40 ttft_ms="310.25" avg_itl_ms="51.02"';
const json = (second: string, fields: object): string => JSON.stringify({ time: at(second), level: 'INFO', ...fields });
const span = { span_name: 'http-request', span_id: '00000000000000aa', uri: '/v1/chat/completions', method: 'POST' };
const spanClosed = (second: string, fields: object = {}): string => json(second, { target: 'request_span', message: 'SPAN_CLOSED', ...span, ...fields });

describe('the log of a Dynamo frontend', () => {
  it('tells a request by its arrival and its end, the first of two ids being its own', () => {
    const { read, skipped, used } = reader(dynamo);
    const events = read(received('07.100000'), completed('09.400000', 'status=success elapsed_ms=2299', USUAL));
    expect(requestsIn(events)).toEqual([
      { kind: 'request', id: 'x.log:2', start: utc(at('07.100')), firstToken: instant(utc(at('07.100')) + 0.31025), end: utc(at('09.400')), tokens: { input: 900, output: 40 }, outcome: 'ok', model: 'm' },
    ]);
    expect([skipped, used()]).toEqual([[], 2]);
  });

  it('reads requests whose lines stand between each other', () => {
    const { read } = reader(dynamo);
    const events = read(received('01.000', 'a'), received('02.000', 'b'), completed('05.000', 'status=success elapsed_ms=3000', USUAL, 'b'), completed('06.000', 'status=success elapsed_ms=5000', USUAL, 'a'));
    expect(requestsIn(events).map(({ start, end }) => [start, end])).toEqual([
      [utc(at('02.000')), utc(at('05.000'))],
      [utc(at('01.000')), utc(at('06.000'))],
    ]);
  });

  it('takes the length of a request whose arrival was before the log', () => {
    const [request] = requestsIn(reader(dynamo).read(completed('09.400000', 'status=success elapsed_ms=2300', USUAL)));
    expect(rounded(request?.start)).toBe(rounded(utc(at('07.100'))));
  });

  it.each([
    ['colours', received('01.000').replace('INFO', '\u001b[32m INFO\u001b[0m').replace('request_id', '\u001b[3mrequest_id\u001b[0m\u001b[2m=\u001b[0m').replace('\u001b[0m=', '\u001b[0m')],
    ['a rank of srun', `0: ${received('01.000')}`],
    ['a carriage return', `${received('01.000')}\r`],
    ['a launcher', `2026-03-04 05:06:02,000 - sflow.task.frontend - INFO - 0: ${received('01.000')}`],
    ['the span with its fields first', received('01.000').replace('http-request:', 'http-request{method=POST request_id=outer}:')],
    ['no span', received('01.000').replace('http-request: ', '')],
    ['no space before the message', received('01.000').replace('metrics: request', 'metrics:request')],
  ])('reads a line with %s', (_, line) => {
    const { read } = reader(dynamo);
    expect(requestsIn(read(line, completed('05.000', 'status=success elapsed_ms=1', USUAL)))).toMatchObject([{ start: utc(at('01.000')), tokens: { output: 40 } }]);
  });

  it('reads times of another zone than UTC', () => {
    const [request] = requestsIn(reader(dynamo).read(completed('05.000', 'status=success elapsed_ms=0', USUAL).replace('05.000Z', '05.000-07:00')));
    expect(request?.end).toBe(utc('2026-03-04T12:06:05Z'));
  });

  it('takes the time of a wrapper where a line has none', () => {
    const bare = completed('05.000', 'status=success elapsed_ms=0', USUAL).slice(at('05.000').length + 2);
    expect(requestsIn(reader(dynamo).read(`2026-03-04T05:06:08.123456789Z stdout F ${bare}`))[0]?.end).toBe(utc('2026-03-04T05:06:08.123Z') + 0.000456789);
  });

  it.each([
    ['status=success', 'ok'],
    ['status=cancelled error_type=cancelled error_detail="cancelled before completion"', 'aborted'],
    ['status=error error_type=cancelled', 'aborted'],
    ['status=error error_type=internal error_detail=internal server error during processing', 'failed'],
    ['status=error error_type=overload error_detail=service overloaded or rate limited', 'rejected'],
    ['status=error error_type=validation', 'rejected'],
    ['status=something_new', 'failed'],
  ])('%s → %s', (status, outcome) => {
    expect(requestsIn(reader(dynamo).read(completed('05.000', `${status} elapsed_ms=10`, 'input_tokens=0 output_tokens=0')))).toMatchObject([{ outcome, tokens: { output: 0 } }]);
  });

  it('does not take the zero of a request without an answer for the length of its prompt', () => {
    const [request] = requestsIn(reader(dynamo).read(completed('05.000', 'status=error elapsed_ms=10', 'input_tokens=0 output_tokens=0')));
    expect(request?.tokens).toEqual({ output: 0 });
    expect(request).not.toHaveProperty('firstToken');
  });

  it('does not keep the name of a model that does not exist: a client typed it', () => {
    const [request] = requestsIn(reader(dynamo).read(completed('05.000', 'status=error error_type=not_found elapsed_ms=1', '').replaceAll('model=m', 'model=my-secret')));
    expect(request).toMatchObject({ outcome: 'rejected' });
    expect(request).not.toHaveProperty('model');
  });

  it('has no first token where it would lie after the end', () => {
    const [request] = requestsIn(reader(dynamo).read(completed('05.000', 'status=success elapsed_ms=100', 'input_tokens=9 output_tokens=1 ttft_ms="5000.00"')));
    expect(request).not.toHaveProperty('firstToken');
    const [rounding] = requestsIn(reader(dynamo).read(completed('05.000', 'status=success elapsed_ms=100', 'input_tokens=9 output_tokens=1 ttft_ms="100.90"')));
    expect(rounding?.firstToken).toBe(rounding?.end);
  });

  it('ignores health checks, metrics, workers and what merely speaks of requests', () => {
    const { read, skipped, used } = reader(dynamo);
    const events = read(
      `${at('01.000')}  INFO dynamo_llm::http::service::service_v2: http response sent status=200 latency_ms=1`,
      `${at('01.000')}  INFO main.init: VllmWorker for m has been initialized`,
      `${at('01.000')} DEBUG some::other: prompt="request completed request_id=a status=success elapsed_ms=5"`,
      spanClosed('01.000', { span_name: 'handle_payload', 'time.duration_us': 5 }),
      spanClosed('01.000', { uri: '/health', 'time.duration_us': 5 }),
      '\u0000\u0001\ufffd\ufffd binary \u0007',
      '',
    );
    expect([events, skipped, used()]).toEqual([[], [], 0]);
  });

  it.each([
    ['cut before its times', completed('05.000', '', '').slice(0, -60), '1: it tells neither when the request arrived nor how long it ran, or is cut off'],
    ['JSON that was cut', spanClosed('05.000', { 'time.duration_us': 5 }).slice(0, -4), '1: a JSON record that does not reach its end'],
    ['no time', completed('05.000', 'status=success elapsed_ms=10', USUAL).slice(at('05.000').length), '1: no time'],
    ['more than a day', completed('05.000', 'status=success elapsed_ms=86400001', USUAL), '1: a request that ended before it arrived, or ran for more than a day'],
    ['no id', received('05.000').replaceAll(/request_id=\S+/g, ''), '1: a request without an id'],
  ])('says why it can not use a line: %s', (_, line, reason) => {
    const { read, skipped } = reader(dynamo);
    expect(read(line)).toEqual([]);
    expect(skipped).toEqual([reason]);
  });

  it('is known by lines that only it writes', () => {
    expect([received('01.000'), completed('01.000', '', ''), spanClosed('01.000'), `${at('01.000')}  INFO dynamo_llm::kv_router::scheduler: Selected worker: 7000000000000000001, logit: 1.0, cached blocks: 0, total blocks: 9`].map(dynamo.isOf)).toEqual([true, true, true, true]);
    expect([`${at('01.000')}  INFO metrics.log: Avg prompt throughput: 0.0 tokens/s`, 'request completed', '{"request completed":1', ''].map(dynamo.isOf)).toEqual([false, false, false, false]);
  });
});

describe('its JSON lines', () => {
  it('tell a request by its span, whose fields stand in the place of the event’s', () => {
    const { read, skipped } = reader(dynamo);
    const events = read(
      json('01.000', { target: TARGET, message: 'request received', ...span, model: 'm' }),
      json('05.000', { target: TARGET, message: 'request completed', ...span, model: 'm', status: 'success', elapsed_ms: 4000, input_tokens: '900', output_tokens: '40', ttft_ms: '310.25', decode_worker_id: '16000000000000000001' }),
    );
    expect(requestsIn(events)).toMatchObject([{ start: utc(at('01.000')), firstToken: utc(at('01.000')) + 0.31025, end: utc(at('05.000')), tokens: { input: 900, output: 40 }, model: 'm', outcome: 'ok' }]);
    expect(skipped).toEqual([]);
  });

  it('tell it by its span alone where only spans are logged', () => {
    expect(requestsIn(reader(dynamo).read(spanClosed('05.000', { 'time.duration_us': 4_000_000, input_tokens: '900', output_tokens: '40', ttft_ms: '500.00', 'request.outcome': 'cancelled' })))).toMatchObject([
      { start: utc(at('01.000')), firstToken: utc(at('01.500')), tokens: { input: 900, output: 40 }, outcome: 'aborted' },
    ]);
  });

  it('count a request once that ends by its event and by its span', () => {
    const { read } = reader(dynamo);
    const ending = json('05.000', { target: TARGET, message: 'request completed', ...span, status: 'success', elapsed_ms: '4000', output_tokens: '40' });
    expect(requestsIn(read(ending, spanClosed('05.001', { 'time.duration_us': 4_000_000, output_tokens: '40' })))).toHaveLength(1);
  });

  it('tell at DEBUG when the prefill worker was given the request and when it was done', () => {
    const { read } = reader(dynamo);
    const events = read(
      json('01.000', { target: 'dynamo_runtime::pipeline::network::tcp::server', message: 'Registering new TcpStream on 192.0.2.1:1', ...span }),
      json('01.040', { target: 'dynamo_llm::kv_router::prefill_router', message: 'Prefill succeeded, using disaggregated params for decode', ...span }),
      json('01.041', { target: 'dynamo_runtime::pipeline::network::tcp::server', message: 'Registering new TcpStream on 192.0.2.1:1', ...span }),
      spanClosed('05.000', { 'time.duration_us': 4_010_000 }),
    );
    expect(requestsIn(events)).toMatchObject([{ start: utc(at('05.000')) - 4.01, scheduled: utc(at('01.000')), firstToken: utc(at('01.040')), end: utc(at('05.000')), tokens: {} }]);
  });
});

describe('a line that was torn', () => {
  const whole = completed('05.000', 'status=success elapsed_ms=3000', USUAL);
  it.each([
    ['in a quoted value', whole.slice(0, -2), true],
    ['before its tokens', whole.slice(0, whole.indexOf(' input_tokens')), true],
    ['before its times', whole.slice(0, whole.indexOf(' elapsed_ms')), true],
    ['nowhere', whole, false],
    ['nowhere, of a request that failed', completed('05.000', 'status=error error_type=internal elapsed_ms=3000', ''), false],
    ['in the id of an arrival', received('05.000').slice(0, received('05.000').indexOf(' model')), true],
    ['nowhere, of an arrival', `${received('05.000')} `, false],
    ['in JSON', spanClosed('05.000', { 'time.duration_us': 5 }).slice(0, -9), true],
    ['nowhere, in JSON', spanClosed('05.000', { 'time.duration_us': 5 }), false],
    ['somewhere, but of something else', `${at('05.000')}  INFO main.init: VllmWorker for "m`, false],
  ])('%s', (_, line, torn) => {
    expect(dynamo.isCut?.(line)).toBe(torn);
  });

  it('is put together again with its rest', async () => {
    const torn = [received('02.000'), whole.slice(0, whole.indexOf('_tokens=40')), whole.slice(whole.indexOf('_tokens=40')), received('06.000', 'b'), completed('07.000', 'status=success elapsed_ms=1000', USUAL, 'b')];
    const events = await all(recordedLog(dynamo, [dynamo]).open({ file: recordedFile(torn.map((line) => `0: ${line}\r\n`).join(''), 'frontend.log'), tz: 'UTC', deployment: 'd' }, {}).events());
    expect(requestsIn(events).map(({ tokens }) => tokens)).toEqual([{ input: 900, output: 40 }, { input: 900, output: 40 }]);
    expect(flags(events)).toEqual([]);
  });
});

describe('what follows from arrivals', () => {
  it('settles nothing after the arrival of a request that still runs', () => {
    const { read, parser } = reader(dynamo);
    const events = read(received('01.000', 'a'), received('02.000', 'b'), completed('05.000', 'status=success elapsed_ms=4000', USUAL, 'a'));
    expect(events.filter(({ kind }) => kind === 'watermark')).toEqual([{ kind: 'watermark', at: utc(at('02.000')) }]);
    expect(parser.quiet(utc(at('09.000')))).toEqual([]);
    read(completed('10.000', 'status=success elapsed_ms=8000', USUAL, 'b'));
    expect(parser.quiet(utc(at('12.000')))).toContainEqual({ kind: 'watermark', at: utc(at('12.000')) });
  });

  it('was idle from the last end to the next arrival, and never while a request ran', () => {
    const { read, parser } = reader(dynamo);
    const events = [
      ...read(received('01.000', 'a'), received('02.000', 'b'), completed('03.000', 'status=success elapsed_ms=2000', USUAL, 'a'), completed('05.000', 'status=success elapsed_ms=3000', USUAL, 'b')),
      ...parser.quiet(utc(at('06.000'))),
      ...read(received('08.000', 'c')),
      ...parser.quiet(utc(at('09.000'))),
    ];
    expect(events.filter(({ kind }) => kind === 'idle')).toEqual([
      { kind: 'idle', from: utc(at('05.000')), to: utc(at('06.000')) },
      { kind: 'idle', from: utc(at('06.000')), to: utc(at('08.000')) },
    ]);
  });

  it('claims no idle where arrivals are not logged', () => {
    const { read, parser } = reader(dynamo);
    read(completed('05.000', 'status=success elapsed_ms=3000', USUAL));
    expect(parser.quiet(utc(at('09.000')))).toEqual([{ kind: 'watermark', at: utc(at('09.000')) - 600 }]);
  });

  it('knows nothing of a time in which a request arrived and never ended', () => {
    const { read, parser } = reader(dynamo);
    read(received('01.000', 'a'), received('02.000', 'b'), completed('05.000', 'status=success elapsed_ms=3000', USUAL, 'b'));
    expect(parser.end()).toEqual([{ kind: 'hole', from: utc(at('01.000')), to: utc(at('05.000')), reason: 'x.log: a request arrived here and its end was never logged' }]);
  });

  it.each([
    ['its times are cut off', completed('05.000', '', ''), 3, 5],
    ['it is cut off in JSON', spanClosed('05.000').slice(0, -4), 3, 8],
    ['it has no id', received('05.000').replaceAll(/request_id=\S+/g, ''), 5, 8],
  ])('knows nothing of the time around a line of which %s', (_, line, from, to) => {
    const { read } = reader(dynamo);
    const events = read(received('01.000', 'b'), completed('03.000', 'status=success elapsed_ms=2000', USUAL, 'b'), line, received('08.000', 'c'));
    expect(events.filter(({ kind }) => kind === 'hole')).toEqual([{ kind: 'hole', from: utc(at(`0${from}.000`)), to: utc(at(`0${to}.000`)), reason: 'x.log: a request here could not be used' }]);
  });

  it('gives up after ten minutes on a request that never ends', () => {
    const { read, parser } = reader(dynamo);
    read(received('00.000', 'a'));
    expect(parser.quiet(instant(utc(at('00.000')) + 600))).toEqual([{ kind: 'watermark', at: utc(at('00.000')) }]);
    const later = instant(utc(at('00.000')) + 601);
    expect(parser.quiet(later)).toMatchObject([{ kind: 'hole', from: utc(at('00.000')), to: later }, { kind: 'watermark', at: later }]);
    expect(parser.end()).toEqual([]);
  });
});

describe.skipIf(!haveLogs)(`real lines${ifNoLogs}`, () => {
  it('of a frontend: 1 request, 1024 tokens in, 128 out, 120 ms to the first', () => {
    const { read, skipped } = reader(dynamo);
    const [request] = requestsIn(read(...linesOf('dynamo-2026-frontend-synthetic.log')));
    expect(request?.tokens).toEqual({ input: 1024, output: 128 });
    expect(rounded((request?.firstToken ?? 0) - (request?.start ?? 0))).toBe(0.12);
    expect(skipped).toEqual([]);
  });

  it.each([
    ['b672ccf48683b392891c5cb4163d4b51', '5c20cc08e6afb2b7', '2025-10-31T20:52:14.8Z', 4.1, 0.0381],
    ['80196f3e3a6fdf06d23bb9ada3788518', 'f7e487a9d2a6bf38', '2025-10-31T21:06:45.9Z', 0.6, 0.02139],
  ])('at DEBUG: the prefill of trace %s', (_trace, span_id, time, duration, prefill) => {
    const { read } = reader(dynamo);
    const lines = linesOf('dynamo-2025-10-jsonl.log').filter((line) => !line.includes('span_id') || line.includes(span_id));
    const [request] = requestsIn(read(...lines, JSON.stringify({ time, target: 'request_span', message: 'SPAN_CLOSED', span_name: 'http-request', span_id, uri: '/v1/chat/completions', 'time.duration_us': duration * 1e6 })));
    expect(rounded((request?.firstToken ?? 0) - (request?.scheduled ?? 0))).toBe(prefill);
  });
});
