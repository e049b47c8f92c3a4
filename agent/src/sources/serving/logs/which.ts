/** Whose log it is, by its lines. A log may hold those of several programs (Dynamo prints what its engine prints): most lines decide. */
import type { RecordedFile } from '../../recorded.js';
import { textLines } from '../../text-lines.js';
import type { LogDialect } from './dialect.js';
import { peel } from './peel.js';

/** Engines print hundreds of lines while they load, some thousands with their compiler's messages. */
const LOOK_LINES = 50_000;
const ENOUGH = 200;

export interface Which {
  /** @returns false when enough was seen */
  see(text: string): boolean;
  /** The dialect of the most lines so far; of equals the first in the list. */
  readonly dialect: LogDialect | undefined;
}

export function which(dialects: readonly LogDialect[]): Which {
  const counts = new Map<LogDialect, number>();
  let lines = 0;
  let hits = 0;
  return {
    see(text) {
      lines += 1;
      for (const dialect of dialects) {
        if (!dialect.isOf(text)) continue;
        counts.set(dialect, (counts.get(dialect) ?? 0) + 1);
        hits += 1;
      }
      return lines < LOOK_LINES && hits < ENOUGH;
    },
    get dialect() {
      const most = Math.max(0, ...counts.values());
      return dialects.find((dialect) => most > 0 && counts.get(dialect) === most);
    },
  };
}

export async function whichFile(file: RecordedFile, dialects: readonly LogDialect[]): Promise<LogDialect | undefined> {
  const asked = which(dialects);
  for await (const { text } of textLines(file)) if (!asked.see(peel(text).text)) break;
  return asked.dialect;
}
