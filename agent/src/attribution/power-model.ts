/**
 * What work draws, learnt from power and evidence, and what follows for dividing energy.
 *
 *     power above idle = b₀·busy + b₁·iterations + b₂·prompt tokens + b₃·decoded + b₄·KV tokens read        each per second
 *
 * An iteration reads the weights once whatever it does, so what is alike in prefill and decode (b₀, b₁) counts once in an
 * iteration that does both, and in full in what each phase would draw alone: that is what the iteration is divided by. The
 * fit is never trusted for how much energy there is: that is measured. It says where in a reading's interval the energy was
 * drawn, and whose it was.
 */
import type { Phase } from '@joulebook/shared/slice.js';
import { dot, regression, type Regression, type Solution } from './regression.js';
import { pure, type Shares } from './split.js';
import { NO_LOAD, plus, times, type Load, type Stretch, type Work } from './work.js';

/** Work done in a block of time on one device, with what the device drew. */
export interface Block {
  /** When it ended, in s. */
  readonly at: number;
  readonly seconds: number;
  readonly joules: number;
  /** Seconds in which nobody ran. */
  readonly idle: number;
  /** Sums over the block. */
  readonly load: Load;
  /** The same of each phase, as it would have been alone. */
  readonly prefill: Load;
  readonly decode: Load;
}

export interface Judged {
  /** What the model expects it to draw, in W; undefined while it is not known. */
  readonly watts: number | undefined;
  readonly shares: Shares;
}

export interface PowerModel {
  learn(block: Block): void;
  /** What was learnt of work holds no more; the idle level stays. */
  forget(): void;
  /** @param rested for how long nobody has run before it, in s */
  judge(stretch: Stretch, rested?: number): Judged;
  /** Whether mixed work can be divided. */
  ready(): boolean;
  /** Enough work of both kinds was seen, and what was drawn does not go with it: other GPUs, other clocks, a dead sensor. */
  unrelated(): boolean;
  /** How far the ratio of prefill to decode, or of the only phase to idle, may be off for what was seen so far (95 %, relative). */
  error(): number;
  /** What is drawn while nobody runs. */
  idleWatts(): number;
  /** Whether the idle level was seen, rather than taken from the rest. */
  knowsIdle(): boolean;
}

/** Units that keep the columns of the fit of like size. */
const UNITS: Load = { busy: 1, iterations: 50, promptTokens: 10_000, decoded: 1_000, kvTokens: 1e6 };
/** Less of either work than this tells too little to divide by. */
const ENOUGH_SECONDS = 1.5;
/** A loaded idle level that was never seen is taken as this part of the least that was drawn at work; the division depends on it little. */
const IDLE_OF_LEAST = 0.34;
/** The least: the level that 5 % of the time at work lies below. */
const LEAST_SHARE = 0.05;
const LEAST_STEP = 0.02;
/** So long after work a board is taken to stand at its loaded idle level. */
const LOADED_SECONDS = 3;
/** Power that varies by less than this part of it is a sensor that stands still: even a board at its limit varies more. */
const FLAT = 0.001;
/** Where work explains less than the rest of how power varies, and it varies by more than this, it does not go with work; a board at its limit varies less. */
const UNEXPLAINED = 0.9;
const SCATTERED = 0.05;
/** What a phase draws above idle must be known better than this (1σ, relative), or nothing is divided by it. */
const WORST_ERROR = 0.35;
/** Before nothing is said of power that does not go with work. */
const TELLING_SECONDS = 60;
/** Old blocks fade to half in about so many seconds of them. */
const HALF_LIFE_SECONDS = 3_600;

const columns = (load: Load): number[] => [load.busy / UNITS.busy, load.iterations / UNITS.iterations, load.promptTokens / UNITS.promptTokens, load.decoded / UNITS.decoded, load.kvTokens / UNITS.kvTokens];

const levelOf = (fit: Regression): number | undefined => fit.solution()?.coefficients[0];

/** @param phases that its machines work in: one in a pool of disaggregated serving */
export function powerModel(phases: readonly ServingPhase[] = PHASES): PowerModel {
  const idle = regression(1);
  /** Right after work, while the clocks are still up. */
  const loadedIdle = regression(1);
  let working = regression(5);
  /** All watts at work, whatever ran. */
  let levels = regression(1);
  let least: number | undefined;
  let worked = -Infinity;
  let seen = NOTHING_SEEN;

  const idleWatts = (): number => levelOf(idle) ?? levelOf(loadedIdle) ?? IDLE_OF_LEAST * (least ?? 0);
  /** What work is counted from: a board that works now and then does not go down to its deepest idle level in between. */
  const floor = (): number => levelOf(loadedIdle) ?? Math.max(idleWatts(), IDLE_OF_LEAST * (least ?? 0));
  const draw = (load: Load): number => dot(columns(load), working.solution()?.coefficients ?? []);

  function learn({ at, seconds, joules, idle: still, load, prefill, decode }: Block): void {
    const watts = joules / seconds;
    const fade = 0.5 ** (seconds / HALF_LIFE_SECONDS);
    for (const fit of [idle, loadedIdle, levels, working]) fit.fade(fade);
    seen = { seconds: seen.seconds * fade + seconds - still, prefill: plus(times(seen.prefill, fade), prefill), decode: plus(times(seen.decode, fade), decode) };
    if (still >= seconds * 0.999) {
      if (at >= worked && at - worked <= LOADED_SECONDS) loadedIdle.add([1], watts, seconds);
      return idle.add([1], watts, seconds);
    }
    worked = at;
    least ??= watts;
    least += least * LEAST_STEP * Math.min(1, seconds) * (watts > least ? LEAST_SHARE : LEAST_SHARE - 1);
    levels.add([1], watts, seconds);
    return working.add(columns(load).map((value) => value / seconds), watts - floor(), seconds);
  }

  /** Whether what was drawn goes with the work at all, as far as that can be seen. */
  function isRelated(solution: Solution): boolean {
    const { unexplained, scatter, coefficients } = solution;
    const level = levelOf(levels) ?? 0;
    if ((levels.solution()?.spread ?? 0) < FLAT * level || (unexplained > UNEXPLAINED && scatter > SCATTERED * level)) return false;
    return typical().every((phase) => solution.widestErrorOf(phase) <= WORST_ERROR * dot(phase, coefficients));
  }

  /** A second of prefill and one of decode, each alone, as they were on average. */
  const typical = (): readonly number[][] => phases.map((phase) => columns(times(seen[phase], 1 / seen[phase].busy)));

  function error(): number {
    const solution = working.solution();
    if (!solution || !enough()) return Infinity;
    const [one = [], other] = typical().map((phase) => phase.map((value) => value / (floor() + dot(phase, solution.coefficients))));
    return CONFIDENCE * solution.errorOf(one.map((value, index) => value - (other?.[index] ?? 0)));
  }

  const enough = (): boolean => phases.every((phase) => seen[phase].busy >= ENOUGH_SECONDS);
  const related = (): boolean => {
    const solution = working.solution();
    return solution !== undefined && isRelated(solution);
  };
  const ready = (): boolean => enough() && related();

  function judgeWork(work: readonly Work[]): Judged {
    const kinds = PHASES.filter((phase) => work.some((each) => each[phase] !== undefined));
    const still = work.some(({ mixing, ran }) => mixing === 'turns' && ran.busy < 1);
    const [only] = kinds;
    if (only === undefined) return { watts: undefined, shares: pure('active') };
    if (!ready()) return { watts: undefined, shares: kinds.length === 1 && !still ? pure(only) : pure('active') };
    const drawn = { prefill: 0, decode: 0, idle: 0 };
    for (const each of work) addDrawn(drawn, each, floor() / work.length);
    const watts = drawn.prefill + drawn.decode + drawn.idle;
    if (!(watts > 0)) return { watts: undefined, shares: pure('active') };
    if (kinds.length === 1 && !still) return { watts, shares: pure(only) };
    const of = new Map<Phase, number>([...PHASES, 'idle' as const].flatMap((phase) => (drawn[phase] > 0 ? [[phase, drawn[phase] / watts]] : [])));
    return { watts, shares: { of, modelled: true } };
  }

  function addDrawn(drawn: { prefill: number; decode: number; idle: number }, { ran, prefill, decode, mixing }: Work, level: number): void {
    const alone = { prefill: prefill ? draw(prefill) : 0, decode: decode ? draw(decode) : 0 };
    const sum = alone.prefill + alone.decode;
    if (mixing === 'turns') {
      const busy = Math.max(1e-9, (prefill?.busy ?? 0) + (decode?.busy ?? 0));
      const time = level * Math.min(1, ran.busy);
      drawn.prefill += alone.prefill + (time * (prefill?.busy ?? 0)) / busy;
      drawn.decode += alone.decode + (time * (decode?.busy ?? 0)) / busy;
      drawn.idle += level - time;
      return;
    }
    const total = level + draw(ran);
    const share = sum > 0 ? alone.prefill / sum : prefill && decode ? 0.5 : prefill ? 1 : 0;
    drawn.prefill += total * share;
    drawn.decode += total * (1 - share);
  }

  return {
    learn,
    forget() {
      working = regression(5);
      levels = regression(1);
      seen = NOTHING_SEEN;
    },
    ready,
    unrelated: () => enough() && seen.seconds >= TELLING_SECONDS && !related(),
    error,
    idleWatts,
    knowsIdle: () => idle.weight() > 0,
    judge({ state, work }, rested = Infinity) {
      if (state === 'work') return judgeWork(work);
      return { watts: state === 'idle' && ready() ? (rested < LOADED_SECONDS ? floor() : idleWatts()) : undefined, shares: pure(state) };
    },
  };
}

/** 95 % of a normal distribution. */
const CONFIDENCE = 1.96;
const NOTHING_SEEN = { seconds: 0, prefill: NO_LOAD, decode: NO_LOAD };
type ServingPhase = (typeof PHASES)[number];
const PHASES = ['prefill', 'decode'] as const;
