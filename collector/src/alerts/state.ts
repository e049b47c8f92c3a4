/**
 * What outlives a restart, one small file in a folder beside the store (joulebook.duckdb.alerts/state.json): the alerts that stand, and
 * what each sink was told of them. It is replaced whole, so a crash leaves the old or the new one.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { codeOf, messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { incident } from './incident.js';

const state = z.object({
  version: z.literal(1),
  /** s since 1970; null before the first. */
  evaluatedAt: z.number().nullable(),
  incidents: z.array(incident),
  /** By sink and incident, the last that it took. */
  told: z.record(z.string(), z.record(z.string(), z.enum(['firing', 'resolved']))),
});
export type State = z.infer<typeof state>;
export const NOTHING: State = { version: 1, evaluatedAt: null, incidents: [], told: {} };

const FILE = 'state.json';

/** @throws TelemetryError (`abort`) for one that can't be read, naming what to do */
export async function readState(folder: string): Promise<State> {
  const path = join(folder, FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return NOTHING;
    throw new TelemetryError('ALERTS_UNREADABLE', `The state of alerts in ${path} can't be read: ${messageOf(error)}.`, 'abort', { cause: error });
  }
  try {
    return state.parse(JSON.parse(text));
  } catch (cause) {
    throw new TelemetryError('ALERTS_UNREADABLE', `${path} is no state of alerts. Remove it: what fires then is told once more.`, 'abort', { cause });
  }
}

export async function writeState(folder: string, said: State): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const beside = join(folder, `.${FILE}.tmp`);
  const file = await open(beside, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(said)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(beside, join(folder, FILE));
  const directory = await open(folder, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
