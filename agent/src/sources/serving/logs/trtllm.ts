/**
 * The log of TensorRT-LLM: a line per iteration, from the PyTorch backend (`print_iter_log: true`) or from the C++ executor
 * and Triton (`--log-verbose=1`).
 *
 *     line ─▶ Report ─▶ which ranks count ─▶ moments ─▶ timeline of a rank ─▶ steps, idle, holes
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { ServingEvent } from '../../source.js';
import type { LogContext, LogDialect, LogLine, LogParser } from './dialect.js';
import { isExecutorLine, readExecutorLine } from './trtllm-executor-line.js';
import { isPytorchLine, isWholePytorchLine, readPytorchLine } from './trtllm-pytorch-line.js';
import { ranksOfOneEngine, type Ranks } from './trtllm-ranks.js';
import type { TimedReport } from './trtllm-report.js';
import { withinSeconds, type WithinSeconds } from './trtllm-seconds.js';
import { iterationTimeline, type IterationTimeline } from './trtllm-timeline.js';

const NAME = 'trtllm-log';

export const trtllmLog: LogDialect = {
  name: NAME,
  summary: "TensorRT-LLM: print_iter_log of the PyTorch backend, verbose statistics of the C++ executor and Triton",
  options: {},
  isOf: (text) => isPytorchLine(text) || isExecutorLine(text),
  isCut: (text) => (isPytorchLine(text) ? !isWholePytorchLine(text) : !text.includes('}')),
  parser,
};

/** Gauges and watermarks are said about once a second, lines come by the hundred. */
const PACE_SECONDS = 1;
/** Writers that are one rank of an engine: the line names its rank better. */
const RANK_WRITER = /^[\d,.]+$|rank|pid/i;
const VERSION = /\bTensorRT[- ]LLM version: (\S+)/;
const MOST_TOKENS = /\bmax_num_tokens=(\d+)\b/;

interface Engine {
  readonly ranks: Ranks;
  readonly timelines: Map<string, RankTimeline>;
}

interface RankTimeline {
  readonly seconds: WithinSeconds;
  timeline?: IterationTimeline;
  last: TimedReport;
}

function parser(context: LogContext): LogParser {
  const { label, clock, model } = context;
  const engines = new Map<string, Engine>();
  let gaugesAt = -Infinity;
  let watermark = -Infinity;
  let kvCacheTokens: number | undefined;

  function take(engineName: string, report: TimedReport): ServingEvent[] {
    const engine = engines.get(engineName) ?? { ranks: ranksOfOneEngine(), timelines: new Map<string, RankTimeline>() };
    engines.set(engineName, engine);
    return engine.ranks.choose(report).flatMap((chosen) => {
      const key = chosen.rank ?? '';
      const of = engine.timelines.get(key) ?? { seconds: withinSeconds(), last: chosen };
      engine.timelines.set(key, of);
      of.last = chosen;
      return of.seconds.add(chosen).flatMap((placed) => place(of, engineName, placed));
    });
  }

  function place(of: RankTimeline, engineName: string, report: TimedReport): ServingEvent[] {
    if (of.timeline) return of.timeline.add(report);
    const rank = [engineName, report.rank ?? ''].filter((part) => part !== '').join('/');
    of.timeline = iterationTimeline(report, { label, model, consecutive: report.rank !== undefined, rank: rank === '' ? undefined : rank });
    return [];
  }

  const all = (): [string, RankTimeline][] => [...engines].flatMap(([name, { timelines }]) => [...timelines.values()].map((of): [string, RankTimeline] => [name, of]));

  /** What the ranks that count hold now. */
  function gauges(at: Instant): ServingEvent[] {
    if (Math.abs(at - gaugesAt) < PACE_SECONDS) return [];
    const last = all().map(([, of]) => of.last);
    const running = last.flatMap(({ running: here }) => (here === undefined ? [] : [here]));
    const usage = last.flatMap(({ kvUsage }) => (kvUsage === undefined ? [] : [kvUsage]));
    if (running.length + usage.length > 0) gaugesAt = at;
    const gauge = (name: string, value: number): ServingEvent => ({ kind: 'gauge', gauge: name, value, at, ...(model !== undefined && { model }) });
    return [
      ...(running.length > 0 ? [gauge('serving.requests.running', total(running))] : []),
      ...(usage.length > 0 ? [gauge('serving.kv_cache.usage', total(usage) / usage.length)] : []),
    ];
  }

  function told(atLeast: number): ServingEvent[] {
    const at = Math.min(...all().map(([, { timeline }]) => timeline?.told ?? -Infinity));
    if (!Number.isFinite(at) || at - watermark < atLeast) return [];
    watermark = at;
    return [{ kind: 'watermark', at: instant(at) }];
  }

  function facts(report: TimedReport): ServingEvent[] {
    if (report.kvCacheTokens === undefined || report.kvCacheTokens === kvCacheTokens) return [];
    kvCacheTokens = report.kvCacheTokens;
    return [{ kind: 'engine', at: report.at, kvCacheTokens }];
  }

  /** What the engine says of itself at its start. */
  function startLine(line: LogLine): ServingEvent[] {
    const version = VERSION.exec(line.text)?.[1];
    const chunk = MOST_TOKENS.exec(line.text)?.[1];
    const at = version === undefined && chunk === undefined ? undefined : clock.at(line);
    if (at === undefined) return [];
    context.used();
    return [{ kind: 'engine', at, ...(version !== undefined && { version }), ...(chunk !== undefined && { chunkTokens: Number(chunk) }) }];
  }

  return {
    line(line) {
      const said = readPytorchLine(line.text) ?? readExecutorLine(line.text);
      if (said === undefined) return startLine(line);
      if ('flaw' in said) {
        context.skip(line, said.flaw);
        return [];
      }
      const at = clock.at(line, said.stamp);
      if (at === undefined) {
        context.skip(line, 'nothing says when it was written');
        return [];
      }
      context.used();
      if (!('number' in said)) return said.running === undefined ? [] : [{ kind: 'gauge', gauge: 'serving.requests.running', value: said.running, at, ...(model !== undefined && { model }) }];
      const report: TimedReport = { ...said, at };
      return [...facts(report), ...take(engineOf(line), report), ...gauges(at), ...told(PACE_SECONDS)];
    },
    quiet(at) {
      const events = all().flatMap(([name, of]) => [...of.seconds.until(at).flatMap((placed) => place(of, name, placed)), ...(of.timeline?.quiet(at) ?? [])]);
      return [...events, ...told(Number.MIN_VALUE)];
    },
    end: () => all().flatMap(([name, of]) => [...of.seconds.until(instant(Infinity)).flatMap((placed) => place(of, name, placed)), ...(of.timeline?.end() ?? [])]),
  };
}

/** Several engines may write to one file: a pool of prefill and one of decode, say. */
const engineOf = ({ writer = '' }: LogLine): string =>
  writer
    .split('/')
    .filter((part) => !RANK_WRITER.test(part))
    .join('/');

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
