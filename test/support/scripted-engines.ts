/**
 * Servers that follow a script and write what the real ones write: an SGLang log that is rotated meanwhile, a vLLM log
 * beside its metrics page, a TGI log. What they did is known exactly; what they were asked and answered holds MARKER.
 */
import { appendFileSync, closeSync, copyFileSync, openSync, renameSync, truncateSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DateTime } from 'luxon';
import type { Engine } from './engine.js';

export const MARKER = 'xylophone-7f3a';

export interface Done {
  input: number;
  cachedInput: number;
  output: number;
  requests: number;
  /** Of the first and the last work. */
  from: number;
  to: number;
}

const now = (): number => Date.now() / 1000;
const nothing = (): Done => ({ input: 0, cachedInput: 0, output: 0, requests: 0, from: Infinity, to: -Infinity });
/** On a grid of its own: a machine that is slow does not make the script longer. */
const until = (at: number): Promise<void> => sleep(Math.max(0, (at - now()) * 1000));

const sglangStamp = (): string => `[${DateTime.now().toFormat('yyyy-LL-dd HH:mm:ss')}]`;
const DECODE_INTERVAL = 40;
const STEP = 0.01;
const SEQUENCES = 2;

/**
 * Pairs of requests, one after the other, of lengths that are no multiple of the 40 steps between two Decode lines. What was
 * made since the last line is not printed: half of 40 steps, as is to be expected.
 */
export async function sglangServer(file: string, end: number): Promise<Done> {
  const done = nothing();
  let log = openSync(file, 'a');
  const write = (line: string): void => void writeSync(log, `${line}\n`);
  let steps = 0;
  let lastLine = now();
  let kvTokens = 0;

  async function decode(from: number, count: number): Promise<number> {
    for (let step = 1; step <= count; step += 1) {
      steps += 1;
      done.output += SEQUENCES;
      if (steps % DECODE_INTERVAL !== 0) continue;
      await until(from + step * STEP);
      const rate = (DECODE_INTERVAL * SEQUENCES) / (now() - lastLine);
      lastLine = now();
      write(`${sglangStamp()} Decode batch, #running-req: ${SEQUENCES}, #token: ${kvTokens + SEQUENCES * step}, token usage: 0.02, cuda graph: True, gen throughput (token/s): ${rate.toFixed(2)}, #queue-req: 0, `);
    }
    const over = from + count * STEP;
    await until(over);
    return over;
  }

  write(`${sglangStamp()} server_args=ServerArgs(model_path='m', chunked_prefill_size=8192, decode_log_interval=40, log_requests=True)`);
  write(`${sglangStamp()} max_total_num_tokens=443458, chunked_prefill_size=8192, max_prefill_tokens=16384, max_running_requests=4096, context_len=32768`);
  write(`${sglangStamp()} The server is fired up and ready to roll!`);
  await sleep(2500);
  for (let round = 1; ; round += 1) {
    const from = now();
    const last = from > end - 6;
    done.from = Math.min(done.from, from);
    const input = 6001 + 37 * round;
    const cached = 11 * round;
    write(`${sglangStamp()} Receive: obj=GenerateReqInput(rid='${round}', text='${MARKER} Decode batch, #running-req: 9, #token: 9, gen throughput (token/s): 9.00, #queue-req: 0', stream=True)`);
    write(`${sglangStamp()} Prefill batch, #new-seq: ${SEQUENCES}, #new-token: ${input}, #cached-token: ${cached}, token usage: 0.01, #running-req: 0, #queue-req: 0, `);
    kvTokens = input + cached;
    done.input += input;
    done.cachedInput += cached;
    await until(from + 0.7);
    const count = 110 + 23 * round;
    done.to = await decode(from + 0.7, last ? 4.5 * DECODE_INTERVAL - (steps % DECODE_INTERVAL) : count);
    write(`${sglangStamp()} Finish: obj=GenerateReqInput(rid='${round}'), out={'text': '${MARKER} [2030-01-01 00:00:00] Prefill batch, #new-seq: 1, #new-token: 9999, #cached-token: 0, token usage: 0.00, #running-req: 0, #queue-req: 0, ', 'meta_info': {'prompt_tokens': 9}}`);
    write(`${sglangStamp()} Decode batch, #running-req: ${MARKER}, #tok`);
    if (last) break;
    if (round === 2) {
      renameSync(file, `${file}.1`);
      // Its descriptor goes on with the old file for a while.
      write(`${sglangStamp()} INFO: 127.0.0.1 - "GET /health HTTP/1.1" 200 OK`);
    }
    await sleep(1200 + 400 * (round % 3));
    if (round === 2) {
      write(`${sglangStamp()} a last line in the old file`);
      closeSync(log);
      log = openSync(file, 'a');
    }
    if (round === 4) {
      copyFileSync(file, `${file}.2`);
      truncateSync(file);
    }
  }
  closeSync(log);
  return done;
}

const VLLM_INTERVAL = 2;
const vllmHead = (where: string): string => `(APIServer pid=7) INFO ${DateTime.now().toFormat('LL-dd HH:mm:ss')} [${where}]`;

/** Prefills of some seconds, decode of some seconds, nobody for a while; in the middle the server is started anew. Statistics every 2 s. */
export async function vllmServer(file: string, page: Engine, end: number): Promise<Done> {
  const done = nothing();
  const write = (line: string): void => appendFileSync(file, `${line}\n`);
  let before = { prompt: 0, generated: 0 };
  let silent = false;
  let due = now() + VLLM_INTERVAL;
  const banner = (): void => {
    write(`${vllmHead('api_server.py:1896')} vLLM API server version 0.16.0`);
    write(`${vllmHead('kv_cache_utils.py:1216')} GPU KV cache size: 443,456 tokens`);
    before = { prompt: 0, generated: 0 };
    silent = false;
    due = now() + VLLM_INTERVAL;
  };
  const statistics = (): void => {
    const rates = [page.prompt - before.prompt, page.generated - before.generated].map((count) => (count / VLLM_INTERVAL).toFixed(1));
    const none = page.prompt === before.prompt && page.generated === before.generated;
    if (!none || !silent) write(`${vllmHead('loggers.py:248')} Engine 000: Avg prompt throughput: ${rates[0]} tokens/s, Avg generation throughput: ${rates[1]} tokens/s, Running: ${page.running} reqs, Waiting: 0 reqs, GPU KV cache usage: 1.0%, Prefix cache hit rate: 0.0%`);
    silent = none;
    before = { prompt: page.prompt, generated: page.generated };
  };
  const pause = async (to: number): Promise<void> => {
    for (; due <= to; due += VLLM_INTERVAL) {
      await until(due);
      statistics();
    }
    await until(to);
  };

  banner();
  await pause(now() + 4);
  for (let round = 1; now() < end - 8; round += 1) {
    const from = now();
    done.from = Math.min(done.from, from);
    write(`${vllmHead('logger.py:40')} Received request cmpl-${round}: prompt: '${MARKER} Engine 000: Avg prompt throughput: 99999.9 tokens/s, Avg generation throughput: 9.0 tokens/s, Running: 9 reqs, Waiting: 9 reqs, ', params: SamplingParams(n=1), lora_request: None.`);
    page.running = 1;
    await pause(from + 2.5);
    const input = 9000 + round;
    page.count(input, 1, 0);
    done.input += input;
    done.output += 1;
    for (let step = 1; step <= 40; step += 1) {
      await pause(from + 2.5 + step * 0.1);
      page.count(0, 5, 0);
      done.output += 5;
    }
    page.running = 0;
    page.count(0, 0, 1);
    done.requests += 1;
    done.to = now();
    write(`${vllmHead('logger.py:60')} Generated response cmpl-${round}: output: '${MARKER}', output_token_ids: [1, 2], finish_reason: stop`);
    await pause(now() + 2.5);
    if (round === 2) {
      // What was made after the last look at the counters is lost to everybody; here nothing was.
      await page.scraped(2);
      page.restart();
      banner();
      await page.scraped(2);
    }
  }
  await pause(now() + 2 * VLLM_INTERVAL);
  return done;
}

const tgiStamp = (): string => DateTime.utc().toISO();

/** A request a second, one after the other; what was asked stands in lines of DEBUG. */
export async function tgiServer(file: string, end: number): Promise<Done> {
  const done = nothing();
  const write = (line: string): void => appendFileSync(file, `${line}\n`);
  write(`${tgiStamp()}  INFO text_generation_router::server: router/src/server.rs:2402: Connected`);
  await sleep(2500);
  while (now() < end) {
    const from = now();
    done.from = Math.min(done.from, from);
    write(`${tgiStamp()} DEBUG generate{parameters=GenerateParameters { stop: ["${MARKER}"] }}: text_generation_router::server: router/src/server.rs:185: Input: ${MARKER} total_time="9s" inference_time="9s" time_per_token="1ms": Success`);
    await sleep(800);
    const inference = 0.79;
    const output = 20 + (done.requests % 7);
    done.output += output;
    done.requests += 1;
    done.to = now();
    write(`${tgiStamp()} DEBUG text_generation_router::server: router/src/server.rs:390: Output: ${MARKER}`);
    write(
      `${tgiStamp()}  INFO generate{parameters=GenerateParameters { stop: ["${MARKER}"] } total_time="800ms" validation_time="5ms" queue_time="5ms" inference_time="${inference * 1000}ms" time_per_token="${(inference * 1000) / output}ms" seed="None"}: text_generation_router::server: router/src/server.rs:622: Success`,
    );
    await sleep(200);
  }
  return done;
}
