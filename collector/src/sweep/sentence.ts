/** A sweep in plain words: one sentence each. */
import { intervalText, lasting, change, unitText } from '../compare/sentence.js';
import { figure, percent } from '../report/columns.js';
import type { Evidence, Point, SweepAnswer } from './answer.js';

type Answer = Omit<SweepAnswer, 'sentences'>;

const at = ({ axis: { title, unit } }: Answer, name: string): string => `${title} ${name}${unit === '' ? '' : ` ${unit}`}`;

function bestLine(answer: Answer): string {
  const { best, points, metrics: [metric], currency, wantedInside, unchosen } = answer;
  if (!metric) return '';
  if (!best) {
    if (points.length === 0) return 'There is nothing on this axis.';
    if (unchosen) return `No point is named the best. ${unchosen.detail}`;
    const targeted = wantedInside !== null && points.every(({ inside }) => inside !== true);
    if (!targeted && points.every(({ reasons }) => reasons.length > 0)) return 'No point can be held against another, so none is the best.';
    return targeted ? `No point has ${percent(wantedInside)} of its requests inside the targets, so none is the best.` : 'No point has enough time behind it to be the best.';
  }
  const found = points.find(({ name }) => name === best.point);
  const of = found?.figures[metric.name];
  const range = of?.ci95 ? ` (95 % interval ${figure(of.ci95[0])} to ${figure(of.ci95[1])})` : '';
  const inside = wantedInside === null ? 'No latency targets are said, so all points count' : `Of the points with ${percent(wantedInside)} of their requests inside the targets`;
  const unit = metric.unit === '1' ? '' : ` ${unitText(metric.unit, currency)}`;
  const told = `${figure(of?.estimate)}${unit}${range}`;
  if (best.evidence.length === 0) return `${inside}: ${at(answer, best.point)} alone can be the best; its ${metric.title} is ${told}.`;
  const ahead = best.evidence.filter(({ verdict, point }) => verdict !== 'not-comparable' && isAhead(answer, point, of?.estimate ?? null)).map(({ point }) => point);
  if (ahead.length === 0) return `${inside}: ${at(answer, best.point)} has the best ${metric.title}, ${told}.`;
  return `${inside}: ${at(answer, best.point)} has the best ${metric.title} at equal conditions. As measured it is ${told}, and better at ${ahead.join(', ')}, under other conditions.`;
}

/** Whether the figure of another point is the better one as measured. */
function isAhead({ points, metrics: [metric] }: Answer, name: string, best: number | null): boolean {
  const other = metric && points.find((point) => point.name === name)?.figures[metric.name]?.estimate;
  return metric !== undefined && typeof other === 'number' && best !== null && (metric.lowerIsBetter ? other < best : other > best);
}

function evidenceLine(answer: Answer, { point, relative, ci95, verdict, reasons, adjustments }: Evidence): string {
  const told = relative === null || ci95 === null ? '' : `: ${change(relative)} (${intervalText(ci95)})${adjustments.length > 0 ? ', at equal conditions' : ''}`;
  if (verdict === 'not-comparable') return `${at(answer, point)} (B) can't be held against it (A): ${reasons[0]?.detail ?? 'there is too little to go by.'}`;
  const isShown = ci95 !== null && (ci95[0] > 0 || ci95[1] < 0);
  const chance = verdict === 'not-told-apart' && isShown ? `; among ${answer.best?.evidence.length ?? 1} points that much happens by chance` : '';
  return verdict === 'worse' ? `The next best, ${at(answer, point)}, is worse${told}.` : `The next best, ${at(answer, point)}, is not told apart from it${told}${chance}: either may be the best.`;
}

function runnerUpLines(answer: Answer): string[] {
  const { best } = answer;
  if (!best) return [];
  const next = best.evidence.find(({ point }) => point === best.runnerUp);
  const alike = best.evidence.filter(({ verdict, point }) => verdict === 'not-told-apart' && point !== best.runnerUp).map(({ point }) => point);
  return [
    ...(next ? [evidenceLine(answer, next)] : ['There is no other point to hold it against.']),
    ...(alike.length > 0 ? [`${next?.verdict === 'worse' ? 'It is not' : 'Nor is it'} told apart from ${alike.join(', ')}.`] : []),
    ...best.evidence.filter(({ verdict }) => verdict === 'not-comparable').map((each) => evidenceLine(answer, each)),
  ];
}

const refusedLine = (answer: Answer, { name, reasons: [reason] }: Point): string[] => (reason ? [`${at(answer, name)} is shown and not held against the others. ${reason.detail}`] : []);

function outsideLine({ points, wantedInside }: Answer): string[] {
  const outside = points.filter(({ inside }) => inside === false);
  const untold = wantedInside === null ? [] : points.filter(({ inside }) => inside === null);
  return [
    ...(outside.length > 0 ? [`Outside the targets: ${outside.map(({ name, insideShare }) => `${name} (${percent(insideShare)} inside)`).join(', ')}.`] : []),
    ...(untold.length > 0 ? [`Of ${untold.map(({ name }) => name).join(', ')} no request tells whether it was inside the targets.`] : []),
  ];
}

export function sentencesOf(answer: Answer): string[] {
  const thin = answer.points.filter((point) => point.thin && point.reasons.length === 0).map(({ name }) => name);
  return [
    bestLine(answer), ...runnerUpLines(answer), ...outsideLine(answer), ...answer.points.flatMap((point) => refusedLine(answer, point)),
    ...(thin.length > 0 ? [`Too little is known of ${thin.join(', ')} to be the best.`] : []),
    ...(answer.secondsLeftOut >= 1 ? [`${lasting(answer.secondsLeftOut)} of the time are in no point.`] : []),
  ];
}
