import { expect, it } from 'vitest';
import { energy, joules, quantity, seconds, tokens, watts } from '@joulebook/shared/units.js';
import { coverage, joulesPerToken, meanPower, ratio, tokensPerKwh, tokensPerWattSecond } from './energy.js';
import { allInCost, carbonGrams, costPerMillionTokens, costPerToken, energyCost, tokensPerMegawatt, tokensPerMoney } from './money.js';
import { joulesPerOutputToken, joulesPerPromptToken, joulesSavedByCache, shareUntold } from './phases.js';
import { costPerTokenInterval, energyInterval, joulesPerTokenInterval, phaseEnergyInterval, tokensPerKwhInterval, tokensPerWattSecondInterval } from './uncertainty.js';
import { costPerMeaningfulResponse, costPerUsefulToken, energyPerMeaningfulResponse, usefulTokensFromRatios } from './useful.js';

const hour = seconds(3600);
const drawn = energy(watts(1000), hour);
const made = tokens(3000 * hour);

it('gives 3 tokens per watt-second and 10.8 M tokens/kWh for 3,000 tokens/s at 1,000 W', () => {
  const perJoule = tokensPerWattSecond(made, drawn);
  expect(perJoule).toBe(3);
  expect(tokensPerKwh(perJoule)).toBe(10.8e6);
  expect(joulesPerToken(drawn, made)).toBeCloseTo(1 / 3, 15);
  expect(meanPower(drawn, hour)).toBe(1000);
});

it('gives $1.574e-8 per token at $0.17/kWh', () => {
  expect(costPerToken(energyCost(drawn, ratio(1), quantity(0.17)), made)?.toExponential(3)).toBe('1.574e-8');
  expect(energyCost(drawn, ratio(1), quantity(0.17))).toBe(0.17);
});

it('multiplies money and carbon by PUE', () => {
  expect(energyCost(drawn, ratio(1.5), quantity(0.2))).toBeCloseTo(0.3, 15);
  expect(carbonGrams(drawn, ratio(1.5), quantity(400))).toBeCloseTo(600, 12);
});

it('counts 6,650 useful tokens for A and 7,449.6 for B', () => {
  expect(usefulTokensFromRatios(tokens(10_000), ratio(0.7), ratio(0.95))).toBe(6650);
  expect(usefulTokensFromRatios(tokens(8000), ratio(0.96), ratio(0.97))).toBeCloseTo(7449.6, 9);
});

it('gives $0.0273 per meaningful response, and the same formula in joules', () => {
  const response = { outputTokens: tokens(150), attempts: ratio(1.2), promptTokens: tokens(150) };
  expect(costPerMeaningfulResponse({ ...response, perOutputToken: quantity(0.00015), perPromptToken: quantity(0.000002) })).toBeCloseTo(0.0273, 15);
  expect(energyPerMeaningfulResponse({ ...response, perOutputToken: quantity(2), perPromptToken: quantity(0.1) })).toBeCloseTo(375, 12);
  expect(costPerMeaningfulResponse({ ...response, perOutputToken: null, perPromptToken: quantity(0.1) })).toBeNull();
});

it('divides the all-in cost by useful tokens, and knows no total with a part missing', () => {
  const other = quantity<'money'>(3);
  expect(costPerUsefulToken(allInCost(quantity(0.17), other), tokens(3.17e6))).toBeCloseTo(1e-6, 15);
  expect(allInCost(null, other)).toBeNull();
  expect(allInCost(quantity(0.17), null)).toBeNull();
});

it('divides tokens by the cost of the whole stack, as a rate by a rate', () => {
  expect(tokensPerMoney(tokens(3000 * 3600), quantity(3.6))).toBe(3e6);
  expect(costPerMillionTokens(quantity(3.6), tokens(3.6e6))).toBe(1);
});

it('gives tokens a second per megawatt: 3,000 at 1 kW are 3 million at 1 MW', () => {
  expect(tokensPerMegawatt(made, drawn)).toBe(3e6);
});

it('answers null, never 0, for what was not measured', () => {
  expect(tokensPerWattSecond(null, drawn)).toBeNull();
  expect(tokensPerWattSecond(tokens(0), drawn)).toBeNull();
  expect(tokensPerWattSecond(made, joules(0))).toBeNull();
  expect(tokensPerKwh(null)).toBeNull();
  expect(joulesPerToken(null, made)).toBeNull();
  expect(energyCost(drawn, ratio(1), null)).toBeNull();
  expect(costPerToken(energyCost(null, ratio(1), quantity(0.17)), made)).toBeNull();
  expect(costPerToken(quantity(1), tokens(0))).toBeNull();
  expect(carbonGrams(null, ratio(1), quantity(400))).toBeNull();
  expect(meanPower(drawn, seconds(0))).toBeNull();
  expect(coverage(seconds(1), seconds(0))).toBeNull();
});

it('bounds joules by the ends of the gain and 1.96 standard deviations of sampling, and never below 0', () => {
  expect(energyInterval(joules(95), joules(105), quantity(4))).toEqual([95 - 3.92, 105 + 3.92]);
  expect(energyInterval(joules(1), joules(2), quantity(100))).toEqual([0, 2 + 19.6]);
});

it('widens the interval of a phase by its division, by squares on either side of the estimate', () => {
  // Below 5 J by the sensor and 12 J by the division are 13 J; above 9 J and 12 J are 15 J.
  expect(phaseEnergyInterval([joules(95), joules(109)], joules(100), joules(12))).toEqual([87, 115]);
  expect(phaseEnergyInterval([joules(95), joules(109)], joules(100), joules(0))).toEqual([95, 109]);
  expect(phaseEnergyInterval([joules(4), joules(6)], joules(5), joules(12))).toEqual([0, expect.closeTo(5 + Math.sqrt(145), 12)]);
});

it('is never narrower than the interval of the sensor, also where that does not hold the estimate', () => {
  // A sensor that is known to read low: its nearer end stands in for the estimate.
  expect(phaseEnergyInterval([joules(103), joules(108)], joules(100), joules(12))).toEqual([91, 116]);
  expect(phaseEnergyInterval([joules(92), joules(97)], joules(100), joules(12))).toEqual([84, 109]);
});

it('has a price per token in each phase, and what the cache saved at that of prompts', () => {
  const perPromptToken = joulesPerPromptToken(joules(30), tokens(600));
  expect(perPromptToken).toBe(0.05);
  expect(joulesPerOutputToken(joules(50), tokens(100))).toBe(0.5);
  expect(joulesSavedByCache(tokens(400), perPromptToken)).toBe(20);
  expect(joulesSavedByCache(tokens(0), perPromptToken)).toBe(0);
  expect([joulesPerPromptToken(null, tokens(1)), joulesPerPromptToken(joules(1), tokens(0)), joulesPerOutputToken(joules(1), null)]).toEqual([null, null, null]);
  expect([joulesSavedByCache(null, perPromptToken), joulesSavedByCache(tokens(400), null)]).toEqual([null, null]);
});

it('knows how much of what requests drew is not told apart', () => {
  expect(shareUntold(joules(30), joules(50), joules(20))).toBe(0.2);
  expect(shareUntold(null, joules(50), null)).toBe(0);
  expect(shareUntold(null, null, null)).toBeNull();
});

it('turns an interval of joules into one of each ratio, the least energy giving the most tokens', () => {
  const interval = energyInterval(joules(500), joules(2000), quantity(0));
  expect(joulesPerTokenInterval(interval, tokens(1000))).toEqual([0.5, 2]);
  expect(tokensPerWattSecondInterval(interval, tokens(1000))).toEqual([0.5, 2]);
  expect(tokensPerKwhInterval([0.5, 2])).toEqual([1.8e6, 7.2e6]);
  expect(costPerTokenInterval(interval, joules(1000), quantity(0.002), tokens(1000))).toEqual([1e-6, 4e-6]);
  // Where power is paid for being drawn, more of it costs less.
  expect(costPerTokenInterval(interval, joules(1000), quantity(-0.002), tokens(1000))).toEqual([-4e-6, -1e-6]);
});

it('has no upper end of tokens per joule where there may have been no energy, and no interval where there is no ratio', () => {
  const interval = energyInterval(joules(0), joules(10), quantity(0));
  expect(tokensPerWattSecondInterval(interval, tokens(5))).toBeNull();
  expect(joulesPerTokenInterval(interval, tokens(5))).toEqual([0, 2]);
  expect(joulesPerTokenInterval(interval, tokens(0))).toBeNull();
  expect(costPerTokenInterval(interval, joules(5), quantity(1), tokens(0))).toBeNull();
});

it('shows coverage above one as a double booking, but not as rounding', () => {
  expect(coverage(seconds(1.000_000_01), seconds(1))).toBe(1);
  expect(coverage(seconds(2), seconds(1))).toBe(2);
  expect(coverage(seconds(9), seconds(10))).toBe(0.9);
});
