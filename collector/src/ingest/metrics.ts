/** The collector's own counts, in a registry of its own: two collectors in one process don't share them. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Appended } from '../store/store.js';

/** `busy`, `early`, `failed`, `slow`: told to come back. */
export type BatchResult = Appended | 'rejected' | 'busy' | 'early' | 'failed' | 'slow';

export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Metrics {
  batch(result: BatchResult): void;
  slices(count: number): void;
  ingest(seconds: number): void;
  /** A value that is read when it is asked for; absent where reading fails. */
  gauge(about: { readonly name: string; readonly help: string; readonly labels?: readonly string[] }, read: () => readonly Sample[] | Promise<readonly Sample[]>): void;
  /** Prometheus text and its content type. */
  expose(): Promise<{ text: string; contentType: string }>;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const batches = new Counter({ name: 'joulebook_ingest_batches_total', help: 'Batches received, by what became of them.', labelNames: ['result'], registers: [registry] });
  const slices = new Counter({ name: 'joulebook_ingest_slices_total', help: 'Slices accepted.', registers: [registry] });
  const seconds = new Histogram({
    name: 'joulebook_ingest_seconds', help: 'Time from a whole body to its durable answer.', buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10], registers: [registry],
  });
  // A counter that was never touched is absent, and an alert on its rate never fires.
  for (const result of ['accepted', 'duplicate', 'conflict', 'rejected', 'busy', 'early', 'failed', 'slow'] satisfies BatchResult[]) batches.inc({ result }, 0);
  return {
    batch: (result) => batches.inc({ result }),
    slices: (count) => slices.inc(count),
    ingest: (value) => seconds.observe(value),
    gauge({ name, help, labels = [] }, read) {
      const gauge = new Gauge({
        name, help, labelNames: [...labels], registers: [registry],
        async collect() {
          const samples = await Promise.resolve().then(read).catch(() => []);
          gauge.reset();
          // Resetting a gauge without labels sets it to 0, which is a value.
          if (samples.length === 0 && labels.length === 0) gauge.remove();
          for (const sample of samples) gauge.set({ ...sample.labels }, sample.value);
        },
      });
    },
    expose: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
  };
}
