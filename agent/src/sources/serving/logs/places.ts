/** Where an engine's log is while it is written: in a file, in the journal, in a container, or in what a command prints. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { messageOf, TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { z } from 'zod';
import type { LiveContext } from '../../source.js';
import { zone, type Zone } from '../../timestamps.js';
import { childLines, type Printer } from './child-lines.js';
import { tail, type Batch } from './tail.js';

export interface LogPlace {
  readonly name: string;
  /** For ever, until the signal aborts; at least four in a second while it can be read. */
  batches(context: LiveContext): AsyncIterable<Batch>;
  /** Why it can't be read now, and what to do; undefined: it can, or only reading tells. */
  missing?(): Promise<string | undefined>;
}

const READ_BACK_BYTES = 256 * 1024;
const READ_BACK_LINES = '2000';

const timeZone = z.string().transform((name, issues): Zone => {
  try {
    return zone(name);
  } catch (error) {
    if (!(error instanceof TelemetryError)) throw error;
    issues.addIssue({ code: 'custom', message: error.message });
    return z.NEVER;
  }
});

export const placeShape = {
  file: z.string().min(1).optional(),
  /** A systemd unit, read from the journal. */
  unit: z.string().regex(/^\w[\w@:.\\-]*$/, 'the name of a systemd unit, e.g. vllm.service').optional(),
  /** Read by `docker logs`. */
  container: z.string().regex(/^\w[\w.-]*$/, 'the name or id of a container').optional(),
  /** A program and its arguments that prints the log for ever, e.g. [kubectl, logs, -f, --timestamps, pod/vllm-0]. */
  command: z.tuple([z.string().min(1)], z.string()).optional(),
  /** Of stamps that say no zone; else it follows from when lines arrive. */
  tz: timeZone.optional(),
};

/** @throws UsageError unless exactly one place is said */
export function placeOf({ file, unit, container, command }: z.output<z.ZodObject<typeof placeShape, z.core.$strict>>, name: string): LogPlace {
  const places: readonly LogPlace[] = [
    ...(file === undefined ? [] : [{ name: file, batches: (context: LiveContext) => tail({ file, readBack: READ_BACK_BYTES }, context), missing: () => unreadable(file) }]),
    ...(unit === undefined ? [] : [printed(journal(unit))]),
    ...(container === undefined ? [] : [printed(docker(container))]),
    ...(command === undefined ? [] : [printed({ name: command[0], command: command[0], args: () => command.slice(1) })]),
  ];
  const [place] = places;
  if (!place || places.length > 1) throw new UsageError([`${name}: say where the log is by one of file, unit, container, command`]);
  return place;
}

async function unreadable(file: string): Promise<string | undefined> {
  try {
    await access(file, constants.R_OK);
    return undefined;
  } catch (error) {
    return `${file} can't be read: ${messageOf(error)}. Name the file that the engine writes, and let this user read it`;
  }
}

const printed = (printer: Printer): LogPlace => ({ name: printer.name, batches: (context) => childLines(printer, context) });

const docker = (container: string): Printer => ({
  name: `docker logs ${container}`,
  command: 'docker',
  args: (after) => ['logs', '--follow', '--timestamps', ...(after === undefined ? ['--tail', READ_BACK_LINES] : ['--since', after]), '--', container],
  stamp: /^(\d{4}-\d\d-\d\dT[\d:.]+Z) /,
});

/** In UTC: stamps go on in order when the clocks of this machine go back. */
const journal = (unit: string): Printer => ({
  name: `journalctl --unit ${unit}`,
  command: 'journalctl',
  args: (after) => ['--follow', '--output', 'short-iso-precise', '--utc', '--no-pager', '--unit', unit, ...(after === undefined ? ['--lines', READ_BACK_LINES] : ['--no-tail', '--since', `@${epochOf(after)}`])],
  stamp: /^(\d{4}-\d\d-\d\dT[\d:.]+\+00:?00) /,
});

const epochOf = (utc: string): number => Math.floor(Date.parse(`${utc.slice(0, 19)}Z`) / 1000);
