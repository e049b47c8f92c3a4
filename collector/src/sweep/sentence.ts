/** A sweep in plain words: one sentence each. */
import { intervalText, lasting, change, unitText } from '../compare/sentence.js';
import { figure, percent } from '../report/columns.js';
import type { Evidence, SweepAnswer } from './answer.js';

type Answer = Omit<SweepAnswer, 'sentences'>;

const at = ({ axis: { title, unit } }: Answer, name: string): string => `${title} ${name}${unit === '' ? '' : ` ${unit}`}`;

function bestLine(answer: Answer): string {
  const { best, points, metrics: [metric], currency, wantedInside } = answer;
  if (!metric) return '';
  if (!best) {
    if (points.length === 0) return 'There is nothing on this axis.';
    const targeted = wantedInside !== null && points.every(({ inside }) => inside !== true);
    return targeted ? `No point has ${percent(wantedInside)} of its requests inside the targets, so none is the best.` : 'No point has enough time behind it to be the best.';
  }
  const found = points.find(({ name }) => name === best.point);
  const of = found?.figures[metric.name];
  const range = of?.ci95 ? ` (95 % interval ${figure(of.ci95[0])} to ${figure(of.ci95[1])})` : '';
  const inside = wantedInside === null ? 'No latency targets are said, so all points count' : `Of the points with ${percent(wantedInside)} of their requests inside the targets`;
  return `${inside}: ${at(answer, best.point)} has the best ${metric.title}, ${figure(of?.estimate)} ${unitText(metric.unit, currency)}${range}.`;
}

function evidenceLine(answer: Answer, { point, relative, ci95, verdict, reasons, adjustments }: Evidence): string {
  const told = relative === null || ci95 === null ? '' : `: ${change(relative)} (${intervalText(ci95)})${adjustments.length > 0 ? ', at equal conditions' : ''}`;
  if (verdict === 'not-comparable') return `${at(answer, point)} can't be held against it: ${reasons[0]?.detail ?? 'there is too little to go by.'}`;
  return verdict === 'worse' ? `The next best, ${at(answer, point)}, is worse${told}.` : `The next best, ${at(answer, point)}, is not told apart from it${told}: either may be the best.`;
}

function runnerUpLines(answer: Answer): string[] {
  const { best } = answer;
  if (!best) return [];
  const next = best.evidence.find(({ point }) => point === best.runnerUp);
  const alike = best.evidence.filter(({ verdict, point }) => verdict !== 'worse' && point !== best.runnerUp).map(({ point }) => point);
  return [
    ...(next ? [evidenceLine(answer, next)] : ['There is no other point to hold it against.']),
    ...(alike.length > 0 ? [`Nor is it told apart from ${alike.join(', ')}.`] : []),
  ];
}

function outsideLine({ points, wantedInside }: Answer): string[] {
  const outside = points.filter(({ inside }) => inside === false);
  const untold = wantedInside === null ? [] : points.filter(({ inside }) => inside === null);
  return [
    ...(outside.length > 0 ? [`Outside the targets: ${outside.map(({ name, insideShare }) => `${name} (${percent(insideShare)} inside)`).join(', ')}.`] : []),
    ...(untold.length > 0 ? [`Of ${untold.map(({ name }) => name).join(', ')} no request tells whether it was inside the targets.`] : []),
  ];
}

export function sentencesOf(answer: Answer): string[] {
  const thin = answer.points.filter((point) => point.thin).map(({ name }) => name);
  return [
    bestLine(answer), ...runnerUpLines(answer), ...outsideLine(answer),
    ...(thin.length > 0 ? [`Too little is known of ${thin.join(', ')} to be the best.`] : []),
    ...(answer.secondsLeftOut >= 1 ? [`${lasting(answer.secondsLeftOut)} of the time are in no point.`] : []),
  ];
}
