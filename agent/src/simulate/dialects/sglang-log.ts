/**
 * The log of SGLang (as of v0.5.9): a line for each prefill batch when its result has been processed, and one for every 40th
 * decode batch of a rank, which stands for those since the last. A batch with both (mixed chunk) is a prefill batch in it.
 * The next decode batch is put together before the result of the one before is read (overlap schedule): it counts the
 * sequences once more that have ended with that.
 *
 *   [2026-01-15 09:00:03 DP0 TP0] Prefill batch, #new-seq: 1, #new-token: 812, #cached-token: 0, token usage: 0.01, #running-req: 3, …
 *   [2026-01-15 09:00:04 DP0 TP0] Decode batch, #running-req: 4, #token: 5310, token usage: 0.01, cuda graph: True, gen throughput (token/s): 402.11, #queue-req: 0
 */
import { z } from 'zod';
import type { Iteration } from '../trace.js';
import { engineState } from './engine-state.js';
import { dialect, type EngineParts } from './format.js';

/** Since its last decode line. */
interface Decoding {
  tokens: number;
  sequences: number;
  last: number;
  /** Sequences that ended with the batch before: the next decode batch still has them. */
  overrun: number;
  /** Of the last decode batch, those that had ended by then: prefill lines still count them. */
  stale: number;
  /** Decode batches since the start: not set back between requests. */
  batches: number;
}

/** How long before the simulation the server was started, and was ready. */
const STARTED_BEFORE = 80;
const READY_BEFORE = 20;

export const sglangLog = dialect({
  name: 'sglang-log',
  summary: 'prefill and decode batches of SGLang; milliseconds: in the stamps; decodeInterval; pageSize: #new-token is rounded up to it; overlap: an ended sequence is decoded once more',
  file: 'sglang.log',
  speaks: 'engine',
  options: {
    milliseconds: z.boolean().default(false),
    decodeInterval: z.int().min(1).default(40),
    pageSize: z.int().min(1).default(1),
    overlap: z.boolean().default(true),
  },
  write(parts, { milliseconds, decodeInterval, pageSize, overlap }) {
    const state = engineState(parts.pool);
    const decoding = Array.from({ length: parts.ranks }, (): Decoding => ({ tokens: 0, sequences: 0, last: -READY_BEFORE, overrun: 0, stale: 0, batches: 0 }));
    const lastPrefill = Array.from({ length: parts.ranks }, () => -READY_BEFORE);
    const disaggregated = parts.pool !== 'serve';

    const prefix = (at: number, rank: number): string => {
      const stamp = parts.clock.local(at).slice(0, milliseconds ? 23 : 19).replace('T', ' ');
      return `[${stamp}${parts.ranks > 1 ? ` DP${rank} TP${rank * parts.gpusPerRank}` : parts.gpusPerRank > 1 ? ' TP0' : ''}]`;
    };
    const usage = (tokens: number): string => (tokens / parts.kvCacheTokens).toFixed(2);

    function prefillLine({ to, rank, prefill, running, waiting, kvTokens }: Iteration): string {
      const tokens = prefill.reduce((sum, chunk) => sum + Math.ceil(chunk.tokens / pageSize) * pageSize, 0);
      const cached = prefill.reduce((sum, chunk) => sum + chunk.cached, 0);
      const rate = tokens / (to - (lastPrefill[rank] ?? 0));
      lastPrefill[rank] = to;
      const handover = parts.pool === 'prefill' ? '#prealloc-req: 0, #inflight-req: 0, ' : '';
      return `${prefix(to, rank)} Prefill batch, #new-seq: ${prefill.length}, #new-token: ${tokens}, #cached-token: ${cached}, token usage: ${usage(kvTokens)}, #running-req: ${running - prefill.length + (decoding[rank]?.stale ?? 0)}, #queue-req: ${waiting}, ${handover}cuda graph: False, input throughput (token/s): ${rate.toFixed(2)}\n`;
    }

    function decodeLine({ to, rank, decode, waiting, kvTokens }: Iteration): string {
      const window = decoding[rank];
      if (!window) return '';
      const sequences = decode.length + window.overrun;
      window.tokens += decode.reduce((sum, { tokens }) => sum + tokens, window.overrun);
      window.sequences += sequences;
      window.batches += 1;
      if (window.batches % decodeInterval !== 0) return '';
      const length = window.tokens / window.sequences;
      const accepted = parts.draftTokens > 0 ? `accept len: ${length.toFixed(2)}, accept rate: ${(length / (1 + parts.draftTokens)).toFixed(2)}, ` : '';
      const handover = disaggregated ? 'pre-allocated usage: 0.00, #prealloc-req: 0, #transfer-req: 0, #retracted-req: 0, ' : '';
      const rate = window.tokens / (to - window.last);
      Object.assign(window, { tokens: 0, sequences: 0, last: to });
      return `${prefix(to, rank)} Decode batch, #running-req: ${sequences}, #token: ${kvTokens}, token usage: ${usage(kvTokens)}, ${accepted}${handover}cuda graph: True, gen throughput (token/s): ${rate.toFixed(2)}, #queue-req: ${waiting}\n`;
    }

    /** A prefill pool hands its requests over; where nobody is left they run once more alone. */
    function overrunOf(iteration: Iteration): string {
      const window = decoding[iteration.rank];
      if (!window || !overlap || parts.pool === 'prefill') return '';
      if (iteration.prefill.length === 0) window.stale = window.overrun + iteration.ended.length;
      window.overrun = iteration.ended.length;
      if (window.overrun === 0 || iteration.running > window.overrun || iteration.waiting > 0) return '';
      const line = decodeLine({ ...iteration, decode: [] });
      Object.assign(window, { overrun: 0, stale: 0 });
      return line;
    }

    return {
      start: () => banner(parts, prefix),
      iteration(iteration) {
        const { begun } = state.step(iteration);
        // uvicorn's lines have no stamp.
        const accesses = begun.map(({ id }) => `INFO:     127.0.0.1:${32_768 + (id % 28_000)} - "POST /v1/chat/completions HTTP/1.1" 200 OK\n`);
        const batch = iteration.prefill.length > 0 ? prefillLine(iteration) : iteration.decode.length > 0 ? decodeLine(iteration) : '';
        return `${accesses.join('')}${batch}${overrunOf(iteration)}`;
      },
      request(request) {
        state.over(request);
        return '';
      },
    };
  },
});

function banner({ ranks, kvCacheTokens, chunkTokens, seats }: EngineParts, prefix: (at: number, rank: number) => string): string {
  const sizes = Array.from({ length: ranks }, (_, rank) => `${prefix(-STARTED_BEFORE, rank)} max_total_num_tokens=${kvCacheTokens}, chunked_prefill_size=${chunkTokens}, max_prefill_tokens=16384, max_running_requests=${seats}, context_len=131072, available_gpu_mem=6.31 GB\n`);
  return `${sizes.join('')}${prefix(-READY_BEFORE, 0).replace(/ [DT]P.*\]/, ']')} The server is fired up and ready to roll!\n`;
}
