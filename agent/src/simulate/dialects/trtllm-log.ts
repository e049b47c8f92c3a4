/**
 * The log of TensorRT-LLM's PyTorch backend with print_iter_log (order of fields as of 2026-05): a line for each iteration
 * when it has ended, by the first rank alone. The device's time is that of the iteration before; an iteration that schedules
 * nobody stands for a pause, and the line after it tells the pause as the device's time.
 *
 *   [01/15/2026-09:00:03] [TRT-LLM] [I] [_torch][RANK 0] iter = 12, global_rank = 0, rank = 0, num_scheduled_requests = 5, …,
 *     host_step_time = 9.71ms, prev_device_step_time = 8.90ms, timestamp = 2026-01-15 09:00:03, states = {'num_ctx_requests': 1, …}
 */
import { z } from 'zod';
import type { Iteration } from '../trace.js';
import { engineState, type EngineState } from './engine-state.js';
import { dialect, type EngineParts } from './format.js';

/** Batch sizes that were captured as CUDA graphs: pure decode batches are padded up to the next. */
const GRAPH_SIZES = [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256];
/** Longer than the scheduler ever needs between two iterations: nobody was there. */
const PAUSE_SECONDS = 0.05;

/** What the line of the next iteration needs of this one. */
interface Before {
  readonly ended: number;
  /** ms by the device's clock; `N/A` before the first. */
  readonly deviceMs: string;
}

export const trtllmLog = dialect({
  name: 'trtllm-log',
  summary: 'a line of TensorRT-LLM (PyTorch, print_iter_log) for each iteration of the first rank; padding: to sizes of CUDA graphs',
  file: 'trtllm.log',
  speaks: 'engine',
  options: { padding: z.boolean().default(true) },
  write(parts, { padding }) {
    const state: EngineState = engineState(parts.pool);
    let before: Before = { ended: 0, deviceMs: 'N/A' };
    let number = 0;
    let fetched = 0;

    function line(at: number, scheduled: number, hostSeconds: number, usage: number, states: readonly number[]): string {
      const local = parts.clock.local(at);
      const [requests = 0, tokens = 0, generation = 0, cached = 0] = states;
      number += 1;
      return `[${local.slice(5, 7)}/${local.slice(8, 10)}/${local.slice(0, 4)}-${local.slice(11, 19)}] [TRT-LLM] [I] [_torch][RANK 0] iter = ${number}, global_rank = 0, rank = 0, num_scheduled_requests = ${scheduled}, kv_cache_util = ${usage.toFixed(3)}, currank_total_requests = ${fetched}/${fetched}, host_step_time = ${(hostSeconds * 1000).toFixed(2)}ms, prev_device_step_time = ${before.deviceMs}, timestamp = ${local.slice(0, 19).replace('T', ' ')}, states = {'num_ctx_requests': ${requests}, 'num_ctx_tokens': ${tokens}, 'num_generation_tokens': ${generation}, 'cached_kv_tokens': ${cached}}\n`;
    }

    /** Nobody was there: one empty iteration, as long as the pause. */
    function pause({ from }: Iteration): string {
      const lasted = from - before.ended;
      if (number === 0 || lasted < PAUSE_SECONDS) return '';
      const told = line(from, 0, lasted, 0, [0, 0, 0, 0]);
      before = { ended: from, deviceMs: milliseconds(lasted * 0.998) };
      return told;
    }

    function generationTokens({ prefill, decode }: Iteration): number {
      const sequences = padding && prefill.length === 0 ? (GRAPH_SIZES.find((size) => size >= decode.length) ?? decode.length) : decode.length;
      return sequences * (1 + parts.draftTokens);
    }

    return {
      iteration(iteration) {
        const { from, to, rank, prefill, decode, kvTokens } = iteration;
        if (rank !== 0) return '';
        const { begun, context, again } = state.step(iteration);
        const empty = pause(iteration);
        fetched += begun.length;
        const cached = prefill.reduce((sum, chunk) => sum + chunk.cached, 0);
        const usage = kvTokens / parts.kvCacheTokens;
        const host = number === 0 ? to - from : to - before.ended;
        const told = line(to, prefill.length + decode.length, host, usage, [context.requests + again.requests, context.tokens + again.tokens, decode.length === 0 ? 0 : generationTokens(iteration), cached]);
        before = { ended: to, deviceMs: milliseconds((to - from) * 0.985) };
        return `${empty}${told}`;
      },
      request(request) {
        state.over(request);
        return '';
      },
      start: () => start(parts),
    };
  },
});

const milliseconds = (seconds: number): string => `${(seconds * 1000).toFixed(2)}ms`;

function start({ clock }: EngineParts): string {
  const local = clock.local(-30);
  return `[${local.slice(5, 7)}/${local.slice(8, 10)}/${local.slice(0, 4)}-${local.slice(11, 19)}] [TRT-LLM] [I] [_torch][RANK 0] Start py_executor, print_iter_log is on\n`;
}
