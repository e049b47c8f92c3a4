/** What a design can't tell, whatever its data say: refusals, and reservations that an answer carries. */
import { CONDITION_NAMES, type BlockQuestion, type Design, type Reason } from './block.js';
import { meansOf, type Conditions } from './conditions.js';
import { distanceOf, LEAST_OVERLAP, MOST_DISTANT, overlapOf } from './overlap.js';
import { durationOf, LEAST_CYCLES, unitsOf, type Pieces } from './pieces.js';
import type { ErrorOf } from './robust-error.js';

/** Of each side: three runs have two degrees of freedom; from fewer than eight stretches of time no memory can be told. */
const LEAST_RUNS = 3;
const LEAST_STRETCHES = 8;
export const leastPieces = (design: Design): number => (design === 'runs' ? LEAST_RUNS : LEAST_STRETCHES);

/** Independent pieces that the pieces of a side must be worth; with fewer it drifts from one end to the other. */
const LEAST_EFFECTIVE = 2;

export function tooFew({ a, b, design }: BlockQuestion, { strata, paired }: Pieces): Reason[] {
  const least = leastPieces(design);
  const names = paired ? ['each side'] : ['A', 'B'];
  const blocks = paired ? [Math.min(a.length, b.length)] : [a.length, b.length];
  return strata.flatMap(({ count }, index) =>
    count >= least ? [] : [{ code: 'TOO_FEW_BLOCKS', detail: `${names[index]} has ${blocks[index]} blocks, which are ${count} pieces of time; at least ${least} are needed to tell how much they vary by themselves. Measure longer, or in more runs.` }]);
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;

/** Conditions that no adjustment can make up for. */
export function incomparable({ known, taken }: Conditions): Reason[] {
  const apart = known.filter(({ a, b }) => overlapOf(a, b) < LEAST_OVERLAP).map((each): Reason => ({
    code: 'LITTLE_OVERLAP', detail: `Only ${percent(overlapOf(each.a, each.b))} of the work of a side was done in the range of ${CONDITION_NAMES[each.covariate]} that the other side saw as well (${meansOf(each)}; at least ${percent(LEAST_OVERLAP)} is needed), and no adjustment can stand for what was never seen. Let both sides run under the same conditions.`,
  }));
  const left = known.filter((each) => !taken.includes(each) && distanceOf(each.a, each.b) > MOST_DISTANT).map((each): Reason => ({
    code: 'CONDITIONS_DIFFER', detail: `The sides differ in ${CONDITION_NAMES[each.covariate]} (${meansOf(each)}), and there are too few blocks to adjust for it. Measure longer, or under the same conditions.`,
  }));
  return [...apart, ...left];
}

/** µs: two days. What drifts by the hour, and from one day to the next, shows in no less. */
const SHOWS_DRIFT = 2 * 86_400e6;
/**
 * Of the logarithm, one standard deviation of each side: what may drift between two times without showing within hours, and by how much
 * nodes of one kind differ. 7 K of temperature at 0.3 %/K of leakage; single GPUs of one kind differ by 8 % from best to worst (Sinha
 * et al. 2022, SC22), a node of eight by less. Knowledge, not a measurement (GUM, type B), and told as such.
 */
const UNSEEN = 0.02;
/** Of the difference of two sides. */
const BETWEEN = 2 * UNSEEN ** 2;

/** What may be in the effect, and is not in the data. */
export interface Unseen {
  readonly variance: number;
  /** Blocks per side from which on it is seen in the data; Infinity where more of the same never show it. */
  readonly seenFrom: number;
}

const ALL_SEEN: Unseen = { variance: 0, seenFrom: 0 };

export function unseenBy({ a, b, design }: BlockQuestion, { paired }: Pieces): Unseen {
  if (design === 'parallel') return unitsOf(a, b) ? ALL_SEEN : { variance: BETWEEN, seenFrom: Infinity };
  const shorter = Math.min(durationOf(a), durationOf(b));
  if (design === 'runs' || paired || shorter >= SHOWS_DRIFT) return ALL_SEEN;
  return { variance: BETWEEN, seenFrom: Math.ceil((SHOWS_DRIFT * Math.min(a.length, b.length)) / Math.max(1, shorter)) };
}

const ALLOWED = `the interval allows for ± ${(200 * Math.sqrt(BETWEEN)).toFixed(0)} % of it`;
const hours = (micros: number): string => `${(micros / 3600e6).toFixed(1)} h`;

const beforeAfter: Reason = { code: 'BEFORE_AFTER', detail: 'Whatever else changed between the two times is in the effect as well; the interval knows only drift of the kind that is seen within them. Let A and B take turns to part it from the change.' };
const unitsInEffect: Reason = { code: 'UNITS_IN_EFFECT', detail: `How the machines of A and of B differ by themselves is in the effect as well and is not in the data: ${ALLOWED}, however long they run. Let A and B take turns on the same machines, or run each on several nodes.` };
const fewTurns: Reason = { code: 'FEW_TURNS', detail: `The sides took turns fewer than ${LEAST_CYCLES} times: they are compared like two long periods, drift between them included.` };
const shortSides = (shorter: number): Reason => ({ code: 'SHORT_SIDES', detail: `The shorter side lasts ${hours(shorter)}: what drifts over hours is hardly seen in it, so ${ALLOWED}. Sides of two days or more need no such allowance; neither do turns that change every hour or two.` });

/** What is in the effect beside the change, by design, and what the data can't say of it. */
export function reservations(question: BlockQuestion, { paired }: Pieces, unseen: Unseen, error: ErrorOf): Reason[] {
  const { a, b, design } = question;
  return [
    ...(design === 'before-after' ? [beforeAfter] : []),
    ...(design === 'switchback' && !paired ? [fewTurns] : []),
    ...(unseen.variance === 0 ? [] : [design === 'parallel' ? unitsInEffect : shortSides(Math.min(durationOf(a), durationOf(b)))]),
    ...slow(error, design),
  ];
}

function slow({ effective, correlation }: ErrorOf, design: Design): Reason[] {
  if (design === 'runs' || effective >= LEAST_EFFECTIVE) return [];
  return [{ code: 'SLOW_DRIFT', detail: `The figure drifted all along (neighbouring pieces of time are alike by ${correlation.toFixed(2)}), so the data are worth ${effective.toFixed(1)} independent pieces of time, and the interval is as wide as that. Measure several times as long, or let the sides take turns.` }];
}
