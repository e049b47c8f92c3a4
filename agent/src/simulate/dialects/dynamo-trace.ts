/** The request trace of an NVIDIA Dynamo front end: one JSON object per request, written at its end. Times are whole milliseconds, latencies are not. */
import type { Pool, SimulatedRequest } from '../trace.js';
import { dialect } from './format.js';

/** Worker ids are larger than a double can hold: they are text here and numbers in the file. */
const WORKER_BASE = 16_216_382_247_825_250_000n;

export const dynamoTrace = dialect({
  name: 'dynamo-trace',
  summary: 'request_end events of a Dynamo front end (dynamo.request.trace.v1)',
  file: 'dynamo-trace.jsonl',
  speaks: 'gateway',
  options: {},
  write: ({ clock, pool, model }) => ({
    request: (request) => (request.outcome === 'ok' ? `${record(request, pool, model, (at) => Math.round(clock.at(at) * 1000))}\n` : ''),
  }),
});

/** Undefined where one of the moments never came: the field is left out. */
const ms = (from: number | undefined, to: number | undefined): number | undefined => (from === undefined || to === undefined ? undefined : (to - from) * 1000);

function record({ id, arrival, scheduled, firstToken, end, inputTokens, cachedTokens, outputTokens, rank }: SimulatedRequest, pool: Pool, model: string, millis: (at: number) => number): string {
  const decodeWorker = WORKER_BASE + BigInt(rank);
  const prefillWorker = pool === 'serve' ? decodeWorker : WORKER_BASE + 1000n;
  const worker = `{"prefill_worker_id":${prefillWorker},"prefill_dp_rank":0,"decode_worker_id":${decodeWorker},"decode_dp_rank":0}`;
  const interval = outputTokens > 1 ? (ms(firstToken, end) ?? 0) / (outputTokens - 1) : undefined;
  const event = {
    schema: 'dynamo.request.trace.v1',
    event_type: 'request_end',
    event_time_unix_ms: millis(end),
    event_source: 'dynamo',
    request: {
      request_id: `r${id}`,
      model,
      input_tokens: inputTokens,
      output_tokens: outputTokens,
      cached_tokens: cachedTokens,
      request_received_ms: millis(arrival),
      prefill_wait_time_ms: ms(arrival, scheduled),
      prefill_time_ms: ms(scheduled, firstToken),
      ttft_ms: ms(arrival, firstToken),
      total_time_ms: ms(arrival, end),
      avg_itl_ms: interval,
      kv_hit_rate: inputTokens === 0 ? 0 : cachedTokens / inputTokens,
      queue_depth: 0,
      worker: 0,
      finish_reason_metadata: { finish_reason: 'stop' },
    },
  };
  return JSON.stringify({ timestamp: Math.round(end * 1000), event }).replace('"worker":0', `"worker":${worker}`);
}
