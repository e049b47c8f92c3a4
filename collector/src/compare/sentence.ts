/** The answer in plain words: what changed, how sure that is, what it means and what it does not. One sentence each. */
import { figure } from '../report/columns.js';
import type { Also, Amounts, Comparison } from './answer.js';
import { restsOn } from './found.js';
import { CONDITION_NAMES } from './method/compare-blocks.js';

type Answer = Omit<Comparison, 'sentences'>;
type Verdict = Comparison['verdict'];

const MINUS = '−';
/** `+187.7 %`, `−0.42 %`. */
export function change(relative: number): string {
  const percent = Math.abs(relative * 100);
  return `${relative < 0 ? MINUS : '+'}${percent.toFixed(percent < 1 ? 2 : 1)} %`;
}
const size = (relative: number): string => change(relative).slice(1);
export const intervalText = ([low, high]: readonly [number, number]): string => `${change(low)} to ${change(high)}`;

export const unitText = (unit: string, currency: string): string => unit.replaceAll('money', currency);

const moreOrLess = (relative: number): string => `${size(relative)} ${relative < 0 ? 'less' : 'more'}`;
const BETTER: Readonly<Record<Verdict, string>> = { 'b-better': ' B is better.', 'a-better': ' A is better.', 'no-difference-shown': '', 'not-comparable': '' };

function valuesText({ a, b, unit, currency }: Answer): string {
  // A share has no unit: its 1 would read as a figure.
  return a.estimate === null || b.estimate === null ? '' : `${figure(b.estimate)}${unit === '1' ? '' : ` ${unitText(unit, currency)}`} instead of ${figure(a.estimate)}`;
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''}`;
}

function verdictLine(answer: Answer): string {
  const { a, b, effect: { relative, adjusted, unadjusted }, effect, adjustments, verdict, title, sequential, reasons } = answer;
  const names = [`A (${a.name})`, `B (${b.name})`] as const;
  const interval = restsOn(effect, sequential);
  if (verdict === 'not-comparable' || relative === null || interval === null) {
    const plainly = unadjusted === null ? '' : ` As measured it is ${valuesText(answer)}, ${change(unadjusted)}; how much of that is chance, or has other causes, is not known.`;
    return `${names[0]} and ${names[1]} can't be compared in ${title}: ${reasons[0]?.detail ?? 'there is too little to go by.'}${plainly}`;
  }
  const range = `95 % interval ${intervalText(interval)}${sequential ? ', which holds however often one looks' : ''}`;
  const equal = adjusted ? `At equal ${listed(adjustments.map(({ covariate }) => CONDITION_NAMES[covariate]))}, ` : '';
  const asMeasured = adjusted && unadjusted !== null ? ` As measured it is ${valuesText(answer)}, ${change(unadjusted)}.` : '';
  const plain = adjusted ? '' : `: ${valuesText(answer)}`;
  if (verdict === 'no-difference-shown') return `${equal}${equal === '' ? 'No' : 'no'} difference in ${title} between ${names[0]} and ${names[1]} is shown: ${change(relative)} (${range}) may as well be none${plain}.${asMeasured}`;
  return `${equal}${names[1]} has ${moreOrLess(relative)} ${title} than ${names[0]}${plain} (${range}).${BETTER[verdict]}${asMeasured}`;
}

/** Smaller changes of power are not worth a word of their own. */
const NOTEWORTHY = 0.01;

/** Power and energy per token go apart where one side is slower: the commonest wrong conclusion. */
function powerLine({ a, b, metric, verdict }: Answer): string[] {
  if (verdict === 'not-comparable' || !a.watts || !b.watts || !a.joulesPerToken || !b.joulesPerToken) return [];
  const [power, token] = [b.watts / a.watts - 1, b.joulesPerToken / a.joulesPerToken - 1];
  if (power * token >= 0 || Math.min(Math.abs(power), Math.abs(token)) < NOTEWORTHY) return metric === 'watts' ? [`Mean power alone says nothing of efficiency: energy per output token went from ${figure(a.joulesPerToken)} to ${figure(b.joulesPerToken)} J (${change(token)}).`] : [];
  const [fell, rose] = power < 0 ? ['fell', 'rose'] : ['rose', 'fell'];
  return [`Mean power ${fell} by ${size(power)} (from ${figure(a.watts)} to ${figure(b.watts)} W) while energy per output token ${rose} by ${size(token)}: ${power < 0 ? 'less power is not less energy, the same tokens take longer' : 'more power is not more energy, the same tokens take less time'}.`];
}

const OTHERWISE: Readonly<Record<Verdict, string>> = { 'b-better': 'B is better', 'a-better': 'A is better', 'no-difference-shown': 'no difference is shown', 'not-comparable': 'nothing can be told' };

function alsoLine({ title, verdict, relative, reasons: [against], ...also }: Also, { verdict: main, sequential }: Answer): string[] {
  const interval = restsOn(also, sequential);
  if (against && main !== 'not-comparable') return [`By ${title} they can't be compared: ${against.detail}`];
  if (relative === null || interval === null || main === 'not-comparable') return [];
  const told = `${title} ${change(relative)} (${intervalText(interval)})`;
  return [verdict === main ? `It is the same by ${told}.` : `It is not the same by ${told}: there ${OTHERWISE[verdict]}.`];
}

const UNITS = [['days', 86_400], ['h', 3600], ['min', 60], ['s', 1]] as const;
/** @param like a length whose unit it is told in; its own unless given */
export function lasting(seconds: number, like = seconds): string {
  const [unit, length] = UNITS.find(([, each]) => like >= 2 * each) ?? ['s', 1];
  return `${figure(Number((seconds / length).toPrecision(2)))} ${unit}`;
}

/** `2 days, 1.5 days more than now`: both in one unit. */
export function lastingMore(seconds: number, more: number): string {
  const [all, rest] = [lasting(seconds), lasting(more, seconds)];
  return all === rest ? `${all}, nearly all of it still to come` : `${all}, ${rest} more than now`;
}

function precisionLine({ verdict, minimumDetectableEffect, design, precision: { wanted, reached, blocksPerSide, secondsPerSide, moreSeconds } }: Answer): string[] {
  if (reached === null || verdict === 'not-comparable') return [];
  const seen = minimumDetectableEffect === null ? [] : [`With this much data a difference of ${size(minimumDetectableEffect)} shows in 8 of 10 cases.`];
  if (reached <= wanted) return [...seen, `The interval is narrower than the ±${size(wanted)} that were asked for.`];
  const long = blocksPerSide === null ? 'no length of measuring like this will do' : design === 'runs' ? `${figure(blocksPerSide)} runs of either side are needed` : `either side has to be measured for ${lastingMore(secondsPerSide ?? 0, moreSeconds ?? 0)}`;
  return [...seen, `For an interval of ±${size(wanted)} ${long}.`];
}

const amount = (value: number): string => figure(Math.abs(value));

function monthLine({ monthly, currency, verdict }: Answer): string[] {
  if (!monthly) return [];
  const parts = ([['kwh', 'kWh'], ['cost', currency], ['carbonKg', 'kg CO2e']] as const).flatMap(([name, unit]) => {
    const [value, low, high] = [monthly.change[name], monthly.low[name], monthly.high[name]];
    return value === null || low === null || high === null ? [] : [`${amount(value)} ${unit} ${value < 0 ? 'less' : 'more'} (${signed(low)} to ${signed(high)})`];
  });
  if (parts.length === 0) return [];
  const traffic = monthly.tokensPerSecond === null ? 'what A does now' : `A's traffic of ${figure(monthly.tokensPerSecond)} output tokens/s`;
  return [`A month of ${traffic} is ${monthlyNow(monthly.a, currency)}; by B it would be ${listed(parts)}${verdict === 'no-difference-shown' ? ', or nothing of it' : ''}.`];
}
const signed = (value: number): string => `${value < 0 ? MINUS : '+'}${amount(value)}`;
const monthlyNow = ({ kwh, cost, carbonKg }: Amounts, currency: string): string =>
  listed([...(kwh === null ? [] : [`${figure(kwh)} kWh`]), ...(cost === null ? [] : [`${figure(cost)} ${currency}`]), ...(carbonKg === null ? [] : [`${figure(carbonKg)} kg CO2e`])]);

/** An interval of one measure may leave no change out where the verdict, which has to hold for all, does not. */
const togetherLine = ({ together, verdict }: Answer): string[] =>
  (together < 2 || verdict === 'not-comparable' ? [] : [`Verdicts hold for the ${together} measures that were asked for together (Holm: that any of them is called different by chance happens in 5 of 100 cases at most); intervals are of each by itself.`]);

export function sentencesOf(answer: Answer): string[] {
  return [verdictLine(answer), ...powerLine(answer), ...answer.also.flatMap((each) => alsoLine(each, answer)), ...togetherLine(answer), ...monthLine(answer), ...precisionLine(answer)];
}
