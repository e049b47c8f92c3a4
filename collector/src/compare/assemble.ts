/** What was found, as the answer that is told. */
import type { Book } from '../book/book.js';
import { formatTime } from '../join/times.js';
import type { Also, Comparison, Reason, SideAnswer } from './answer.js';
import { restsOn, secondsOf, type Compared, type Found, type Measured, type Pair } from './found.js';
import { holm } from './method/holm.js';
import type { BlockAnswer, Verdict } from './method/compare-blocks.js';
import type { Metric } from './metrics.js';
import { monthlyOf } from './monthly.js';
import type { CompareRequest, SideText } from './question.js';
import { sentencesOf } from './sentence.js';
import type { Glance } from './sides.js';

const metricPart = ({ name, title, unit, per, lowerIsBetter }: Metric) => ({ metric: name, title, unit, per, lowerIsBetter });
const pair = (interval: readonly [number, number] | null): [number, number] | null => (interval === null ? null : [interval[0], interval[1]]);

/** A picture shows no more. */
const MOST_SHOWN = 200;

/** Order statistics at even shares. */
function distributionOf({ blocks }: Measured): number[] {
  const sorted = blocks.flatMap(({ numerator, denominator }) => (denominator > 0 ? [numerator / denominator] : [])).toSorted((a, b) => a - b);
  if (sorted.length <= MOST_SHOWN) return sorted;
  return Array.from({ length: MOST_SHOWN }, (_, index) => sorted[Math.round((index * (sorted.length - 1)) / (MOST_SHOWN - 1))] ?? 0);
}

function sideOf(side: Measured, { name }: SideText, answer: BlockAnswer['a'], areRuns: boolean): SideAnswer {
  const { told: { extent, report: { coverage, total } }, sums } = side;
  return {
    name, estimate: answer.estimate, ci95: pair(answer.ci95), blocks: answer.blocks,
    from: extent && !areRuns ? formatTime(extent.from) : null, to: extent && !areRuns ? formatTime(extent.to) : null,
    coverage, watts: total.watts, joulesPerToken: total.joulesPerToken, tokensPerSecond: areRuns || sums.output === undefined ? null : sums.output / secondsOf(side),
    distribution: distributionOf(side),
  };
}

const ERROR = 0.05;

const verdictBy = (relative: number, { lowerIsBetter }: Metric): Verdict => (relative < 0 === lowerIsBetter ? 'b-better' : 'a-better');

interface Judged {
  readonly pValue: number | null;
  readonly verdict: Verdict;
}

const isRefused = ({ answer, refused }: Compared): boolean => refused.length > 0 || answer.verdict === 'not-comparable';

/** Verdicts that hold for all of these measures together. */
function judgedTogether(all: readonly Compared[]): ReadonlyMap<Compared, Judged> {
  // One that can show nothing takes none of the error from the others.
  const told = all.filter((each) => !isRefused(each) && each.answer.effect.pValue !== null);
  const adjusted = holm(told.map(({ answer }) => answer.effect.pValue ?? 1));
  return new Map(all.map((each) => {
    const { metric, answer: { effect } } = each;
    const pValue = adjusted[told.indexOf(each)] ?? null;
    const shown = pValue !== null && pValue < ERROR && effect.relative !== null ? verdictBy(effect.relative, metric) : 'no-difference-shown';
    return [each, { pValue, verdict: isRefused(each) ? 'not-comparable' : shown }];
  }));
}

function alsoOf({ metric, answer: { a, b, effect, verdict, reasons }, refused }: Compared, judged: Judged | undefined): Also {
  const against = [...refused, ...(verdict === 'not-comparable' ? reasons : [])];
  return {
    ...metricPart(metric), a: a.estimate, b: b.estimate, relative: effect.relative, unadjusted: effect.unadjusted, ci95: pair(effect.ci95), alwaysValid: pair(effect.alwaysValid), pValue: judged?.pValue ?? null, verdict: judged?.verdict ?? 'not-comparable',
    reasons: unique(against),
  };
}

function precisionOf({ request: { precision: wanted, sequential }, sides, step }: Found, { effect, blocksFor, a, b }: BlockAnswer): Comparison['precision'] {
  // What blocks are counted for is the interval that the verdict rests on.
  const [interval, { relative }] = [restsOn(effect, sequential), effect];
  const blocksPerSide = blocksFor(wanted);
  const lengths = sides.map((side, index) => secondsOf(side) / Math.max(1, (index === 0 ? a : b).blocks));
  const secondsPerSide = step === null || blocksPerSide === null ? null : blocksPerSide * Math.max(...lengths);
  const least = Math.min(...sides.map(secondsOf));
  return { wanted, reached: interval === null || relative === null ? null : (interval[1] - interval[0]) / 2 / (1 + relative), blocksPerSide, secondsPerSide, moreSeconds: secondsPerSide === null ? null : Math.max(0, secondsPerSide - least) };
}

const unique = (reasons: readonly Reason[]): Reason[] => [...new Map(reasons.map((reason) => [`${reason.code} ${reason.detail}`, { code: reason.code, detail: reason.detail }])).values()];

const flagsOf = (sides: Pair<Measured>): Comparison['flags'] => sides.flatMap(({ told: { report } }, index) => report.flags.map((flag) => ({ ...flag, side: index === 0 ? ('a' as const) : ('b' as const) })));

export function answerOf(found: Found): Comparison {
  const { request, book, sides, design, step, main, others, notes } = found;
  const { metric, answer, refused } = main;
  const [a, b] = sides;
  const { effect } = answer;
  // Measures that were asked for share one error; those that are told beside them take nothing of it, and share another.
  const [asked, unasked] = [[main, ...others.filter((each) => request.measures.includes(each.metric))], others.filter((each) => !request.measures.includes(each.metric))];
  const judged = new Map([...judgedTogether(asked), ...judgedTogether(unasked)]);
  const { verdict, pValue } = judged.get(main) ?? { verdict: 'not-comparable', pValue: null };
  const comparison: Omit<Comparison, 'sentences'> = {
    ...metricPart(metric),
    a: sideOf(a, request.a, answer.a, step === null), b: sideOf(b, request.b, answer.b, step === null),
    effect: { relative: effect.relative, ci95: pair(effect.ci95), alwaysValid: pair(effect.alwaysValid), pValue, adjusted: effect.adjusted, unadjusted: effect.unadjusted },
    verdict, together: asked.filter((each) => !isRefused(each)).length,
    minimumDetectableEffect: answer.minimumDetectableEffect,
    reasons: unique([...refused, ...answer.reasons, ...notes]),
    adjustments: answer.adjustments.map(({ covariate, coefficient, detail }) => ({ covariate, coefficient, detail })),
    design, step: step === null ? null : step / 1e6, sequential: request.sequential,
    boundary: a.told.boundary === b.told.boundary ? a.told.boundary : null, currency: book.currency,
    precision: precisionOf(found, answer),
    also: others.map((each) => alsoOf(each, refused.length > 0 ? undefined : judged.get(each))),
    monthly: step === null || verdict === 'not-comparable' ? null : monthlyOf(metric, a.told, a.sums, secondsOf(a), answer, request.sequential),
    flags: flagsOf(sides),
  };
  return { ...comparison, sentences: sentencesOf(comparison) };
}

const NO_SIDE = { estimate: null, ci95: null, blocks: 0, from: null, to: null, coverage: null, watts: null, joulesPerToken: null, tokensPerSecond: null, distribution: [] };

/** Where a side has no facts at all. */
export function nothingToTell({ metric, a, b, sequential, precision }: CompareRequest, { currency }: Book, [first, second]: Pair<Glance>, reasons: readonly Reason[]): Comparison {
  const comparison: Omit<Comparison, 'sentences'> = {
    ...metricPart(metric), a: { ...NO_SIDE, name: a.name }, b: { ...NO_SIDE, name: b.name },
    effect: { relative: null, ci95: null, alwaysValid: null, pValue: null, adjusted: false, unadjusted: null },
    verdict: 'not-comparable', together: 0, minimumDetectableEffect: null, reasons: unique(reasons), adjustments: [], design: null, step: null, sequential,
    boundary: first.boundary ?? second.boundary, currency, precision: { wanted: precision, reached: null, blocksPerSide: null, secondsPerSide: null, moreSeconds: null }, also: [], monthly: null, flags: [],
  };
  return { ...comparison, sentences: sentencesOf(comparison) };
}
