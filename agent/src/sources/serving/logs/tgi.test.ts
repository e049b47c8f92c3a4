import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { haveLogs, ifNoLogs, linesOf, reader, requestsIn, rounded, utc } from './rust-tracing.testing.js';
import { tgi } from './tgi.js';

const AT = '2026-03-04T05:06:07.500000Z';
interface Times {
  total?: string;
  validation?: string;
  queue?: string;
  inference?: string;
  perToken?: string;
}
const times = ({ total = '2.5s', validation = '400.5µs', queue = '80.1µs', inference = '2.4995194s', perToken = '24.995194ms' }: Times = {}): string =>
  `total_time="${total}" validation_time="${validation}" queue_time="${queue}" inference_time="${inference}" time_per_token="${perToken}" seed="None"`;
const success = (given?: Times, span = 'generate', before = ''): string => `${AT}  INFO ${span}{${before}${times(given)}}: text_generation_router::server: router/src/server.rs:622: Success`;
const asJson = (span: object, more: object = {}): string => JSON.stringify({ timestamp: AT, level: 'INFO', message: 'Success', target: 'text_generation_router::server', span, ...more });
const SPAN = { total_time: '2.5s', validation_time: '400.5µs', queue_time: '80.1µs', inference_time: '2.4995194s', time_per_token: '24.995194ms', name: 'generate_stream' };

describe('the log of TGI', () => {
  it('tells a request when it ended well: where it began, when it left the queue, what it yielded', () => {
    const { read, skipped, used } = reader(tgi, 'llama');
    const [request] = requestsIn(read(success()));
    expect(request).toEqual({ kind: 'request', id: 'x.log:1', start: utc('2026-03-04T05:06:05Z'), scheduled: instant(utc('2026-03-04T05:06:05Z') + (0.0004005 + 0.0000801)), end: utc(AT), tokens: { output: 100 }, outcome: 'ok', model: 'llama' });
    expect([skipped, used()]).toEqual([[], 1]);
  });

  it.each([
    ['a stream', success({}, 'generate_stream')],
    ['the chat API', success({}, 'chat_completions')],
    ['the version of 2023', success({}, 'HTTP request{otel.name=POST /generate http.flavor=1.1 otel.kind=server}:generate', 'parameters=GenerateParameters { best_of: None, stop: [], seed: None } ')],
    ['times among the stop words', success({}, 'generate', 'parameters=GenerateParameters { stop: ["total_time=\\"9s\\" inference_time=\\"9s\\""] } ')],
    ['colours', success().replace('INFO', '\u001b[32m INFO\u001b[0m').replace('total_time=', '\u001b[3mtotal_time\u001b[0m\u001b[2m=\u001b[0m')],
    ['a container’s stamp', `2026-03-04T05:06:07.500000000Z stdout F ${success()}`],
    ['a carriage return', `${success()}\r`],
    ['JSON', asJson(SPAN)],
    ['JSON with its times quoted twice', asJson(Object.fromEntries(Object.entries(SPAN).map(([name, value]) => [name, name === 'name' ? value : `"${value}"`])))],
    ['JSON with its times in the list of spans', asJson({ name: 'HTTP request' }, { spans: [{ name: 'HTTP request' }, SPAN] })],
  ])('reads %s', (_, line) => {
    const { read, skipped } = reader(tgi);
    expect(requestsIn(read(line)).map(({ start, end, tokens }) => [rounded(start), rounded(end), tokens.output])).toEqual([[rounded(utc('2026-03-04T05:06:05Z')), rounded(utc(AT)), 100]]);
    expect(skipped).toEqual([]);
  });

  it.each([
    ['µ of the keyboard', '900µs', 0.0009],
    ['µ of the Greeks', '900μs', 0.0009],
    ['u', '900us', 0.0009],
    ['nanoseconds', '81ns', 0.000000081],
    ['whole milliseconds', '7ms', 0.007],
    ['nine decimals', '1.000000001s', 1.000000001],
  ])('reads a duration in %s', (_, queue, expected) => {
    const [request] = requestsIn(reader(tgi).read(success({ total: '5s', validation: '0ns', queue })));
    expect((request?.scheduled ?? 0) - (request?.start ?? 0)).toBeCloseTo(expected, 5);
  });

  it('counts tokens to the nearest: the time per token was cut to nanoseconds', () => {
    const cases = [['2.499519399s', '24.995194ms'], ['999.999999ms', '333.333334ms'], ['734.172108ms', '36.708605ms']] as const;
    expect(cases.map(([inference, perToken]) => requestsIn(reader(tgi).read(success({ inference, perToken })))[0]?.tokens.output)).toEqual([100, 3, 20]);
  });

  it('does not make tokens up where there is no time per token', () => {
    expect(requestsIn(reader(tgi).read(success({ perToken: '0ns' })))[0]?.tokens).toEqual({});
  });

  it.each([
    ['of embeddings', `${AT}  INFO embed{total_time="9ms" tokenization_time="1ms" queue_time="1ms" inference_time="7ms"}: text_embeddings_router::http::server: router/src/http/server.rs:714: Success`, '1: of an embeddings server, which generates nothing'],
    ['that was cut', success().slice(0, -20), '1: cut off'],
    ['that was cut in JSON', asJson(SPAN).slice(0, -20), '1: its times cannot be read'],
    ['with a unit that does not exist', success({ queue: '1h' }), '1: its times cannot be read'],
    ['with bytes that were no UTF-8', success({ queue: '80.1\ufffds' }), '1: its times cannot be read'],
    ['without a time', success().slice(AT.length), '1: no time'],
    ['whose parts are longer than the whole', success({ total: '1s' }), '1: its parts are longer than the whole'],
    ['that ran for days', success({ total: '90000s' }), '1: a request that ran for more than a day'],
  ])('says why it can not use a line %s', (_, line, reason) => {
    const { read, skipped } = reader(tgi);
    expect(read(line)).toEqual([]);
    expect(skipped).toEqual([reason]);
  });

  it('ignores what tells of no request', () => {
    const { read, skipped } = reader(tgi);
    expect(read(`${AT}  INFO text_generation_router::server: router/src/server.rs:2402: Connected`, `${AT} DEBUG text_generation_router::server: Input: total_time, Success`, '\u0000\ufffd', '')).toEqual([]);
    expect(skipped).toEqual([]);
  });

  it('claims no idle: requests that failed or were left are not logged', () => {
    const { read, parser } = reader(tgi);
    read(success(), success().replace('05:06:07', '05:08:07'));
    expect(parser.end()).toEqual([{ kind: 'hole', from: utc('2026-03-04T05:06:05Z'), to: utc('2026-03-04T05:08:07.5Z'), reason: 'x.log: TGI does not log requests that failed or that the client left' }]);
    expect(reader(tgi).parser.end()).toEqual([]);
  });

  it('settles no more than what is as long ago as requests usually take', () => {
    const { read, parser } = reader(tgi);
    expect(read(success()).at(-1)).toEqual({ kind: 'watermark', at: utc(AT) - 120 });
    expect(parser.quiet(utc(AT))).toEqual([]);
    expect(parser.quiet(instant(utc(AT) + 1))).toEqual([{ kind: 'watermark', at: utc(AT) - 119 }]);
  });

  it('is known by its own lines, and not by those of embeddings', () => {
    expect([success(), asJson(SPAN), `${AT} INFO embed{total_time="9ms" inference_time="7ms"}: text_embeddings_router::http::server: Success`, 'Success'].map(tgi.isOf)).toEqual([true, true, false, false]);
  });
});

describe.skipIf(!haveLogs)(`real lines${ifNoLogs}`, () => {
  it('of TGI 1.0, 2.4 and 3.0: 20, 93 and 20 tokens, and times that add up', () => {
    const { read, skipped } = reader(tgi);
    const requests = requestsIn(read(...linesOf('tgi-2023-2024.log')));
    expect(requests.map(({ tokens }) => tokens.output)).toEqual([20, 93, 20]);
    expect(requests.map(({ start, scheduled = start, end }) => [rounded(scheduled - start), rounded(end - scheduled)])).toEqual([
      [0.00087, 0.98566],
      [0.44013, 3.62537],
      [0.00103, 0.73417],
    ]);
    expect(skipped).toEqual([]);
  });
});
