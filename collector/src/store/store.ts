/**
 * What a store promises, whatever it is made of. Facts go in once; sums of additive facts come out.
 * Ratios are never computed here: only sums can be added again.
 */
import type { Batch, HostFacts } from '@joulebook/shared/batch.js';
import { BOUNDARIES, type Boundary } from '@joulebook/shared/slice.js';
import type { EpochMicros, Seconds } from '@joulebook/shared/units.js';
import type { Loss, StreamSeen } from './ledger.js';

/**
 * `booked` are energy facts too, summed without wall time, which is what makes `energy` several times as costly. `asked` are
 * energy facts as well: how long they should have been seen, of a window; and `weighed`: by what a joule is worth at its time.
 * `weighedRequests` are request facts: what their requests drew, by what it is worth where the fact stands, at the end of the request.
 */
export type FactKind = 'energy' | 'booked' | 'asked' | 'weighed' | 'tokens' | 'requests' | 'weighedRequests' | 'gauge' | 'flag';

/** Classes of time, which every kind has once something says what they are (time-classes.ts). */
const TIMES = ['tariffPeriod', 'loadBand'] as const;
/** Of tenants only once something shares it (tenants.ts). */
const ENERGY = [...TIMES, 'tenant', 'site', 'node', 'device', 'deployment', 'model', 'phase', 'boundary', 'source', 'method', 'contains'] as const;
const REQUESTS = [...TIMES, 'site', 'node', 'deployment', 'model', 'tenant', 'outcome', 'request', 'inputBand', 'concurrencyBand', 'cached', 'ttftBucket', 'tpotBucket'] as const;

/**
 * Dimensions by which each kind can be divided. Labels divide every kind. `contains` is the sorted nodes a wide sensor
 * reads for, as JSON text, and null where that is its own node. Values of bands and buckets are their numbers as text; `cached` says of a single
 * request whether prompt tokens of it came from a cache: `cached` or `uncached`.
 */
export const DIMENSIONS = {
  energy: ENERGY,
  booked: ENERGY,
  asked: ENERGY,
  weighed: ENERGY,
  tokens: [...TIMES, 'site', 'node', 'deployment', 'model', 'tenant', 'token'],
  requests: REQUESTS,
  weighedRequests: REQUESTS,
  gauge: [...TIMES, 'site', 'node', 'device', 'deployment', 'model', 'gauge'],
  flag: [...TIMES, 'site', 'node', 'device', 'deployment', 'model', 'phase'],
} as const satisfies Record<FactKind, readonly string[]>;
export type Dimension = (typeof DIMENSIONS)[FactKind][number];

/** A fixed dimension, or a label by its name: the two never collide. */
export type Key = Dimension | { readonly label: string };

export function divides(kind: FactKind, key: Key): boolean {
  const dimensions: readonly Key[] = DIMENSIONS[kind];
  return typeof key !== 'string' || dimensions.includes(key);
}

/** Keeps facts whose `key` has one of `values`; filters are joined by AND. */
export interface Filter {
  readonly key: Key;
  readonly values: readonly string[];
  /** Keep facts that don't carry the key at all, too: a reservation without a deployment holds for every deployment. */
  readonly orMissing?: boolean;
}

/** Which facts: a slice belongs to the range when its `from` is in [from, to). */
export interface Scope {
  readonly where: readonly Filter[];
  readonly from?: EpochMicros | undefined;
  readonly to?: EpochMicros | undefined;
  /** Of that only these ranges, in order and apart: the turns of one side of an experiment. */
  readonly within?: readonly Extent[] | undefined;
}

export interface SumQuery<K extends FactKind> extends Scope {
  readonly kind: K;
  readonly by: readonly Key[];
  /** Whole microseconds; groups by floor(from / step). */
  readonly step?: EpochMicros | undefined;
  /** What `asked` is of: it needs one, and no other kind looks at it. */
  readonly window?: Extent | undefined;
  /** Of `energy`: wall time may be that of the longest seen device of each minute, hour or day. For who needs it only about, or not at all: that saves a look at all facts. */
  readonly wallByCell?: boolean;
  /** What `weighed` and `weighedRequests` weigh by: they need them, and no other kind looks at them. */
  readonly weights?: Weights | undefined;
}

/** Factors of energy that change over time, by site. */
export interface Weights {
  /** They change on this grid of UTC only, which decides what roll-ups may be read. */
  readonly grid: EpochMicros;
  /** How many factors there are at a time. */
  readonly count: number;
  /** `site` null: of all facts whose site is not listed. Factors hold from `from` to the next; null, and before the first: not known. */
  readonly sites: readonly { readonly site: string | null; readonly pieces: readonly { readonly from: EpochMicros; readonly factors: readonly (number | null)[] }[] }[];
}

export interface BookedSums {
  /** Exact. */
  readonly microjoules: bigint;
  /** Device-seconds observed and asked. */
  readonly seconds: Seconds;
  readonly askedSeconds: Seconds;
}
/**
 * How long the devices of a group should have been seen within the window (of each step, the part that lies in it). What
 * nobody asked about is the uncovered rest:
 *
 *   rest of a device = window − Σ its asked seconds, over all its facts at the boundary, whatever else the filters keep
 *
 * A group takes the rest of each of its devices in proportion to its share of what was asked of the device: all of it where
 * the group has all that the device did, half where another deployment or phase has the other half. So a device that was
 * seen throughout has coverage 1 in every group, and one seen half of the time has 0.5, however the groups divide it.
 * Facts that ask for no time (totals of a run) say nothing about it, and a group of nothing else has no sum.
 */
export interface AskedSums {
  readonly askedOfWindow: Seconds;
}
export interface Weighed {
  /** Σ µJ × factor. */
  readonly sum: number;
  /** µJ whose factor is not known, and which are not in the sum. */
  readonly unknown: bigint;
}
/** One per factor. */
export interface WeighedSums {
  readonly weighed: readonly Weighed[];
}
/** Of requests that tell what they drew; one per factor. */
export interface WeighedRequestSums {
  readonly prefill: readonly Weighed[];
  readonly decode: readonly Weighed[];
}
export interface EnergySums extends BookedSums {
  readonly modelledMicrojoules: bigint;
  /** By how much the division between phases may be off, where facts say so: of a sum over phases it is no error. */
  readonly divisionMicrojoules: bigint;
  /**
   * Wall time observed: per slice `from`, the maximum over devices of Σ seconds, summed over slices. Within one 10 s
   * cell of the slice grid it is never more than the cell's extent, so that agents whose slices begin at different
   * instants don't count the same second twice.
   */
  readonly wallSeconds: Seconds;
  /** Distinct (node, device). */
  readonly devices: number;
  /** Null where any fact with energy does not state its error: the rest would not bound the sum. */
  readonly stated: StatedError | null;
}
/** Sums of the energy at the low and high end of the sensors' errors, and of the variance (J²) that sampling adds. */
export interface StatedError {
  readonly lowMicrojoules: bigint;
  readonly highMicrojoules: bigint;
  readonly samplingVariance: number;
}
export interface TokenSums {
  readonly count: number;
}
export interface RequestCounts {
  readonly requests: number;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
}
export interface RequestSums extends RequestCounts {
  /** Of the facts that tell what their requests drew; null where none does. */
  readonly metered: MeteredRequests | null;
}
/** Energy at boundary gpu; exact. */
export interface MeteredRequests extends RequestCounts {
  readonly prefillMicrojoules: bigint;
  readonly decodeMicrojoules: bigint;
}
export interface GaugeSums {
  readonly valueSeconds: number;
  readonly seconds: Seconds;
  readonly max: number;
}
/** Flags come grouped by code and detail; all but the first few details of a code come as one row without detail. */
export interface FlagSums {
  readonly code: string;
  readonly detail: string | null;
  /** How many details this row stands for. */
  readonly details: number;
  /** Σ count of flags that don't say of how many. */
  readonly count: number;
  /** Σ count and Σ of, of flags that do. */
  readonly countOf: number;
  readonly of: number;
}

export interface FactSums {
  readonly energy: EnergySums;
  readonly booked: BookedSums;
  readonly asked: AskedSums;
  readonly weighed: WeighedSums;
  readonly tokens: TokenSums;
  readonly requests: RequestSums;
  readonly weighedRequests: WeighedRequestSums;
  readonly gauge: GaugeSums;
  readonly flag: FlagSums;
}

export interface GroupSum<K extends FactKind> {
  /** One per key of the query, in its order; null where the facts don't carry the key. */
  readonly values: readonly (string | null)[];
  /** Start of the step; 0 without a step. */
  readonly step: EpochMicros;
  /** Earliest `from` and latest `to` of the group's facts. */
  readonly from: EpochMicros;
  readonly to: EpochMicros;
  readonly sums: FactSums[K];
}

export interface Extent {
  readonly from: EpochMicros;
  readonly to: EpochMicros;
}

/** Which rows an answer was summed from: the facts themselves, or their sums by minute, hour or day. */
export interface ReadFrom {
  readonly resolution: 'facts' | '1m' | '1h' | '1d';
  /** Of the range, how much came from these. */
  readonly seconds: number;
}
export interface Resolution {
  /** Finest first. */
  readonly read: readonly ReadFrom[];
  /** Facts of some of the range are no longer kept: ends and steps were moved back to the beginning of what is. */
  readonly rounded: boolean;
  /** The ends that were moved: what was summed instead of what was asked. */
  readonly moved: { readonly from?: EpochMicros; readonly to?: EpochMicros };
  /** Present where the range begins before: nothing of that time is kept at all. */
  readonly keptSince?: EpochMicros;
  /** For the same reason wall time is taken by minute or hour instead of by slice. */
  readonly wallTimeByCell: boolean;
}

export interface NodeSeen {
  readonly node: string;
  /** When the collector last accepted a batch of this node, and how many it has accepted. */
  readonly lastSeen: EpochMicros;
  readonly batches: number;
  readonly slices: number;
  /** The newest host facts the node sent. */
  readonly host: HostFacts | null;
}

/** `conflict`: the batch's (stream, sequence) was accepted before with other content, or another node began its stream, or that has more gaps than are kept (`MOST_RUNS`); nothing was stored. */
export type Appended = 'accepted' | 'duplicate' | 'conflict';

/** That an experiment began or ended, as JSON (experiments/mark.ts). */
export interface ExperimentMark {
  /** When it was said. */
  readonly at: EpochMicros;
  readonly text: string;
}

export interface Store {
  /**
   * Exactly once by (stream, sequence). When it answers `accepted` the facts are durable. Energy of a device that another
   * stream wrote for the same time is kept apart, in no sum, and flagged DUPLICATE_DEVICE. Throws where storing failed; then nothing was stored.
   * @param written the batch as its sender wrote it, which tells its content from another; by default as `encodeBatch` writes it
   */
  append(batch: Batch, written?: string): Promise<Appended>;
  /** What `append` would answer for a batch whose (stream, sequence) is known; null for one that is not. Changes nothing. */
  seen(batch: Batch, written?: string): Promise<'duplicate' | 'conflict' | null>;
  /** Which sequences of each stream it has and lacks, by node and stream. */
  streams(): Promise<readonly StreamSeen[]>;
  /** Sequences that will not come: they are missing no more, and told as lost for ever. Durable when it returns. */
  markLost(losses: readonly Loss[]): Promise<void>;
  /** What was said of experiments, in the order in which it was said: a fact is never changed by it. */
  experimentMarks(): Promise<readonly ExperimentMark[]>;
  /** Durable when it returns. @throws TelemetryError (`retry`) where it was not kept */
  markExperiment(mark: ExperimentMark): Promise<void>;
  /** Would it take a batch? Stores durably what is no fact; in no answer. Throws where that fails. */
  probe(): Promise<void>;
  /** @throws RangeError for a key the kind doesn't have, and for energy neither kept to one boundary nor grouped by it: boundaries overlap. */
  sum<K extends FactKind>(query: SumQuery<K>): Promise<readonly GroupSum<K>[]>;
  /** What `sum` reads for a query now. Absent in stores without roll-ups. */
  readonly resolution?: (query: SumQuery<FactKind>) => Promise<Resolution>;
  /** Names of labels that facts carry, sorted. */
  labels(): Promise<readonly string[]>;
  nodes(): Promise<readonly NodeSeen[]>;
  /** The time that facts span; null without any. With `before`, of facts that begin before it. */
  extent(before?: EpochMicros): Promise<Extent | null>;
  close(): Promise<void>;
}

export const isBoundary = (value: unknown): value is Boundary => BOUNDARIES.some((known) => known === value);
export const inBoundary = (boundary: Boundary): Filter => ({ key: 'boundary', values: [boundary] });
