/** Files that are written in pieces, side by side, no faster than the disk takes them. */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';

export interface Output {
  write(text: string): Promise<void>;
  /** @throws what went wrong with any piece */
  close(): Promise<void>;
}

/** Pieces are lines: they are put together before they are handed to the disk. */
const PIECE = 64 * 1024;

export function output(path: string): Output {
  const stream = createWriteStream(path);
  const done = finished(stream);
  // Told by whatever waits next; until then it must not end the process.
  done.catch(() => undefined);
  let pending = '';
  return {
    async write(text) {
      pending += text;
      if (pending.length < PIECE) return;
      const piece = pending;
      pending = '';
      if (!stream.write(piece)) await Promise.race([once(stream, 'drain'), done]);
    },
    async close() {
      stream.end(pending);
      await done;
    },
  };
}
