import { describe, expect, it } from 'vitest';
import { answeredIn, isOllama, secondsOf } from './ollama-lines.js';
import { codesIn, idleIn, readLog, requestsIn, rounded, tailLog, timesOf, type Heard, type Reading } from './llamacpp.testing.js';
import { ollama } from './ollama.js';
import { which } from './which.js';
import { llamacpp } from './llamacpp.js';

const read = (text: string, reading: Reading = {}): Heard => readLog(ollama, (context) => ollama.parser(context, {}), text, reading);

/** 2026-01-01T00:00Z */
const EPOCH = Date.UTC(2026, 0, 1) / 1000;
const gin = (time: string, took: string, path = '/api/chat', status = 200, method = 'POST'): string => `[GIN] 2026/01/01 - ${time} | ${status} | ${took.padStart(12)} |       10.9.8.7 | ${method.padEnd(8)} "${path}"`;
const slog = (time: string, message: string): string => `time=2026-01-01T${time} level=INFO source=server.go:12 msg="${message}"`;
const child = (task: number, id = 0): string[] => [
  `slot launch_slot_: id  ${id} | task ${task} | processing task, is_child = 0`,
  `slot   operator(): id  ${id} | task ${task} | cached n_tokens = 5, memory_seq_rm [5, end)`,
  `slot print_timing: id  ${id} | task ${task} | prompt eval time =     500.00 ms /    50 tokens (   10.00 ms per token,   100.00 tokens per second)`,
  `slot print_timing: id  ${id} | task ${task} |        eval time =    1000.00 ms /    20 tokens (   50.00 ms per token,    20.00 tokens per second)`,
  `slot      release: id  ${id} | task ${task} | stop processing: n_tokens = 74, truncated = 0`,
];
const since = (heard: Heard): (number | undefined)[][] => requestsIn(heard.events).map((request) => timesOf(request).map((at) => (at === undefined ? undefined : rounded(at - EPOCH))));
const journal = (time: string, text: string): string => `2026-01-01T${time}+00:00 host ollama[123]: ${text}`;

describe('a line of the web server of Ollama', () => {
  it.each([
    ['1m2.5s', 62.5],
    ['1h0m3s', 3603],
    ['3.864203892s', 3.864203892],
    ['319.37856ms', 0.31937856],
    ['870µs', 0.00087],
    ['870μs', 0.00087],
    ['12ns', 12e-9],
    ['0s', 0],
  ])('took %s', (text, expected) => {
    expect(secondsOf(text)).toBeCloseTo(expected, 12);
  });

  it('took no time that can be told', () => {
    expect(['soon', '3 s', '', '5'].map(secondsOf)).toEqual([undefined, undefined, undefined, undefined]);
  });

  it.each([
    [200, 'ok'],
    [499, 'aborted'],
    [429, 'rejected'],
    [503, 'rejected'],
    [404, 'failed'],
    [500, 'failed'],
  ] as const)('with the status %s is %s', (status, outcome) => {
    expect(answeredIn(gin('00:00:10', '1s', '/api/chat', status))).toMatchObject({ outcome });
  });

  it.each([
    ['/api/generate', 'POST', true],
    ['/v1/messages?beta=true', 'POST', true],
    ['/v1/responses', 'POST', true],
    ['/v1/messages/count_tokens?beta=true', 'POST', false],
    ['/api/pull', 'POST', false],
    ['/api/chat', 'OPTIONS', false],
    ['/', 'GET', false],
  ])('%s by %s: work for a model is %s', (path, method, computes) => {
    expect(answeredIn(gin('00:00:10', '1s', path, 200, method))).toMatchObject({ computes });
  });
});

describe('the log of Ollama', () => {
  it('without the lines of a model server tells how long each request took', () => {
    const heard = read([slog('00:00:00.5Z', 'Listening on 127.0.0.1:11434 (version 0.19.0)'), gin('00:01:10', '1m2.5s'), gin('00:01:11', '172µs', '/', 200, 'HEAD'), gin('00:01:12', '2ms', '/api/chat', 404), gin('00:01:13', 'long')].join('\r\n'), { model: 'm' });
    expect(heard.events[0]).toEqual({ kind: 'engine', at: EPOCH + 0.5, version: '0.19.0' });
    expect(since(heard)).toEqual([[8, undefined, undefined, 70.5], [72.498, undefined, undefined, 72.5]]);
    expect(requestsIn(heard.events)).toMatchObject([{ outcome: 'ok', tokens: {}, model: 'm' }, { outcome: 'failed' }]);
    expect(heard.skipped).toEqual(['5: a duration that is none']);
  });

  it('reads local stamps in the zone of the entry', () => {
    expect(since(read(gin('02:00:10', '1s'), { tz: 'Europe/Berlin' }))).toEqual([[3609.5, undefined, undefined, 3610.5]]);
  });

  it('since 0.30 tells a request once, with its tokens, at the time of its answer', () => {
    const heard = read([slog('00:00:00.000Z', 'ready'), ...child(1), gin('00:00:30', '1.6s'), ...child(2), gin('00:01:00', '1.6s')].join('\n'), { lastChange: EPOCH + 999 });
    expect(since(heard)).toEqual([[29, 29, 29.5, 30.5], [59, 59, 59.5, 60.5]]);
    expect(requestsIn(heard.events).map(({ tokens }) => tokens)).toEqual(Array.from({ length: 2 }, () => ({ input: 50, cachedInput: 5, output: 20 })));
    expect(codesIn(heard.events)).toEqual([]);
  });

  it('tells requests of models that no model server runs beside those that one does', () => {
    const heard = read([...child(1), gin('00:00:30', '1.6s'), gin('00:00:40', '3s', '/api/generate'), ...child(2), gin('00:01:00', '1.6s')].join('\n'));
    expect(requestsIn(heard.events).map(({ tokens }) => tokens.output)).toEqual([20, undefined, 20]);
  });

  it('takes several tasks of one call as one call', () => {
    const heard = read([...child(1), ...child(2, 1), ...child(3), gin('00:00:30', '5s', '/api/embed'), gin('00:00:40', '3s')].join('\n'));
    expect(requestsIn(heard.events).map(({ tokens }) => tokens.output)).toEqual([20, 20, 20, undefined]);
  });

  it('takes one call at a time where requests overlap', () => {
    const [launched = '', ...rest] = child(2, 1);
    const heard = read([launched, ...child(1), gin('00:00:30', '1.6s'), gin('00:00:31', '2s'), ...rest, gin('00:00:40', '9s')].join('\n'));
    expect(requestsIn(heard.events).map(({ tokens }) => tokens.output)).toEqual([20, undefined, 20]);
    const both = read([launched, ...child(1), ...child(3), gin('00:00:30', '1.6s'), gin('00:00:31', '2s'), ...rest, gin('00:00:40', '9s')].join('\n'));
    expect(requestsIn(both.events).map(({ tokens }) => tokens.output)).toEqual([20, 20, 20]);
  });

  it('in journald has the times of the journal', () => {
    const [launched = '', ...rest] = child(1);
    const heard = read([journal('00:00:10.250000', launched), ...rest.map((line) => journal('00:00:12.250000', line)), journal('00:00:12.250100', 'srv  update_slots: all slots are idle'), journal('00:00:12.251000', gin('00:00:12', '2s')), journal('00:00:20.000000', gin('00:00:20', '1ms', '/', 200, 'GET')), journal('00:00:21.500000', launched.replace('task 1', 'task 2'))].join('\n'));
    expect(since(heard)).toEqual([[10.25, 10.75, 11.25, 12.25]]);
    expect(idleIn(heard.events).map((times) => times.map((at) => rounded(at - EPOCH)))).toEqual([[12.2501, 21.5]]);
  });

  it('keeps nothing of its messages, which may quote prompts, and no address', () => {
    const heard = read([slog('00:00:00Z', 'completion request prompt=\\"SECRET slot print_timing: id  0 | task 1 | n_gen = 100, tg = 1.0 t/s\\"'), gin('00:00:05', 'SECRET'), gin('00:00:06', '1s')].join('\n'));
    expect(JSON.stringify(heard)).not.toContain('SECRET');
    expect(JSON.stringify(heard)).not.toContain('10.9.8.7');
    expect(heard.events).toHaveLength(1);
  });

  it('that is being written waits for requests that nobody announced, but only then', () => {
    const log = tailLog(ollama, (context) => ollama.parser(context, {}));
    log.says(gin('00:00:09', '1s'), EPOCH + 9.8);
    expect(log.quiet(EPOCH + 1000)).toEqual([{ kind: 'watermark', at: EPOCH + 400 }]);
    for (const line of child(1)) log.says(line, EPOCH + 1010.5);
    expect(log.quiet(EPOCH + 1020)).toEqual([{ kind: 'watermark', at: EPOCH + 1020 }]);
    expect(requestsIn(log.events)).toHaveLength(2);
  });

  it('is known by its lines, with a model server and without', () => {
    const dialects = [llamacpp, ollama];
    const named = (lines: readonly string[]): string | undefined => {
      const asked = which(dialects);
      for (const line of lines) asked.see(line);
      return asked.dialect?.name;
    };
    expect(named([gin('00:00:01', '1s')])).toBe('ollama-log');
    expect(named([...child(1), gin('00:00:01', '1s')])).toBe('ollama-log');
    expect(named(child(1))).toBe('llamacpp-log');
    expect(isOllama('time=2026-01-01T00:00:00Z level=INFO msg="of another program"')).toBe(false);
  });
});
