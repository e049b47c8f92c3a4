/**
 * How many tokens a scheduler has decoded, told twice:
 *
 *     steps × sequences that ran in them, × accept len     as far as the lines say how many ran, and when they ended
 *     gen throughput × seconds since the line before       counts each token, as far as the stamps tell the seconds
 *
 * Stamps of milliseconds leave a few tokens of doubt for a single line, and what one line gets too much the next gets too
 * little: the sum goes wrong only by how much the rate changes. So the sums are held together, as closely as the stamps
 * allow. Stamps cut to seconds blur a line by more than the steps do: there the steps alone count.
 */
import type { DecodeLine } from './sglang-line.js';
import type { Stretch } from './sglang-layout.js';

/** What the rates of the lines so far sum up to, and by how much that may be off. */
export interface Counted {
  readonly total: number;
  readonly doubt: number;
}

/** The stamp of a line. */
export interface Stamped {
  readonly fine: boolean;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface TokenCounter {
  /** Undefined: the line says nothing of the time since the line before, or there was none. */
  line(line: DecodeLine, stamp: Stamped): Counted | undefined;
  /** Work of a window in the order in which it is told, its sequences corrected by what its line has counted. */
  correct(stretches: readonly Stretch[], counted: Counted | undefined): readonly Stretch[];
  /** What was told without the Decode line that stands for it. */
  early(stretches: readonly Stretch[]): void;
  /** All that was decoded. */
  readonly told: number;
}

/** Of the printed rate. */
const ROUNDING = 0.005;
/** Of stamps in milliseconds. */
const FINE_SECONDS = 0.001;
/** So many standard deviations are no accident. */
const SURE = 2;
/** A count that is so many times off is not of these steps: lines are missing in between, or a clock was set. */
const FARTHEST = 3;

const decodedIn = (stretches: readonly Stretch[]): number => stretches.reduce((sum, stretch) => sum + (stretch.kind === 'decode' ? stretch.steps * stretch.running * stretch.acceptLength : 0), 0);

export function tokenCounter(): TokenCounter {
  let before: { readonly at: number; readonly rate: number } | undefined;
  let total = 0;
  let variance = 0;
  /** Told since `total` began. */
  let sinceBegin = 0;
  let told = 0;

  function add(tokens: number): void {
    told += tokens;
    sinceBegin += tokens;
  }

  return {
    line({ rate }, { fine, notBefore, notAfter }) {
      const at = (notBefore + notAfter) / 2;
      const width = Math.max(notAfter - notBefore, FINE_SECONDS);
      const last = before;
      before = rate === undefined ? undefined : { at, rate };
      if (last === undefined || rate === undefined || !fine) {
        total = 0;
        variance = 0;
        return undefined;
      }
      total += rate * (at - last.at);
      // Of even distributions.
      variance += ((rate - last.rate) * width) ** 2 / 12 + (ROUNDING * (at - last.at)) ** 2 / 3;
      return { total, doubt: SURE * Math.sqrt(variance + (rate * width) ** 2 / 12) };
    },
    correct(stretches, counted) {
      const made = decodedIn(stretches);
      if (counted === undefined) {
        add(made);
        sinceBegin = 0;
        return stretches;
      }
      const least = counted.total - counted.doubt - sinceBegin;
      const most = counted.total + counted.doubt - sinceBegin;
      if (made === 0) return stretches;
      if (least > FARTHEST * made || most < made / FARTHEST) {
        told += made;
        sinceBegin = counted.total;
        return stretches;
      }
      const factor = Math.min(Math.max(made, least), most) / made;
      add(made * factor);
      return stretches.map((stretch) => (stretch.kind === 'decode' ? { ...stretch, running: stretch.running * factor } : stretch));
    },
    early: (stretches) => add(decodedIn(stretches)),
    get told() {
      return told;
    },
  };
}
