/** Intervals of a row, from the error that its facts state. */
import { microjoulesToJoules, quantity, type Joules, type Tokens } from '@joulebook/shared/units.js';
import { costPerTokenInterval, energyInterval, joulesPerTokenInterval, phaseEnergyInterval, tokensPerKwhInterval, tokensPerWattSecondInterval, type Interval } from '../figures/uncertainty.js';
import type { EnergySums } from '../store/store.js';
import type { Row } from './report.js';
import type { Money } from '../figures/sums.js';

const pair = (interval: Interval | null): [number, number] | null => (interval === null ? null : [interval[0], interval[1]]);

function intervalOf(sums: EnergySums | undefined, ofPhase: boolean): Interval<Joules> | null {
  if (!sums?.stated) return null;
  const sensor = energyInterval(microjoulesToJoules(sums.stated.lowMicrojoules), microjoulesToJoules(sums.stated.highMicrojoules), quantity(sums.stated.samplingVariance));
  return ofPhase ? phaseEnergyInterval(sensor, microjoulesToJoules(sums.microjoules), microjoulesToJoules(sums.divisionMicrojoules)) : sensor;
}

/**
 * @param measured all energy of the row
 * @param counted what its ratios divide by (basis `serving`: without idle and unknown)
 * @param over the tokens of its ratios
 * @param ofPhase the row is about one phase, so that an error of dividing phases is one of its own
 * @param cost of what is counted; null without a price
 * @returns null where the error of some of the energy is not stated
 */
export function uncertaintyOf(measured: EnergySums | undefined, counted: EnergySums | undefined, over: Tokens | null, ofPhase: boolean, cost: Money | null): Row['uncertainty'] {
  const all = intervalOf(measured, ofPhase);
  if (all === null) return null;
  const ratios = intervalOf(counted, ofPhase);
  const perJoule = ratios && tokensPerWattSecondInterval(ratios, over);
  return {
    joules: pair(all),
    joulesPerToken: pair(ratios && joulesPerTokenInterval(ratios, over)),
    tokensPerWattSecond: pair(perJoule),
    tokensPerKwh: pair(tokensPerKwhInterval(perJoule)),
    ...(cost !== null && { energyCostPerToken: pair(ratios && counted ? costPerTokenInterval(ratios, microjoulesToJoules(counted.microjoules), cost, over) : null) }),
  };
}
