/**
 * Every figure, once: its name in JSON and CSV, unit, heading, formula, and the pure function that makes it from sums. Reports,
 * pages, the API, exports and docs/figures.md are made from this table.
 */
import { quantity, tokens as tokenCount, type Joules, type Tokens } from '@joulebook/shared/units.js';
import { coverage, joulesPerToken, meanPower, positiveRatio, tokensPerKwh, tokensPerWattSecond } from './energy.js';
import { allInCost, costPerMillionTokens, costPerToken, gpuHours, gramsPerToken, tokensPerMegawatt, tokensPerMoney } from './money.js';
import { joulesPerOutputToken, joulesPerPromptToken, joulesSavedByCache } from './phases.js';
import type { Money, Sums } from './sums.js';
import { attemptsPerUseful, costPerMeaningfulResponse, costPerUsefulToken, energyPerMeaningfulResponse, joulesPerUsefulToken, tokensPerRequest, usefulShare } from './useful.js';

export interface Figure {
  /** `money` stands for the currency of the book. */
  readonly unit: string;
  /** Of its column in tables for people. */
  readonly head: string;
  readonly title: string;
  readonly formula: string;
  readonly of: (sums: Sums) => number | null;
}

const figure = (unit: string, head: string, title: string, formula: string, of: Figure['of']): Figure => ({ unit, head, title, formula, of });

/** Prompt and output each by its phase; where phases are not told all is over output, and prompts cost nothing beside it. */
const perResponse = <PerToken extends number>({ useful, usefulRequests, requests, computedInput, cachedInput }: Sums, output: PerToken | null, prompt: PerToken | null) => ({
  outputTokens: tokensPerRequest(useful, usefulRequests),
  attempts: attemptsPerUseful(requests, usefulRequests),
  perOutputToken: output,
  promptTokens: tokensPerRequest(computedInput === null ? null : tokenCount(computedInput + (cachedInput ?? 0)), requests),
  perPromptToken: prompt,
});

const allInput = ({ computedInput, cachedInput }: Sums): Tokens | null => (computedInput === null && cachedInput === null ? null : tokenCount((computedInput ?? 0) + (cachedInput ?? 0)));

/** All of a cost that belongs to one of two phases: what neither drew (idle, other costs) is shared as their energy is. */
function loaded(all: Money | null, own: Joules | null, { prefill, decode }: Sums): Money | null {
  const serving = (prefill ?? 0) + (decode ?? 0);
  return all === null || own === null || serving <= 0 ? null : quantity((all * own) / serving);
}
const whole = ({ energyCost, otherCost }: Sums): Money | null => allInCost(energyCost, otherCost);

export const FIGURES = {
  watts: figure('W', 'watts', 'Mean power', 'J / s of wall time observed', ({ joules, wall }) => meanPower(joules, wall)),
  tokensPerWattSecond: figure('token/J', 'tok/J', 'Tokens per watt-second (TPW)', 'T_out / J (a row of prefill: T_in computed / J)', ({ over, counted }) => tokensPerWattSecond(over, counted)),
  tokensPerKwh: figure('token/kWh', 'tok/kWh', 'Tokens per kilowatt-hour', 'T_out / J × 3.6e6', ({ over, counted }) => tokensPerKwh(tokensPerWattSecond(over, counted))),
  joulesPerToken: figure('J/token', 'J/tok', 'Energy per token', 'J / T_out', ({ over, counted }) => joulesPerToken(counted, over)),
  joulesPerPromptToken: figure('J/token', 'J/prompt tok', 'Energy per computed prompt token', 'J_prefill / T_in computed', ({ prefill, computedInput }) => joulesPerPromptToken(prefill, computedInput)),
  joulesPerOutputToken: figure('J/token', 'J/output tok', 'Decode energy per output token', 'J_decode / T_out', ({ decode, output }) => joulesPerOutputToken(decode, output)),
  joulesPerRequest: figure('J/request', 'J/request', 'Energy per request', 'J / requests that ended, whatever came of them', ({ counted, requests }) => positiveRatio(counted, requests)),
  joulesSavedByCache: figure('J', 'J saved by cache', 'Energy that cached prompt tokens would have cost', 'T_cached × J_prefill / T_in computed', ({ prefill, computedInput, cachedInputAll }) => joulesSavedByCache(cachedInputAll, joulesPerPromptToken(prefill, computedInput))),
  facilityJoules: figure('J', 'J at the meter', 'Energy of the facility', 'Σ J × PUE', ({ facility }) => facility),
  energyCost: figure('money', 'cost', 'Energy cost', 'Σ J × PUE / 3.6e6 × price at that time', ({ energyCost }) => energyCost),
  energyCostPerToken: figure('money/token', 'cost/tok', 'Energy cost per token', 'Σ J × PUE / 3.6e6 × price / T_out', ({ counted, countedCost, over }) => (joulesPerToken(counted, over) === null ? null : costPerToken(countedCost, over))),
  carbonGrams: figure('g', 'g CO2e', 'Carbon, by where the grid is', 'Σ kWh × PUE × intensity of the grid at that time', ({ location }) => location),
  carbonGramsMarket: figure('g', 'g CO2e (market)', 'Carbon, by what was bought', 'Σ kWh × PUE × intensity of contracts and certificates at that time', ({ market }) => market),
  carbonGramsPerToken: figure('g/token', 'g CO2e/tok', 'Carbon per token, by where the grid is', 'g / T_out', ({ location, over, counted, joules }) => gramsPerToken(location === null || joules === null || counted === null || joules <= 0 ? null : quantity((location * counted) / joules), over)),
  tokensPerMegawatt: figure('token/s/MW', 'tok/s/MW', 'Output per megawatt of site power', 'T_out / (J × PUE) × 1e6', ({ output, facility }) => tokensPerMegawatt(output, facility)),
  gpuHours: figure('h', 'GPU h', 'GPU hours that should have been seen', 'Σ s asked / 3600', ({ gpu }) => gpuHours(gpu)),
  allInCost: figure('money', 'all-in cost', 'Cost of the whole serving stack', 'energy + GPU or instance + CPU, memory, storage, network + orchestration + idle headroom + engineering', whole),
  costPerMillionInputTokens: figure('money/Mtoken', 'cost/M in', 'All-in cost per million prompt tokens, cached ones included', 'all-in × J_prefill / (J_prefill + J_decode) / T_in × 1e6', (sums) => costPerMillionTokens(loaded(whole(sums), sums.prefill, sums), allInput(sums))),
  costPerMillionComputedTokens: figure('money/Mtoken', 'cost/M computed', 'All-in cost per million computed prompt tokens', 'all-in × J_prefill / (J_prefill + J_decode) / T_in computed × 1e6', (sums) => costPerMillionTokens(loaded(whole(sums), sums.prefill, sums), sums.computedInput)),
  costPerMillionOutputTokens: figure('money/Mtoken', 'cost/M out', 'All-in cost per million output tokens', 'all-in × J_decode / (J_prefill + J_decode) / T_out × 1e6', (sums) => costPerMillionTokens(loaded(whole(sums), sums.decode, sums), sums.output)),
  costSavedByCache: figure('money', 'saved by cache', 'What cached prompt tokens would have cost; they bear no cost of their own', 'T_cached × all-in cost per computed prompt token', (sums) => {
    const perToken = costPerToken(loaded(whole(sums), sums.prefill, sums), sums.computedInput);
    return perToken === null || sums.cachedInputAll === null ? null : perToken * sums.cachedInputAll;
  }),
  tokensPerMoney: figure('token/money', 'tok/money', 'Tokens per unit of money', 'T_out / all-in cost', (sums) => tokensPerMoney(sums.output, whole(sums))),
  usefulShare: figure('1', 'useful', 'Useful share of output', 'T_useful / T_out of the same requests', ({ useful, requestOutput }) => usefulShare(useful, requestOutput)),
  usefulTokensPerWattSecond: figure('token/J', 'useful tok/J', 'Useful tokens per watt-second', 'T_useful / J', ({ useful, counted }) => tokensPerWattSecond(useful, counted)),
  joulesPerUsefulToken: figure('J/token', 'J/useful tok', 'Energy per useful token', 'J / T_useful', ({ useful, counted }) => joulesPerUsefulToken(counted, useful)),
  joulesPerUsefulRequest: figure('J/request', 'J/useful request', 'Energy per useful request: of a task, with all tries that it took', 'J / requests accepted inside their targets', ({ counted, usefulRequests }) => positiveRatio(counted, usefulRequests)),
  energyCostPerUsefulToken: figure('money/token', 'energy cost/useful tok', 'Energy cost per useful token', 'energy cost / T_useful', ({ useful, countedCost }) => costPerUsefulToken(countedCost, useful)),
  costPerUsefulToken: figure('money/token', 'cost/useful tok', 'All-in cost per useful token', 'all-in / T_useful', (sums) => costPerUsefulToken(whole(sums), sums.useful)),
  usefulTokensPerMoney: figure('token/money', 'useful tok/money', 'Useful tokens per unit of money', 'T_useful / all-in cost', (sums) => tokensPerMoney(sums.useful, whole(sums))),
  joulesPerMeaningfulResponse: figure('J', 'J/response', 'Energy per meaningful response', 'E_t × A × J_decode / T_out + P_t × J_prefill / T_in', (sums) =>
    energyPerMeaningfulResponse(perResponse(sums, joulesPerOutputToken(sums.decode, sums.output), joulesPerPromptToken(sums.prefill, allInput(sums))))),
  costPerMeaningfulResponse: figure('money', 'cost/response', 'All-in cost per meaningful response', 'E_t × A × C_t + P_t × C_p', (sums) => {
    const all = whole(sums);
    return costPerMeaningfulResponse(perResponse(sums, costPerToken(loaded(all, sums.decode, sums), sums.output), costPerToken(loaded(all, sums.prefill, sums), allInput(sums))));
  }),
  coverage: figure('1', 'coverage', 'Coverage', 's observed / s asked', ({ observed, asked }) => coverage(observed, asked)),
} as const satisfies Readonly<Record<string, Figure>>;

export type FigureName = keyof typeof FIGURES;
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the names of a literal are its own
export const FIGURE_NAMES = Object.keys(FIGURES) as readonly FigureName[];
