/**
 * Batches that the collector refused because it holds other content under their number: the spool was restored from an older
 * copy, or the machine was cloned. They go out again under a stream of their own.
 *
 *     renamed    { "stream": "<32 hex digits>", "next": 2, "names": { "81": 0, "82": 1 } }     position: sequence
 *
 * The name is on disk before it is used, so a batch has one other name for ever, whenever the agent is killed.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { replaceDurably } from './durable-file.js';

export interface Name {
  readonly stream: string;
  readonly sequence: number;
}

const fileSchema = z.object({ stream: z.string().regex(/^[0-9a-f]{32}$/), next: z.int().min(0), names: z.record(z.string().regex(/^\d{1,15}$/), z.int().min(0)) });

export class Renamed {
  readonly #directory: string;
  #stream: string;
  #next: number;
  #names: ReadonlyMap<number, number>;

  private constructor(directory: string, stream: string, next: number, names: ReadonlyMap<number, number>) {
    this.#directory = directory;
    this.#stream = stream;
    this.#next = next;
    this.#names = names;
  }

  /** @param gone positions that will not be sent again */
  static async open(directory: string, gone: (position: number) => boolean): Promise<Renamed> {
    const text = await readFile(join(directory, 'renamed'), 'utf8').catch(() => undefined);
    const read = text === undefined ? undefined : parsed(text);
    if (!read) return new Renamed(directory, newId(), 0, new Map());
    const names = Object.entries(read.names).map(([position, sequence]) => [Number(position), sequence] as const);
    return new Renamed(directory, read.stream, read.next, new Map(names.filter(([position]) => !gone(position))));
  }

  nameOf(position: number): Name | undefined {
    const sequence = this.#names.get(position);
    return sequence === undefined ? undefined : { stream: this.#stream, sequence };
  }

  /** Durable when it returns. Where the batch had another name already, that was taken too: all get a new stream. */
  async give(position: number, gone: (position: number) => boolean): Promise<Name> {
    const taken = this.#names.has(position);
    const stream = taken ? newId() : this.#stream;
    const sequence = taken ? 0 : this.#next;
    const names = new Map(taken ? [] : [...this.#names].filter(([each]) => !gone(each)));
    names.set(position, sequence);
    await replaceDurably(join(this.#directory, 'renamed'), `${JSON.stringify({ stream, next: sequence + 1, names: Object.fromEntries(names) })}\n`);
    this.#stream = stream;
    this.#next = sequence + 1;
    this.#names = names;
    return { stream, sequence };
  }
}

const newId = (): string => randomBytes(16).toString('hex');

function parsed(text: string): z.output<typeof fileSchema> | undefined {
  try {
    return fileSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
