/**
 * The log of vLLM (V1, as of 0.25): statistics every 10 s, a line for each iteration where asked for.
 *
 *   (APIServer pid=4242) INFO 01-15 09:00:10 [loggers.py:273] Engine 000: Avg prompt throughput: 812.3 tokens/s, Avg generation throughput: 1043.2 tokens/s, Running: …
 *
 * Stamps are local, of whole seconds, without a year. A prompt is counted whole when its first token comes. Nothing is printed
 * while nothing was counted in this window and the one before, even if a long prompt is being computed.
 */
import { duration } from '@joulebook/shared/settings.js';
import { z } from 'zod';
import type { Iteration } from '../trace.js';
import { engineState, type Held, type Step } from './engine-state.js';
import { dialect, type EngineParts } from './format.js';
import { prefixHitRate } from './prefix-hit-rate.js';
import { timer } from './timer.js';

/** Of a rank, in the current window. */
interface Window {
  prompt: number;
  generated: number;
  drafts: number;
  drafted: number;
  accepted: number;
}
const EMPTY: Window = { prompt: 0, generated: 0, drafts: 0, drafted: 0, accepted: 0 };

interface Snapshot {
  readonly running: number;
  readonly waiting: number;
  readonly kvTokens: number;
}

const NOBODY: Snapshot = { running: 0, waiting: 0, kvTokens: 0 };
/** How long before the simulation the engine was started. */
const STARTED_BEFORE = 95;
/** Each tick of the statistics comes so much later than the interval says. */
const TICK_LATENESS = 0.0011;
/** Under asynchronous scheduling: the share of iterations that are waited for, and how long the others take to be taken over. */
const WAITED_FOR = 0.02;
const NO_WAIT = { least: 0.000_02, most: 0.000_04 } as const;

export const vllmLog = dialect({
  name: 'vllm-log',
  summary: 'statistics of vLLM V1 every interval; iterations: a line for each as well, async: with elapsed times of next to nothing; aggregate: one line for all ranks',
  file: 'vllm.log',
  speaks: 'engine',
  options: {
    interval: duration.prefault('10s').refine((value) => value >= 0.1, 'an interval is at least 100 ms'),
    iterations: z.boolean().default(false),
    /** Asynchronous scheduling: the result is there when it is waited for, so that nearly all elapsed times are next to nothing. */
    async: z.boolean().default(false),
    aggregate: z.boolean().default(false),
    /** Before 0.16 the prompt counts include what the prefix cache had. */
    version: z.string().regex(/^\d+\.\d+\.\d+$/, 'a version like 0.25.1').default('0.25.1'),
  },
  write(parts, { interval, iterations, async: asynchronous, aggregate, version }) {
    const state = engineState(parts.pool);
    const windows = Array.from({ length: parts.ranks }, (): Window => ({ ...EMPTY }));
    const before = Array.from({ length: parts.ranks }, () => true);
    const snapshots = Array.from({ length: parts.ranks }, () => NOBODY);
    const common = prefixHitRate();
    const hitRate = Array.from({ length: parts.ranks }, aggregate ? () => common : prefixHitRate);
    const countsCached = isBefore(version, 0, 16);
    const ticks = timer({ first: parts.draw() * interval, interval, late: () => TICK_LATENESS * 2 * parts.draw() });
    let last = ticks.due - interval;

    const header = (at: number, place: string): string => `(APIServer pid=4242) INFO ${stamp(parts, at)} [${place}] `;
    const statistics = (at: number): string => {
      const seconds = at - last;
      last = at;
      const lines = aggregate && parts.ranks > 1 ? aggregated(at, seconds) : windows.map((_, rank) => ofRank(at, seconds, rank)).join('');
      for (const [rank, window] of windows.entries()) {
        before[rank] = window.prompt === 0 && window.generated === 0;
        windows[rank] = { ...EMPTY };
      }
      return lines;
    };

    function ofRank(at: number, seconds: number, rank: number): string {
      const window = windows[rank] ?? EMPTY;
      if (window.prompt === 0 && window.generated === 0 && before[rank] === true) return '';
      const said = line(`Engine ${String(rank).padStart(3, '0')}: `, window, snapshots[rank] ?? NOBODY, (snapshots[rank] ?? NOBODY).kvTokens / parts.kvCacheTokens, hitRate[rank]?.percent() ?? 0, seconds);
      return `${header(at, 'loggers.py:273')}${said}\n${drafts(at, window, seconds)}`;
    }

    function aggregated(at: number, seconds: number): string {
      const window = windows.reduce((sum, each) => ({ prompt: sum.prompt + each.prompt, generated: sum.generated + each.generated, drafts: sum.drafts + each.drafts, drafted: sum.drafted + each.drafted, accepted: sum.accepted + each.accepted }), EMPTY);
      if (window.prompt === 0 && window.generated === 0 && before.every(Boolean)) return '';
      const all = snapshots.reduce((sum, each) => ({ running: sum.running + each.running, waiting: sum.waiting + each.waiting, kvTokens: sum.kvTokens + each.kvTokens }), NOBODY);
      const said = line(`${parts.ranks} Engines Aggregated: `, window, all, all.kvTokens / (parts.kvCacheTokens * parts.ranks), common.percent(), seconds);
      return `${header(at, 'loggers.py:273')}${said}\n${drafts(at, window, seconds)}`;
    }

    function drafts(at: number, { drafts: count, drafted, accepted }: Window, seconds: number): string {
      if (count === 0) return '';
      // The chance that the n-th of a draft is accepted is not told apart here: all places have the mean.
      const rate = accepted / drafted;
      const places = Array.from({ length: parts.draftTokens }, () => rate.toFixed(3)).join(', ');
      return `${header(at, 'metrics.py:120')}SpecDecoding metrics: Mean acceptance length: ${(1 + accepted / count).toFixed(2)}, Accepted throughput: ${(accepted / seconds).toFixed(2)} tokens/s, Drafted throughput: ${(drafted / seconds).toFixed(2)} tokens/s, Accepted: ${accepted} tokens, Drafted: ${drafted} tokens, Per-position acceptance rate: ${places}, Avg Draft acceptance rate: ${(rate * 100).toFixed(1)}%\n`;
    }

    /** The time for which the result was waited. */
    const elapsed = ({ from, to }: Iteration): number => (asynchronous && parts.draw() >= WAITED_FOR ? NO_WAIT.least + parts.draw() * (NO_WAIT.most - NO_WAIT.least) : to - from);

    /** In the log's own words: scheduled tokens, drafts included, and what is computed again as generation. */
    function details(iteration: Iteration, { index, context, again, kvTokens }: Step): string {
      const sequences = iteration.decode.length + again.requests;
      const scheduled = iteration.decode.length * (1 + parts.draftTokens) + again.tokens;
      return `${header(iteration.to, 'loggers.py:341')}Engine ${String(iteration.rank).padStart(3, '0')}: Iteration(${index}): ${context.requests} context requests, ${context.tokens} context tokens, ${sequences} generation requests, ${scheduled} generation tokens, iteration elapsed time: ${(elapsed(iteration) * 1000).toFixed(2)} ms, GPU KV cache usage: ${((100 * kvTokens) / parts.kvCacheTokens).toFixed(1)}%\n`;
    }

    return {
      // Its stamps leave the year out: that of the first line.
      entry: { year: Number(parts.clock.local(-STARTED_BEFORE).slice(0, 4)) },
      start: () => banner(parts, version),
      until: (at) => [...ticks.next(at)].map(statistics).join(''),
      iteration(iteration) {
        const step = state.step(iteration);
        const window = windows[iteration.rank] ?? { ...EMPTY };
        for (const request of step.firstTokens) {
          window.prompt += request.computed + (countsCached ? request.cached + request.received : 0);
          if (parts.pool !== 'decode') hitRate[iteration.rank]?.add(request.cached, request.cached + request.computed);
        }
        window.generated += step.generated;
        if (parts.draftTokens > 0) {
          window.drafts += iteration.decode.length;
          window.drafted += iteration.decode.length * parts.draftTokens;
          window.accepted += iteration.decode.reduce((sum, { tokens }) => sum + tokens - 1, 0);
        }
        windows[iteration.rank] = window;
        snapshots[iteration.rank] = { running: step.running, waiting: iteration.waiting, kvTokens: step.kvTokens };
        return `${step.begun.map(accessLine).join('')}${iterations ? details(iteration, step) : ''}`;
      },
      request(request) {
        state.over(request);
        return '';
      },
      end: () => [...ticks.next(ticks.due)].map(statistics).join(''),
    };
  },
});

function line(engine: string, { prompt, generated }: Window, { running, waiting }: Snapshot, usage: number, hitPercent: number, seconds: number): string {
  return `${engine}Avg prompt throughput: ${(prompt / seconds).toFixed(1)} tokens/s, Avg generation throughput: ${(generated / seconds).toFixed(1)} tokens/s, Running: ${running} reqs, Waiting: ${waiting} reqs, GPU KV cache usage: ${(100 * usage).toFixed(1)}%, Prefix cache hit rate: ${hitPercent.toFixed(1)}%`;
}

/** `01-15 09:00:10` */
const stamp = ({ clock }: EngineParts, at: number): string => clock.local(at).slice(5, 19).replace('T', ' ');

/** uvicorn's: no stamp; written when the headers of a stream are sent. */
const accessLine = ({ id }: Held): string => `(APIServer pid=4242) INFO:     127.0.0.1:${32_768 + (id % 28_000)} - "POST /v1/chat/completions HTTP/1.1" 200 OK\n`;

function banner(parts: EngineParts, version: string): string {
  const server = (at: number, place: string, words: string): string => `(APIServer pid=4242) INFO ${stamp(parts, at - STARTED_BEFORE)} [${place}] ${words}\n`;
  const cores = Array.from({ length: parts.ranks }, (_, rank) => `(EngineCore${parts.ranks > 1 ? `_DP${rank}` : ''} pid=${4343 + rank}) INFO ${stamp(parts, 40 - STARTED_BEFORE)} [kv_cache_utils.py:1711] GPU KV cache size: ${parts.kvCacheTokens.toLocaleString('en-US')} tokens\n`);
  return [
    server(0, 'api_server.py:1263', `vLLM API server version ${version}`),
    server(9, 'scheduler.py:238', `Chunked prefill is enabled with max_num_batched_tokens=${parts.chunkTokens}.`),
    ...cores,
    server(88, 'api_server.py:616', 'Starting vLLM server on http://0.0.0.0:8000'),
    '(APIServer pid=4242) INFO:     Application startup complete.\n',
  ].join('');
}

function isBefore(version: string, major: number, minor: number): boolean {
  const [saidMajor = 0, saidMinor = 0] = version.split('.').map(Number);
  return saidMajor < major || (saidMajor === major && saidMinor < minor);
}
