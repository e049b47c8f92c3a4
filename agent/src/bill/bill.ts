/** What measuring costs: the agent's own CPU time and memory, how long each source takes to read, ticks it missed. */
import type { Seconds } from '@joulebook/shared/units.js';

export interface Bill {
  read(source: string, took: Seconds): void;
  missed(source: string, ticks: number): void;
  /** Since the last statement; gauges by name. CPU in seconds per second, memory in bytes, latencies in seconds. */
  statement(elapsed: Seconds): readonly { readonly gauge: string; readonly value: number }[];
  latency(source: string): { readonly p50: number; readonly p99: number; readonly reads: number } | undefined;
}

/** The quantiles are of the last so many reads of a source. */
const KEPT = 1024;

export function bill(process: Pick<NodeJS.Process, 'cpuUsage' | 'memoryUsage'>): Bill {
  const latencies = new Map<string, number[]>();
  const missed = new Map<string, number>();
  let cpu = process.cpuUsage();

  const latency = (source: string): { p50: number; p99: number; reads: number } | undefined => {
    const sorted = latencies.get(source)?.toSorted((a, b) => a - b);
    if (!sorted || sorted.length === 0) return undefined;
    const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
    return { p50: at(0.5), p99: at(0.99), reads: sorted.length };
  };

  return {
    read(source, took) {
      const kept = latencies.get(source) ?? [];
      latencies.set(source, kept);
      kept.push(took);
      if (kept.length > KEPT) kept.splice(0, kept.length - KEPT);
    },
    missed(source, ticks) {
      missed.set(source, (missed.get(source) ?? 0) + ticks);
    },
    latency,
    statement(elapsed) {
      const used = process.cpuUsage(cpu);
      cpu = process.cpuUsage();
      const gauges = [
        { gauge: 'agent.cpu.utilization', value: (used.user + used.system) / 1e6 / elapsed },
        { gauge: 'agent.memory.rss', value: process.memoryUsage.rss() },
      ];
      for (const source of latencies.keys()) {
        const { p50, p99 } = latency(source) ?? { p50: 0, p99: 0 };
        gauges.push({ gauge: `agent.read.p50 ${source}`, value: p50 }, { gauge: `agent.read.p99 ${source}`, value: p99 });
      }
      for (const [source, ticks] of missed) gauges.push({ gauge: `agent.missed_ticks ${source}`, value: ticks });
      missed.clear();
      return gauges;
    },
  };
}
