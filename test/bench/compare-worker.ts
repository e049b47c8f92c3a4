/** A thread that simulates one seed of one experiment at a time, and says what was answered. */
import { answerCalls } from '@joulebook/shared/thread.js';
import { CONFOUNDED, EXPERIMENTS } from './compare-designs.js';
import { trial, unraveled, type Trial, type Unraveled } from './compare-trials.js';
import type { World } from './compare-world.js';

export interface Simulation {
  /** Of an experiment, or of a confounded one. */
  readonly name: string;
  readonly world: World;
  readonly seed: number;
}

// oxlint-disable-next-line typescript/require-await -- a thread answers with promises
answerCalls(async ({ name, world, seed }: Simulation): Promise<Trial | Unraveled> => {
  const experiment = EXPERIMENTS.find((each) => each.name === name);
  if (experiment) return trial(experiment, world, seed);
  const scenario = CONFOUNDED.find((each) => each.name === name);
  if (scenario) return unraveled(scenario, world, seed);
  throw new Error(`no experiment is called ${name}`);
});
