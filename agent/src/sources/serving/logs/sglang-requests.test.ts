import { instant, type Instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { booked, codesIn, DAY, oneRequest, read, stamp } from './sglang.testing.js';

const at = (second: number): Instant => instant(DAY + second);
const finish = (prefix: string): string =>
  `${prefix} Finish: obj=GenerateReqInput(rid='r1', text='a secret with \\'meta_info\\': {\\'prompt_tokens\\': 999}'), out={'text': 'another secret', 'meta_info': {'id': 'r1', 'finish_reason': {'type': 'stop', 'matched': 2}, 'prompt_tokens': 23, 'completion_tokens': 41, 'cached_tokens': 3, 'e2e_latency': 2.5, 'response_sent_to_client_ts': ${DAY + 20}.5}}`;
const absurd = (second: number, id: string): string => `${stamp(second)} Req Time Stats(rid=${id}, input len=10, output len=20, type=unified): queue_duration=0.00ms, forward_duration=1753355419058.33ms, start_time=0.0`;

describe('requests in a log of SGLang', () => {
  it.each([
    ['time stats of 2025', `${stamp(20.5)} Req Time Stats(rid=r1, input len=23, output len=41, type=unified): queue_duration=500.00ms, forward_duration=2000.00ms, start_time=1.0`, { scheduled: 18.5 }, { input: 23, output: 41 }],
    ['time stats of 2026', `${stamp(20.5)} ReqTimeStats(rid=r1, input_len=23, cached_input_len=3, output_len=41, attempts=0, type=unified): queue_duration=500.00ms, forward_duration=2000.00ms, entry_time=1.0`, { scheduled: 18.5 }, { input: 20, cachedInput: 3, output: 41 }],
    ['time stats of a prefill node', `${stamp(20.5)} ReqTimeStats(rid=r1, bootstrap_room=3, input_len=23, cached_input_len=3, output_len=1, attempts=0, type=prefill): bootstrap_duration=0.3ms, queue_duration=500.00ms, forward_duration=2000.00ms, entry_time=1.0, transfer_speed=0.00 GB/s`, {}, { input: 20, cachedInput: 3 }],
    ['time stats of a decode node', `${stamp(20.5)} ReqTimeStats(rid=r1, bootstrap_room=3, input_len=23, cached_input_len=0, output_len=41, attempts=0, type=decode): queue_duration=500.00ms, forward_duration=2000.00ms`, {}, { output: 41 }],
    ['a Finish line', finish(stamp(21)), {}, { input: 20, cachedInput: 3, output: 41 }],
    ['JSON', `${stamp(21)} {"timestamp": "2026-02-03T00:00:21", "event": "request.finished", "rid": "r1", "obj": {"text": "secret"}, "out": {"meta_info": {"id": "r1", "finish_reason": {"type": "length", "length": 41}, "prompt_tokens": 23, "completion_tokens": 41, "cached_tokens": 3, "e2e_latency": 2.5, "request_finished_ts": ${DAY + 20.5}, "decode_throughput": 20.0}}}`, { firstToken: 18.5 }, { input: 20, cachedInput: 3, output: 41 }],
    ['JSON in a file of its own', '{"timestamp": "2026-02-03T00:00:20.500000", "event": "request.finished", "rid": "r1", "out": {"meta_info": {"prompt_tokens": 23, "completion_tokens": 41, "e2e_latency": 2.5, "finish_reason": null}}}', {}, { input: 23, output: 41 }],
  ])('are told by %s', (_, line, moments, counts) => {
    const { events, used } = read(line);
    expect(used).toBe(1);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ kind: 'request', id: 'r1', start: at(18), end: at(20.5), tokens: counts, outcome: 'ok', ...Object.fromEntries(Object.entries(moments).map(([name, second]) => [name, at(second)])) });
    expect(events[0]?.kind === 'request' && events[0].tokens).toEqual(counts);
    expect(JSON.stringify(events)).not.toContain('secret');
  });

  it.each([32588710.5, 0.5])('are aborted where they say so, and have no first token where its time was not measured: %f tokens/s', (rate) => {
    const line = `{"timestamp": "2026-02-03T00:00:20.5", "event": "request.finished", "rid": "r1", "out": {"meta_info": {"prompt_tokens": 23, "completion_tokens": 41, "e2e_latency": 2.5, "decode_throughput": ${rate}, "finish_reason": {"type": "abort"}}}}`;
    expect(read(line).events[0]).toMatchObject({ outcome: 'aborted' });
    expect(read(line).events[0]).not.toHaveProperty('firstToken');
  });

  it('do not count again what batch lines count', () => {
    const { events, used } = read(...oneRequest(10), finish(stamp(12)), `${stamp(12)} ReqTimeStats(rid=r1, input_len=100, output_len=160, type=unified): queue_duration=0.00ms, forward_duration=9.00ms`);
    expect(booked(events)).toMatchObject({ input: 100, output: 160 });
    expect(used).toBe(7);
  });

  it('keep their tokens where their duration is absurd, and say nothing of when they ran', () => {
    const { events } = read(absurd(10, 'a'), absurd(15, 'b'));
    expect(events.filter((event) => event.kind === 'window')).toMatchObject([{ from: instant(DAY + 10), to: instant(DAY + 10), tokens: { input: 10, output: 20 }, requests: { ok: 1 } }, { from: instant(DAY + 10), to: instant(DAY + 15) }]);
    expect(codesIn(events)).toEqual(['DURATION_REJECTED', 'DURATION_REJECTED']);
  });

  it.each([
    ['a Finish line that was cut', finish(stamp(21)).slice(0, 150)],
    ['a Finish line without counts', `${stamp(21)} Finish: obj=GenerateReqInput(rid='r1'), out={'text': 'x', 'meta_info': {'id': 'r1'}}`],
    ['cut JSON', '{"timestamp": "2026-02-03T00:00:20.5", "event": "request.finished", "rid": "r1", "out": {"meta_'],
    ['cut time stats', `${stamp(21)} ReqTimeStats(rid=r1, input_len=23): queue_duration=`],
    ['time stats without a time', 'ReqTimeStats(rid=r1, input_len=23, output_len=4, type=unified): queue_duration=0.00ms, forward_duration=1.00ms'],
  ])('are skipped: %s', (_, line) => {
    const { events, skipped } = read(line);
    expect([events.length, skipped.length]).toEqual([0, 1]);
    expect(skipped.join()).not.toContain('r1');
  });

  it.each([
    ['received ones', `${stamp(21)} Receive: obj=GenerateReqInput(rid='r1', text='secret')`],
    ['received ones in JSON', '{"timestamp": "2026-02-03T00:00:20.5", "event": "request.received", "rid": "r1", "obj": {"text": "secret"}}'],
    ['prompts that look like time stats', `${stamp(21)} Receive: obj=GenerateReqInput(text='ReqTimeStats(rid=r1, input_len=23, output_len=4, type=unified): forward_duration=1.00ms')`],
  ])('leave %s out', (_, line) => {
    const { events, skipped, used } = read(line);
    expect([events.length, skipped.length, used]).toEqual([0, 0, 0]);
  });
});
