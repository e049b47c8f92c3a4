/**
 * What a dialect is to the simulation: an engine (or a gateway in front of it) that tells what it does in its own words. It
 * is told each iteration when it has ended and each request when it is over, and knows nothing else: no energy, no phases.
 */
import { z } from 'zod';
import { checkOptions } from '../../sources/recorded.js';
import type { WallClock } from '../clock.js';
import type { Iteration, Pool, SimulatedRequest } from '../trace.js';

/** 0 ≤ value < 1 */
export type Draw = () => number;

/** One engine: a pool of GPUs with one log. */
export interface EngineParts {
  readonly pool: Pool;
  /** Data-parallel ranks, and the GPUs of each. */
  readonly ranks: number;
  readonly gpusPerRank: number;
  readonly model: string;
  /** Most prompt tokens in one iteration. */
  readonly chunkTokens: number;
  /** Of each rank. */
  readonly kvCacheTokens: number;
  /** Most requests at once, of each rank. */
  readonly seats: number;
  /** Tokens drafted for each sequence and iteration; 0: no speculative decoding. */
  readonly draftTokens: number;
  /** The clock of the process that writes. */
  readonly clock: WallClock;
  readonly draw: Draw;
}

/** Text is written in the order of time. */
export interface EngineWriter {
  /** Options that its file needs in recording.yaml. */
  readonly entry: Readonly<Record<string, unknown>>;
  /** What stands at the top of the file: an engine starts before the simulation does. */
  start(): string;
  /** Everything up to `at` has been told: what is printed by the clock. */
  until(at: number): string;
  iteration(iteration: Iteration): string;
  request(request: SimulatedRequest): string;
  /** The last request is over; what is printed some time later. */
  end(at: number): string;
}

export interface Dialect {
  /** As in recording.yaml. */
  readonly name: string;
  readonly summary: string;
  readonly file: string;
  /** `engine`: each pool of GPUs writes a file of its own; `gateway`: one stands in front of them all. */
  readonly speaks: 'engine' | 'gateway';
  /** Its stamps are in UTC wherever it runs. */
  readonly utc?: boolean;
  /** @throws UsageError with every fault of the options */
  open(options: unknown, where: string): (parts: EngineParts) => EngineWriter;
}

interface Declaration<Shape extends z.ZodRawShape> extends Omit<Dialect, 'open'> {
  readonly options: Shape;
  write(parts: EngineParts, options: z.output<z.ZodObject<Shape, z.core.$strict>>): Partial<EngineWriter>;
}

const SILENT: EngineWriter = { entry: {}, start: () => '', until: () => '', iteration: () => '', request: () => '', end: () => '' };

export function dialect<Shape extends z.ZodRawShape>({ options: shape, ...declared }: Declaration<Shape>): Dialect {
  const schema = z.strictObject(shape);
  return {
    ...declared,
    open(options, where) {
      const checked = checkOptions(schema, options, where);
      return (parts) => ({ ...SILENT, ...declared.write(parts, checked) });
    },
  };
}
