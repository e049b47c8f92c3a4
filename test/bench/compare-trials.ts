/** Simulated comparisons whose truth is known, and what was answered. */
import { compareBlocks, COVARIATES, type BlockAnswer, type Covariate, type Design } from '@joulebook/collector/compare/method/compare-blocks.js';
import { sidesOf, type Confounded, type Experiment, type Minutes, type Sides } from './compare-designs.js';
import { withEffect, type World } from './compare-world.js';

export function answerOf({ a, b }: Sides, design: Design, sequential: boolean, covariates: readonly Covariate[] = COVARIATES): BlockAnswer {
  return compareBlocks({ a, b, design, sequential, covariates, lowerIsBetter: true });
}

const isFound = ({ verdict }: BlockAnswer): boolean => verdict === 'a-better' || verdict === 'b-better';

export interface Looked {
  /** Whether the interval of one look held the truth, 0. */
  readonly covered: boolean;
  readonly found: boolean;
  readonly standardError: number;
  readonly minimumDetectableEffect: number;
}

/** One look at the end at two sides without any difference. */
export function looked(sides: Sides, design: Design): Looked | undefined {
  const answer = answerOf(sides, design, false);
  const { effect: { ci95, standardError }, minimumDetectableEffect } = answer;
  if (!ci95 || standardError === null || minimumDetectableEffect === null) return undefined;
  return { covered: ci95[0] <= 0 && ci95[1] >= 0, found: isFound(answer), standardError, minimumDetectableEffect };
}

/** Whether a B that needs so much less is found to be better; sides are those of no difference. */
export const isShown = ({ a, b }: Sides, design: Design, effect: number): boolean => answerOf({ a, b: withEffect(b, -effect) }, design, false).verdict === 'b-better';

export interface Watched {
  /** A verdict at any hour, of two sides without any difference. */
  readonly found: boolean;
  /** What the interval of one look would have said. */
  readonly foundByFixed: boolean;
}

/** A look after every hour, as by somebody who stops as soon as there is a verdict. */
export function watched({ design, until, looks }: Experiment, world: World, minutes: Minutes): Watched {
  const all = sidesOf(minutes, HOUR);
  let foundByFixed = false;
  for (let hour = 1; hour <= looks(world); hour += 1) {
    const answer = answerOf(until(all, hour), design, true);
    const { ci95 } = answer.effect;
    if (ci95 && (ci95[0] > 0 || ci95[1] < 0)) foundByFixed = true;
    if (isFound(answer)) return { found: true, foundByFixed: true };
  }
  return { found: false, foundByFixed };
}

/** Effects whose power is told: B needs so much less. */
export const EFFECTS = [0.03, 0.05, 0.1] as const;
/** Minutes per block: of one look, and where one looks after every hour. */
export const BLOCK = 10;
const HOUR = 60;

export interface Trial {
  readonly look: Looked | undefined;
  readonly shown: readonly boolean[];
  /** An effect as large as the one that was predicted to be seen in 8 of 10 cases. */
  readonly shownAtPredicted: boolean;
  readonly watch: Watched;
}

export function trial(experiment: Experiment, world: World, seed: number): Trial {
  const { design } = experiment;
  const minutes = experiment.minutes(world, seed);
  const sides = sidesOf(minutes, BLOCK);
  const look = looked(sides, design);
  return {
    look,
    shown: EFFECTS.map((effect) => isShown(sides, design, effect)),
    shownAtPredicted: look !== undefined && isShown(sides, design, 1 - 1 / (1 + look.minimumDetectableEffect)),
    watch: watched(experiment, world, minutes),
  };
}

export interface Unraveled {
  readonly unadjusted: number;
  /** Verdict without adjustment that is wrong in its direction. */
  readonly wrongUnadjusted: boolean;
  readonly refused: boolean;
  readonly effect: number | null;
  readonly covered: boolean;
  readonly wrong: boolean;
}

/** What B of the confounded ones needs less. */
export const LESS = 0.05;

/** B needs less, but ran under other conditions. */
export function unraveled({ design, minutes }: Confounded, world: World, seed: number): Unraveled {
  const plain = sidesOf(minutes(world, seed), BLOCK);
  const changed = { a: plain.a, b: withEffect(plain.b, -LESS) };
  const answer = answerOf(changed, design, false);
  const { relative, ci95, unadjusted } = answer.effect;
  return {
    unadjusted: unadjusted ?? Number.NaN,
    wrongUnadjusted: answerOf(changed, design, false, []).verdict === 'a-better',
    refused: answer.verdict === 'not-comparable',
    effect: relative,
    covered: ci95 !== null && ci95[0] <= -LESS && ci95[1] >= -LESS,
    wrong: answer.verdict === 'a-better',
  };
}
