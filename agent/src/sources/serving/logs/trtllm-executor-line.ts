/**
 * What the C++ executor prints of each iteration (Triton with `--log-verbose=1`, gptManagerBenchmark): one JSON object,
 * whose names differ by release and batching, plain or quoted with its quotes escaped:
 *
 *     I0102 03:04:05.678901 77 libtensorrtllm.cc:1205] {"Active Request Count":2,"Context Requests":1,…,"Timestamp":"01-02-2026 03:04:05",…}
 *     [TensorRT-LLM][INFO] {"Active Request Count":2,…}
 *     I0102 03:04:05.678901 77 model_instance_state.cc:969] "{\"Active Request Count\":2,…}"
 *
 * A request's first token comes out of its context iteration and is not told apart from a chunk: only decoded tokens count.
 */
import { z } from 'zod';
import type { Stamp } from './dialect.js';
import type { Flaw, Report } from './trtllm-report.js';

const whole = z.int().min(0).optional();
const report = z.object({
  'Iteration Counter': z.int().min(0),
  Timestamp: z.string().optional(),
  'MicroBatch ID': whole,
  'Active Request Count': whole,
  'Scheduled Requests': whole,
  'Context Requests': whole,
  'Generation Requests': whole,
  'Total Context Tokens': whole,
  /** Static batching: what the whole batch generated. */
  'Total Generation Tokens': whole,
  'Used KV cache blocks': whole,
  'Max KV cache blocks': whole,
  'Tokens per KV cache block': whole,
});

const TIMESTAMP = /^(\d\d)-(\d\d)-(\d{4}) (\d\d):(\d\d):(\d\d(?:\.\d+)?)$/;
const GLOG = /(?:^|\s)[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d\.\d+)\s/;

/** Maybe cut off behind its first name. */
export const isExecutorLine = (text: string): boolean => /\{\\?"Active Request Count\\?"/.test(text) || /"Iteration Counter\\?"/.test(text);

/** An iteration that says nothing of its work is given with its requests alone. */
export type ExecutorReport = Report | { readonly running: number | undefined; readonly stamp: Stamp | undefined };

/** @returns undefined for a line of something else */
export function readExecutorLine(text: string): ExecutorReport | Flaw | undefined {
  if (!isExecutorLine(text)) return undefined;
  const said = report.safeParse(objectIn(text));
  if (!said.success) return { flaw: 'statistics of an iteration that are cut off or of another form' };
  const { data } = said;
  const running = data['Active Request Count'];
  const stamp = stampOf(text, data.Timestamp);
  const requests = data['Context Requests'];
  const generated = data['Generation Requests'] ?? data['Total Generation Tokens'];
  if (requests === undefined || generated === undefined) return { running, stamp };
  const blockTokens = data['Tokens per KV cache block'];
  const blocks = data['Max KV cache blocks'];
  const used = data['Used KV cache blocks'];
  return {
    number: data['Iteration Counter'],
    microBatch: data['MicroBatch ID'],
    stamp,
    scheduled: data['Generation Requests'] === undefined ? undefined : (data['Scheduled Requests'] ?? requests + generated),
    context: { requests, tokens: data['Total Context Tokens'] ?? 0 },
    generationTokens: generated,
    padded: false,
    kvTokens: used === undefined || blockTokens === undefined ? undefined : used * blockTokens,
    kvUsage: used === undefined || blocks === undefined || blocks === 0 ? undefined : used / blocks,
    kvCacheTokens: blocks === undefined || blockTokens === undefined ? undefined : blocks * blockTokens,
    running,
  };
}

function objectIn(text: string): unknown {
  const json = text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1).replaceAll('\\"', '"');
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** Triton's own stamp has microseconds and no year, the one inside the year and whole seconds. */
function stampOf(text: string, inside: string | undefined): Stamp | undefined {
  const [, month, day, year, hour, minute, second] = TIMESTAMP.exec(inside ?? '') ?? [];
  const [, outerMonth, outerDay, ...time] = GLOG.exec(text) ?? [];
  if (outerMonth === undefined) return month === undefined ? undefined : { year: Number(year), month: Number(month), day: Number(day), hour: Number(hour), minute: Number(minute), second: Number(second) };
  const newYear = month === '12' && outerMonth === '01' ? 1 : 0;
  return { year: year === undefined ? undefined : Number(year) + newYear, month: Number(outerMonth), day: Number(outerDay), hour: Number(time[0]), minute: Number(time[1]), second: Number(time[2]) };
}
