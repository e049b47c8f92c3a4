/** A sweep in the format asked for, as text that ends with a newline. */
import Table from 'cli-table3';
import { unitText, lasting } from '../compare/sentence.js';
import { count, figure, flagLine, percent, printable } from '../report/columns.js';
import type { Point, SweepAnswer } from './answer.js';
import { picture } from './picture.js';

export const FORMATS = ['table', 'json', 'svg'] as const;
export type Format = (typeof FORMATS)[number];

const ABSENT = '–';
const placeOf = (point: Point, { best }: SweepAnswer): string => (best?.point === point.name ? 'best' : point.reasons.length > 0 ? 'refused' : point.thin ? 'too little' : point.inside === false ? 'outside' : best?.evidence.find((each) => each.point === point.name)?.verdict.replaceAll('-', ' ') ?? '');

function table(answer: SweepAnswer): string {
  const { axis, metrics, currency, points } = answer;
  const head = [`${axis.title}${axis.unit === '' ? '' : ` (${axis.unit})`}`, ...metrics.flatMap(({ name, unit }) => [unit === '1' ? name : `${name} (${unitText(unit, currency)})`, '95 % interval']), 'inside targets', 'output tok/s', 'time', 'blocks', ''];
  const shown = new Table({ head, colAligns: head.map((_, index) => (index === 0 || index === head.length - 1 ? 'left' : 'right')), style: { head: [], border: [], compact: true } });
  for (const point of points) {
    const figures = metrics.flatMap(({ name }) => {
      const { estimate = null, ci95 = null } = point.figures[name] ?? {};
      return [figure(estimate), ci95 === null ? ABSENT : `${figure(ci95[0])} – ${figure(ci95[1])}`];
    });
    shown.push([printable(point.name), ...figures, percent(point.insideShare), figure(point.tokensPerSecond), point.seconds === null ? ABSENT : lasting(point.seconds), count(point.blocks), placeOf(point, answer)]);
  }
  return shown.toString();
}

function renderTable(answer: SweepAnswer): string {
  const { boundary, step, from, to, best, reasons, flags } = answer;
  const caption = [`boundary ${boundary ?? 'none'}`, ...(from === null || to === null ? [] : [`${from} – ${to}`]), step === null ? 'runs of their own' : `blocks of ${lasting(step)}`].join(' · ');
  const adjusted = best?.evidence.flatMap(({ adjustments }) => adjustments.slice(0, 1)) ?? [];
  return [
    ...answer.sentences.map(printable), '', caption, table(answer), ...(adjusted.length > 0 ? ['What the best is held against is adjusted for load and lengths where they are known; the figures in the table are as measured.'] : []),
    ...reasons.map(({ code, detail }) => `${code}: ${printable(detail)}`), ...flags.map(flagLine),
  ].join('\n');
}

const RENDERERS: Readonly<Record<Format, (answer: SweepAnswer) => string>> = { table: renderTable, json: (answer) => JSON.stringify(answer, null, 2), svg: (answer) => String(picture(answer)).trimEnd() };

export const renderSweep = (answer: SweepAnswer, format: Format): string => `${RENDERERS[format](answer)}\n`;
