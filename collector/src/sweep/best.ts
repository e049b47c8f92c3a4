/**
 * Which point is the best, and how far it is told apart from each of the others. Begun with the best figure as measured; where a
 * comparison at equal conditions shows another to be better, with that one:
 *
 *   400 W  2.0 J/token  ▶ 300 W is better at equal load ▶ 300 W, if nothing is better than it
 *   300 W  2.1 J/token
 *
 * One that can be held against no other is passed over. The best is chosen by the data that judge it: Holm's correction over all
 * others keeps that honest.
 */
import type { Reason } from '../compare/answer.js';
import { designOf } from '../compare/design.js';
import { compareBlocks, type Block, type BlockAnswer, type Covariate } from '../compare/method/compare-blocks.js';
import { holm } from '../compare/method/holm.js';
import type { Metric } from '../compare/metrics.js';
import { badlyCovered, measuredOtherwise, otherMachines, sharedDevices } from '../compare/refusals.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import type { Evidence, Point, SweepAnswer } from './answer.js';
import type { Place } from './gather.js';

export const ERROR = 0.05;

export interface Measured {
  readonly place: Place;
  readonly blocks: (metric: Metric) => readonly Block[];
}
interface Eligible {
  readonly measured: Measured;
  readonly point: Point;
}
interface How {
  readonly covariates: readonly Covariate[];
  /** Null for runs. */
  readonly step: EpochMicros | null;
  /** Points by a key may have worked at the same time, and on other machines. */
  readonly byKey: boolean;
}

interface Held {
  readonly other: Eligible;
  readonly answer: BlockAnswer;
  /** Why they can't be held against each other, whatever the figures say. */
  readonly refused: readonly Reason[];
  readonly notes: readonly Reason[];
}

async function held(a: Eligible, b: Eligible, metric: Metric, { covariates, step, byKey }: How): Promise<Held> {
  const [first, second] = [a.measured.blocks(metric), b.measured.blocks(metric)];
  const sides = [a.measured.place.told, b.measured.place.told] as const;
  const design = designOf(first, second);
  const known = covariates.filter((name) => [first, second].every((blocks) => blocks.some(({ covariates: told }) => told[name] !== undefined)));
  const refused = [...(byKey && step !== null && design === 'parallel' ? await sharedDevices(sides, step) : []), ...measuredOtherwise(sides, design), ...badlyCovered(sides)];
  return { other: b, refused, notes: byKey ? otherMachines(sides, design) : [], answer: compareBlocks({ a: first, b: second, design, sequential: false, covariates: known, lowerIsBetter: metric.lowerIsBetter }) };
}

interface Judged {
  readonly other: Eligible;
  readonly evidence: Evidence;
  /** It is better than what it is held against. */
  readonly better: boolean;
}

async function judged(best: Eligible, others: readonly Eligible[], metric: Metric, how: How): Promise<Judged[]> {
  const all: Held[] = [];
  for (const other of others) all.push(await held(best, other, metric, how));
  const told = all.filter(({ answer, refused }) => refused.length === 0 && answer.effect.pValue !== null);
  const adjusted = holm(told.map(({ answer }) => answer.effect.pValue ?? 1));
  return all.map((each): Judged => {
    const { other, answer: { effect: { relative, ci95 }, verdict, reasons, adjustments }, refused, notes } = each;
    const against = refused.length > 0 ? refused : verdict === 'not-comparable' ? reasons : undefined;
    const point = other.point.name;
    if (against) return { other, better: false, evidence: { point, relative: null, ci95: null, pValue: null, verdict: 'not-comparable', reasons: against.map(({ code, detail }) => ({ code, detail })), adjustments: [] } };
    const pValue = adjusted[told.indexOf(each)] ?? null;
    const shown = pValue !== null && pValue < ERROR && relative !== null;
    const isWorse = relative !== null && relative > 0 === metric.lowerIsBetter;
    return {
      other, better: shown && !isWorse,
      evidence: {
        point, relative, ci95: ci95 && [ci95[0], ci95[1]], pValue, verdict: shown && isWorse ? 'worse' : 'not-told-apart',
        reasons: [...reasons, ...notes].map(({ code, detail }) => ({ code, detail })), adjustments: adjustments.map(({ detail }) => detail),
      },
    };
  });
}

/** Best first, at equal conditions. */
const nearest = (all: readonly Judged[], { lowerIsBetter }: Metric): Judged[] =>
  all.filter(({ evidence: { verdict } }) => verdict !== 'not-comparable').toSorted((a, b) => ((a.evidence.relative ?? 0) - (b.evidence.relative ?? 0)) * (lowerIsBetter ? 1 : -1));

type Best = Pick<SweepAnswer, 'best' | 'unchosen'>;
const none = (code: string, detail: string): Best => ({ best: null, unchosen: { code, detail } });
const quoted = ({ point: { name } }: Eligible): string => `'${name}'`;

const CONSTANT = 'every block of it has the same figure: what was measured varies, so this is no measurement, and no error can be told from it';

function alone(only: Eligible, metric: Metric): Best {
  const { point: { name, figures } } = only;
  if (figures[metric.name]?.ci95 === null) return none('CONSTANT_DATA', `Only ${quoted(only)} could be the best, and ${CONSTANT}.`);
  return { best: { point: name, runnerUp: null, toldApart: null, evidence: [] }, unchosen: null };
}

/** @param eligible those that nothing stands against, the best figure first */
export async function bestOf(eligible: readonly Eligible[], metric: Metric, how: How): Promise<Best> {
  const [first] = eligible;
  if (!first) return { best: null, unchosen: null };
  if (eligible.length === 1) return alone(first, metric);
  const tried: Eligible[] = [];
  let why = '';
  for (let best: Eligible | undefined = first; best !== undefined;) {
    tried.push(best);
    const candidate: Eligible = best;
    const others = eligible.filter((each) => each !== candidate);
    const found = await judged(candidate, others, metric, how);
    const comparable = nearest(found, metric);
    if (comparable.length === 0) {
      why ||= `${quoted(candidate)} (A) against ${found[0]?.evidence.point ?? ''} (B): ${found[0]?.evidence.reasons[0]?.detail ?? ''}`;
      best = eligible.find((each) => !tried.includes(each));
      continue;
    }
    const better = comparable.find((each) => each.better)?.other;
    if (better === undefined) {
      const [next] = comparable;
      return { best: { point: candidate.point.name, runnerUp: next?.evidence.point ?? null, toldApart: next ? next.evidence.verdict === 'worse' : null, evidence: found.map(({ evidence }) => evidence) }, unchosen: null };
    }
    if (tried.includes(better)) return none('COMPARISONS_DISAGREE', `At equal conditions ${quoted(better)} is better than ${quoted(candidate)}, and another is better than it: the conditions of the points overlap too little to name one.`);
    best = better;
  }
  return none('NOTHING_COMPARABLE', `No point can be held against any other. ${why}`);
}
