/**
 * Spans of requests by the GenAI conventions of OpenTelemetry, and those of vLLM and SGLang, which have names of their own.
 *
 *     chat demo-model        gen_ai.usage.input_tokens, …output_tokens, …cache_read.input_tokens; gen_ai.response.time_to_first_chunk (s)
 *     llm_request (vLLM)     gen_ai.usage.prompt_tokens, …completion_tokens; gen_ai.latency.time_in_queue, .time_to_first_token,
 *                            .time_in_model_prefill, .time_in_model_decode (s)
 *
 *     start ├ time_in_queue ┼ time_in_model_prefill ┼ time_in_model_decode ┤ end
 *           ├────────── time_to_first_token ────────┤
 *
 * Input includes what was cached, output what was only reasoning. A request that several saw counts once. Spans may come in
 * any order, and the inner one may be exported last: all of a file is read before anything is said.
 */
import type { Outcome } from '@joulebook/shared/slice.js';
import { instant, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { isFault, type Fault } from '../cells.js';
import { lineTally } from '../line-tally.js';
import { servingFormat, type RecordedServingEntry } from '../recorded.js';
import type { RequestEvidence, ServingEvent } from '../source.js';
import { innermost, type SeenRequest } from './otel-genai-nesting.js';
import { spansOf, type Span } from './otel-genai-spans.js';
import { outcomeOf } from './request-row.js';
import { cellOf, nameOf, numbersOf, requestTold, textOf } from './told-request.js';

const NAME = 'otel-genai';

/** By each the names that were given to it, newest first. */
const NAMES = {
  prompt: ['gen_ai.usage.input_tokens', 'gen_ai.usage.prompt_tokens'],
  output: ['gen_ai.usage.output_tokens', 'gen_ai.usage.completion_tokens'],
  cached: ['gen_ai.usage.cache_read.input_tokens', 'gen_ai.usage.cache_read_input_tokens', 'gen_ai.usage.input_tokens.cached', 'gen_ai.usage.cached_input_tokens', 'gen_ai.usage.cached_tokens'],
  firstToken: ['gen_ai.latency.time_to_first_token', 'gen_ai.response.time_to_first_chunk', 'gen_ai.server.time_to_first_token'],
  queue: ['gen_ai.latency.time_in_queue'],
  prefill: ['gen_ai.latency.time_in_model_prefill'],
  responseModel: ['gen_ai.response.model'],
  requestModel: ['gen_ai.request.model'],
  operation: ['gen_ai.operation.name'],
  finish: ['gen_ai.response.finish_reasons', 'gen_ai.response.finish_reason'],
  error: ['error.type'],
} as const;
type Name = keyof typeof NAMES;
const WANTED: ReadonlySet<string> = new Set(Object.values(NAMES).flat());

const options = {
  /** Only requests to these models. vLLM does not say its model. */
  models: z.array(z.string().min(1)).min(1).optional(),
  /** Only spans of these services (service.name). */
  services: z.array(z.string().min(1)).min(1).optional(),
};
type Options = z.output<z.ZodObject<typeof options>>;

export const otelGenai = servingFormat({
  name: NAME,
  tokensFrom: 'requests',
  summary: "spans of OpenTelemetry by the GenAI conventions, vLLM's and SGLang's too (OTLP JSON lines or document, or an SDK's JSON): requests with queue, first token and tokens; models, services",
  options,
  open: (entry, chosen) => ({ description: `${entry.file.label} (${NAME})`, events: () => events(entry, chosen) }),
});

interface Trace {
  readonly seen: SeenRequest[];
  /** A span that is exported again is the same one. */
  readonly parents: Map<string, string | undefined>;
}

async function* events(entry: RecordedServingEntry, chosen: Options): AsyncGenerator<ServingEvent, void> {
  const { label } = entry.file;
  const tally = lineTally(label);
  const traces = new Map<string, Trace>();
  let unusable = 0;
  let sums = 0;
  let number = 0;
  const skip = (line: number, reason: string): void => {
    unusable += 1;
    tally.skip(line, reason);
  };

  for await (const span of spansOf(entry.file, WANTED)) {
    number += 1;
    if ('fault' in span) {
      skip(span.line, span.fault);
      continue;
    }
    const trace = traceOf(traces, span, number);
    if (span.id !== undefined && trace.parents.has(span.id)) continue;
    if (span.id !== undefined) trace.parents.set(span.id, span.parent);
    if (!isAboutTokens(span)) continue;
    if (isSum(span)) {
      sums += 1;
      continue;
    }
    if (!isWanted(span, chosen)) continue;
    const request = requestOf(span, `${label}:${span.place}`, entry.model);
    if (isFault(request)) {
      skip(Number.parseInt(span.place, 10) || number, request.fault);
      continue;
    }
    tally.used();
    trace.seen.push({ span, request });
  }
  const requests = [...traces.values()].flatMap(({ seen, parents }) => innermost(seen, parents)).map(({ request }) => request).toSorted((a, b) => a.end - b.end);
  if (requests.length === 0 && unusable === 0 && number > 0) yield* nothingOf(label, number, sums);
  else tally.judge(NAME);
  yield* requests;
  yield* doubt(requests, unusable, label);
  yield* tally.flagged();
  const last = requests.at(-1);
  if (last) yield { kind: 'watermark', at: last.end };
}

/** A span that names no trace is alone in its own. */
function traceOf(traces: Map<string, Trace>, span: Span, number: number): Trace {
  const key = span.trace ?? `alone ${number}`;
  const trace = traces.get(key) ?? { seen: [], parents: new Map() };
  traces.set(key, trace);
  return trace;
}

/** Spans come in no order: a request that can't be used may have run at any time. */
function* doubt(requests: readonly RequestEvidence[], unusable: number, label: string): Generator<ServingEvent> {
  const last = requests.at(-1);
  if (unusable === 0 || !last) return;
  yield { kind: 'hole', from: instant(requests.reduce((least, { start }) => Math.min(least, start), Infinity)), to: last.end, reason: `${label}: ${unusable} requests could not be used, and spans are in no order` };
}

function* nothingOf(label: string, spans: number, sums: number): Generator<ServingEvent> {
  const why = sums > 0 ? `${sums} sums over the requests of an agent, and no span of one of these` : 'none with tokens (gen_ai.usage.…) of the models and services that are asked for';
  yield { kind: 'flagged', code: 'NO_REQUESTS', count: spans, detail: `${label}: among its ${spans} spans are ${why}; export the spans of the engine or of the client library` };
}

const valueOf = ({ attributes }: Span, name: Name): unknown => NAMES[name].map((each) => attributes.get(each)).find((value) => value !== undefined && value !== null);
const isAboutTokens = (span: Span): boolean => (['prompt', 'output', 'firstToken', 'queue', 'prefill'] as const).some((name) => valueOf(span, name) !== undefined) || isInference(span);
const isInference = (span: Span): boolean => /^(?:chat|text_completion|generate_content|embeddings)$/.test(textOf(valueOf(span, 'operation')) ?? '');
/** Agents, workflows and tools may say what all their requests took together. */
const isSum = (span: Span): boolean => !isInference(span) && /agent|workflow|tool|retriev|memory/.test(textOf(valueOf(span, 'operation')) ?? '');

function isWanted(span: Span, { models, services }: Options): boolean {
  const named = [valueOf(span, 'requestModel'), valueOf(span, 'responseModel')];
  return (!models || models.some((model) => named.includes(model))) && (!services || services.includes(span.service ?? ''));
}

function requestOf(span: Span, id: string, model: string | undefined): RequestEvidence | Fault {
  const number = numbersOf();
  const count = (name: Name): number | undefined => number.count(`${name} tokens`, valueOf(span, name));
  const counts = { prompt: count('prompt'), cached: count('cached'), output: count('output') };
  const times = timesOf(span, (name) => number.quantity(NAMES[name][0], valueOf(span, name)));
  if (number.fault !== undefined) return { fault: number.fault };
  const outcome = endingOf(span);
  // A model that was asked for in vain is what a client typed.
  const named = nameOf(valueOf(span, 'responseModel')) ?? (outcome === 'ok' ? nameOf(valueOf(span, 'requestModel')) : undefined);
  return requestTold({ id, start: span.start, ...times, end: span.end, ...counts, outcome, model: named ?? model });
}

interface Times {
  readonly scheduled: Instant | undefined;
  readonly firstToken: Instant | undefined;
}

/** The engine's prefill ends with the first token; before its queue lies what is done with a prompt before it can wait. */
function timesOf({ start }: Span, seconds: (name: Name) => number | undefined): Times {
  const [first, queue, prefill] = [seconds('firstToken'), seconds('queue'), seconds('prefill')];
  const began = first !== undefined && prefill !== undefined ? first - prefill : queue;
  const after = (took: number | undefined): Instant | undefined => (start === undefined || took === undefined ? undefined : instant(start + took));
  return { scheduled: after(began), firstToken: after(first ?? (queue !== undefined && prefill !== undefined ? queue + prefill : undefined)) };
}

function endingOf(span: Span): Outcome {
  const error = valueOf(span, 'error');
  if (span.failed || error !== undefined) {
    const kind = String(cellOf(error) ?? '');
    if (/cancel|abort|disconnect/i.test(kind)) return 'aborted';
    return (/^[45]\d\d$/.test(kind) ? outcomeOf(kind) : undefined) ?? 'failed';
  }
  const reasons = [valueOf(span, 'finish')].flat().map((reason) => outcomeOf(cellOf(reason)) ?? 'ok');
  return reasons.find((reason) => reason !== 'ok') ?? 'ok';
}
