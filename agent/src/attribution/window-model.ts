/**
 * Dividing windows of counts: so many prompt tokens and so many decoded tokens in 10 s, and nothing that says when.
 *
 *   power     ▁▁▁▁▇▇█▇▇▇▇█▇▇▇         nobody ran where it is near the idle level: traffic began inside the window
 *   at work       ├───t────┤          seconds = c·prompt tokens + d·steps, joules above idle = w·t + g·prompt tokens
 *
 * How many steps those were follows from the time that sequences ran: `running`, seen at the ends of a window, says little of
 * that window, but its sum over many is the sum of what each of their tokens waited for. A prompt token costs its time at the
 * power of decode, and what it draws beyond that. The time of a thousand is taken from what accelerators are built like (some
 * steps: arithmetic ÷ memory bandwidth); what they draw beyond is expected to be like on all of them too, and learnt from
 * windows with more and with fewer prompts. How far both may be off is stated with what is divided.
 */
import type { Phase } from '@joulebook/shared/slice.js';
import type { Instant } from '@joulebook/shared/units.js';
import type { Division, MeasuredPiece } from './attribution.js';
import { LONE_PHASE_DOUBT, lonePhase } from './lone-phase.js';
import { promptDraw } from './prompt-draw.js';
import type { PowerModel } from './power-model.js';
import { pure, type Shares } from './split.js';
import type { Counts } from './work.js';

export interface WindowModel {
  /** Learns from the pieces of one window on one device, and divides them. */
  divide(pieces: readonly MeasuredPiece[]): Division[];
}

/** Power this far up from the idle level to the highest is at work. */
const AT_WORK = 0.2;
/** Whoever draws more than this part of the highest power runs; without an idle level, the least that is drawn is of work then, and idle is this part of it. */
const LEAST_AT_WORK = 0.45;
const IDLE_OF_LEAST = 0.34;
/** How fast the highest power follows: it is the level that 5 % of the time at work lies above. The lowest goes down by this part. */
const HIGH_SHARE = 0.05;
const HIGH_STEP = 0.02;
const LOW_STEP = 0.5;
/** Of a window, what must have been seen of its energy to learn from it. */
const WHOLE = 0.98;
/** However many prompts were credited in a window with decode, this part of it was decode: the rest was computed before it. */
const LEAST_DECODE = 0.1;

const loneIn = ({ prefillTokens, decodeTokens }: Counts): 'prefill' | 'decode' | undefined => (decodeTokens === 0 ? 'prefill' : prefillTokens === 0 ? 'decode' : undefined);
const workOf = ({ prefillTokens, decodeSteps, phaseSeconds }: Counts, phase: 'prefill' | 'decode'): number => phaseSeconds?.[phase] ?? prefillTokens + decodeSteps;

const wattsOf = ({ from, to, energy: drawn }: MeasuredPiece): number => drawn / 1e6 / (to - from);

export function windowModel(power: PowerModel): WindowModel {
  const draw = promptDraw();
  const alone = { prefill: lonePhase('prefill'), decode: lonePhase('decode') };
  let high = 0;
  let low = Infinity;
  /** Several devices, and a second reading of a recording, tell of the same window again. */
  let learntUntil: Instant | undefined;

  const level = (): number => (power.knowsIdle() ? power.idleWatts() : low < LEAST_AT_WORK * high ? low : IDLE_OF_LEAST * low);
  const isStill = (piece: MeasuredPiece): boolean => wattsOf(piece) < level() + AT_WORK * (high - level());

  function look(pieces: readonly MeasuredPiece[]): void {
    // Traffic may begin at the end of the first window: what is high is told by its highest pieces.
    if (high === 0) high = pieces.map(wattsOf).toSorted((a, b) => a - b)[Math.floor((1 - HIGH_SHARE) * pieces.length)] ?? 0;
    for (const piece of pieces) {
      const watts = wattsOf(piece);
      if (watts < low) low = low === Infinity ? watts : low + (watts - low) * LOW_STEP;
      if (isStill(piece)) continue;
      high += high * HIGH_STEP * Math.min(1, piece.to - piece.from) * (watts > high ? 1 - HIGH_SHARE : -HIGH_SHARE);
    }
  }

  function learn(counts: Counts, pieces: readonly MeasuredPiece[]): void {
    if (learntUntil !== undefined && counts.from < learntUntil) return;
    const seen = pieces.filter((piece) => piece.energy > 0);
    const seconds = seen.reduce((sum, { from, to }) => sum + (to - from), 0);
    const joules = seen.reduce((sum, piece) => sum + piece.energy / 1e6, 0);
    // A window that was not seen whole would be blamed for work whose energy is not known.
    if (seconds < WHOLE * (counts.to - counts.from)) return;
    learntUntil = counts.to;
    look(seen);
    const phase = loneIn(counts);
    if (phase) alone[phase].learn(workOf(counts, phase), seconds, joules);
    if (!counts.recomputes) draw.learn(counts, { busy: busyIn(counts, seen), joules });
  }

  const busyIn = ({ wholly }: Counts, pieces: readonly MeasuredPiece[]): number => pieces.reduce((sum, piece) => sum + (!wholly && isStill(piece) ? 0 : piece.to - piece.from), 0);

  function ofOne(phase: 'prefill' | 'decode', counts: Counts, pieces: readonly MeasuredPiece[]): { readonly shares: Shares; readonly doubt: number } {
    const share = counts.wholly ? undefined : alone[phase].share(workOf(counts, phase), pieces.reduce((sum, piece) => sum + piece.energy / 1e6, 0), counts.phaseSeconds !== undefined);
    if (share === undefined || share >= 1) return { shares: pure(phase), doubt: 0 };
    return { shares: { of: new Map<Phase, number>([[phase, share], ['idle', 1 - share]]), modelled: true }, doubt: LONE_PHASE_DOUBT };
  }

  function divided(counts: Counts, pieces: readonly MeasuredPiece[]): { readonly shares: Shares; readonly doubt: number } {
    const phase = loneIn(counts);
    if (phase) return ofOne(phase, counts, pieces);
    const known = counts.recomputes ? undefined : draw.known(level());
    const busy = busyIn(counts, pieces);
    if (!known || busy <= 0) return { shares: pure('active'), doubt: 0 };
    const time = busy * counts.ranks;
    const prompted = Math.min(known.secondsPerToken * counts.prefillTokens, (1 - LEAST_DECODE) * time) / time;
    const perSecond = known.joulesPerToken / known.secondsPerToken;
    const prefill = prompted * (perSecond + level());
    const decode = (1 - prompted) * (known.decodeWatts + level());
    const share = prefill / (prefill + decode);
    return { shares: { of: new Map([['prefill', share], ['decode', 1 - share]] as const), modelled: true }, doubt: known.doubt };
  }

  return {
    divide(pieces) {
      const counts = pieces[0]?.stretch.window;
      if (!counts) return [];
      learn(counts, pieces);
      const { shares, doubt } = divided(counts, pieces);
      return pieces.map((piece): Division => ({ shares: counts.wholly || shares.of.has('active') || shares.of.has('idle') || !isStill(piece) ? shares : { ...pure('idle'), modelled: true }, weight: piece.energy, doubt }));
    },
  };
}
