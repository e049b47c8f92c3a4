/** The segments of a spool in their order. Each is opened only when something in it is read or written; the newest always is. */
import { readdir, stat, unlink } from 'node:fs/promises';
import { syncDirectory } from './durable-file.js';
import { firstPosition, Segment, segmentPath } from './segment.js';

export interface Shelf {
  readonly first: number;
  /** The position after its last record, as far as is known without opening it. */
  readonly end: number;
  readonly bytes: number;
  readonly segment?: Segment;
}

export class Shelves {
  readonly #directory: string;
  /** Oldest first; never empty once `begin` was called. */
  readonly #places: { readonly first: number; readonly size: number; segment?: Segment }[] = [];

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Those on disk. The newest is opened to be appended to: only it can have been written to when the last agent ended. */
  static async find(directory: string): Promise<Shelves> {
    const shelves = new Shelves(directory);
    const firsts = (await readdir(directory)).flatMap((name) => firstPosition(name) ?? []).toSorted((a, b) => a - b);
    for (const first of firsts) shelves.#places.push({ first, size: (await stat(segmentPath(directory, first))).size });
    const newest = shelves.#places.at(-1);
    if (newest) newest.segment = await Segment.open(directory, newest.first, 'append');
    return shelves;
  }

  /** A new, empty segment, appended to from now on. */
  async begin(first: number): Promise<void> {
    const segment = await Segment.create(this.#directory, first);
    await syncDirectory(this.#directory);
    this.#places.push({ first, size: 0, segment });
  }

  get count(): number {
    return this.#places.length;
  }

  get newest(): Segment | undefined {
    return this.#places.at(-1)?.segment;
  }

  /** Oldest first. */
  all(): Shelf[] {
    return this.#places.map(({ first, size, segment }, index) => {
      const following = this.#places[index + 1]?.first;
      return { first, end: following ?? segment?.end ?? first, bytes: segment?.bytes ?? size, ...(segment && { segment }) };
    });
  }

  get bytes(): number {
    return this.#places.reduce((sum, { size, segment }) => sum + (segment?.bytes ?? size), 0);
  }

  /** Where the second oldest begins: the oldest holds nothing from there on. */
  get oldestEnds(): number | undefined {
    return this.#places[1]?.first;
  }

  async opened(first: number): Promise<Segment> {
    const place = this.#places.find((each) => each.first === first);
    if (!place) throw new RangeError(`there is no segment ${first}`);
    place.segment ??= await Segment.open(this.#directory, first, 'read');
    return place.segment;
  }

  async removeOldest(): Promise<void> {
    const [oldest] = this.#places;
    if (!oldest) return;
    await oldest.segment?.close();
    delete oldest.segment;
    await unlink(segmentPath(this.#directory, oldest.first)).catch(ignoreMissing);
    this.#places.shift();
  }

  async close(): Promise<void> {
    for (const { segment } of this.#places) await segment?.close();
  }
}

const ignoreMissing = (error: unknown): void => {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
};
