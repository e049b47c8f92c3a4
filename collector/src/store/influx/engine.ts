/**
 * A server that takes line protocol, as far as the store depends on it. Engines differ in how they are read and in what
 * their "204 No Content" is worth; everything above this file is the same for all.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Measurement, Point, Row } from './points.js';

export interface Reading {
  readonly measurement: Measurement;
  /** Points whose tag has one of the values. Only stream ids and numbers are asked for: nothing of an agent's text is in a query. */
  readonly where?: Readonly<Partial<Record<'stream' | 'block', readonly string[]>>>;
  /** Milliseconds since 1970: points from `from` on, before `to`. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** These alone; without it, all. */
  readonly fields?: readonly string[];
}

export interface Engine {
  /** For people: `VictoriaMetrics at http://…`. */
  readonly description: string;
  /** Why the server would not keep the point as it is; undefined where it would. */
  objection(point: Point): string | undefined;
  /** Resolves when the server has answered that it has them, which alone promises nothing. Writing a point again changes nothing. */
  write(points: readonly Point[]): Promise<void>;
  /** Everything written before is found by `read` when this resolves. */
  visible(): Promise<void>;
  /**
   * Everything that `read` finds is on the server's disk when this resolves, unless the server was restarted meanwhile.
   * @returns what tells that server process from one started later
   */
  durable(): Promise<string>;
  /** The same, without waiting for anything. */
  era(): Promise<string>;
  /** True where the answer to a write says whether each point was kept; else what was written is read back before it counts. */
  readonly answersForPoints: boolean;
  /** Each point once, however often it was written. @throws TelemetryError TOO_MANY_FACTS beyond `most` */
  read(reading: Reading, most?: number): Promise<Row[]>;
  /** Names of all tags that facts have. */
  tagNames(): Promise<string[]>;
  close(): Promise<void>;
}

export const tooMany = (most: number): TelemetryError =>
  new TelemetryError('TOO_MANY_FACTS', `The question spans more than ${most} facts, which is more than is read from this store at once. Ask for a shorter time with --from and --to.`, 'abort');
