/** Until when an agent's facts reach, kept beside its spool: the next life tells what lies between. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromEpochMicros, epochMicros, type Instant } from '@joulebook/shared/units.js';

export interface LifeMark {
  /** Where the last life's facts ended; undefined in the first. */
  readonly last: Instant | undefined;
  /** @param until µs since 1970 */
  mark(until: number): Promise<void>;
}

export async function lifeMark(dataDir: string): Promise<LifeMark> {
  const file = join(dataDir, 'covered-until');
  const said = /^(\d{1,16})\n$/.exec(await readFile(file, 'utf8').catch(() => ''))?.[1];
  return {
    last: said === undefined ? undefined : fromEpochMicros(epochMicros(Number(said))),
    async mark(until) {
      // Lost or torn it costs a flag, no fact: it is not worth a sync.
      await mkdir(dataDir, { recursive: true }).then(() => writeFile(file, `${until}\n`)).catch(() => undefined);
    },
  };
}
