/** The place of a segment among the others of a spool; the segment itself is opened only when something in it is read or written. */
import { readdir, stat } from 'node:fs/promises';
import { syncDirectory } from './durable-file.js';
import { firstPosition, Segment, segmentPath } from './segment.js';

export interface Shelf {
  readonly first: number;
  segment?: Segment;
  bytes: number;
}

/**
 * Those on disk, oldest first. The newest is open, since only it can have been written to when the last agent ended;
 * the rest are looked through when they are read.
 */
export async function findShelves(directory: string): Promise<Shelf[]> {
  const firsts = (await readdir(directory)).flatMap((name) => firstPosition(name) ?? []).toSorted((a, b) => a - b);
  const shelves = await Promise.all(firsts.map(async (first): Promise<Shelf> => ({ first, bytes: (await stat(segmentPath(directory, first))).size })));
  const newest = shelves.at(-1);
  if (!newest) return [];
  newest.segment = await Segment.open(directory, newest.first, 'append');
  newest.bytes = newest.segment.bytes;
  return shelves;
}

export async function newShelf(directory: string, first: number): Promise<Shelf> {
  const segment = await Segment.create(directory, first);
  await syncDirectory(directory);
  return { first, bytes: 0, segment };
}
