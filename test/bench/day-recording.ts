/**
 * A long recording of a busy vLLM server, made up line by line: fast to write, and what it tells is known to the token and to
 * the microjoule. One model on all the GPUs; the rate of requests goes up and down over 2 h, and the last ten minutes of each are quiet.
 *
 *   (APIServer pid=7) INFO 03-01 00:00:10 [logger.py:48] Received request chatcmpl-…: params: …      a request, without its text
 *   (APIServer pid=7) INFO 03-01 00:00:10 [async_llm.py:331] Added request chatcmpl-….
 *   (APIServer pid=7) INFO:     10.3.0.17:40112 - "POST /v1/chat/completions HTTP/1.1" 200 OK
 *   (APIServer pid=7) INFO 03-01 00:00:20 [loggers.py:273] Engine 000: Avg prompt throughput: …      every 10 s, and of drafts
 */
import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { stringify } from 'yaml';

export interface DayRecording {
  /** Their names in the folder. */
  readonly files: readonly string[];
  readonly hours: number;
  readonly requests: number;
  readonly lines: number;
  readonly tokens: { readonly input: number; readonly output: number };
  /** Of all GPUs: the trapezoids between the readings, exact. */
  readonly microjoules: bigint;
  readonly readings: number;
}

/** 2026-03-01T00:00:00Z: no change of clocks or year within days of it. */
const BEGINS = Date.UTC(2026, 2, 1);
const INTERVAL_SECONDS = 10;
const CYCLE_SECONDS = 2 * 3_600;
const QUIET_SECONDS = 600;
/** The readings begin and end so long outside the evidence: nothing the log tells is cut off. */
const AROUND_SECONDS = 60;
const DRAFT_TOKENS = 3;
const LOG = 'vllm.log';
const POWER = 'power.csv';
/** About so many bytes are written in an hour, both files together. */
export const BYTES_PER_HOUR = 62e6;

export async function writeDay(folder: string, hours: number, gpus: number): Promise<DayRecording> {
  const length = hours * 3_600;
  const log = { requests: 0, lines: 0, input: 0, output: 0 };
  const power = { microjoules: 0n, readings: 0 };
  await pipeline(logText(length, log), createWriteStream(join(folder, LOG)));
  await pipeline(powerText(length, gpus, power), createWriteStream(join(folder, POWER)));
  const manifest = {
    window: { from: iso(-AROUND_SECONDS), to: iso(length + AROUND_SECONDS) },
    power: [{ format: 'nvidia-smi-csv', file: POWER }],
    serving: [{ format: 'vllm-log', file: LOG, deployment: 'chat', model: 'llama-3.1-70b', year: 2026 }],
  };
  await writeFile(join(folder, 'recording.yaml'), stringify(manifest));
  return { files: [LOG, POWER], hours, requests: log.requests, lines: log.lines, tokens: { input: log.input, output: log.output }, ...power };
}

const iso = (second: number): string => new Date(BEGINS + second * 1000).toISOString();

/** 0 to 1. */
function loadAt(second: number): number {
  const at = second % CYCLE_SECONDS;
  return at >= CYCLE_SECONDS - QUIET_SECONDS ? 0 : 0.35 + 0.65 * Math.sin((Math.PI * at) / (CYCLE_SECONDS - QUIET_SECONDS)) ** 2;
}

/** The same numbers in every run (mulberry32). */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function* logText(length: number, made: { requests: number; lines: number; input: number; output: number }): Generator<string> {
  const next = dice(7);
  const count = (text: string, lines: number): string => {
    made.lines += lines;
    return text;
  };
  yield count(`${header(0, 'api_server.py:1263')}vLLM API server version 0.25.1\n${header(0, 'scheduler.py:238')}Chunked prefill is enabled with max_num_batched_tokens=8192.\n${header(0, 'kv_cache_utils.py:1711')}GPU KV cache size: 1,180,000 tokens\n`, 3);
  let wasZero = true;
  for (let tick = INTERVAL_SECONDS; tick <= length; tick += INTERVAL_SECONDS) {
    const load = loadAt(tick - INTERVAL_SECONDS);
    const requests = Math.round(load * 270 * (0.8 + 0.4 * next()));
    let text = '';
    for (let index = 0; index < requests; index += 1) text += requestText(tick - INTERVAL_SECONDS + Math.floor((index * INTERVAL_SECONDS) / requests), made.requests + index, next);
    // A tenth of a token per second is what a line shows: whole tokens in ten seconds are shown exactly.
    const input = requests * Math.round(500 + 900 * next());
    const output = requests * Math.round(180 + 80 * next());
    const zero = input + output === 0;
    if (!zero || !wasZero) text += statisticsText(tick, input, output, Math.round(requests * 0.6));
    yield count(text, requests * 3 + (zero && wasZero ? 0 : zero ? 1 : 2));
    wasZero = zero;
    made.requests += requests;
    made.input += input;
    made.output += output;
  }
}

/** `(APIServer pid=7) INFO 03-01 00:00:10 [loggers.py:273] ` */
const header = (second: number, place: string): string => `(APIServer pid=7) INFO ${iso(second).slice(5, 19).replace('T', ' ')} [${place}] `;

const PARAMETERS =
  'SamplingParams(n=1, presence_penalty=0.0, frequency_penalty=0.0, repetition_penalty=1.0, temperature=0.7, top_p=0.95, top_k=0, min_p=0.0, seed=None, stop=[], stop_token_ids=[], bad_words=[], include_stop_str_in_output=False, ignore_eos=False, max_tokens=1024, min_tokens=0, logprobs=None, prompt_logprobs=None, skip_special_tokens=True, spaces_between_special_tokens=True, truncate_prompt_tokens=None, structured_outputs=None, extra_args=None)';

function requestText(second: number, number: number, next: () => number): string {
  const id = `chatcmpl-${(next() * 2 ** 32).toString(16).padStart(16, '0').slice(0, 16)}${number.toString(16).padStart(16, '0')}`;
  const client = `10.3.0.${number % 250}:${32_768 + (number % 28_000)}`;
  return `${header(second, 'logger.py:48')}Received request ${id}: params: ${PARAMETERS}, lora_request: None.\n${header(second, 'async_llm.py:331')}Added request ${id}.\n(APIServer pid=7) INFO:     ${client} - "POST /v1/chat/completions HTTP/1.1" 200 OK\n`;
}

const rate = (tokens: number): string => (tokens / INTERVAL_SECONDS).toFixed(1);

function statisticsText(tick: number, input: number, output: number, running: number): string {
  const line = `${header(tick, 'loggers.py:273')}Engine 000: Avg prompt throughput: ${rate(input)} tokens/s, Avg generation throughput: ${rate(output)} tokens/s, Running: ${running} reqs, Waiting: 0 reqs, GPU KV cache usage: ${(running / 2.4).toFixed(1)}%, Prefix cache hit rate: 31.4%\n`;
  if (output === 0) return line;
  const drafts = Math.max(1, Math.round(output / 2.8));
  const accepted = output - drafts;
  const [drafted, share] = [drafts * DRAFT_TOKENS, accepted / (drafts * DRAFT_TOKENS)];
  return `${line}${header(tick, 'metrics.py:120')}SpecDecoding metrics: Mean acceptance length: ${(1 + accepted / drafts).toFixed(2)}, Accepted throughput: ${rate(accepted)} tokens/s, Drafted throughput: ${rate(drafted)} tokens/s, Accepted: ${accepted} tokens, Drafted: ${drafted} tokens, Per-position acceptance rate: 0.801, 0.598, 0.402, Avg Draft acceptance rate: ${(share * 100).toFixed(1)}%\n`;
}

/** A reading of each GPU every second. Hundredths of a watt and whole seconds: every trapezoid is a whole number of microjoules. */
function* powerText(length: number, gpus: number, made: { microjoules: bigint; readings: number }): Generator<string> {
  const next = dice(11);
  const last = Array.from({ length: gpus }, () => 0);
  yield 'timestamp, index, uuid, name, power.draw [W]\n';
  for (let second = -AROUND_SECONDS; second <= length + AROUND_SECONDS; second += 1) {
    const stamp = iso(second).slice(0, 23).replaceAll('-', '/').replace('T', ' ');
    const load = second < 0 || second >= length ? 0 : loadAt(second);
    let text = '';
    for (let gpu = 0; gpu < gpus; gpu += 1) {
      const hundredths = Math.round(load > 0 ? 26_000 + 36_000 * load + 4_000 * next() : 7_100 + 60 * next());
      text += `${stamp}, ${gpu}, GPU-00000000-0000-0000-0000-00000000000${gpu}, NVIDIA H100 80GB HBM3, ${(hundredths / 100).toFixed(2)} W\n`;
      if (second > -AROUND_SECONDS) made.microjoules += BigInt((hundredths + (last[gpu] ?? 0)) * 5_000);
      last[gpu] = hundredths;
    }
    made.readings += gpus;
    yield text;
  }
}
