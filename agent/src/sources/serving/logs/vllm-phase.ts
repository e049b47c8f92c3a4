/**
 * Where a chain of iterations lies on the clock, by stamps that are cut to seconds. The chain knows how far its iterations
 * end from its begin but for two numbers: when it begins, and a pace (the gap between iterations, or what a unit of work
 * takes). Each stamp bounds them, and with every second the bounds fall at another place of a step:
 *
 *     stamps     :05 │:06                  :07│:07                :08│:08
 *     chain   ─┴──┴──┼──┴──┴──┴──┴──┴──┴──┴───┼┴──┴──┴──┴──┴──┴──┴───┼──┴─     it can be moved by less than a step
 *
 * Of all that the stamps allow the middle is taken: the pace that leaves most room, and the begin in the middle of that room.
 */

/** An iteration that ends with the stamp of this second. */
export interface Mark {
  readonly stamp: number;
  /** From the chain's begin to its end: `fixed + pace × paced`. */
  readonly fixed: number;
  readonly paced: number;
}

export interface Phase {
  /** Of the chain. */
  readonly begin: number;
  readonly pace: number;
  /** How far the begin can be moved; negative: some stamp is off by half of it. */
  readonly room: number;
}

export interface Bounds {
  readonly notBefore: number;
  readonly marks: readonly Mark[];
  /** The last mark ends no later. */
  readonly notAfter: number;
}

const SECOND = 1;
/** Halvings by which the pace is found. */
const ROUNDS = 50;
/** Of the span between two points, where the next two are looked at. */
const THIRD = 1 / 3;

export function phaseOf({ notBefore, marks, notAfter }: Bounds, pace: number): Phase {
  let earliest = notBefore;
  let latest = Infinity;
  for (const { stamp, fixed, paced } of marks) {
    const end = fixed + pace * paced;
    earliest = Math.max(earliest, stamp - end);
    latest = Math.min(latest, stamp + SECOND - end);
  }
  const last = marks.at(-1);
  if (last) latest = Math.min(latest, notAfter - last.fixed - pace * last.paced);
  return { begin: (earliest + latest) / 2, pace, room: latest - earliest };
}

/** The room is a concave function of the pace: it has one top. */
export function widestPhase(bounds: Bounds, [slowest, fastest]: readonly [number, number]): Phase {
  let [low, high] = [slowest, fastest];
  for (let round = 0; round < ROUNDS; round += 1) {
    const [left, right] = [low + (high - low) * THIRD, high - (high - low) * THIRD];
    if (phaseOf(bounds, left).room < phaseOf(bounds, right).room) low = left;
    else high = right;
  }
  return phaseOf(bounds, (low + high) / 2);
}
