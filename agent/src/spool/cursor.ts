/**
 * Which positions are settled: accepted by the collector, or given up and accounted for.
 *
 *     cursor    "acknowledged 41 44-612 #5d9d1d3b"      with a CRC-32: a number that is read wrong would lose what was never sent
 *
 * It may lag behind the truth (it is written at most once a second; a crash before that, a full disk): then batches are sent
 * again, which (stream, sequence) makes harmless. It never runs ahead.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { replaceDurably } from './durable-file.js';
import { Settled } from './settled.js';

const EVERY_MS = 1000;

const checked = (text: string): string => `${text} #${crc32(text).toString(16)}`;

/** A missing or damaged cursor means "nothing settled": what is still on disk is sent again. */
export async function readCursor(directory: string): Promise<Settled> {
  const text = await readFile(join(directory, 'cursor'), 'utf8').catch(() => '');
  const said = /^acknowledged (.+) #[0-9a-f]+\n$/.exec(text)?.[1];
  return (said === undefined || text !== `${checked(`acknowledged ${said}`)}\n` ? undefined : Settled.parse(said)) ?? new Settled();
}

export class CursorFile {
  readonly #path: string;
  readonly #everyMs: number;
  #written = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #behind = false;

  constructor(directory: string, everyMs: number = EVERY_MS) {
    this.#path = join(directory, 'cursor');
    this.#everyMs = everyMs;
  }

  /** Something is settled that the file does not say. */
  get behind(): boolean {
    return this.#behind;
  }

  async write(settled: Settled): Promise<void> {
    this.stop();
    this.#written = performance.now();
    await replaceDurably(this.#path, `${checked(`acknowledged ${settled.text}`)}\n`);
    this.#behind = false;
  }

  /** True when it is time to write; otherwise `write` is called when it is. */
  due(write: () => void): boolean {
    this.#behind = true;
    const wait = this.#written + this.#everyMs - performance.now();
    if (wait <= 0) return true;
    this.#timer ??= setTimeout(write, wait).unref();
    return false;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
