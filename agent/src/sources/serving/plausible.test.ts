import { instant, seconds, tokens } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { servingFormats } from '../index.js';
import { named } from '../named.js';
import { all, details, flags, recordedFile } from '../recorded-file.testing.js';
import type { ServingEvent } from '../source.js';
import { plausible } from './plausible.js';

const read = (format: string, content: string): Promise<ServingEvent[]> => all(named('format', servingFormats, format).open({ file: recordedFile(content, 'said.jsonl'), tz: 'UTC', deployment: 'd' }, {}).events());
const requestsIn = (events: readonly ServingEvent[]) => events.filter((event) => event.kind === 'request');

const T = 1_772_600_000;
const row = (name: string, input: number, output: number): string => JSON.stringify({ id: name, start: T, firstToken: T + 1, end: T + 20, inputTokens: input, outputTokens: output });
const aiperf = (input: number, output: number): string =>
  JSON.stringify({ metadata: { request_start_ns: T * 1e9, request_end_ns: (T + 20) * 1e9 }, metrics: { input_sequence_length: { value: input }, output_sequence_length: { value: output } } });
const litellm = (input: number, output: number): string => JSON.stringify({ id: `c${input}${output}`, call_type: 'acompletion', status: 'success', startTime: T, endTime: T + 20, prompt_tokens: input, completion_tokens: output, model: 'm' });

describe('requests of more tokens than can be', () => {
  it.each([
    ['requests', row('a', 5, 7), row('b', 1e9, 7), row('c', 5, 1e9), 'request b in line 2: 1000000000 input tokens'],
    ['aiperf', aiperf(5, 7), aiperf(1e9, 7), aiperf(5, 1e9), 'request said.jsonl:2: 1000000000 input tokens'],
    ['litellm-log', litellm(5, 7), litellm(1e9, 7), litellm(5, 1e9), 'request said.jsonl:2: 1000000000 input tokens'],
  ])('of %s ran, without tokens, and are told once with the first of them', async (format, good, manyIn, manyOut, first) => {
    const events = await read(format, `${good}\n${manyIn}\n${manyOut}\n`);
    expect(requestsIn(events).map((request) => [request.end - request.start, request.tokens])).toEqual([[20, { input: 5, output: 7 }], [20, {}], [20, {}]]);
    expect(flags(events)).toEqual([['IMPLAUSIBLE_TOKENS', 2]]);
    expect(details(events)[0]).toBe(`said.jsonl: 2 requests tell more tokens than can be, and their tokens are left out; the first is ${first}`);
  });

  it('are none of a long context, nor of a row that tells no end', async () => {
    const long = JSON.stringify({ id: 'x', start: T, inputTokens: 9_000_000, outputTokens: 130_000 });
    expect(requestsIn(await read('requests', `${long}\n${row('y', 1_000_000, 100_000)}\n`)).map((request) => request.tokens)).toEqual([{ input: 9_000_000, output: 130_000 }, { input: 1_000_000, output: 100_000 }]);
  });
});

const window = (output: number): ServingEvent => ({ kind: 'window', from: instant(0), to: instant(10), tokens: { output: tokens(output) }, busy: 3, sequenceSeconds: output, rank: '1' });

describe('spans of more tokens than can be', () => {
  it('keep who ran in them, and nothing that follows from the tokens', () => {
    const can = plausible('log');
    expect(can.check(window(1e8))).toEqual(window(1e8));
    expect(can.check(window(1e9))).toEqual({ kind: 'window', from: 0, to: 10, tokens: {}, busy: 3, rank: '1' });
    expect(details(can.flagged())).toEqual(['log: 1 spans of time tell more tokens than can be, and their tokens are left out; the first is 1000000000 tokens in 10.000 s before 1970-01-01T00:00:10.000Z']);
    expect(can.flagged()).toEqual([]);
  });

  it('are none where a window is short and a batch of prompts falls into it', () => {
    const short: ServingEvent = { kind: 'window', from: instant(0), to: instant(0.1), tokens: { input: tokens(8_000_000) }, credits: 'firstToken' };
    expect(plausible('log').check(short)).toBe(short);
    expect(seconds(short.to - short.from)).toBeCloseTo(0.1);
  });
});

describe('numbers beside tokens that can not be', () => {
  const beyond = 1e40;

  it('are left out of a span, and with them what its line said of tokens', () => {
    const can = plausible('log');
    expect(can.check({ kind: 'window', from: instant(0), to: instant(10), tokens: { output: tokens(5) }, busy: beyond, running: beyond })).toEqual({ kind: 'window', from: 0, to: 10, tokens: {}, busy: 1e12 });
    expect(can.check({ kind: 'window', from: instant(0), to: instant(10), tokens: { cachedInput: tokens(beyond) } })).toEqual({ kind: 'window', from: 0, to: 10, tokens: {} });
    expect(flags(can.flagged())).toEqual([['IMPLAUSIBLE_TOKENS', 2]]);
  });

  it('are no time', () => {
    const can = plausible('log');
    expect([-1, 3e11].map((at) => can.check({ kind: 'window', from: instant(at - 1), to: instant(at), tokens: {} }))).toEqual(Array.from({ length: 2 }, () => ({ kind: 'flagged', code: 'IMPLAUSIBLE_TIME', count: 1, detail: 'log: what tells of a time before 1970 or after the year 9999 is left out' })));
  });

  it('are no gauge, and no number of cases: a collector would refuse the batch that they are in, with all its joules', () => {
    const can = plausible('log');
    expect(can.check({ kind: 'gauge', gauge: 'requests.running', value: beyond, at: instant(1) })).toMatchObject({ kind: 'flagged', code: 'IMPLAUSIBLE_GAUGE', detail: 'log: requests.running is shown as more than can be, and left out' });
    expect(can.check({ kind: 'flagged', code: 'X', detail: 'y', count: beyond })).toMatchObject({ code: 'X', count: 1e12 });
  });
});
