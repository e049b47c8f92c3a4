/**
 * A log of several GPUs in turn, without a column that says which:
 *
 *     | 0 1 2 3          | 0 1 2 3          | 0 1 2 3        a round: rows a few ms apart,
 *       4–6 ms    105 ms                                     then the pause of `nvidia-smi -lms`
 *
 * The pause shows where a round begins, so a row's place in its round says whose it is, and a lost row costs one
 * round instead of shifting all that follow.
 */

export interface Rounds {
  /** Rows per round, where the times clearly say. */
  readonly size?: number;
  /** The most frequent number of rows, where at least half but not nearly all rounds have it. */
  readonly mostly?: number;
  /** More time than this between two rows: a new round. */
  readonly pauseMillis: number;
}

/** So many of the rounds must agree on a size. */
const CLEAR = 0.9;
/** In rounds of 2 to 32 rows at least half of the steps lie within rounds, and at least 3 % between them. */
const WITHIN = 0.4;
const BETWEEN = 0.97;
/** Steps of 1 and 2 ms are the same: stamps are whole milliseconds, and a driver takes some to answer. */
const BLUR_MILLIS = 5;
/** A pause is so many times longer than a step within a round, blurred; a GPU that is slow to answer comes near. */
const CONTRAST = 1.5;
/** Rows that are always this far apart are not of one round: reading a GPU takes a tenth of it. */
const SEPARATE_MILLIS = 60;

/** @param steps milliseconds from each row to the next; undefined where either time can't be read: such a row has its place all the same */
export function roundsOf(steps: readonly (number | undefined)[]): Rounds {
  const known = steps.filter((step) => step !== undefined).toSorted((a, b) => a - b);
  const rank = (share: number): number => Math.floor(share * (known.length - 1));
  const { contrast, pauseMillis } = widestGap(known, rank(WITHIN), rank(BETWEEN));
  const measured = { pauseMillis };
  if (known.length === 0) return measured;
  if ((known[rank(0.1)] ?? 0) >= SEPARATE_MILLIS) return { ...measured, size: 1 };
  if (contrast < CONTRAST) return measured;

  const sizes = new Map<number, number>();
  let rounds = 0;
  let size = 1;
  for (const step of steps) {
    if (step === undefined || step <= pauseMillis) {
      size += 1;
      continue;
    }
    sizes.set(size, (sizes.get(size) ?? 0) + 1);
    rounds += 1;
    size = 1;
  }
  const [mode = 1, count = 0] = [...sizes].toSorted((a, b) => b[1] - a[1])[0] ?? [];
  if (count >= CLEAR * rounds) return { ...measured, size: mode };
  return count * 2 >= rounds && mode > 1 ? { ...measured, mostly: mode } : measured;
}

/** Where sorted steps leave the widest gap: below it steps of a round, above it pauses. */
function widestGap(sorted: readonly number[], from: number, to: number): { contrast: number; pauseMillis: number } {
  let widest = { contrast: 0, pauseMillis: Number.POSITIVE_INFINITY };
  for (let index = from; index < to; index += 1) {
    const below = sorted[index] ?? 0;
    const above = sorted[index + 1] ?? below;
    const contrast = (above + BLUR_MILLIS) / (below + BLUR_MILLIS);
    if (contrast > widest.contrast) widest = { contrast, pauseMillis: (below + above) / 2 };
  }
  return widest;
}

export interface Placed<Row> {
  readonly row: Row;
  /** From 0. */
  readonly place: number;
}

export interface Placing<Row> {
  /** @param pause whether a pause lies before this row; undefined for a row whose time can't be read */
  next(row: Row, pause: boolean | undefined): readonly Placed<Row>[];
  /** The file has ended; its last round may be cut short, its places are known all the same. */
  end(): readonly Placed<Row>[];
}

/** Rows of rounds that the pauses show; a round of another size is handed to `lost`, since nothing says which of its rows is missing. */
export function placeByRound<Row>(size: number, lost: (row: Row) => void): Placing<Row> {
  /** Rows since the last pause, and before them groups that did not fill a round: a stall may have split it. */
  let group: Row[] = [];
  let before: Row[] = [];
  /** How many rows at the end of the group say no time: a pause that follows may have been before them. */
  let untimed = 0;
  const places = (rows: readonly Row[]): Placed<Row>[] => rows.map((row, index) => ({ row, place: index % size }));
  const close = (): readonly Placed<Row>[] => {
    const rows = [...before, ...group];
    const last = group;
    group = [];
    if (rows.length % size === 0) {
      before = [];
      return places(rows);
    }
    if (rows.length < size) {
      before = rows;
      return [];
    }
    before.forEach(lost);
    before = [];
    if (last.length % size === 0) return places(last);
    if (last.length < size) before = last;
    else last.forEach(lost);
    return [];
  };
  return {
    next(row, pause) {
      const first: Row[] = [];
      if (pause === true) {
        while (untimed-- > 0 && (before.length + group.length) % size !== 0) first.unshift(...group.splice(-1));
      }
      untimed = pause === undefined ? untimed + 1 : 0;
      const done = pause === true || group.length >= size * 64 ? close() : [];
      group.push(...first, row);
      return done;
    },
    end() {
      const cutShort = group.length < size && before.length > 0 && before.length + group.length !== size;
      if (!cutShort) {
        const last = group.length < size && before.length === 0 ? places(group) : close();
        group = [];
        return last;
      }
      before.forEach(lost);
      before = [];
      return places(group);
    },
  };
}

/** Where the times show no rounds, the order alone must do. */
export function placeInTurn<Row>(size: number): Placing<Row> {
  let count = 0;
  return { next: (row) => [{ row, place: count++ % size }], end: () => [] };
}
