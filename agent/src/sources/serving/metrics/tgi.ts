/**
 * What a metrics page of TGI (text-generation-inference) says.
 *
 *     tgi_request_input_length_sum 9000                       moves when a request was validated, before it waits in the queue
 *     tgi_request_generated_tokens_sum 400                    moves when a request ends: a long answer comes in one lump
 *     tgi_batch_forward_duration_sum{method="prefill"} 1.25   seconds that the model ran: what tells the phases here
 *     tgi_batch_current_size 3   tgi_queue_size 1             gauges
 *
 * The size of the batch is first told after its first prefill: until then only a forward pass that was begun and not
 * ended (inference_count ahead of success and failure) tells that somebody is there.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Outcome } from '@joulebook/shared/slice.js';
import type { Counted, Counter } from './look.js';
import type { Gauge, MetricsDialect, Pages } from './dialect.js';
import type { Sample } from './prometheus-text.js';

export const tgi: MetricsDialect = {
  name: 'tgi-metrics',
  program: 'TGI',
  samples: 'tgi_',
  tells: 'tokens, seconds of prefill and decode, running and waiting requests',
  usualUrl: 'http://127.0.0.1:8080/metrics',
  isOf: ({ name }) => name === PROCESS_START || (name.startsWith('tgi_') && !name.endsWith('_bucket')),
  pages,
};

const PROCESS_START = 'process_start_time_seconds';
const BATCH_SIZE = 'tgi_batch_current_size';
const QUEUE_SIZE = 'tgi_queue_size';

/** By preference. The second has the time of filtering and sending in it; the first came with 1.4. */
const PHASE_SECONDS = ['tgi_batch_forward_duration_sum', 'tgi_batch_inference_duration_sum'] as const;
type PhaseSeconds = (typeof PHASE_SECONDS)[number];

const FAILURES: ReadonlyMap<string, Outcome> = new Map([
  ['overloaded', 'rejected'],
  ['validation', 'rejected'],
  ['dropped', 'aborted'],
]);

/** Labels that tell counters of one process apart from each other; the rest name the process (a replica). */
const LABELS_WITHIN_PROCESS: ReadonlySet<string> = new Set(['method', 'err']);

/** Which durations tell the phases must not change while they are there. */
function pages(): Pages {
  let phases: PhaseSeconds | undefined;
  return {
    read(page, at) {
      const samples = page.map((sample) => ({ ...sample, name: sample.name.replace(/_total$/, '') }));
      const has = (name: string): boolean => samples.some((sample) => sample.name === name);
      if (!samples.some(({ name }) => name.startsWith('tgi_'))) throw new TelemetryError('NOT_TGI', 'This metrics page has no tgi_ samples: it is of another program.', 'discard');
      if (phases === undefined || !has(phases)) phases = PHASE_SECONDS.find(has);
      const counters = new Map<string, Counter>();
      for (const sample of samples) addCounter(counters, sample, phases);

      const passes = sumOf(samples, 'tgi_batch_inference_count') - sumOf(samples, 'tgi_batch_inference_success') - sumOf(samples, 'tgi_batch_inference_failure');
      const running = Math.max(sumOf(samples, BATCH_SIZE), passes > 0 ? 1 : 0);
      const waiting = sumOf(samples, QUEUE_SIZE);
      const told = has(BATCH_SIZE) || has(QUEUE_SIZE);
      const gauge = (name: string, value: number): Gauge => ({ kind: 'gauge', gauge: name, value, at });
      return {
        look: {
          at,
          counters,
          busy: new Map<string | undefined, number>(told ? [[undefined, running + waiting]] : []),
          running: new Map<string | undefined, number>(told ? [[undefined, running]] : []),
          processStart: page.find((sample) => sample.name === PROCESS_START)?.value,
        },
        gauges: told ? [gauge('serving.requests.running', running), gauge('serving.requests.waiting', waiting)] : [],
      };
    },
  };
}

function addCounter(counters: Map<string, Counter>, sample: Sample, phases: PhaseSeconds | undefined): void {
  const counts = countedBy(sample, phases);
  if (counts === undefined) return;
  const labels = [...sample.labels].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const process = JSON.stringify(labels.filter(([label]) => !LABELS_WITHIN_PROCESS.has(label)));
  counters.set(`${sample.name}${JSON.stringify(labels)}`, { counts, value: sample.value, process });
}

function countedBy({ name, labels }: Sample, phases: PhaseSeconds | undefined): Counted | undefined {
  const method = labels.get('method');
  if (name === 'tgi_request_generated_tokens_sum') return 'output';
  if (name === 'tgi_request_input_length_sum') return 'prompt';
  if (name === 'tgi_request_success') return 'ok';
  if (name === 'tgi_request_failure') return FAILURES.get(labels.get('err') ?? '') ?? 'failed';
  if (name === 'tgi_batch_inference_count') return method === 'decode' ? 'decodeSteps' : undefined;
  if (name !== phases) return undefined;
  return method === 'prefill' ? 'prefillSeconds' : method === 'decode' ? 'decodeSeconds' : undefined;
}

const sumOf = (samples: readonly Sample[], name: string): number => samples.reduce((sum, sample) => (sample.name === name ? sum + sample.value : sum), 0);
