/**
 * What a recorded format is: a name, the manifest keys that are its own, and how to open a file. A format closes over
 * its options, so that formats of different options stand in one list (`sources/index.ts`) and the composer knows none of them.
 */
import { UsageError } from '@joulebook/shared/errors.js';
import { describeIssues, nearest } from '@joulebook/shared/settings.js';
import type { Boundary } from '@joulebook/shared/slice.js';
import { z } from 'zod';
import type { TokenOrigin } from './deployments.js';
import type { RecordedPower, RecordedServing } from './source.js';

export interface RecordedFile {
  /** Absolute. */
  readonly file: string;
  /** As the user wrote it, for messages. */
  readonly label: string;
}

/** What every power entry of a manifest may say besides its format's own options. */
export interface RecordedPowerEntry {
  readonly file: RecordedFile;
  /** Zone of times that say none, e.g. `America/Chicago`, `UTC`, `-07:00`. */
  readonly tz: string;
  readonly devices?: readonly (string | number)[] | undefined;
  readonly device?: string | undefined;
  readonly boundary?: Boundary | undefined;
}

export interface RecordedServingEntry {
  readonly file: RecordedFile;
  readonly tz: string;
  readonly deployment: string;
  readonly model?: string | undefined;
}

export interface RecordedFormat<Entry, Recorded> {
  readonly name: string;
  /** One line for `replay --help`. */
  readonly summary: string;
  /** Manifest keys that are this format's own. */
  readonly optionNames: readonly string[];
  /** @throws UsageError with every fault of the options; TelemetryError for an unknown time zone. The file is first touched by `events()`. */
  open(entry: Entry, options: unknown): Recorded;
}
export type PowerFormat = RecordedFormat<RecordedPowerEntry, RecordedPower>;
export type ServingFormat = RecordedFormat<RecordedServingEntry, RecordedServing> & { readonly tokensFrom: TokenOrigin };

interface Declaration<Shape extends z.ZodRawShape, Entry, Recorded> {
  readonly name: string;
  readonly summary: string;
  readonly options: Shape;
  open(entry: Entry, options: z.output<z.ZodObject<Shape, z.core.$strict>>): Recorded;
}

export const powerFormat = <Shape extends z.ZodRawShape>(declaration: Declaration<Shape, RecordedPowerEntry, RecordedPower>): PowerFormat => format(declaration);
export const servingFormat = <Shape extends z.ZodRawShape>(declaration: Declaration<Shape, RecordedServingEntry, RecordedServing> & { readonly tokensFrom: TokenOrigin }): ServingFormat => ({
  ...format(declaration),
  tokensFrom: declaration.tokensFrom,
});

function format<Shape extends z.ZodRawShape, Entry extends { readonly file: RecordedFile }, Recorded>(declaration: Declaration<Shape, Entry, Recorded>): RecordedFormat<Entry, Recorded> {
  const { name, summary } = declaration;
  const schema = z.strictObject(declaration.options);
  return { name, summary, optionNames: Object.keys(declaration.options), open: (entry, options) => declaration.open(entry, checkOptions(schema, options, `${entry.file.label} (${name})`)) };
}

/** @throws UsageError with every fault, unknown keys named with the nearest known one */
export function checkOptions<Shape extends z.ZodRawShape>(schema: z.ZodObject<Shape, z.core.$strict>, options: unknown, where: string): z.output<z.ZodObject<Shape, z.core.$strict>> {
  const result = schema.safeParse(options ?? {});
  if (result.success) return result.data;
  throw new UsageError(describeIssues(result.error, where).map((fault) => withNearest(fault, keysOf(schema))));
}

/** Keys at any depth: a misspelt `columns` entry is as easily made as a misspelt option. */
function keysOf(schema: z.ZodType): string[] {
  const inner = schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ? schema.unwrap() : schema;
  if (!(inner instanceof z.ZodObject)) return [];
  return Object.entries(inner.shape).flatMap(([key, value]) => [key, ...(value instanceof z.ZodType ? keysOf(value) : [])]);
}

function withNearest(fault: string, known: readonly string[]): string {
  const unknown = /'([^']+)' is not a setting here$/.exec(fault)?.[1];
  const guess = unknown === undefined ? undefined : nearest(unknown, known);
  return guess === undefined ? fault : `${fault}; did you mean '${guess}'?`;
}
