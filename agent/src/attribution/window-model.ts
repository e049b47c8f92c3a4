/**
 * Dividing windows of counts: so many prompt tokens and so many decode steps in 10 s, and nothing that says when.
 *
 *     energy above idle = a·prompt tokens + b·decode steps + c·decoded tokens        fitted over many windows
 *
 * When nobody ran inside a window is told by the power itself, where the idle level is known; the time that prefill took
 * follows from its energy and from the highest power that is drawn.
 */
import type { Division, MeasuredPiece } from './attribution.js';
import type { PowerModel } from './power-model.js';
import { dot, regression } from './regression.js';
import { pure, type Shares } from './split.js';
import type { Counts } from './work.js';

export interface WindowModel {
  /** Learns from the pieces of one window on one device, and divides them. */
  divide(pieces: readonly MeasuredPiece[]): Division[];
}

const TOKENS = 1_000;
const STEPS = 100;
/** Power this far up from the idle level to the highest is at work. */
const AT_WORK = 0.2;
const ENOUGH_WINDOWS = 6;
const WORST_ERROR = 0.5;
const HALF_LIFE_SECONDS = 3_600;
/** How fast the highest power follows: it is the level that 5 % of the time at work lies above. */
const HIGH_SHARE = 0.05;
const HIGH_STEP = 0.02;

const columns = ({ prefillTokens, decodeSteps, decodeTokens }: Counts): number[] => [prefillTokens / TOKENS, decodeSteps / STEPS, decodeTokens / TOKENS];

const wattsOf = ({ from, to, energy: drawn }: MeasuredPiece): number => drawn / 1e6 / (to - from);

export function windowModel(power: PowerModel): WindowModel {
  const energy = regression(3);
  let high = 0;
  let mixed = 0;

  const isStill = (piece: MeasuredPiece): boolean => {
    const level = power.idleWatts();
    return power.knowsIdle() && wattsOf(piece) < level + AT_WORK * (high - level);
  };

  function learn(counts: Counts, pieces: readonly MeasuredPiece[]): void {
    const seen = pieces.filter((piece) => piece.energy > 0);
    const seconds = seen.reduce((sum, { from, to }) => sum + (to - from), 0);
    const joules = seen.reduce((sum, piece) => sum + piece.energy / 1e6, 0);
    // A window that was not seen whole would be blamed for work whose energy is not known.
    if (seconds < 0.98 * (counts.to - counts.from)) return;
    for (const piece of seen) {
      const watts = wattsOf(piece);
      if (isStill(piece)) continue;
      if (high === 0) high = watts;
      high += high * HIGH_STEP * Math.min(1, piece.to - piece.from) * (watts > high ? 1 - HIGH_SHARE : -HIGH_SHARE);
    }
    energy.fade(0.5 ** (seconds / HALF_LIFE_SECONDS));
    energy.add(columns(counts).map((value) => value / seconds), joules / seconds - power.idleWatts(), seconds);
    if (counts.prefillTokens > 0 && counts.decodeTokens > 0) mixed += 1;
  }

  function sharesOf(counts: Counts, busy: number): Shares {
    if (counts.decodeTokens === 0) return pure('prefill');
    if (counts.prefillTokens === 0) return pure('decode');
    const solution = energy.solution();
    if (!solution || mixed < ENOUGH_WINDOWS) return pure('active');
    const [perPrompt = 0, ...ofDecode] = solution.coefficients;
    const [prompt = 0, steps = 0, tokens = 0] = columns(counts);
    const prefill = perPrompt * prompt;
    const decode = dot([steps, tokens], ofDecode);
    if (prefill <= 0 || decode <= 0 || solution.errorOf([1, 0, 0]) > WORST_ERROR * perPrompt) return pure('active');
    const level = power.idleWatts();
    const prefillSeconds = Math.min(busy, prefill / Math.max(1, high - level));
    const whole = { prefill: prefill + level * prefillSeconds, decode: decode + level * (busy - prefillSeconds) };
    const sum = whole.prefill + whole.decode;
    return { of: new Map([['prefill', whole.prefill / sum], ['decode', whole.decode / sum]] as const), modelled: true };
  }

  return {
    divide(pieces) {
      const counts = pieces[0]?.stretch.window;
      if (!counts) return [];
      learn(counts, pieces);
      const busy = pieces.reduce((sum, piece) => sum + (isStill(piece) ? 0 : piece.to - piece.from), 0);
      const shares = sharesOf(counts, busy);
      return pieces.map((piece): Division => ({ shares: shares.of.has('active') || !isStill(piece) ? shares : { ...pure('idle'), modelled: true }, weight: piece.energy }));
    },
  };
}
