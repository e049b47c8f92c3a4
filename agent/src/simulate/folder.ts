/** The folder that a simulation is written to: an empty one, or one that holds a simulation, which is replaced. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { z } from 'zod';
import { MANIFEST_FILE, TRUTH_FILE } from './recording.js';

/** What a simulation wrote; nothing else is ever removed. */
const earlier = z.object({ simulation: z.object({ files: z.array(z.string().regex(/^[\w.-]+$/)) }) });

/**
 * Makes the folder ready for these files.
 * @throws TelemetryError (`abort`) where there is something else, or it can't be written to
 */
export async function claim(folder: string, files: readonly string[]): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    const there = await readdir(folder);
    if (there.length > 0) for (const file of await filesOfSimulation(folder)) await rm(join(folder, file), { force: true });
    // Written first: what is left of a run that was broken off is known to be a simulation.
    await writeFile(join(folder, TRUTH_FILE), `${JSON.stringify({ simulation: { files } })}\n`);
  } catch (error) {
    if (error instanceof TelemetryError) throw error;
    throw new TelemetryError('FOLDER_UNUSABLE', `${folder} can't take a simulation: ${messageOf(error)}. Choose another folder with --out.`, 'abort', { cause: error });
  }
}

async function filesOfSimulation(folder: string): Promise<string[]> {
  try {
    const { simulation } = earlier.parse(JSON.parse(await readFile(join(folder, TRUTH_FILE), 'utf8')));
    return [...simulation.files, MANIFEST_FILE, TRUTH_FILE];
  } catch (error) {
    throw new TelemetryError('FOLDER_IN_USE', `${folder} is not empty and holds no simulation; choose another folder with --out, or empty it.`, 'abort', { cause: error });
  }
}
