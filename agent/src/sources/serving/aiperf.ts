/**
 * AIPerf's profile_export.jsonl: what a benchmark's client saw, a record per request, warm-up included.
 *
 *     {"metadata":{"x_request_id":"7609…","request_start_ns":1772600767000000000,"request_end_ns":1772600769000000000,"benchmark_phase":"profiling","was_cancelled":false},
 *      "metrics":{"time_to_first_token":{"value":200.5,"unit":"ms"},"input_sequence_length":{"value":900,"unit":"tokens"},"output_sequence_length":{"value":40,"unit":"tokens"}},"error":null}
 *
 * Lengths are the client's own count, by the tokenizer it was given; the server's (`usage_…`), where they were asked for, go first.
 * Times are of the client's clock.
 */
import type { Outcome } from '@joulebook/shared/slice.js';
import { instant, type Instant } from '@joulebook/shared/units.js';
import { isFault, type Fault } from '../cells.js';
import { lineTally } from '../line-tally.js';
import { servingFormat, type RecordedServingEntry } from '../recorded.js';
import type { RequestEvidence, ServingEvent } from '../source.js';
import { textLines } from '../text-lines.js';
import { holesOfUnusable, type PlacedRow } from './holes.js';
import { isRecord } from './logs/rust-tracing.js';
import { outcomeOf } from './request-row.js';
import { cellOf, numbersOf, requestTold } from './told-request.js';

const NAME = 'aiperf';

export const aiperf = servingFormat({
  name: NAME,
  tokensFrom: 'requests',
  summary: 'profile_export.jsonl of AIPerf: requests as the client saw them, with first token and tokens',
  options: {},
  open: (entry) => ({ description: `${entry.file.label} (${NAME})`, events: () => events(entry) }),
});

async function* events({ file, model }: RecordedServingEntry): AsyncGenerator<ServingEvent, void> {
  const { label } = file;
  const tally = lineTally(label);
  const rows: PlacedRow[] = [];
  let last: Instant | undefined;
  for await (const { number, text, tooLong } of textLines(file)) {
    if (text.trim() === '' && !tooLong) continue;
    const read = tooLong ? { fault: 'longer than 1 MiB' } : readRecord(text, `${label}:${number}`, model);
    if (isFault(read)) {
      tally.skip(number, read.fault);
      rows.push('unusable');
      continue;
    }
    tally.used();
    rows.push(read);
    if (last === undefined || read.end > last) last = read.end;
    yield read;
  }
  tally.judge(NAME);
  yield* holesOfUnusable(rows, `${label}: a request here could not be used`);
  yield* tally.flagged();
  if (last !== undefined) yield { kind: 'watermark', at: last };
}

type JsonRecord = Readonly<Record<string, unknown>>;
const recordOf = (value: unknown): JsonRecord => (isRecord(value) ? value : {});

function readRecord(text: string, id: string, model: string | undefined): RequestEvidence | Fault {
  const record = parsed(text);
  if (record === undefined) return { fault: 'no JSON, or cut off' };
  const { metadata, metrics: measured, error } = recordOf(record);
  if (!isRecord(metadata) || !('request_start_ns' in metadata)) return { fault: "not a record of AIPerf's profile export" };
  const metrics = recordOf(measured);
  const number = numbersOf();
  const value = (...names: readonly string[]): unknown => names.map((name) => recordOf(metrics[name])['value']).find((each) => each !== undefined && each !== null);
  const moment = (name: string): Instant | undefined => {
    const nanos = number.quantity(name, metadata[name]);
    return nanos === undefined || nanos === 0 ? undefined : instant(nanos / 1e9);
  };
  const start = moment('request_start_ns');
  const end = moment('request_end_ns');
  const first = number.quantity('time_to_first_token', value('time_to_first_token', 'ttft'));
  const counts = {
    prompt: number.count('prompt tokens', value('usage_prompt_tokens', 'input_sequence_length')),
    cached: number.count('cached tokens', value('usage_prompt_cache_read_tokens')),
    output: number.count('output tokens', value('usage_completion_tokens', 'output_sequence_length')),
  };
  if (number.fault !== undefined) return { fault: number.fault };
  return requestTold({ id, start, firstToken: start === undefined || first === undefined ? undefined : instant(start + first / 1000), end, ...counts, outcome: endingOf(metadata, error), model });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function endingOf(metadata: JsonRecord, error: unknown): Outcome {
  if (metadata['was_cancelled'] === true) return 'aborted';
  if (error === undefined || error === null) return 'ok';
  const code = cellOf(recordOf(error)['code']);
  return (/^[45]\d\d$/.test(String(code)) ? outcomeOf(code) : undefined) ?? 'failed';
}
