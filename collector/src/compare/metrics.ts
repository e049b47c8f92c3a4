/**
 * What can be compared: figures that are a ratio of two additive amounts, so that any stretch of time has one and the whole is
 * the ratio of the sums.
 *
 *   joulesPerToken        Σ joules / Σ output tokens         less is better
 *   tokensPerWattSecond   Σ output tokens / Σ joules         more is better
 *   ttft                  Σ seconds / Σ requests             less is better; seconds by the middle of each request's bucket
 *
 * `per` exchanges the tokens of a figure for requests, or for tasks: requests that were accepted inside their targets.
 */
import { FIGURES, type FigureName } from '../figures/table.js';
import { nearest } from '@joulebook/shared/settings.js';
import { JOULES_PER_KWH } from '@joulebook/shared/units.js';

/** J at the boundary; money and g after PUE; s of wall time; s of latency; counts. */
export const AMOUNTS = [
  'joules', 'prefill', 'decode', 'facility', 'energyCost', 'allInCost', 'carbon', 'wall',
  'output', 'computedInput', 'useful', 'requestOutput', 'requests', 'usefulRequests', 'ttft', 'ttftRequests', 'tpot', 'tpotRequests',
] as const;
export type Amount = (typeof AMOUNTS)[number];

/** Energy and what it is worth: a month's follows from a relative change. */
const DRAWN: readonly Amount[] = ['joules', 'prefill', 'decode', 'facility', 'energyCost', 'allInCost', 'carbon'];

/** Facts that an amount is summed from. */
export function kindOf(amount: Amount): 'energy' | 'tokens' | 'requests' {
  if (amount === 'output' || amount === 'computedInput') return 'tokens';
  return DRAWN.includes(amount) || amount === 'wall' ? 'energy' : 'requests';
}

export const PER = ['token', 'request', 'task'] as const;
export type Per = (typeof PER)[number];

export interface Metric {
  readonly name: string;
  /** In words, after "A needs 2.1 J of": `energy per output token`. */
  readonly title: string;
  /** `money` stands for the currency of the book. */
  readonly unit: string;
  readonly numerator: Amount;
  readonly denominator: Amount;
  /** Of the numerator: 3.6e6 where J are told in kWh. */
  readonly factor: number;
  readonly lowerIsBetter: boolean;
  readonly per: Per | null;
}

const TOKENS: readonly Amount[] = ['output', 'computedInput', 'useful'];

type Rest = Partial<Pick<Metric, 'factor' | 'lowerIsBetter' | 'unit'>>;
const isToken = (amount: Amount): boolean => TOKENS.includes(amount);

function metric(name: string, title: string, numerator: Amount, denominator: Amount, unit: string, { factor = 1, lowerIsBetter = true }: Rest = {}): Metric {
  return { name, title, unit, numerator, denominator, factor, lowerIsBetter, per: isToken(numerator) || isToken(denominator) ? 'token' : null };
}
const ofTable = (name: FigureName, title: string, numerator: Amount, denominator: Amount, rest: Rest = {}): Metric => metric(name, title, numerator, denominator, FIGURES[name].unit, rest);
const MORE = { lowerIsBetter: false } as const;

const ALL: readonly Metric[] = [
  ofTable('joulesPerToken', 'energy per output token', 'joules', 'output'),
  ofTable('tokensPerWattSecond', 'output tokens per watt-second', 'output', 'joules', MORE),
  ofTable('tokensPerKwh', 'output tokens per kilowatt-hour', 'output', 'joules', { factor: JOULES_PER_KWH, ...MORE }),
  ofTable('watts', 'mean power', 'joules', 'wall'),
  ofTable('joulesPerPromptToken', 'prefill energy per computed prompt token', 'prefill', 'computedInput'),
  ofTable('joulesPerOutputToken', 'decode energy per output token', 'decode', 'output'),
  { ...ofTable('joulesPerRequest', 'energy per request', 'joules', 'requests'), per: 'request' },
  { ...ofTable('joulesPerUsefulRequest', 'energy per task', 'joules', 'usefulRequests'), per: 'task' },
  ofTable('energyCostPerToken', 'energy cost per output token', 'energyCost', 'output'),
  ofTable('carbonGramsPerToken', 'carbon per output token', 'carbon', 'output'),
  ofTable('tokensPerMegawatt', 'output tokens per megawatt of site power', 'output', 'facility', { factor: 1e6, ...MORE }),
  ofTable('tokensPerMoney', 'output tokens per unit of money', 'output', 'allInCost', MORE),
  ofTable('usefulShare', 'useful share of output', 'useful', 'requestOutput', MORE),
  ofTable('usefulTokensPerWattSecond', 'useful tokens per watt-second', 'useful', 'joules', MORE),
  ofTable('joulesPerUsefulToken', 'energy per useful token', 'joules', 'useful'),
  ofTable('energyCostPerUsefulToken', 'energy cost per useful token', 'energyCost', 'useful'),
  ofTable('costPerUsefulToken', 'all-in cost per useful token', 'allInCost', 'useful'),
  ofTable('usefulTokensPerMoney', 'useful tokens per unit of money', 'useful', 'allInCost', MORE),
  metric('ttft', 'mean time to first token', 'ttft', 'ttftRequests', 's'),
  metric('tpot', 'mean time per output token', 'tpot', 'tpotRequests', 's'),
];

export const METRICS: ReadonlyMap<string, Metric> = new Map(ALL.map((each) => [each.name, each]));
export const DEFAULT_METRIC = 'joulesPerToken';

/** Why a name is no metric, in words after the name. */
export function whyNoMetric(name: string): string {
  const known = [...METRICS.keys()];
  if (Object.hasOwn(FIGURES, name)) return `is no ratio of two sums, which is what can be compared; known are ${known.join(', ')}`;
  const guess = nearest(name, known);
  return `is no metric; ${guess === undefined ? `known are ${known.join(', ')}` : `did you mean '${guess}'?`}`;
}

const BASES: Readonly<Record<Per, { readonly amount: Amount; readonly word: string }>> = { token: { amount: 'output', word: 'output token' }, request: { amount: 'requests', word: 'request' }, task: { amount: 'usefulRequests', word: 'task' } };

/** The same over requests, tasks or output tokens instead; undefined for a metric that is over none of them. */
export function metricPer(of: Metric, per: Per): Metric | undefined {
  if (of.per === null || of.per === per) return of.per === null ? undefined : of;
  const { amount, word } = BASES[per];
  const exchanged = (each: Amount): Amount => (isToken(each) || each === 'requests' || each === 'usefulRequests' ? amount : each);
  const [numerator, denominator] = [exchanged(of.numerator), exchanged(of.denominator)];
  const known = ALL.find((each) => each.numerator === numerator && each.denominator === denominator);
  const title = of.title.replace(/\b(?:computed prompt|output|useful) token(s?)\b/, `${word}$1`);
  return known ?? { ...of, title, unit: of.unit.replaceAll('token', word), numerator, denominator, per };
}

/**
 * The amount that a month's energy, money or carbon is counted in, and how it changes: undefined for shares and latencies, and for mean
 * power, which says nothing of how long the same traffic takes.
 */
export function drawnOf({ numerator, denominator }: Metric): { readonly amount: Amount; readonly inverse: boolean } | undefined {
  if (numerator === 'wall' || denominator === 'wall') return undefined;
  if (DRAWN.includes(numerator)) return { amount: numerator, inverse: false };
  return DRAWN.includes(denominator) ? { amount: denominator, inverse: true } : undefined;
}

export const isOfPhase = ({ numerator }: Metric): 'prefill' | 'decode' | undefined => (numerator === 'prefill' || numerator === 'decode' ? numerator : undefined);
