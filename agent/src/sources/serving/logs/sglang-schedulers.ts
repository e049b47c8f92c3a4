/**
 * The schedulers that print into one log: a data-parallel rank each, told apart by ` DP1` and by who wrote the line. Of the
 * processes that share a rank's batches one speaks: the first pipeline stage, and in it the smallest rank.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { ServingEvent } from '../../source.js';
import type { BatchLine, Ranks } from './sglang-line.js';
import { pace } from './sglang-pace.js';
import { stream, type Stream, type Written } from './sglang-stream.js';

export interface Origin {
  readonly writer: string | undefined;
  readonly ranks: Ranks;
}

export interface Schedulers {
  /** Undefined: a process that prints what another has printed. */
  batch(line: BatchLine, origin: Origin, written: Written): ServingEvent[] | undefined;
  ready(writer: string | undefined, written: Written): ServingEvent[];
  /** The server of this writer began anew. */
  started(writer: string | undefined, at: Instant, chunkTokens: number | undefined): ServingEvent[];
  setInterval(decodeLogInterval: number | undefined): void;
  quiet(at: Instant): ServingEvent[];
  end(): ServingEvent[];
  /** When it has moved on. */
  watermark(): ServingEvent[];
}

interface Load {
  readonly running: number;
  readonly waiting: number;
  readonly kvUsage: number | undefined;
}

interface Scheduler {
  readonly stream: Stream;
  readonly writer: string | undefined;
  readonly stage: number;
  readonly member: number;
  last: number;
  load: Load;
}

/** A stamp that goes back further is another clock or another log, not another thread. */
const CLOCK_STEP_SECONDS = 5;
/** While others print: after so long a rank is asked what its silence says. */
const ASK_AFTER_SECONDS = 5;
const WATERMARK_SECONDS = 1;

export function schedulers({ label, model, decodeLogInterval }: { readonly label: string; readonly model: string | undefined; readonly decodeLogInterval: number | undefined }): Schedulers {
  const all = new Map<string, Scheduler>();
  const firstStages = new Map<number | undefined, number>();
  let interval = decodeLogInterval;
  let chunk: number | undefined;
  let marked: number | undefined;

  function schedulerOf(key: string, { writer, ranks: { dp, pp, member } }: Origin, at: number): Scheduler {
    const known = all.get(key);
    // A later stage printed first: what it said and was not told yet is dropped with it.
    if (known && known.stage <= pp && known.member <= member) return known;
    const names = [writer, dp === undefined ? undefined : `DP${dp}`].filter((name) => name !== undefined);
    const scheduler = {
      stream: stream({ pace: pace(interval), label, rank: names.length === 0 ? undefined : names.join(' '), model, chunkTokens: () => chunk }),
      writer,
      stage: pp,
      member,
      last: at,
      load: { running: 0, waiting: 0, kvUsage: undefined },
    };
    all.set(key, scheduler);
    return scheduler;
  }

  function clockStep(key: string, at: number): ServingEvent[] {
    const known = all.get(key);
    if (!known || at >= known.last - CLOCK_STEP_SECONDS) return [];
    all.delete(key);
    marked = undefined;
    const detail = `${label}: the stamps go back by ${(known.last - at).toFixed(0)} s; the lines after that are read as another run. If a clock was set, its times overlap; if logs were joined, give them as files of their own`;
    return [...known.stream.end(), { kind: 'flagged', code: 'CLOCK_STEPPED', count: 1, detail }];
  }

  function gauges(at: number): ServingEvent[] {
    const loads = [...all.values()].map(({ load }) => load);
    const usages = loads.flatMap(({ kvUsage }) => (kvUsage === undefined ? [] : [kvUsage]));
    const gauge = (name: string, value: number): ServingEvent => ({ kind: 'gauge', gauge: name, value, at: instant(at), ...(model !== undefined && { model }) });
    return [
      gauge('serving.requests.running', loads.reduce((sum, { running }) => sum + running, 0)),
      gauge('serving.requests.waiting', loads.reduce((sum, { waiting }) => sum + waiting, 0)),
      ...(usages.length > 0 ? [gauge('serving.kv_cache.usage', usages.reduce((sum, usage) => sum + usage, 0) / usages.length)] : []),
    ];
  }

  /** What the silence of a scheduler says up to now. */
  function ask(scheduler: Scheduler, at: number): ServingEvent[] {
    const events = scheduler.stream.quiet(at);
    if (scheduler.load.running === 0 || !events.some(({ kind }) => kind === 'idle')) return events;
    scheduler.load = { ...scheduler.load, running: 0, waiting: 0 };
    return [...events, ...gauges(at)];
  }

  return {
    batch(line, origin, written) {
      const { writer, ranks } = origin;
      const first = firstStages.get(ranks.dp) ?? ranks.pp;
      if (ranks.pp > first) return undefined;
      firstStages.set(ranks.dp, ranks.pp);
      const key = `${writer ?? ''} ${ranks.dp ?? ''}`;
      if (ranks.member > (all.get(key)?.member ?? ranks.member)) return undefined;

      const at = written.earliest;
      const stepped = clockStep(key, at);
      const scheduler = schedulerOf(key, origin, at);
      scheduler.last = at;
      scheduler.load = { running: line.running + (line.kind === 'prefill' ? line.sequences : 0), waiting: line.queued, kvUsage: line.kvUsage };
      const others = [...all.values()].filter((other) => other !== scheduler && at - other.last > ASK_AFTER_SECONDS);
      return [...stepped, ...scheduler.stream.line(line, written), ...others.flatMap((other) => ask(other, at)), ...gauges(at)];
    },
    ready: (writer, written) => [...all.values()].filter((scheduler) => scheduler.writer === writer).flatMap((scheduler) => scheduler.stream.line('ready', written)),
    started(writer, at, chunkTokens) {
      chunk = chunkTokens;
      const events: ServingEvent[] = [];
      for (const [key, scheduler] of all) {
        if (scheduler.writer !== writer) continue;
        events.push(...scheduler.stream.end());
        const { told } = scheduler.stream;
        if (told !== undefined && told < at) events.push({ kind: 'hole', from: instant(told), to: at, reason: 'the server was started anew' });
        all.delete(key);
      }
      return events;
    },
    setInterval(said) {
      interval = decodeLogInterval ?? said ?? interval;
    },
    quiet: (at) => [...all.values()].flatMap((scheduler) => ask(scheduler, at)),
    end: () => [...all.values()].flatMap(({ stream: each }) => each.end()),
    watermark() {
      const told = [...all.values()].map(({ stream: each }) => each.told ?? -Infinity);
      const at = Math.min(...told);
      if (told.length === 0 || !Number.isFinite(at) || (marked !== undefined && at - marked < WATERMARK_SECONDS)) return [];
      marked = at;
      return [{ kind: 'watermark', at: instant(at) }];
    },
  };
}
