/**
 * recording.yaml, or the same said on the command line: which files hold the power and what the engine did.
 * Keys that belong to one format (columns, where, …) are checked by that format.
 */
import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { messageOf, UsageError } from '@joulebook/shared/errors.js';
import { describeIssues, duration } from '@joulebook/shared/settings.js';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';

const text = z.string().min(1);
/** YAML reads an unquoted +0530 as the number 530. */
const tz = z.string({ error: 'put the zone in quotes, e.g. "+05:30" or "America/Chicago"' }).min(1).default('UTC');
const devices = z.array(z.union([z.int().min(0), text])).min(1);
/** A YAML parser may turn a time into a Date, a number or text. */
const moment = z.union([z.date().transform((value) => value.toISOString()), z.number().transform(String), text]);
const labels = z.record(text, z.union([z.string(), z.number(), z.boolean()]).transform(String));

const powerEntry = z.looseObject({
  format: text,
  file: text,
  tz,
  devices: devices.optional(),
  device: text.optional(),
  boundary: z.enum(BOUNDARIES).optional(),
  /** How late the sensor shows what happens; its readings are moved back by it. */
  delay: duration.optional(),
});

const servingEntry = z.looseObject({
  format: text,
  file: text.optional(),
  tz,
  deployment: text.default('default'),
  model: text.optional(),
  devices: devices.optional(),
  /** A prefill or decode pool of disaggregated serving: whatever runs here is in that phase. */
  role: z.enum(['prefill', 'decode']).optional(),
  /** `evidence`: its tokens are counted by another source. */
  tokens: z.enum(['count', 'evidence']).optional(),
});

const runsEntry = z.looseObject({
  file: text,
  tz,
  deployment: text.optional(),
  model: text.optional(),
  boundary: z.enum(BOUNDARIES).optional(),
  device: text.optional(),
});

const manifestSchema = z.strictObject({
  node: text.optional(),
  site: text.optional(),
  labels: labels.optional(),
  window: z.strictObject({ from: moment.optional(), to: moment.optional() }).optional(),
  slice: duration.refine((value) => value >= 0.01 && value <= 86_400, 'a slice lasts from 10 ms to a day').optional(),
  power: z.array(powerEntry).default([]),
  serving: z.array(servingEntry).default([]),
  runs: z.array(runsEntry).default([]),
});

export type PowerEntry = z.output<typeof powerEntry>;
export type ServingEntry = z.output<typeof servingEntry>;
export type RunsEntry = z.output<typeof runsEntry>;
export type Manifest = z.output<typeof manifestSchema> & { readonly node: string };

/** A manifest with what its paths are relative to. */
export interface Recording {
  readonly manifest: Manifest;
  /** Absolute folder. */
  readonly base: string;
}

const MANIFEST_FILE = 'recording.yaml';

/** @throws UsageError naming the file and every fault in it */
export async function readManifest(folder: string): Promise<Recording> {
  const base = resolve(folder);
  const file = join(folder, MANIFEST_FILE);
  let raw: unknown;
  try {
    raw = parseYaml(await readFile(join(base, MANIFEST_FILE), 'utf8'));
  } catch (error) {
    throw new UsageError([`${file}: ${messageOf(error)}`]);
  }
  return { base, manifest: checkManifest(raw, file, basename(base)) };
}

/** @param where what to call it in messages: a file, or the command line */
export function checkManifest(raw: unknown, where: string, node: string): Manifest {
  const result = manifestSchema.safeParse(raw ?? {});
  if (!result.success) throw new UsageError(describeIssues(result.error, where));
  const manifest = result.data;
  if (manifest.power.length + manifest.serving.length + manifest.runs.length === 0) throw new UsageError([`${where}: names no file; give at least one of power, serving or runs`]);
  return { ...manifest, node: manifest.node ?? node };
}

/** Keys of an entry that its format must understand. */
export function formatOptions(entry: Readonly<Record<string, unknown>>, known: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(entry).filter(([key]) => !known.includes(key)));
}
