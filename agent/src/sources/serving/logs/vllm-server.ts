/** What one vLLM server writes: its engines, the facts of its start, and which of its lines tokens are booked from. */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { ServingEvent, StepsEvidence } from '../../source.js';
import { iterationReader, type IterationReader } from './vllm-iterations.js';
import type { IterationLine, StatsLine, VllmLine } from './vllm-line.js';
import { statsReader, type StatsReader } from './vllm-stats.js';

export type Usable = Exclude<VllmLine, { says: 'broken' }>;

export interface VllmServer {
  /** @param engine that wrote it, where the name of its process says so */
  line(line: Usable, at: Instant, engine: string | undefined): ServingEvent[];
  quiet(at: Instant): ServingEvent[];
  end(): ServingEvent[];
  /** Until when everything has been said, as far as `now`. */
  said(now: Instant): Instant;
}

/** By then two lines of statistics at their usual pace would have been written. */
const NO_STATISTICS_AFTER = 25;
/** Nothing is held back for longer. */
const LONGEST_HELD = 40;
/** Before 0.16 prompt tokens found in the prefix cache are counted like the others. */
const COMPUTED_ONLY_SINCE = [0, 16] as const;
const USUAL_BLOCK = 16;

export function vllmServer({ label, name, model }: { readonly label: string; readonly name: string; readonly model?: string | undefined }): VllmServer {
  const statistics = new Map<string | undefined, StatsReader>();
  const iterations = new Map<string | undefined, IterationReader>();
  const gauges = new Map<string | undefined, StatsLine>();
  let bookedFrom: 'undecided' | 'statistics' | 'iterations' = 'undecided';
  let undecided: ServingEvent[] = [];
  let firstIteration: Instant | undefined;
  let lastStats: StatsReader | undefined;
  let startedUp: Instant | undefined;
  let version: string | undefined;
  let chunkTokens: number | undefined;
  let kvCacheTokens: number | undefined;
  let blockSize = USUAL_BLOCK;
  let perStep: number | undefined;
  let cachedWindows = 0;

  const rankOf = (engine: string | undefined): string | undefined => [name, engine].filter((part) => part !== undefined && part !== '').join('/') || undefined;

  function statsOf(engine: string | undefined): StatsReader {
    const reader = statistics.get(engine) ?? statsReader({ label, rank: rankOf(engine), model, booked: () => bookedFrom !== 'iterations', kvCacheTokens: () => kvCacheTokens });
    statistics.set(engine, reader);
    return reader;
  }

  function iterationsOf(engine: string | undefined): IterationReader {
    const reader = iterations.get(engine) ?? iterationReader({ label, rank: rankOf(engine), model, chunkTokens: () => chunkTokens, kvCacheTokens: () => kvCacheTokens, perStep: () => perStep, startedUp: () => startedUp });
    iterations.set(engine, reader);
    return reader;
  }

  /** Holds what iterations say until it is known whether their tokens are booked. */
  function decided(events: readonly ServingEvent[]): ServingEvent[] {
    undecided.push(...events);
    if (bookedFrom === 'undecided') return [];
    const free = undecided;
    undecided = [];
    return bookedFrom === 'iterations' ? free : free.map((event) => (event.kind === 'steps' ? ({ ...event, tokens: {} } satisfies StepsEvidence) : event));
  }

  function ofStats(line: StatsLine, at: Instant): ServingEvent[] {
    if (bookedFrom === 'undecided') bookedFrom = 'statistics';
    if (line.cacheHits && line.promptRate > 0 && line.generation === 'V1' && version !== undefined && before(version, COMPUTED_ONLY_SINCE)) cachedWindows += 1;
    const settled = settle(at);
    lastStats = statsOf(line.engine);
    const events = lastStats.line(line, at);
    gauges.set(line.engine, line);
    return [...decided([]), ...settled, ...events, ...gaugesAt(at)];
  }

  /** Of all engines together, each as it was last seen. */
  function gaugesAt(at: Instant): ServingEvent[] {
    const lines = [...gauges.values()];
    const usages = lines.flatMap(({ kvUsage, engines }) => (kvUsage === undefined ? [] : [{ kvUsage, engines }]));
    const engines = usages.reduce((sum, each) => sum + each.engines, 0);
    const of = { at, ...(model !== undefined && { model }) };
    return [
      { kind: 'gauge', gauge: 'serving.requests.running', value: lines.reduce((sum, { running }) => sum + running, 0), ...of },
      { kind: 'gauge', gauge: 'serving.requests.waiting', value: lines.reduce((sum, { waiting }) => sum + (waiting ?? 0), 0), ...of },
      ...(engines > 0 ? [{ kind: 'gauge', gauge: 'serving.kv_cache.usage', value: usages.reduce((sum, each) => sum + each.kvUsage * each.engines, 0) / engines, ...of } as const] : []),
    ];
  }

  function ofIteration(line: IterationLine, at: Instant, engine: string | undefined): ServingEvent[] {
    firstIteration ??= at;
    if (bookedFrom === 'undecided' && at - firstIteration >= NO_STATISTICS_AFTER) bookedFrom = 'iterations';
    const settled = settle(at);
    return [...settled, ...decided(iterationsOf(line.engine ?? engine).line(line, at))];
  }

  const settle = (now: Instant): ServingEvent[] => [...statistics.values()].flatMap((reader) => reader.settle(now));
  const ofAll = (each: (reader: StatsReader | IterationReader) => ServingEvent[]): ServingEvent[] => [...[...statistics.values()].flatMap(each), ...decided([...iterations.values()].flatMap(each))];

  function ofStart(line: Extract<Usable, { says: 'started' | 'starting' | 'kvSize' | 'kvBlocks' | 'blockSize' | 'chunk' }>, at: Instant): ServingEvent[] {
    startedUp = at;
    if (line.says === 'started') {
      version = line.version;
      return [...ofAll((reader) => reader.restart()), { kind: 'engine', at, version }];
    }
    if (line.says === 'starting') return [];
    if (line.says === 'chunk') {
      chunkTokens = line.tokens;
      return [{ kind: 'engine', at, chunkTokens }];
    }
    if (line.says === 'blockSize') {
      blockSize = line.tokens;
      return [];
    }
    kvCacheTokens = line.says === 'kvBlocks' ? line.blocks * blockSize : line.tokens;
    return [{ kind: 'engine', at, kvCacheTokens }];
  }

  return {
    line(line, at, engine) {
      if (line.says === 'stats') return ofStats(line, at);
      if (line.says === 'iteration') return ofIteration(line, at, engine);
      if (line.says === 'drafts') {
        perStep = line.perStep ?? perStep;
        lastStats?.drafts(line);
        return [];
      }
      if (line.says === 'arrived') {
        for (const reader of statistics.values()) reader.arrived(at);
        return settle(at);
      }
      if (line.says === 'ended') {
        lastStats?.ended(line.outcome, line.requests, at);
        return settle(at);
      }
      return ofStart(line, at);
    },
    quiet(at) {
      if (bookedFrom === 'undecided' && firstIteration !== undefined && at - firstIteration >= NO_STATISTICS_AFTER) bookedFrom = 'iterations';
      return [...[...statistics.values()].flatMap((reader) => reader.quiet(at)), ...decided([...iterations.values()].flatMap((reader) => reader.settle(at)))];
    },
    end() {
      if (bookedFrom === 'undecided') bookedFrom = 'iterations';
      const events = ofAll((reader) => reader.end());
      if (cachedWindows === 0) return events;
      return [...events, { kind: 'flagged', code: 'CACHED_INPUT_INCLUDED', count: cachedWindows, detail: `${label}: vLLM ${version} counts prompt tokens found in its prefix cache as input, and its log does not say how many; for computed input alone record its metrics page, or use 0.16 or later` }];
    },
    said(now) {
      const saids = [...statistics.values(), ...iterations.values()].flatMap(({ said }) => said ?? []);
      const held = undecided.length > 0 && firstIteration !== undefined ? [firstIteration] : [];
      return instant(Math.max(Math.min(now, ...saids, ...held), now - LONGEST_HELD));
    },
  };
}

function before(version: string, [major, minor]: readonly [number, number]): boolean {
  const [own = 0, minorOwn = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return own < major || (own === major && minorOwn < minor);
}
