/**
 * What providers have told, kept on disk: a file for each provider and zone, which only grows and is written anew where much of it is
 * outdated. Whoever reads it needs no provider.
 *
 *     joulebook.duckdb.rates/electricitymaps-DE-3f0a9c21.jsonl
 *     {"from":"2026-11-22T09:00:00.000Z","to":"2026-11-22T10:00:00.000Z","grams":381,"estimated":true}
 *     {"asked":["2026-11-12T10:00:00.000Z","2026-11-22T10:00:00.000Z"]}
 *
 * A later line of a time replaces the earlier ones. `asked`: of this time they were asked, so that its gaps are theirs. A line that
 * can't be read, as the last one after a crash, is left out and counted.
 */
import { createHash } from 'node:crypto';
import { appendFile, mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { epochMicros, fromEpochMicros, toIso, type EpochMicros } from '@joulebook/shared/units.js';
import { z } from 'zod';
import type { Span } from './pieces.js';
import { MOST_GRAMS, nameOf, type ProviderEntry, type Reported } from './provider.js';
import { provided, type Provided } from './provided.js';

/** So many lines that say nothing any more are worth writing the file anew. */
const OUTDATED_LINES = 5000;

export interface Series {
  /** In order and apart. */
  readonly reported: readonly Reported[];
  /** In order and apart. */
  readonly asked: readonly Span[];
}

export interface Shelf {
  /** @throws TelemetryError (`abort`) where the file is there and can't be read */
  series(entry: ProviderEntry): Promise<Series>;
  /** As it is whenever it is asked. @throws as `series` */
  provided(entry: ProviderEntry): Promise<Provided>;
  /** Durable when it returns. @throws TelemetryError (`retry`) where it can't be kept: then it is known until the process ends */
  add(entry: ProviderEntry, reported: readonly Reported[], asked: Span | undefined): Promise<void>;
}

const time = z.iso.datetime().transform((text) => epochMicros(Date.parse(text) * 1000));
const line = z.union([
  z.object({ from: time, to: time, grams: z.number().min(0).max(MOST_GRAMS), estimated: z.boolean() }).refine(({ from, to }) => from < to),
  z.object({ asked: z.tuple([time, time]) }).transform(({ asked: [from, to] }) => ({ asked: { from, to } })),
]);

const iso = (at: EpochMicros): string => toIso(fromEpochMicros(at));
const lineOf = ({ from, to, grams, estimated }: Reported): string => `${JSON.stringify({ from: iso(from), to: iso(to), grams, estimated })}\n`;
const askedLine = ({ from, to }: Span): string => `${JSON.stringify({ asked: [iso(from), iso(to)] })}\n`;

/** Zones are text of a book: whatever stands in one makes one name of a file. */
function fileOf(folder: string, entry: ProviderEntry): string {
  const { provider, zone, url } = entry;
  const asked = JSON.stringify([provider, zone, url, ...(provider === 'watttime' ? [entry.signal] : [])]);
  return join(folder, `${provider}-${zone.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 60)}-${createHash('sha256').update(asked).digest('hex').slice(0, 8)}.jsonl`);
}

/** Touching and overlapping spans become one. */
export function union(spans: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (const span of spans.toSorted((a, b) => a.from - b.from)) {
    const last = result.at(-1);
    if (last && span.from <= last.to) result[result.length - 1] = { from: last.from, to: epochMicros(Math.max(last.to, span.to)) };
    else if (span.from < span.to) result.push(span);
  }
  return result;
}

/** One file, held in memory. */
class Held implements Series {
  readonly #byTime = new Map<EpochMicros, Reported>();
  #asked: readonly Span[] = [];
  #sorted: readonly Reported[] | undefined;
  #lines = 0;
  /** The file does not end with a whole line, or has lines that can't be read. */
  #isTorn = false;

  constructor(readonly path: string) {}

  get reported(): readonly Reported[] {
    this.#sorted ??= [...this.#byTime.values()].toSorted((a, b) => a.from - b.from).map((each, index, all) => ({ ...each, to: epochMicros(Math.min(each.to, all[index + 1]?.from ?? each.to)) }));
    return this.#sorted;
  }
  get asked(): readonly Span[] {
    return this.#asked;
  }

  take(reported: readonly Reported[], asked: readonly Span[]): void {
    for (const each of reported) this.#byTime.set(each.from, each);
    if (reported.length > 0) this.#sorted = undefined;
    if (asked.length > 0) this.#asked = union([...this.#asked, ...asked]);
  }

  /** @returns how many lines could not be read */
  read(text: string): number {
    let bad = 0;
    const spans: Span[] = [];
    for (const each of text.split('\n')) {
      if (each === '') continue;
      this.#lines += 1;
      const said = line.safeParse(parsed(each));
      if (!said.success) bad += 1;
      else if ('asked' in said.data) spans.push(said.data.asked);
      else this.take([said.data], []);
    }
    this.take([], spans);
    this.#isTorn = bad > 0 || (text !== '' && !text.endsWith('\n'));
    return bad;
  }

  /** What is not known already. */
  news(reported: readonly Reported[]): Reported[] {
    return reported.filter(({ from, to, grams, estimated }) => {
      const known = this.#byTime.get(from);
      return !known || known.to !== to || known.grams !== grams || known.estimated !== estimated;
    });
  }

  async write(reported: readonly Reported[], asked: Span | undefined): Promise<void> {
    const isAskedAlready = asked === undefined || this.#asked.some(({ from, to }) => from <= asked.from && to >= asked.to);
    const text = [...reported.map(lineOf), ...(isAskedAlready ? [] : [askedLine(asked)])];
    this.take(reported, isAskedAlready ? [] : [asked]);
    if (this.#isTorn || this.#lines + text.length > this.#byTime.size + OUTDATED_LINES) return this.#writeAnew();
    if (text.length === 0) return;
    // Half a line, should this fail midway, would spoil the one after it.
    this.#isTorn = true;
    await appendFile(this.path, text.join(''), { flush: true });
    this.#isTorn = false;
    this.#lines += text.length;
  }

  async #writeAnew(): Promise<void> {
    const text = [...this.reported.map(lineOf), ...this.#asked.map(askedLine)];
    const partial = `${this.path}.partial`;
    const file = await open(partial, 'w', 0o600);
    try {
      await file.writeFile(text.join(''));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, this.path);
    this.#lines = text.length;
    this.#isTorn = false;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @param warn of lines that can't be read */
export function openShelf(folder: string, warn: (message: string) => void = () => undefined): Shelf {
  const all = new Map<string, Promise<Held>>();

  async function load(path: string): Promise<Held> {
    const held = new Held(path);
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return '';
      throw new TelemetryError('RATES_UNREADABLE', `${path} can't be read: ${messageOf(error)}.`, 'abort', { cause: error });
    });
    const bad = held.read(text);
    if (bad > 0) warn(`${path}: ${bad} lines can't be read and are left out; what they said is asked for again where it is recent`);
    return held;
  }

  function heldOf(entry: ProviderEntry): Promise<Held> {
    const path = fileOf(folder, entry);
    const found = all.get(path) ?? load(path);
    all.set(path, found);
    // Read again the next time.
    found.catch(() => all.delete(path));
    return found;
  }

  return {
    series: heldOf,
    async provided(entry) {
      const held = await heldOf(entry);
      return provided(nameOf(entry), () => held.reported, entry.lastGoodFor);
    },
    async add(entry, reported, asked) {
      const held = await heldOf(entry);
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await held.write(held.news(reported), asked);
      } catch (cause) {
        throw new TelemetryError('RATES_UNWRITABLE', `${held.path} can't be written: ${messageOf(cause)}.`, 'retry', { cause });
      }
    },
  };
}
