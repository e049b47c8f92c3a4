/**
 * What outlives a restart, one small file in a folder beside the store (joulebook.duckdb.alerts/state.json): the alerts that stand, and
 * what each sink was told of them. It is replaced whole, so a crash leaves the old or the new one.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { codeOf, messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { toIso, type Instant } from '@joulebook/shared/units.js';
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
const DAMAGED = 'ALERTS_DAMAGED';

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
    throw new TelemetryError(DAMAGED, `${path} is no state of alerts: ${messageOf(cause)}. A collector that starts moves it aside.`, 'abort', { cause });
  }
}

/** As a collector begins: nothing stands where it is damaged, and that file is kept under another name. @throws TelemetryError (`abort`) for one that can't be read */
export async function readOrSetAside(folder: string, at: Instant, log: { error(about: object, message: string): void }): Promise<State> {
  try {
    return await readState(folder);
  } catch (error) {
    if (!(error instanceof TelemetryError && error.code === DAMAGED)) throw error;
    const aside = join(folder, `${FILE}.damaged-${toIso(at)}`);
    await rename(join(folder, FILE), aside);
    log.error({ code: DAMAGED, error: error.message, file: aside }, 'the state of alerts was damaged and is moved aside: what fires is told once more');
    return NOTHING;
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
