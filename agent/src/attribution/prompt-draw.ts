/**
 * What prompts and decode steps draw, learnt from windows of counts and what was drawn in them above idle:
 *
 *   seconds that sequences ran · part of the time without prompts  =  d · decoded tokens         so long is a step
 *   joules  =  w · seconds at work  +  g · prompt tokens                                         fitted over windows
 *
 * Of a short run the fit says little, and an expectation stands in for it: both are weighed by how well they are known.
 */
import type { Counts } from './work.js';

export interface PromptDraw {
  /** @param seen seconds at work, and joules, of one device */
  learn(counts: Counts, seen: { readonly busy: number; readonly joules: number }): void;
  /** Undefined while too little was seen. @param idleWatts what of the joules nobody caused, as it is known by now */
  known(idleWatts: number): Known | undefined;
}

export interface Known {
  /** Of prefill. */
  readonly secondsPerToken: number;
  /** Above idle. */
  readonly joulesPerToken: number;
  readonly decodeWatts: number;
  /** By how much the ratio of prefill to decode may be off (95 %, relative). */
  readonly doubt: number;
}

/** Computing a thousand prompt tokens takes as long as so many decode steps. */
const STEPS_PER_TOKEN = 4.4 / 1_000;
/** Relative standard deviation of that between kinds of accelerators and models. */
const STEPS_SPREAD = 0.3;
/** What prompts draw beyond decode in their time, relative to decode, and its standard deviation. */
const BEYOND = 0.6;
const BEYOND_SPREAD = 0.35;
/** How far what ran in one window may be from what ran at its ends; over many it cancels. */
const SEQUENCES_SPREAD = 0.5;
/** A step with a full KV cache takes longer by this part: it reads the cache besides the weights. */
const FULL_CACHE = 0.6;
/** A sequence more makes a step longer, and draws more besides, by these parts. */
const LONGER_PER_SEQUENCE = 0.008;
const PER_SEQUENCE = 0.008;
const ENOUGH_WINDOWS = 4;
const ENOUGH_TO_FIT = 6;
const HALF_LIFE_SECONDS = 3_600;
/** 95 % of a normal distribution lie within so many standard deviations. */
const WITHIN_95 = 1.96;

/** Of a fit y = w·u + g·p: watts by the part of a window at work and by prompt tokens per second. The idle level is taken off when it is used: it may be seen late. */
type Sums = Readonly<Record<'windows' | 'uu' | 'up' | 'pp' | 'uy' | 'py' | 'yy' | 'u' | 'p' | 'y', number>>;
const sumsOf = (of: (key: keyof Sums) => number): Sums => ({ windows: of('windows'), uu: of('uu'), up: of('up'), pp: of('pp'), uy: of('uy'), py: of('py'), yy: of('yy'), u: of('u'), p: of('p'), y: of('y') });

const above = (sums: Sums, watts: number): Sums => ({ ...sums, uy: sums.uy - watts * sums.u, py: sums.py - watts * sums.p, yy: sums.yy - 2 * watts * sums.y + watts ** 2 * sums.windows, y: sums.y - watts * sums.windows });

export function promptDraw(): PromptDraw {
  /** Sums over windows; how many is not faded. */
  let sequences = { windows: 0, seconds: 0, decoded: 0, prompted: 0 };
  let drawn = sumsOf(() => 0);

  const step = (): number => sequences.seconds / (sequences.decoded + STEPS_PER_TOKEN * sequences.prompted);

  return {
    learn(counts, { busy, joules }) {
      const { prefillTokens, decodeTokens, sequenceSeconds, kvUsage, ranks, from, to } = counts;
      const time = to - from;
      const fade = 0.5 ** (time / HALF_LIFE_SECONDS);
      const prompted = sequences.windows < ENOUGH_WINDOWS ? 0 : step() * STEPS_PER_TOKEN * prefillTokens;
      // More than can have been computed in it was computed before it.
      if (busy <= 0 || prompted > busy * ranks) return;
      if (sequenceSeconds !== undefined && decodeTokens > 0) {
        sequences = {
          windows: sequences.windows + 1,
          seconds: sequences.seconds * fade + sequenceSeconds,
          decoded: sequences.decoded * fade + decodeTokens * (1 + FULL_CACHE * kvUsage + (LONGER_PER_SEQUENCE * sequenceSeconds) / (busy * ranks)),
          prompted: sequences.prompted * fade + (sequenceSeconds * prefillTokens) / (busy * ranks),
        };
      }
      const u = (busy + (PER_SEQUENCE * (sequenceSeconds ?? 0)) / ranks) / time;
      const p = prefillTokens / time;
      const y = joules / time;
      const now: Sums = { windows: 1, uu: u * u, up: u * p, pp: p * p, uy: u * y, py: p * y, yy: y * y, u, p, y };
      drawn = sumsOf((key) => drawn[key] * fade + now[key]);
    },
    known(idleWatts) {
      const fit = above(drawn, idleWatts);
      if (sequences.windows < ENOUGH_WINDOWS || !(sequences.seconds > 0)) return undefined;
      const secondsPerToken = step() * STEPS_PER_TOKEN;
      const expectedWatts = fit.y / (fit.u + BEYOND * secondsPerToken * fit.p);
      const unit = secondsPerToken * expectedWatts;
      if (!(unit > 0)) return undefined;
      const seen = fitted(fit);
      const prior = (BEYOND_SPREAD * unit) ** 2;
      const trust = seen ? prior / (prior + seen.variance) : 0;
      const beyond = Math.max(0, BEYOND * unit + trust * ((seen?.value ?? 0) - BEYOND * unit));
      const decodeWatts = Math.max(0, (fit.y - beyond * fit.p) / fit.u);
      const joulesPerToken = beyond + secondsPerToken * decodeWatts;
      const doubt = WITHIN_95 * Math.hypot((STEPS_SPREAD * secondsPerToken * decodeWatts) / joulesPerToken, Math.sqrt(prior * (1 - trust)) / joulesPerToken, SEQUENCES_SPREAD / Math.sqrt(sequences.windows));
      return { secondsPerToken, joulesPerToken, decodeWatts, doubt };
    },
  };
}

/** Joules per prompt token beyond decode, by the fit alone, and its variance. */
function fitted(fit: Sums): { readonly value: number; readonly variance: number } | undefined {
  const det = fit.uu * fit.pp - fit.up * fit.up;
  if (fit.windows < ENOUGH_TO_FIT || !(det > 1e-9 * fit.uu * fit.pp)) return undefined;
  const watts = (fit.pp * fit.uy - fit.up * fit.py) / det;
  const value = (fit.uu * fit.py - fit.up * fit.uy) / det;
  const misfit = Math.max(0, fit.yy - watts * fit.uy - value * fit.py);
  return { value, variance: ((misfit / (fit.windows - 2)) * fit.uu) / det };
}
