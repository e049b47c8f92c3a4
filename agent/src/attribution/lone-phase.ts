/**
 * Idle time inside windows in which one phase ran alone, as in a pool of disaggregated serving, where the power can't show it:
 * a sensor that looks ten times a second, or averages over one, never goes down between prompts of 50 ms.
 *
 *     watts  =  idle level  +  b · work per second         fitted over stretches of 10 s: more work, more power
 *
 * Work drew b times its amount above the idle level, and the idle level while it ran. Where the engine tells for how long it
 * ran, that is the work; where it only counts, how long follows from what accelerators draw.
 */
import type { Phase } from '@joulebook/shared/slice.js';
import { regression } from './regression.js';

export interface LonePhase {
  /** @param work prompt tokens or decode steps, or seconds of them */
  learn(work: number, seconds: number, joules: number): void;
  /** Of the energy of a window, the part that the phase drew; undefined while that is not known. */
  share(work: number, joules: number, timed: boolean): number | undefined;
}

/** Prompts are credited late, and sensors blur: shorter windows are put together. */
const LEAST_SECONDS = 10;
const ENOUGH = 6;
const WORST_ERROR = 0.25;
const HALF_LIFE_SECONDS = 3_600;
/** What a phase draws above the idle level, relative to it, on accelerators of all kinds. */
const ABOVE_IDLE = { prefill: 3, decode: 2.2 } as const satisfies Partial<Record<Phase, number>>;
/** By how much the part may be off (95 %, relative), since that differs between them and the fit has few windows. */
export const LONE_PHASE_DOUBT = 0.35;

export function lonePhase(phase: keyof typeof ABOVE_IDLE): LonePhase {
  const fit = regression(2);
  let open = { work: 0, seconds: 0, joules: 0 };
  return {
    learn(work, seconds, joules) {
      open = { work: open.work + work, seconds: open.seconds + seconds, joules: open.joules + joules };
      if (open.seconds < LEAST_SECONDS) return;
      fit.fade(0.5 ** (open.seconds / HALF_LIFE_SECONDS));
      fit.add([1, open.work / open.seconds], open.joules / open.seconds, open.seconds / LEAST_SECONDS);
      open = { work: 0, seconds: 0, joules: 0 };
    },
    share(work, joules, timed) {
      const solution = fit.solution();
      const [level = 0, perWork = 0] = solution?.coefficients ?? [];
      if (!solution || fit.weight() < ENOUGH || perWork <= 0 || solution.errorOf([0, 1]) > WORST_ERROR * perWork || joules <= 0) return undefined;
      return Math.min(1, (work * (perWork + (timed ? level : perWork / ABOVE_IDLE[phase]))) / joules);
    },
  };
}
