/**
 * How the agent itself is, for /metrics: counts that the pipeline keeps here, and what is looked up when somebody asks.
 * They outlive a pipeline that is begun anew with other settings.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Slice } from '@joulebook/shared/slice.js';
import type { Seconds } from '@joulebook/shared/units.js';
import type { Bill } from '../bill/bill.js';
import type { OutletState } from '../shipper/outlet.js';

export interface Look {
  readonly outlet: OutletState;
  /** How far what is booked is behind now. */
  readonly bookingDelay: Seconds;
  /** How far each serving source's evidence is behind now. */
  readonly evidence: readonly { readonly deployment: string; readonly source: string; readonly delay: Seconds }[];
  /** How old the newest reading of each channel is. */
  readonly readings: readonly { readonly source: string; readonly device: string; readonly age: Seconds }[];
}

/** What the pipeline tells. */
export interface Watch {
  /** A pipeline begins; of the last one nothing is looked up any more. */
  begins(look: () => Look): void;
  ticked(missed: number): void;
  reading(source: string): void;
  gap(source: string): void;
  closed(slices: readonly Slice[]): void;
}

export interface AgentMetrics extends Watch {
  /** Keeps the bill, and counts what stands on it. */
  watching(bill: Bill): Bill;
  reloaded(result: 'applied' | 'unchanged' | 'refused'): void;
  /** Why this agent can't be relied upon now; undefined where it can. */
  trouble(): string | undefined;
  /** Prometheus text and its content type. */
  expose(): Promise<{ readonly text: string; readonly contentType: string }>;
}

/** The pipeline ticks every second; one that is begun anew waits for its sources to end. */
const LONGEST_SILENCE_SECONDS = 10;
const READ_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

export function agentMetrics(monotonic: () => Seconds): AgentMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  let look: (() => Look) | undefined;
  let lastTick: number | undefined;

  const readings = new Counter({ name: 'joulebook_agent_readings_total', help: 'Readings of power sources.', labelNames: ['source'], registers });
  const gaps = new Counter({ name: 'joulebook_agent_gaps_total', help: 'Pauses in the readings that energy is booked from; not bridged.', labelNames: ['source'], registers });
  const reads = new Histogram({ name: 'joulebook_agent_read_seconds', help: 'How long asking a sensor took.', labelNames: ['source'], buckets: READ_BUCKETS, registers });
  const late = new Counter({ name: 'joulebook_agent_sampler_missed_total', help: 'Readings that were due while the one before was still under way, or the agent was held up.', labelNames: ['source'], registers });
  const heldUp = new Counter({ name: 'joulebook_agent_held_up_seconds_total', help: 'Seconds in which the agent itself did not get to work.', registers });
  const slices = new Counter({ name: 'joulebook_agent_slices_total', help: 'Slices of facts made.', labelNames: ['kind'], registers });
  const flags = new Counter({ name: 'joulebook_agent_flags_total', help: 'Reservations that stand beside the facts, by code.', labelNames: ['code'], registers });
  const reloads = new Counter({ name: 'joulebook_agent_reloads_total', help: 'Times that the settings were read again (SIGHUP), by what became of it.', labelNames: ['result'], registers });
  // A counter that was never touched is absent, and an alert on its rate never fires.
  for (const result of ['applied', 'unchanged', 'refused'] as const) reloads.inc({ result }, 0);

  interface Sample {
    readonly labels?: Readonly<Record<string, string>>;
    readonly value: number;
  }
  const gauge = (name: string, help: string, labelNames: readonly string[], samples: (now: Look) => readonly Sample[]): void => {
    const one: Gauge = new Gauge({
      name: `joulebook_agent_${name}`, help, labelNames: [...labelNames], registers,
      collect() {
        one.reset();
        for (const { labels = {}, value } of look ? samples(look()) : []) one.set({ ...labels }, value);
      },
    });
  };
  gauge('spool_batches', 'Batches on disk that the collector has not accepted yet.', [], ({ outlet }) => [{ value: outlet.spooledBatches }]);
  gauge('spool_bytes', 'What the spool takes on disk.', [], ({ outlet }) => [{ value: outlet.spoolBytes }]);
  gauge('spool_lost_batches', 'Batches that were dropped, damaged or refused, until the collector knows of them.', [], ({ outlet }) => [{ value: outlet.lostBatches }]);
  gauge('spool_open', '1 where the disk of the spool can be used; else batches wait in memory.', [], ({ outlet }) => [{ value: outlet.spoolOpen ? 1 : 0 }]);
  gauge('memory_batches', 'Batches that wait in memory for the disk.', [], ({ outlet }) => [{ value: outlet.memoryBatches }]);
  gauge('memory_bytes', 'What they take.', [], ({ outlet }) => [{ value: outlet.memoryBytes }]);
  gauge('booking_delay_seconds', 'How far what is booked is behind now.', [], ({ bookingDelay }) => [{ value: bookingDelay }]);
  gauge('evidence_delay_seconds', 'How far the evidence of a serving source is behind now.', ['deployment', 'source'], ({ evidence }) => evidence.map(({ deployment, source, delay }) => ({ labels: { deployment, source }, value: delay })));
  gauge('reading_age_seconds', 'How old the newest reading of a device is.', ['source', 'device'], (now) => now.readings.map(({ source, device, age }) => ({ labels: { source, device }, value: age })));

  const sent = new Counter({
    name: 'joulebook_agent_sends_total', help: 'Sendings to the collector by what became of them, since the settings were last read.', labelNames: ['result'], registers,
    collect() {
      sent.reset();
      const { accepted, rejected, retried } = look?.().outlet.sent ?? { accepted: 0, rejected: 0, retried: 0 };
      for (const [result, count] of Object.entries({ accepted, rejected, retried })) sent.inc({ result }, count);
    },
  });

  return {
    begins(now) {
      look = now;
    },
    ticked(missed) {
      lastTick = monotonic();
      heldUp.inc(missed);
    },
    reading: (source) => readings.inc({ source }),
    gap: (source) => gaps.inc({ source }),
    closed(closed) {
      for (const slice of closed) {
        slices.inc({ kind: slice.kind });
        if (slice.kind === 'flag') flags.inc({ code: slice.code }, slice.count);
      }
    },
    watching: (bill) => ({
      ...bill,
      read(source, took) {
        reads.observe({ source }, took);
        bill.read(source, took);
      },
      missed(source, ticks) {
        late.inc({ source }, ticks);
        bill.missed(source, ticks);
      },
    }),
    reloaded: (result) => reloads.inc({ result }),
    trouble() {
      if (look === undefined || lastTick === undefined) return 'The agent is still starting.';
      if (monotonic() - lastTick > LONGEST_SILENCE_SECONDS) return `The agent has not got to work for ${Math.round(monotonic() - lastTick)} s.`;
      return look().outlet.spoolOpen ? undefined : 'The disk of the spool can not be used; batches wait in memory. The log of the agent says why.';
    },
    expose: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
  };
}
