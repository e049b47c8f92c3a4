/**
 * Which files a simulation writes: the part `recording` of a scenario. It says the machine's name and clock, what its GPU boards'
 * sensors are like, and one entry per file, each with the options of its format beside the common ones.
 */
import { UsageError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import type { Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { named } from '../sources/named.js';
import { parseInstant, zone } from '../sources/timestamps.js';
import { dialects } from './dialects/index.js';
import type { EngineParts, EngineWriter, Dialect } from './dialects/format.js';
import { scenarioShape, type Scenario } from './scenario.js';
import { sensorFormats } from './sensors/index.js';
import type { SensorFile, SensorParts } from './sensors/format.js';

const text = z.string().min(1);
const positive = duration.refine((value) => value >= 0.001, 'at least 1 ms');
const pace = z.strictObject({ window: positive.optional(), refresh: positive.optional() });
const start = z.union([z.date().transform((value) => value.toISOString()), z.number().transform(String), text]).transform((value, context): Instant => {
  const at = parseInstant(value, zone('UTC'));
  if (at !== undefined) return at;
  context.addIssue(`'${value}' is not a time; write 2026-01-15T09:00:00Z`);
  return z.NEVER;
});
/** A file stands in the folder, nowhere else. */
const file = text.regex(/^[\w.-]+$/, 'a name without a folder').refine((value) => !RESERVED.has(value), 'a name that the simulation itself needs').optional();
const tz = text.default('UTC').refine((value) => isZone(value), 'not a time zone; write a name like America/Chicago, UTC, or an offset like -07:00');

export const MANIFEST_FILE = 'recording.yaml';
export const TRUTH_FILE = 'truth.json';
const RESERVED: ReadonlySet<string> = new Set([MANIFEST_FILE, TRUTH_FILE]);

const boards = z.strictObject({
  gains: z.array(z.number().min(0.5).max(2)).min(1).optional().describe('What each board shows / what it draws, in the order of the boards, again from the first where there are more boards.'),
  gainSpread: z.number().min(0).max(0.2).default(0.03).describe('Without gains: each lies within 1 ± this.'),
  offset: z.number().min(-50).max(50).default(0).describe('W that a board shows too much.'),
  delay: duration.default(0),
  product: text.optional().describe('What nvidia-smi calls the boards, where it is not what the hardware says.'),
  draw: z.enum(['instant', 'average']).optional().describe('What power.draw is.'),
  instant: pace.default({}),
  average: pace.default({}),
  counter: z.strictObject({ refresh: positive.default(0.1) }).prefault({}),
});

const recordingSchema = z.strictObject({
  node: text.default('simulated'),
  start: start.prefault('2026-01-15T09:00:00Z'),
  labels: z.record(text, z.union([z.string(), z.number(), z.boolean()]).transform(String)).default({}),
  deployment: text.default('chat'),
  model: text.optional(),
  boards: boards.prefault({}),
  power: z.array(z.looseObject({ format: text, file })).default([{ format: 'nvidia-smi-csv' }, { format: 'readings' }]),
  serving: z
    .array(
      z.looseObject({
        format: text,
        file,
        tz,
        tokens: z.enum(['count', 'evidence']).optional(),
        clock: z.strictObject({ offset: z.number().default(0).describe('s ahead of the sensors'), driftPpm: z.number().min(-1000).max(1000).default(0) }).prefault({}),
      }),
    )
    .default([{ format: 'vllm-metrics', tz: 'UTC', clock: { offset: 0, driftPpm: 0 } }, { format: 'vllm-log', tz: 'UTC', clock: { offset: 0, driftPpm: 0 } }]),
});
export type BoardOptions = z.output<typeof boards>;

export const simulationSchema = z.strictObject({ ...scenarioShape, recording: recordingSchema.prefault({}) });
/** As a person wrote it, with all defaults. */
export type SimulationOptions = z.output<typeof simulationSchema>;

export interface SensorPlan {
  readonly file: string;
  readonly open: (parts: SensorParts) => SensorFile;
}

export interface ServingPlan {
  readonly dialect: Dialect;
  readonly file: string;
  readonly tz: string;
  readonly clock: { readonly offset: number; readonly driftPpm: number };
  readonly tokens?: 'count' | 'evidence' | undefined;
  readonly open: (parts: EngineParts) => EngineWriter;
}

export interface Plan {
  readonly scenario: Scenario;
  readonly recording: Omit<SimulationOptions['recording'], 'power' | 'serving'>;
  readonly sensors: readonly SensorPlan[];
  readonly serving: readonly ServingPlan[];
}

/** @throws UsageError with every fault of the entries, each naming its field */
export function planOf({ recording: { power, serving, ...recording }, ...scenario }: SimulationOptions, where: string): Plan {
  const faults: string[] = [];
  const attempt = <T>(field: string, open: () => T): T[] => {
    try {
      return [open()];
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      // Its own faults begin with the name of the field already.
      faults.push(...error.faults.map((fault) => (fault.startsWith(field) ? fault : `${field}: ${fault}`)));
      return [];
    }
  };
  const sensors = power.flatMap(({ format, file: called, ...options }, index) =>
    attempt(`${where}.recording.power.${index}`, (): SensorPlan => {
      const found = named('format', sensorFormats, format);
      const name = called ?? found.file;
      return { file: name, open: found.open(name, options, `${where}.recording.power.${index}`) };
    }),
  );
  const engines = serving.flatMap(({ format, file: called, tz: zoneName, clock, tokens, ...options }, index) =>
    attempt(`${where}.recording.serving.${index}`, (): ServingPlan => {
      const dialect = named('format', dialects, format);
      return { dialect, file: called ?? dialect.file, tz: dialect.utc === true ? 'UTC' : zoneName, clock, tokens, open: dialect.open(options, `${where}.recording.serving.${index}`) };
    }),
  );
  const names = [...sensors, ...engines].map(({ file: name }) => name);
  for (const twice of new Set(names.filter((name, index) => names.indexOf(name) !== index))) faults.push(`${where}.recording: two entries write ${twice}; give one of them a file of its own`);
  if (faults.length > 0) throw new UsageError(faults);
  return { scenario, recording, sensors, serving: engines };
}

function isZone(name: string): boolean {
  try {
    zone(name);
    return true;
  } catch {
    return false;
  }
}
