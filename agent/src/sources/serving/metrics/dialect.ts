/**
 * What the metrics page of an engine is to the rest. A dialect reads one page: which samples are cumulative counters of
 * what, and which are gauges. How it is scraped, kept, and turned into windows is the same for all (`source.ts`).
 */
import type { Instant } from '@joulebook/shared/units.js';
import type { TokenOrigin } from '../../deployments.js';
import type { ServingEvent } from '../../source.js';
import type { Look } from './look.js';
import type { Sample } from './prometheus-text.js';

export type Gauge = Extract<ServingEvent, { kind: 'gauge' }>;

export interface Page {
  readonly look: Look;
  readonly gauges: readonly Gauge[];
}

/** For the pages of one server in their order. */
export interface Pages {
  /** @throws TelemetryError (`discard`) for a metrics page of something else */
  read(samples: readonly Sample[], at: Instant): Page;
}

export interface MetricsDialect {
  /** As configured: `vllm-metrics`. */
  readonly name: string;
  /** Whose page it is, for people: `vLLM`. */
  readonly program: string;
  /** What its samples begin with, for people: `vllm:`. */
  readonly samples: string;
  /** What it tells, for `--help`. */
  readonly tells: string;
  /** Absent: `engine counters`. */
  readonly tokensFrom?: TokenOrigin;
  /** Where it listens unless told otherwise. */
  readonly usualUrl: string;
  /** Whether a sample is of it at all; a page may hold thousands of others. */
  isOf(sample: Sample): boolean;
  pages(): Pages;
}
