/**
 * How far the clocks of nodes are from this one. An agent says when it sent (`x-joulebook-sent`, epoch seconds); what passes
 * until it is received is the way, plus how far its clock is behind:
 *
 *     received − sent = way − offset,  way > 0      so   offset ≥ −min(received − sent), and near it on a short way
 *
 * The shortest of many sendings is taken, over the last 10 to 20 minutes: clocks are set, and drift.
 */
import { seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';

const SPELL_SECONDS = 600;
/** Sane agents of one collector; beyond, the one that was not heard for longest is forgotten. */
const MOST_NODES = 20_000;
/** A clock that is further off makes facts of different nodes be of different moments. */
export const CLOCK_OFF_SECONDS = 2;

interface Spells {
  /** Of `now`, when it began; in our time. */
  readonly since: Instant;
  readonly now: Seconds;
  readonly before: Seconds | undefined;
}

const SENT = /^\d{9,11}(?:\.\d{1,9})?$/;

/** Undefined where an agent does not say it, or not as a time. */
export const sentAt = (header: string | string[] | undefined): number | undefined => (typeof header === 'string' && SENT.test(header) ? Number(header) : undefined);

export class ClockOffsets {
  readonly #nodes = new Map<string, Spells>();

  /** @param sent by the clock of the node */
  heard(node: string, sent: number, received: Instant): void {
    const delay = seconds(received - sent);
    const known = this.#nodes.get(node);
    // The map keeps the order in which nodes were heard.
    this.#nodes.delete(node);
    const fresh = !known || received < known.since || received - known.since >= 2 * SPELL_SECONDS;
    if (fresh) this.#nodes.set(node, { since: received, now: delay, before: undefined });
    else if (received - known.since >= SPELL_SECONDS) this.#nodes.set(node, { since: received, now: delay, before: known.now });
    else this.#nodes.set(node, { ...known, now: seconds(Math.min(known.now, delay)) });
    for (const longest of this.#nodes.keys()) {
      if (this.#nodes.size <= MOST_NODES) break;
      this.#nodes.delete(longest);
    }
  }

  /** By how much the node's clock is ahead of this one (negative: behind); undefined where it does not say when it sends. */
  of(node: string): Seconds | undefined {
    const spells = this.#nodes.get(node);
    return spells && seconds(-Math.min(spells.now, spells.before ?? Infinity));
  }

  nodes(): readonly (readonly [string, Seconds])[] {
    return [...this.#nodes.keys()].flatMap((node) => {
      const offset = this.of(node);
      return offset === undefined ? [] : [[node, offset] as const];
    });
  }
}

export const isOff = (offset: Seconds | undefined): offset is Seconds => offset !== undefined && Math.abs(offset) > CLOCK_OFF_SECONDS;
