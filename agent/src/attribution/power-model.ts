/**
 * What a second of each work draws, learnt from power and evidence, and what follows for dividing energy.
 *
 *     power = idle level + π_p·prefill + (π_d + π_n·sequences)·decode          prefill, decode: seconds of work per second
 *
 * In an iteration that does both, a phase's share is its share of the power above the idle level, each taken as it would
 * be alone; together they draw less than the sum, which one factor takes up. The fit is never trusted for how much energy
 * there is: that is measured. It says where in a reading's interval the energy was drawn, and whose it was.
 */
import type { Phase } from '@joulebook/shared/slice.js';
import { dot, regression } from './regression.js';
import { pure, type Shares } from './split.js';
import type { Stretch, Work } from './work.js';

/** Work done in a block of time on one device, with what the device drew. */
export interface Block {
  readonly seconds: number;
  readonly joules: number;
  /** Seconds of the block in which nobody ran. */
  readonly idle: number;
  /** Seconds of work in iterations of one kind. */
  readonly alone: Load;
  /** Seconds of work in iterations that did both. */
  readonly together: Load;
}

/** `sequences`: decoding sequences × seconds of decode. */
export interface Load {
  readonly prefill: number;
  readonly decode: number;
  readonly sequences: number;
}

export interface Judged {
  /** What the model expects it to draw, in W; undefined while it is not known. */
  readonly watts: number | undefined;
  readonly shares: Shares;
}

export interface PowerModel {
  learn(block: Block): void;
  judge(stretch: Stretch): Judged;
  /** Whether mixed work can be divided. */
  ready(): boolean;
  /** What is drawn while nobody runs. */
  idleWatts(): number;
  /** Whether the idle level was seen, rather than taken from the rest. */
  knowsIdle(): boolean;
}

const SEQUENCES = 64;
/** Less of either work than this tells too little to divide by. */
const ENOUGH_SECONDS = 1.5;
/** A phase whose draw is known less well than this (relative standard error) is not divided by. */
const WORST_ERROR = 0.5;
/** An idle level that was never seen is taken as this part of the least that was drawn at work; the division hardly depends on it. */
const IDLE_OF_LEAST = 0.4;
/** Old blocks fade to half in about so many seconds of them. */
const HALF_LIFE_SECONDS = 3_600;

export function powerModel(): PowerModel {
  const idle = regression(1);
  const working = regression(3);
  /** Of the sum of both, what iterations draw that do both. */
  const both = regression(1);
  let least = Infinity;
  let seen = { prefill: 0, decode: 0 };

  const idleWatts = (): number => idle.solution()?.coefficients[0] ?? (Number.isFinite(least) ? IDLE_OF_LEAST * least : 0);
  const columns = ({ prefill, decode, sequences }: Load): number[] => [prefill, decode, sequences / SEQUENCES];
  const factor = (): number => Math.min(1.1, Math.max(0.5, both.solution()?.coefficients[0] ?? 1));
  const draw = (load: Load): number => dot(columns(load), working.solution()?.coefficients ?? []);

  function learn({ seconds, joules, idle: still, alone, together }: Block): void {
    const watts = joules / seconds;
    const fade = 0.5 ** (seconds / HALF_LIFE_SECONDS);
    for (const fit of [idle, working, both]) fit.fade(fade);
    if (still >= seconds * 0.999) return idle.add([1], watts, seconds);
    least = Math.min(least * (1 + 1e-4 * seconds), watts);
    const mixed = together.prefill + together.decode;
    const prefill = alone.prefill + together.prefill;
    seen = { prefill: seen.prefill * fade + prefill, decode: seen.decode * fade + alone.decode + together.decode };
    const above = watts - idleWatts();
    const known = columns(alone);
    if (mixed < 0.02 * seconds) return working.add(known.map((value) => value / seconds), above, seconds);
    // Where prefill is seen alone too, mixed blocks tell how much the two save together; else they tell all there is of prefill.
    const expected = draw(together) / seconds;
    if (expected > 0) both.add([expected], above - dot(known, working.solution()?.coefficients ?? []) / seconds, seconds);
    const by = factor();
    return working.add(columns({ prefill: alone.prefill + by * together.prefill, decode: alone.decode + by * together.decode, sequences: alone.sequences + by * together.sequences }).map((value) => value / seconds), above, seconds * 0.3);
  }

  const ready = (): boolean => {
    if (seen.prefill < ENOUGH_SECONDS || seen.decode < ENOUGH_SECONDS) return false;
    const solution = working.solution();
    const [prefill = 0, decode = 0, perSequences = 0] = solution?.coefficients ?? [];
    if (!solution || prefill <= 0 || decode + perSequences <= 0) return false;
    return solution.errorOf([1, 0, 0]) < WORST_ERROR * prefill && solution.errorOf([0, 1, 1]) < WORST_ERROR * (decode + perSequences);
  };

  function judgeWork(work: readonly Work[]): Judged {
    const kinds = kindsOf(work);
    const [only] = kinds;
    if (only === undefined) return { watts: undefined, shares: pure('active') };
    if (!ready()) return { watts: undefined, shares: kinds.length === 1 ? pure(only) : pure('active') };
    const level = idleWatts();
    const drawn = { prefill: 0, decode: 0, idle: 0 };
    for (const each of work) {
      const above = { prefill: draw({ prefill: each.prefill, decode: 0, sequences: 0 }), decode: draw({ prefill: 0, decode: each.decode, sequences: each.sequences * each.decode }) };
      const sum = above.prefill + above.decode;
      if (each.mixing === 'iteration') {
        const total = level / work.length + sum * (above.prefill > 0 && above.decode > 0 ? factor() : 1);
        drawn.prefill += sum > 0 ? (total * above.prefill) / sum : 0;
        drawn.decode += sum > 0 ? (total * above.decode) / sum : 0;
      } else {
        const busy = Math.max(1e-9, each.prefill + each.decode);
        const time = (level / work.length) * (1 - each.idle);
        drawn.prefill += above.prefill + (time * each.prefill) / busy;
        drawn.decode += above.decode + (time * each.decode) / busy;
        drawn.idle += (level / work.length) * each.idle;
      }
    }
    const watts = drawn.prefill + drawn.decode + drawn.idle;
    if (!(watts > 0)) return { watts: undefined, shares: pure('active') };
    if (kinds.length === 1) return { watts, shares: pure(only) };
    const of = new Map<Phase, number>(PHASES_OF_WORK.flatMap((phase) => (drawn[phase] > 0 ? [[phase, drawn[phase] / watts]] : [])));
    return { watts, shares: { of, modelled: true } };
  }

  return {
    learn,
    ready,
    idleWatts,
    knowsIdle: () => idle.weight() > 0,
    judge({ state, work }) {
      if (state === 'work') return judgeWork(work);
      return { watts: state === 'idle' && ready() ? idleWatts() : undefined, shares: pure(state) };
    },
  };
}

const PHASES_OF_WORK = ['prefill', 'decode', 'idle'] as const;

function kindsOf(work: readonly Work[]): (typeof PHASES_OF_WORK)[number][] {
  return PHASES_OF_WORK.filter((phase) => work.some((each) => each[phase] > 0));
}
