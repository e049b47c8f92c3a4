/** What a spool found wrong with its files, as its report says it. */
import type { Flagged } from '../sources/source.js';
import { segmentPath, type Segment } from './segment.js';

export const damaged = (where: string, what: string, count = 1): Flagged => ({ kind: 'flagged', code: 'SPOOL_DAMAGED', detail: `${where}: ${what}`, count });

export const lostRecords = (directory: string, { first }: Segment, lost: number): Flagged => damaged(segmentPath(directory, first), `${lost} unsent batches are damaged and lost; check the disk.`, lost);

/** Made again with all that was in it, it is no loss: told, and nothing more. */
export function deletedFolder(directory: string, lost: number): Flagged {
  const what = 'the folder was deleted while an agent ran on it; it was made again';
  return lost > 0 ? damaged(directory, `${what}, and ${lost} unsent batches in it are lost.`, lost) : { kind: 'flagged', code: 'SPOOL_MADE_AGAIN', detail: `${directory}: ${what}, and nothing is lost.`, count: 1 };
}

export function badTail(directory: string, { first, tail, tailBytes }: Segment): Flagged {
  const where = segmentPath(directory, first);
  if (tail === 'torn') return { kind: 'flagged', code: 'SPOOL_TORN_TAIL', detail: `${where}: the last write was cut short (${tailBytes} bytes); it had never been confirmed.`, count: 1 };
  return damaged(where, `${tailBytes} bytes of unsent batches are damaged and lost; check the disk. A new stream was begun.`);
}
