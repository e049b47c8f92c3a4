/** What a format of sensor readings is to the simulation: its options, and the file that it writes of a server's power. */
import { duration } from '@joulebook/shared/settings.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { checkOptions } from '../../sources/recorded.js';
import type { WallClock } from '../clock.js';
import type { ServerPower } from '../trace.js';
import { reachesBack, shownJoules, shownWatts, trueJoules, type BoardError, type Pace, type PowerPace } from './board.js';
import { looks, type Polling } from './looks.js';

/** 0 ≤ value < 1 */
export type Draw = () => number;

/** One GPU board and its sensor. */
export interface Board {
  readonly index: number;
  readonly uuid: string;
  /** `NVIDIA H100 80GB HBM3` */
  readonly product: string;
  readonly error: BoardError;
  readonly paces: { readonly instant: PowerPace; readonly average: PowerPace; readonly counter: Pace };
  /** What `power.draw` and NVML's plain power are on this board. */
  readonly draw: 'instant' | 'average';
}

export interface SensorParts {
  readonly power: ServerPower;
  readonly boards: readonly Board[];
  /** Of the machine that reads the sensors. */
  readonly clock: (tz: string) => WallClock;
  /** A stream of random numbers of its own for each name. */
  readonly random: (name: string) => Draw;
}

export interface SensorFile {
  readonly file: string;
  /** Its entry in recording.yaml. */
  readonly entry: Readonly<Record<string, unknown>>;
  /** What is true of the sensor and stands nowhere in the file. */
  readonly truth: Readonly<Record<string, unknown>>;
  /** How far back from a look the true power must be known. */
  readonly reach: Seconds;
  /** Text of the looks up to `until`, from where the last call ended. */
  next(until: number): Generator<string, void>;
}

export interface SensorFormat {
  readonly name: string;
  readonly summary: string;
  readonly file: string;
  /** @throws UsageError with every fault of the options */
  open(file: string, options: unknown, where: string): (parts: SensorParts) => SensorFile;
}

interface Declaration<Shape extends z.ZodRawShape> extends Pick<SensorFormat, 'name' | 'summary' | 'file'> {
  readonly options: Shape;
  write(file: string, options: z.output<z.ZodObject<Shape, z.core.$strict>>, parts: SensorParts): Omit<SensorFile, 'file'>;
}

export function sensorFormat<Shape extends z.ZodRawShape>({ options: shape, ...declared }: Declaration<Shape>): SensorFormat {
  const schema = z.strictObject(shape);
  return {
    ...declared,
    open(file, options, where) {
      const checked = checkOptions(schema, options, where);
      return (parts) => ({ file, ...declared.write(file, checked, parts) });
    },
  };
}

/** A gauge of a device: what it shows at a moment. */
export const gauge = (joules: (at: number) => number, pace: PowerPace, error: BoardError) => (at: number): number => shownWatts(joules, pace, error, at);
/** A counter of a device, in joules. */
export const counter = (joules: (at: number) => number, pace: Pace, error: BoardError) => (at: number): number => shownJoules(joules, pace, error, at);

/** What each board shows. */
export function boardReadings({ power, boards }: SensorParts) {
  return boards.flatMap((board, place) => {
    const trace = power.gpus[place];
    if (!trace) return [];
    const joules = trueJoules(trace);
    const { instant, average, counter: ticks } = board.paces;
    return [{ board, instant: gauge(joules, instant, board.error), average: gauge(joules, average, board.error), counter: counter(joules, ticks, board.error) }];
  });
}

/** The reach of whatever a board can be asked. */
export const boardReach = (boards: readonly Board[]): Seconds => seconds(Math.max(0, ...boards.flatMap(({ paces }) => Object.values(paces).map((pace) => -reachesBack(pace, 0)))));

/** The truth about boards, for truth.json. */
export const boardsTruth = (boards: readonly Board[]): Record<string, unknown> => ({ boards: boards.map(({ index, uuid, product, error, paces }) => ({ index, uuid, product, ...error, paces })) });

/** Text for each look that is kept. */
export function polled(polling: Polling, draw: Draw, textAt: (at: number) => string): Pick<SensorFile, 'next'> {
  const schedule = looks(polling, draw);
  return {
    *next(until) {
      for (const at of schedule.next(until)) yield textAt(at);
    },
  };
}

/** The error of a sensor that is not a GPU board's. */
export const errorOptions = { gain: z.number().min(0.5).max(2).default(1), offset: z.number().default(0), delay: duration.default(0) };
