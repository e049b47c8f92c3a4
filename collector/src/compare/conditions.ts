/**
 * What an answer is adjusted for unless it is said. A benchmark's runs were set up alike: their speed is an outcome, not a
 * condition. In traffic, load and lengths come from outside; so does the air at the inlet. The temperature of a GPU is no
 * condition: cooling works through it, and to take it out would take out the change itself.
 */
import type { Store } from '../store/store.js';
import type { Reason } from './answer.js';
import type { Pair } from './found.js';
import { COVARIATES, type Covariate } from './method/compare-blocks.js';
import type { CompareRequest } from './question.js';
import { temperatureOf, type Told } from './sides.js';

export interface Conditions {
  readonly covariates: readonly Covariate[];
  readonly gauge: string | undefined;
  readonly notes: readonly Reason[];
}

const note = (code: string, detail: string): Reason => ({ code, detail });

export async function conditionsOf(store: Store, { adjust }: CompareRequest, [a, b]: Pair<Told>, areRuns: boolean): Promise<Conditions> {
  if (areRuns && adjust === undefined) return { covariates: [], gauge: undefined, notes: [] };
  const asked = adjust?.includes('temperature') === true;
  const found = adjust === undefined || asked ? await temperatureOf(store, a, b) : undefined;
  const taken = found !== undefined && (asked || found.isInlet);
  const covariates = (adjust ?? COVARIATES).filter((name) => name !== 'temperature' || taken);
  const notes: Reason[] = [];
  if (asked && !found) notes.push(note('TEMPERATURE_UNKNOWN', 'No temperature is known of both sides, so nothing is adjusted for it.'));
  if (found && !found.isInlet && asked) notes.push(note('GPU_TEMPERATURE', `Adjusted for the temperature of the GPUs, since none of the inlet is known: what a change does through it (cooling, power) is taken out as well.`));
  if (found && !found.isInlet && !asked) notes.push(note('GPU_TEMPERATURE_LEFT', 'The temperature of the GPUs is known and not adjusted for, since a change may work through it; --adjust …,temperature does.'));
  return { covariates, gauge: taken ? found.gauge : undefined, notes };
}
