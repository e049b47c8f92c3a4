import { describe, expect, it } from 'vitest';
import { instant } from '@joulebook/shared/units.js';
import { all, flags, recordedFile, refusal } from '../../recorded-file.testing.js';
import type { IdleEvidence, ServingEvent, StepsEvidence } from '../../source.js';
import type { LogLine, Stamp } from './dialect.js';
import { recordedLog } from './recorded-log.js';
import { runEngine, type Batch, type Truth } from './trtllm-engine.testing.js';
import { trtllmLog } from './trtllm.js';

const events = (content: string | Uint8Array, tz = 'UTC'): Promise<ServingEvent[]> =>
  all(recordedLog(trtllmLog, [trtllmLog]).open({ file: recordedFile(content, 'trtllm.log'), tz, deployment: 'd' }, {}).events());
const stepsIn = (list: readonly ServingEvent[]): StepsEvidence[] => list.filter((event) => event.kind === 'steps');
const idleIn = (list: readonly ServingEvent[]): IdleEvidence[] => list.filter((event) => event.kind === 'idle');
const holes = (list: readonly ServingEvent[]): string[] => list.flatMap((event) => (event.kind === 'hole' ? [event.reason] : []));
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const length = ({ from, to }: { from: number; to: number }): number => to - from;
const millis = (value: number): number => Math.round(value * 1000);
const work = ({ prefills, prefillTokens, decodes, decodeTokens }: StepsEvidence): number[] => [prefills, prefillTokens, decodes, decodeTokens];

const byName = (one = '', other = ''): number => (one < other ? -1 : Number(one > other));
const overlapOfSpans = (one: { from: number; to: number }, other: { from: number; to: number }): number => Math.max(0, Math.min(one.to, other.to) - Math.max(one.from, other.from));
/** Of the time that prompts were on the device, how much the evidence says so of. */
function shareFound(truth: readonly Truth[], steps: readonly StepsEvidence[]): number {
  const prompts = truth.filter(({ batch }) => batch.context);
  return sum(prompts.flatMap((one) => steps.filter(({ prefills }) => prefills > 0).map((step) => overlapOfSpans(one, step)))) / sum(prompts.map(length));
}
/** Where work and idle time do not follow on each other. */
function gaps(list: readonly ServingEvent[]): number[] {
  const spans = list.filter((event) => event.kind === 'steps' || event.kind === 'idle');
  return spans.flatMap(({ from }, index) => (from === (spans[index - 1]?.to ?? from) ? [] : [from]));
}
const marks = (list: readonly ServingEvent[]): number[] => list.flatMap((event) => (event.kind === 'watermark' ? [event.at] : []));
const behindWatermark = (list: readonly ServingEvent[]): ServingEvent[] => list.filter((event, index) => event.kind === 'steps' && event.from < Math.max(...marks(list.slice(0, index)), 0));

interface Fields {
  readonly number: number;
  readonly second?: number;
  readonly scheduled?: number;
  readonly context?: readonly [requests: number, tokens: number];
  readonly generated?: number | string;
  readonly host?: number;
  readonly device?: string;
  readonly rank?: number;
  readonly fetched?: string;
}
const clock = (second: number): string => `2026-03-04 05:06:${String(second).padStart(2, '0')}`;
function line({ number, second = 7, scheduled = 1, context = [0, 0], generated = scheduled - context[0], host = 10, device = 'N/A', rank = 0, fetched = '0/0' }: Fields): string {
  return (
    `[03/04/2026-05:06:07] [TRT-LLM] [I] iter = ${number}, global_rank = ${rank}, rank = ${rank}, currank_total_requests = ${fetched}, host_step_time = ${host}ms, ` +
    `prev_device_step_time = ${device}, timestamp = ${clock(second)}, num_scheduled_requests: ${scheduled}, ` +
    `states = {'num_ctx_requests': ${context[0]}, 'num_ctx_tokens': ${context[1]}, 'num_generation_tokens': ${generated}}`
  );
}
const lines = (...fields: readonly Fields[]): string => `${fields.map(line).join('\n')}\n`;

const executor = (counts: Readonly<Record<string, number | string>>): string => JSON.stringify({ 'Active Request Count': 3, 'Max KV cache blocks': 100, 'Tokens per KV cache block': 64, 'Used KV cache blocks': 10, ...counts });
const iteration = (number: number, context: number, contextTokens: number, generating: number, more = {}): string =>
  executor({ 'Iteration Counter': number, 'Context Requests': context, 'Total Context Tokens': contextTokens, 'Generation Requests': generating, 'Scheduled Requests': context + generating, Timestamp: '03-04-2026 05:06:07', ...more });

const glog = (ms: number, json: string): string => `I0304 05:06:07.${ms}000 77 libtensorrtllm.cc:1205] ${json}\n`;
const tenIn = (second: number): string => Array.from({ length: 10 }, (_, index) => `[TensorRT-LLM][INFO] ${iteration(second * 10 + index, 0, 0, 4, { Timestamp: `03-04-2026 05:06:0${second}` })}\n`).join('');

const utcOf = (_: LogLine, stamp?: Stamp) => (stamp ? instant(Date.UTC(stamp.year ?? 0, (stamp.month ?? 1) - 1, stamp.day, stamp.hour, stamp.minute, stamp.second) / 1000) : undefined);
function open() {
  const parser = trtllmLog.parser({ label: 'x', clock: { at: utcOf }, skip: () => undefined, used: () => undefined }, {});
  return { parser, read: (fields: Fields) => parser.line({ number: 1, text: line(fields) }) };
}

describe('an iteration of the PyTorch backend', () => {
  const states = "states = {'num_ctx_requests': 2, 'num_ctx_tokens': 512, 'num_generation_tokens': 16, 'cached_kv_tokens': 900}";
  it.each([
    ['of 2025', `[03/04/2026-05:06:07] [TRT-LLM] [I] iter = 5, global_rank = 0, rank = 0, currank_total_requests = 0/0, elapsed_time = 0.25s, timestamp = 2026-03-04 05:06:07, num_scheduled_requests: 12, ${states}`],
    ['of mid-2025', `[TRT-LLM] [RANK 0] [I] iter = 5, global_rank = 0, rank = 0, currank_total_requests = 0/0, host_step_time = 250ms, prev_device_step_time = N/A, timestamp = 2026-03-04 05:06:07, num_scheduled_requests: 12, ${states}`],
    ['of 2026', `[TRT-LLM] [I] [_torch][RANK 0] iter = 5, global_rank = 0, rank = 0, num_scheduled_requests = 12, kv_cache_util = N/A, currank_total_requests = 0/0, host_step_time = 250.0ms, prev_device_step_time = 3.1ms, timestamp = 2026-03-04 05:06:07, ${states}`],
    ['with another order and the month first', `0: [03/04/2026-05:06:07] [TRT-LLM] [I] timestamp = 03-04-2026 05:06:07, ${states}, num_scheduled_requests = 12, host_step_time = 2.5e2ms, rank = 0, global_rank = 0, iter = 5`],
    ['with counts from the device', `[TRT-LLM] [I] iter = 5, global_rank = 0, rank = 0, num_scheduled_requests = 12, host_step_time = 250ms, timestamp = 2026-03-04 05:06:07, ${states.replace(/: (\d+)/g, ': tensor($1)')}`],
    ['with the stamp of the logger alone', `[03/04/2026-05:06:07] [TRT-LLM] [I] iter = 5, global_rank = 0, rank = 0, num_scheduled_requests = 12, host_step_time = 250ms, ${states}`],
  ])('%s', async (_, text) => {
    const [step, ...none] = stepsIn(await events(`${text}\n`));
    expect(none).toEqual([]);
    expect(step).toMatchObject({ prefills: 2, prefillTokens: 512, decodes: 10, decodeTokens: 10, kvTokens: 900, tokens: { input: 512, output: 10 }, rank: '0', timing: 'inferred' });
    expect(step && millis(length(step))).toBe(250);
    const second = Date.UTC(2026, 2, 4, 5, 6, 7) / 1000;
    expect(step?.to).toBeGreaterThanOrEqual(second);
    expect(step?.to).toBeLessThan(second + 1);
  });

  it('counts requests, not the tokens that pad a CUDA graph', async () => {
    expect(stepsIn(await events(lines({ number: 5, scheduled: 10, generated: 16 }))).map(work)).toEqual([[0, 0, 10, 10]]);
  });

  it('that does not say how many requests ran has padded decodes, which are not booked', async () => {
    const found = await events(`${line({ number: 5, generated: 16 }).replace('num_scheduled_requests: 1, ', '')}\n`);
    expect(stepsIn(found).map(({ decodes, tokens }) => [decodes, tokens])).toEqual([[16, { input: 0 }]]);
    expect(flags(found)).toEqual([['PADDED_DECODES', 1]]);
  });

  it('in two spellings is one iteration', async () => {
    const bare = line({ number: 5, generated: 16 }).replace('num_scheduled_requests: 1, ', '');
    const found = await events(`${bare}\n${line({ number: 5, scheduled: 10, generated: 16 })}\n`);
    expect(stepsIn(found).map(work)).toEqual([[0, 0, 10, 10]]);
    expect(flags(found)).toEqual([]);
  });

  it('with drafts counts one token per request, and says so once', async () => {
    const found = await events(lines({ number: 5, scheduled: 10, generated: 40 }, { number: 6, scheduled: 10, generated: 40 }));
    expect(stepsIn(found).map(work)).toEqual([[0, 0, 10, 10], [0, 0, 10, 10]]);
    expect(flags(found)).toEqual([['DRAFTS_UNCOUNTED', 1]]);
  });

  it('without scheduled requests is idle, whatever is left in its states', async () => {
    const found = await events(lines({ number: 5, scheduled: 1, context: [1, 700], host: 30 }, { number: 6, second: 8, scheduled: 0, context: [1, 700], host: 600 }));
    expect(stepsIn(found).map(work)).toEqual([[1, 700, 0, 0]]);
    expect(idleIn(found).map((each) => [millis(length(each)), each.rank])).toEqual([[600, '0']]);
  });

  it('whose prompts are told a line late is given them', async () => {
    const found = await events(lines({ number: 1, context: [0, 0], generated: 0, scheduled: 1 }, { number: 2, scheduled: 0, context: [1, 300] }, { number: 3, scheduled: 2, context: [0, 0], generated: 1 }, { number: 4, scheduled: 2, context: [1, 40], generated: 2 }, { number: 5, scheduled: 2, context: [0, 0] }));
    expect(stepsIn(found).map(work)).toEqual([[1, 300, 0, 0], [1, 40, 1, 1], [0, 0, 2, 2], [0, 0, 2, 2]]);
  });

  it('is lost when numbers are missing, and that is told', async () => {
    const found = await events(lines({ number: 5 }, { number: 8, second: 12 }));
    expect(flags(found)).toEqual([['ITERATIONS_MISSING', 2]]);
    expect(holes(found)).toEqual(['trtllm.log: iterations here are missing from the log']);
  });

  it('is of a new life when numbers begin again', async () => {
    const found = await events(lines({ number: 500 }, { number: 501 }, { number: 0, second: 40 }, { number: 1, second: 40 }));
    expect(stepsIn(found)).toHaveLength(4);
    expect(holes(found)).toEqual(['trtllm.log: the engine was started anew']);
    expect(flags(found)).toEqual([]);
  });

  it('after the clock was set back goes on', async () => {
    const found = await events(lines({ number: 5, second: 50 }, { number: 6, second: 50 }, { number: 7, second: 10 }, { number: 8, second: 10 }));
    expect(stepsIn(found)).toHaveLength(4);
    expect(flags(found)).toEqual([['CLOCK_STEP', 1]]);
  });
});

describe('moments of iterations', () => {
  const start = Date.UTC(2026, 2, 4, 5, 6, 7) / 1000 + 0.3;
  let seed = 7;
  const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const busy = (count: number): Batch[] =>
    Array.from({ length: count }, () => {
      const decodes = 1 + Math.floor(random() * 8);
      return random() < 0.1 ? { device: 0.1 + random() * 0.2, context: { requests: 1, tokens: 2000 }, decodes } : { device: 0.008 + random() * 0.002, decodes };
    });

  const burst = (): Batch[] => [...Array.from({ length: 8 }, () => ({ device: 0.02 + random() * 0.002, decodes: 4 })), { device: undefined, waits: 1 }];

  it.each([[false], [true]])('agree with an engine of known truth, overlap %s', async (overlap) => {
    const run = runEngine(busy(1500), { overlap, start });
    const list = await events(`${run.lines.join('\n')}\n`);
    const steps = stepsIn(list);
    expect(steps).toHaveLength(1500);
    expect(gaps(list)).toEqual([]);
    // The first seconds only narrow down where in its second the first line was.
    const late = start + 5;
    expect(shareFound(run.truth.filter(({ from }) => from > late), steps)).toBeGreaterThan(0.93);
    expect(sum(steps.filter(({ from, prefills }) => from > late && prefills > 0).map(length)) / sum(run.truth.filter(({ from, batch }) => from > late && batch.context).map(length))).toBeCloseTo(1, 1);
    expect(steps.filter(({ from, timing }) => from > late && timing !== 'exact')).toEqual([]);
    for (const [index, { to }] of steps.entries()) expect(Math.abs(to - (run.truth[index]?.to ?? to))).toBeLessThan(index < 100 ? 1 : 0.06);
  });

  it('keep each stamp: a line is printed within its second', async () => {
    const run = runEngine(busy(800), { overlap: false, start });
    const steps = stepsIn(await events(`${run.lines.join('\n')}\n`));
    for (const [index, { to }] of steps.entries()) {
      const second = Date.parse(`${/timestamp = (\S+ \S+),/.exec(run.lines[index] ?? '')?.[1]}Z`) / 1000;
      expect(to).toBeGreaterThanOrEqual(second);
      expect(to).toBeLessThan(second + 1.01);
    }
  });

  it.each([[false], [true]])('leave out what an engine without requests waited, overlap %s', async (overlap) => {
    const request = (waits: number): Batch[] => [{ device: 0.2, context: { requests: 1, tokens: 2000 }, waits }, ...Array.from({ length: 30 }, () => ({ device: 0.01, decodes: 1 })), ...(overlap ? [{ device: undefined }] : [])];
    const run = runEngine([...busy(200), ...request(0), ...request(4.2), ...request(20.5), ...request(7.7)], { overlap, start });
    const list = await events(`${run.lines.join('\n')}\n`);
    expect(gaps(list)).toEqual([]);
    const longest = stepsIn(list).toSorted((a, b) => length(b) - length(a))[0];
    expect(longest && length(longest)).toBeLessThan(0.4);
    expect(sum(idleIn(list).map(length))).toBeGreaterThan(31.5);
    expect(sum(idleIn(list).map(length))).toBeLessThan(33);
  });

  it('give a wait in a pass without work the time that the device shows for it', async () => {
    const work10 = Array.from({ length: 60 }, (_, index): Batch => ({ device: index % 7 === 0 ? 0.09 : 0.01, decodes: 4 }));
    const run = runEngine([...work10, { device: undefined, waits: 3.25 }, ...work10], { overlap: true, start });
    const list = await events(`${run.lines.join('\n')}\n`);
    expect(idleIn(list)).toHaveLength(1);
    expect(Math.abs(sum(idleIn(list).map(length)) - ((run.truth[60]?.from ?? 0) - (run.truth[59]?.to ?? 0)))).toBeLessThan(0.003);
    expect(stepsIn(list).filter((step) => length(step) < 0.005)).toEqual([]);
  });

  it.each([[false], [true]])('of an engine with one user tell each prompt from the wait before it, overlap %s', async (overlap) => {
    const request = (index: number): Batch[] => [
      { device: 0.15 + (index % 3) * 0.05, context: { requests: 1, tokens: 1500 + (index % 3) * 500 }, waits: index === 0 ? 0 : 1 + (index % 4) },
      ...Array.from({ length: 12 }, () => ({ device: 0.01, decodes: 1 })),
      ...(overlap ? [{ device: undefined }] : []),
    ];
    const run = runEngine(Array.from({ length: 20 }, (_, index) => request(index)).flat(), { overlap, start });
    const steps = stepsIn(await events(`${run.lines.join('\n')}\n`));
    const told = sum(steps.filter(({ prefills }) => prefills > 0).map(length));
    expect(told / sum(run.truth.filter(({ batch }) => batch.context).map(length))).toBeCloseTo(1, 0);
    expect(told).toBeGreaterThan(overlap ? 3.6 : 2.8);
    expect(told).toBeLessThan(4.5);
  });

  it('of an engine that only decodes, and often waits, are not mistaken for those of one without overlap', async () => {
    const run = runEngine(Array.from({ length: 30 }, burst).flat(), { overlap: true, start });
    const idle = sum(idleIn(await events(`${run.lines.join('\n')}\n`)).filter(({ to }) => to > start + 3).map(length));
    const truth = sum(run.truth.flatMap(({ from }, index) => (from > start + 3 && index % 8 === 0 ? [from - (run.truth[index - 1]?.to ?? from)] : [])));
    // The wait after the last burst is not in the truth.
    expect(Math.abs(idle - truth - 1)).toBeLessThan(0.2);
  });

  it('of a new life that begins in the second in which the old ended are in their order', async () => {
    const steps = stepsIn(await events(lines({ number: 500 }, { number: 501 }, { number: 0 }, { number: 1 }, { number: 2, second: 8 })));
    expect(steps).toHaveLength(5);
    expect(steps.filter(({ from }, index) => from < (steps[index - 1]?.to ?? from))).toEqual([]);
    expect(steps.slice(2).map((step) => millis(length(step)))).toEqual([10, 10, 10]);
  });

  it('leave no gap: what lies between two iterations belongs to the one before', async () => {
    const steps = stepsIn(await events(lines({ number: 5, second: 7 }, { number: 6, second: 8 }, { number: 7, second: 9 })));
    expect(steps.map((step) => Math.round(100 * length(step)))).toEqual([1, 100, 1]);
    expect(gaps(steps)).toEqual([]);
  });

  it('of a first prompt that waited for nobody knows how long are a hole and its last second', async () => {
    const found1 = await events(lines({ number: 5, second: 30, scheduled: 1, context: [1, 300], host: 20_000 }));
    expect(holes(found1)).toEqual(['trtllm.log: nothing tells how long the engine waited for a request']);
    expect(stepsIn(found1).map((step) => millis(length(step)))).toEqual([1000]);
  });
});

describe('several ranks', () => {
  it('of a group are one engine: the same iteration counts once', async () => {
    const found = await events(lines(...[1, 2, 3].flatMap((number) => [3, 1, 0, 2].map((rank): Fields => ({ number, rank, scheduled: 4, context: [1, 100] })))));
    expect(sum(stepsIn(found).map(({ prefillTokens }) => prefillTokens))).toBe(300);
    expect(new Set(stepsIn(found).map(({ rank }) => rank)).size).toBe(1);
  });

  it.each([
    ['do different work', (rank: number): Partial<Fields> => ({ scheduled: 4 + rank })],
    ['each fetched a part of the requests', (): Partial<Fields> => ({ scheduled: 4, fetched: '2/4' })],
    ['fetched differently', (rank: number): Partial<Fields> => ({ scheduled: 4, fetched: `${rank}/1` })],
  ])('with attention data parallelism count all: they %s', async (_, of) => {
    const found = await events(lines(...[1, 2, 3].flatMap((number) => [1, 0].map((rank): Fields => ({ number, rank, ...of(rank) })))));
    expect(stepsIn(found).map(({ rank }) => rank).toSorted(byName)).toEqual(['0', '0', '0', '1', '1', '1']);
  });

  it('of which the second prints first are compared when the first has printed', async () => {
    const found = await events(lines({ number: 1, rank: 0, scheduled: 0 }, { number: 1, rank: 1, scheduled: 0 }, { number: 2, rank: 1, scheduled: 5 }, { number: 2, rank: 0, scheduled: 4 }));
    expect(stepsIn(found).map(({ rank, decodes }) => [rank, decodes])).toEqual([['0', 4], ['1', 5]]);
  });

  it('of two engines in one file are told apart by who wrote them', async () => {
    const found = await events(['ctx-1  | ', 'gen-1  | '].flatMap((writer) => [1, 2].map((number) => `${writer}${line({ number })}\n`)).join(''));
    expect(stepsIn(found).map(({ rank }) => rank).toSorted(byName)).toEqual(['ctx-1/0', 'ctx-1/0', 'gen-1/0', 'gen-1/0']);
    expect(flags(found)).toEqual([]);
  });

  it('behind the labels of a launcher are ranks all the same', async () => {
    const found = await events([0, 1].flatMap((rank) => [1, 2].map((number) => `${rank}: ${line({ number, rank, scheduled: 3 })}\n`)).join(''));
    expect(stepsIn(found).map(({ rank }) => rank)).toEqual(['0', '0']);
  });
});

describe('an iteration of the C++ executor', () => {
  it.each([
    ['under Triton', (json: string) => `I0304 05:06:07.250000 77 libtensorrtllm.cc:1205] ${json}`, 7.25],
    ['escaped', (json: string) => `I0304 05:06:07.250000 77 model_instance_state.cc:969] ${JSON.stringify(json)}`, 7.25],
    ['by itself', (json: string) => `[TensorRT-LLM][INFO] ${json}`, 7.75],
  ])('%s', async (_, wrap, end) => {
    const found = await events(`${wrap(iteration(1, 2, 900, 0))}\n${wrap(iteration(2, 1, 100, 7)).replace('07.25', '07.35')}\n`);
    expect(stepsIn(found).map(work)).toEqual([[2, 900, 0, 0], [1, 100, 7, 7]]);
    expect(stepsIn(found)[1]).toMatchObject({ tokens: { input: 100, output: 7 }, kvTokens: 640 });
    expect(stepsIn(found).map(({ rank }) => rank)).toEqual([undefined, undefined]);
    expect((stepsIn(found)[1]?.to ?? 0) - Date.UTC(2026, 2, 4, 5, 6) / 1000).toBeCloseTo(end === 7.25 ? 7.35 : end, 4);
    expect(found).toContainEqual(expect.objectContaining({ kind: 'engine', kvCacheTokens: 6400 }));
    expect(found).toContainEqual(expect.objectContaining({ kind: 'gauge', gauge: 'serving.kv_cache.usage', value: 0.1 }));
  });

  it('of two micro-batches follows on the other', async () => {
    const found = stepsIn(await events(glog(100, iteration(8, 0, 0, 5)) + glog(110, iteration(9, 0, 0, 6, { 'MicroBatch ID': 1 })) + glog(120, iteration(9, 0, 0, 5, { 'MicroBatch ID': 0 })) + glog(130, iteration(10, 0, 0, 6, { 'MicroBatch ID': 1 }))));
    expect(found.map(({ decodes }) => decodes)).toEqual([5, 6, 5, 6]);
    expect(found.slice(1).map((step) => millis(length(step)))).toEqual([10, 10, 10]);
    for (const [index, { from }] of found.entries()) expect(from).toBe(found[index - 1]?.to ?? from);
  });

  it('among ten in a second is placed in its order', async () => {
    const found = stepsIn(await events(tenIn(7) + tenIn(8)));
    expect(found.slice(1).map((step) => millis(length(step)))).toEqual(Array.from({ length: 19 }, () => 100));
    expect(found.every(({ timing }) => timing === 'inferred')).toBe(true);
  });

  it('of static batching counts what the batch generated', async () => {
    const json = executor({ 'Iteration Counter': 3, 'Context Requests': 4, 'Scheduled Requests': 4, 'Total Context Tokens': 60, 'Total Generation Tokens': 80, 'Empty Generation Slots': 12, Timestamp: '03-04-2026 05:06:07' });
    expect(stepsIn(await events(`[TensorRT-LLM][INFO] ${json}\n`)).map(work)).toEqual([[4, 60, 80, 80]]);
  });

  it('that says nothing of its work tells how many requests there are', async () => {
    const found = await events(`I0304 05:06:07.250000 77 libtensorrtllm.cc:1009] ${JSON.stringify({ 'Active Request Count': 2, 'Iteration Counter': 200, Timestamp: '03-04-2026 05:06:07' })}\n`);
    expect(found).toEqual([{ kind: 'gauge', gauge: 'serving.requests.running', value: 2, at: Date.UTC(2026, 2, 4, 5, 6, 7, 250) / 1000 }]);
  });

  it('across New Year is in the year of its own stamp', async () => {
    const found = await events(`I0101 00:00:00.100000 77 libtensorrtllm.cc:1205] ${iteration(2, 1, 100, 7, { Timestamp: '12-31-2025 23:59:59' })}\n`);
    expect(stepsIn(found)[0]?.to).toBe(Date.UTC(2026, 0, 1, 0, 0, 0, 100) / 1000);
  });
});

describe('a log that is not as it should be', () => {
  const good = lines({ number: 1 }, { number: 2 }, { number: 3 });
  it.each([
    ['with carriage returns', good.replaceAll('\n', '\r\n'), 0],
    ['with its last line cut off', `${good}${line({ number: 4 }).slice(0, -20)}`, 1],
    ['with binary rubbish', Buffer.concat([Buffer.from([0, 255, 254, 10, 13, 0, 192, 10]), Buffer.from(good), Buffer.from([200, 201, 10])]), 0],
    ['with lines of others', `Loading weights: 100%|███| 8/8\n{"prompt": "iter = 5"}\n${good}INFO:     "POST /v1/completions" 200 OK\n`, 0],
    ['with numbers that are none', `${good}${line({ number: 4 }).replace('iter = 4', 'iter = ?')}\n${line({ number: 5 }).replace("'num_ctx_tokens': 0", "'num_ctx_tokens': None")}\n`, 2],
    ['with an object that is cut off', `${good}[TensorRT-LLM][INFO] {"Active Request Count":1,"Iteration Counter":7,"Context\n`, 1],
    ['with a time that is none', `${good}${line({ number: 4 }).replaceAll('2026-03-04 05', '2026-13-44 45')}\n`, 1],
  ])('%s', async (_, content, skipped) => {
    const found = await events(content);
    expect(stepsIn(found)).toHaveLength(3);
    expect(flags(found)).toEqual(skipped === 0 ? [] : [['SKIPPED_LINES', skipped]]);
    expect(JSON.stringify(found)).not.toContain('iter =');
  });

  it('whose line was torn in two is put together', async () => {
    const whole = line({ number: 2 });
    const found = await events(`${line({ number: 1 })}\n${whole.slice(0, 120)}\n${whole.slice(120)}\n${line({ number: 3 })}\n`);
    expect(stepsIn(found)).toHaveLength(3);
    expect(flags(found)).toEqual([]);
  });

  it('that is of something else is refused', async () => {
    expect(await refusal(events('hello\nworld\n'))).toMatch(/^FILE_FORMAT/);
  });
});

describe('a log that is growing', () => {
  const base = Date.UTC(2026, 2, 4, 5, 6, 7) / 1000;

  it('says an iteration once the next is there, and never goes back behind its watermark', () => {
    const { read } = open();
    const found = Array.from({ length: 300 }, (_, index) => read({ number: index + 1, second: 7 + Math.floor(index / 100), scheduled: 2 })).flat();
    expect(behindWatermark(found)).toEqual([]);
    expect(stepsIn(found)).toHaveLength(299);
    expect(marks(found).at(-1)).toBeGreaterThan(base + 1.5);
  });

  it('has told no more than the rank that is behind', () => {
    const { read } = open();
    const of = (rank: number, number: number, second: number): readonly ServingEvent[] => read({ number, second, rank, scheduled: 1 + rank });
    const found = [...of(0, 1, 7), ...of(1, 1, 7), ...of(1, 2, 8), ...of(0, 2, 8), ...of(0, 3, 20), ...of(0, 4, 21)];
    expect(stepsIn(found).map(({ rank }) => rank)).toEqual(['1', '0', '0', '0']);
    expect(marks(found)).toHaveLength(1);
    expect(marks(found)[0]).toBeLessThan(base + 2);
  });

  it('that falls silent is idle after a while, and what comes then goes on from there', () => {
    const { parser, read } = open();
    read({ number: 1, scheduled: 2 });
    read({ number: 2, scheduled: 2 });
    expect(marks(parser.quiet(instant(base + 5))).at(-1)).toBeLessThan(base + 1);
    const quiet = parser.quiet(instant(base + 30));
    expect(stepsIn(quiet)).toHaveLength(1);
    expect(idleIn(quiet).at(-1)?.to).toBe(base + 20);
    expect(marks(quiet)).toEqual([base + 20]);
    expect(idleIn(parser.quiet(instant(base + 31))).map(length)).toEqual([1]);
    const rest = [...read({ number: 3, second: 45, scheduled: 1, context: [1, 80], host: 37_500 }), ...read({ number: 4, second: 45, scheduled: 1 }), ...parser.end()];
    expect(stepsIn(rest)).toHaveLength(2);
    for (const event of [...stepsIn(rest), ...idleIn(rest)]) expect(event.from).toBeGreaterThanOrEqual(base + 21);
  });

  it('tells what the engine says of itself at its start', () => {
    const { parser } = open();
    const said = { number: 1, text: '[TensorRT-LLM] TensorRT-LLM version: 1.2.0' };
    expect(parser.line(said)).toEqual([]);
    const clocked = trtllmLog.parser({ label: 'x', clock: { at: () => instant(base) }, skip: () => undefined, used: () => undefined }, {});
    expect(clocked.line(said)).toEqual([{ kind: 'engine', at: base, version: '1.2.0' }]);
    expect(clocked.line({ number: 2, text: '[TRT-LLM] [I] max_seq_len=4096, max_num_requests=64, max_num_tokens=8192, max_batch_size=64' })).toEqual([{ kind: 'engine', at: base, chunkTokens: 8192 }]);
  });
});
