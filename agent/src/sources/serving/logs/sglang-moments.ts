/**
 * When lines were written whose stamps are cut to seconds. Each line has a span that it must lie in: its second, not before
 * the line before it, and so long after an earlier line as its own figures say (40 steps at 444 tokens/s: 0.09 s later).
 *
 *     stamp      :19         :19         :19         :20
 *     span    [19──────20)[19──────20)[19──────20)[20──────21)
 *     + 0.3 s apart  [19.0─19.1) [19.3─19.4) [19.6─19.7) … a few lines narrow the spans of all
 *
 * Lines are held for a few seconds so that later ones can narrow them; then they get the middle of what is left. Lines
 * with fine stamps pass at once.
 */
export interface Span {
  earliest: number;
  latest: number;
}

/** How long after an earlier entry this one was written. */
export interface Distance<Item> {
  readonly from: Held<Item>;
  readonly least: number;
  readonly most: number;
}

export interface Held<Item> extends Span {
  readonly item: Item;
  readonly fine: boolean;
  readonly stamp: Readonly<Span>;
  distances: readonly Distance<Item>[];
}

export interface Placed<Item> {
  readonly item: Item;
  readonly at: number;
  readonly fine: boolean;
  /** What the stamp says. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface Moments<Item> {
  /** Returns the entry, so that a later one can say its distance from it, and what can be placed now. */
  add(entry: { readonly item: Item; readonly earliest: number; readonly latest: number; readonly fine: boolean }, distances: readonly Distance<Item>[]): { readonly held: Held<Item>; readonly placed: readonly Placed<Item>[] };
  /** No further line will narrow them. */
  flush(): readonly Placed<Item>[];
}

const HELD_SECONDS = 3;
/** By so much a line may have been placed too early or too late before others told. */
const CLOSE_SECONDS = 0.5;
/** Spans that end together, but for rounding. */
const SAME = 1e-6;
/** Lines of one moment: work of no length can't hold energy. */
export const TICK = 2e-6;

export function moments<Item>(): Moments<Item> {
  const held: Held<Item>[] = [];
  let before = -Infinity;

  function narrowForward(entry: Held<Item>, previous: number): void {
    entry.earliest = Math.max(entry.earliest, previous);
    // Written by another thread a moment ago: the order of the lines counts for more than the second.
    entry.latest = Math.max(entry.latest, entry.earliest);
    entry.distances = entry.distances.filter((distance) => {
      const earliest = Math.max(entry.earliest, distance.from.earliest + distance.least);
      const latest = Math.min(entry.latest, distance.from.latest + distance.most);
      // Where the figures contradict the stamps, the stamps are right; a little off, it is at that end of its second.
      if (earliest > latest) {
        if (earliest - latest > CLOSE_SECONDS) return false;
        const edge = earliest > entry.earliest ? entry.latest : entry.earliest;
        entry.earliest = edge;
        entry.latest = edge;
        return true;
      }
      entry.earliest = earliest;
      entry.latest = latest;
      return true;
    });
  }

  function narrowBackward(): void {
    for (let index = held.length - 1; index >= 0; index -= 1) {
      const entry = held[index];
      const previous = held[index - 1];
      if (entry && previous) previous.latest = Math.max(previous.earliest, Math.min(previous.latest, entry.latest));
      for (const { from, least, most } of entry?.distances ?? []) {
        const earliest = Math.max(from.earliest, (entry?.earliest ?? -Infinity) - most);
        const latest = Math.min(from.latest, (entry?.latest ?? Infinity) - least);
        if (earliest > latest) continue;
        from.earliest = earliest;
        from.latest = latest;
      }
    }
  }

  function place(): Placed<Item>[] {
    narrowBackward();
    const entry = held.shift();
    if (!entry) return [];
    // Several lines that share what is left of a second divide it evenly.
    const sharing = held.findIndex(({ latest }) => latest > entry.latest + SAME);
    const lines = 1 + (sharing < 0 ? held.length : sharing);
    const at = entry.fine ? entry.earliest : entry.earliest + (entry.latest - entry.earliest) / (lines + 1);
    entry.earliest = at;
    entry.latest = at;
    // So that a chain of distances does not keep the whole file.
    entry.distances = [];
    before = at;
    let previous = at;
    for (const next of held) {
      narrowForward(next, previous + TICK);
      previous = next.earliest;
    }
    return [{ item: entry.item, at, fine: entry.fine, notBefore: entry.stamp.earliest, notAfter: Math.max(entry.stamp.latest, at) }];
  }

  return {
    add({ item, earliest, latest, fine }, distances) {
      const entry: Held<Item> = { item, earliest, latest, fine, stamp: { earliest, latest }, distances: fine ? [] : distances };
      narrowForward(entry, (held.at(-1)?.earliest ?? before) + TICK);
      held.push(entry);
      const placed: Placed<Item>[] = [];
      const ripe = (first: Held<Item> | undefined): boolean => first !== undefined && (first.fine || entry.earliest - first.latest > HELD_SECONDS);
      while (ripe(held[0])) placed.push(...place());
      return { held: entry, placed };
    },
    flush() {
      const placed: Placed<Item>[] = [];
      while (held.length > 0) placed.push(...place());
      return placed;
    },
  };
}
