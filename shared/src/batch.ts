/**
 * The wire envelope. (stream, sequence) names a batch for ever: sending it again changes nothing.
 * `stream` is a random 128-bit id made with a spool and kept in it; a replayed recording uses a hash of its
 * inputs, so that importing it twice changes nothing either.
 */
import { z } from 'zod';
import { TelemetryError } from './errors.js';
import { slice, type Slice } from './slice.js';

export const SCHEMA_VERSION = 1;

/** What the machine is; sent with a stream's first batch and whenever it changes. */
export const hostFacts = z.strictObject({
  hostname: z.string(),
  os: z.string(),
  kernel: z.string(),
  cpu: z.strictObject({ model: z.string(), sockets: z.int(), cores: z.int() }),
  memoryBytes: z.int(),
  gpus: z.array(z.strictObject({ model: z.string(), vendor: z.string(), bus: z.string().optional(), memoryMiB: z.number().optional() })),
  /** Absent where it can't be told. */
  virtualised: z.boolean().optional(),
  agentVersion: z.string(),
});
export type HostFacts = z.infer<typeof hostFacts>;

export const batch = z.strictObject({
  schema: z.literal(SCHEMA_VERSION),
  stream: z.string().regex(/^[0-9a-f]{32}$/),
  sequence: z.int().min(0),
  node: z.string().min(1).max(512),
  host: hostFacts.optional(),
  slices: z.array(slice).max(100_000),
});
export interface Batch {
  schema: typeof SCHEMA_VERSION;
  stream: string;
  sequence: number;
  node: string;
  host?: HostFacts | undefined;
  slices: Slice[];
}

export const encodeBatch = (value: Batch): string => JSON.stringify(value);

/** @throws TelemetryError (`discard`) naming what is wrong with the first few fields. */
export function decodeBatch(text: string): Batch {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new TelemetryError('BATCH_NOT_JSON', 'The batch is not JSON; it may be cut short.', 'discard', { cause });
  }
  const version = typeof json === 'object' && json !== null && 'schema' in json ? json.schema : undefined;
  if (version !== SCHEMA_VERSION) {
    const said = version === undefined ? 'no schema version' : `schema version ${JSON.stringify(version)}`;
    throw new TelemetryError('BATCH_SCHEMA', `The batch has ${said}; this program reads version ${SCHEMA_VERSION}. Use agent and collector of the same release.`, 'discard');
  }
  const result = batch.safeParse(json);
  if (result.success) return result.data;
  const faults = result.error.issues.slice(0, 3).map((issue) => `${issue.path.join('.') || 'batch'}: ${issue.message}`);
  throw new TelemetryError('BATCH_INVALID', `The batch is not valid: ${faults.join('; ')}.`, 'discard');
}
