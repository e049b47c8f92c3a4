/**
 * A sweep as a picture: a panel per metric over the same axis. Self-contained SVG that reads in light and dark; what it shows is
 * told in its description too.
 *
 *     J/token │ ╲                      line: pooled figures; bar: 95 % interval; ring: the best; hollow: can't be the
 *             │   ●───◎───●───○        best (outside the targets, too little or too badly measured)
 *             └──┼────┼────┼──▶ W
 */
import { scaleLinear, scalePoint } from 'd3-scale';
import { line } from 'd3-shape';
import { unitText } from '../compare/sentence.js';
import { figure } from '../report/columns.js';
import { html, Markup } from '../report/html.js';
import type { Point, SweepAnswer } from './answer.js';

const [WIDTH, LEFT, RIGHT, TOP, PANEL, GAP] = [760, 96, 724, 60, 190, 56] as const;

const STYLE = `
.sweep { --ground: #fff; --ink: #1c2024; --faint: #1c202433; --curve: #2f6fd0; --best: #c2630a; font: 14px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .sweep { --ground: #15181c; --ink: #e6e8ea; --faint: #e6e8ea33; --curve: #6ea8ff; --best: #f2a14a; } }
.sweep .ground { fill: var(--ground); } .sweep text { fill: var(--ink); } .sweep .head { font-weight: 600; } .sweep .faint { stroke: var(--faint); fill: none; }
.sweep .curve { stroke: var(--curve); fill: none; stroke-width: 2; } .sweep .bar { stroke: var(--curve); stroke-width: 1.5; fill: none; } .sweep .dot { stroke: var(--curve); fill: var(--curve); stroke-width: 2; }
.sweep .out { fill: var(--ground); } .sweep .best { stroke: var(--best); fill: none; stroke-width: 3; }
`;

const place = (value: number): string => value.toFixed(1);
type Metric = SweepAnswer['metrics'][number];
interface Shown {
  readonly point: Point;
  readonly x: number;
  readonly estimate: number;
  readonly ci95: readonly [number, number] | null;
}

/** Where each point stands, left to right. */
function placesOf({ points, axis }: SweepAnswer): { readonly xOf: (point: Point) => number; readonly ticks: readonly { readonly x: number; readonly text: string }[] } {
  const values = points.flatMap(({ value }) => value ?? []);
  if (axis.numeric && values.length > 1 && Math.min(...values) < Math.max(...values)) {
    const room = (Math.max(...values) - Math.min(...values)) * 0.06;
    const x = scaleLinear([Math.min(...values) - room, Math.max(...values) + room], [LEFT, RIGHT]);
    return { xOf: ({ value }) => x(value ?? 0), ticks: x.ticks(8).map((value) => ({ x: x(value), text: figure(value) })) };
  }
  const x = scalePoint(points.map(({ name }) => name), [LEFT, RIGHT]).padding(0.5);
  return { xOf: ({ name }) => x(name) ?? LEFT, ticks: points.map(({ name }) => ({ x: x(name) ?? LEFT, text: name.length > 14 ? `${name.slice(0, 13)}…` : name })) };
}

function panel(answer: SweepAnswer, metric: Metric, index: number, xOf: (point: Point) => number, ticks: readonly { readonly x: number; readonly text: string }[]): Markup {
  const top = TOP + index * (PANEL + GAP);
  const shown = answer.points.flatMap((point): Shown[] => {
    const found = point.figures[metric.name];
    return found?.estimate === null || found === undefined ? [] : [{ point, x: xOf(point), estimate: found.estimate, ci95: found.ci95 }];
  });
  const head = html`<text class="head" x="12" y="${top - 14}">${metric.title}${metric.unit === '1' ? '' : ` (${unitText(metric.unit, answer.currency)})`}</text>`;
  if (shown.length === 0) return html`${head}<text x="${LEFT}" y="${top + PANEL / 2}">not known</text>`;
  const ends = shown.flatMap(({ estimate, ci95 }) => [estimate, ...(ci95 ?? [])]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  const y = scaleLinear([low - room, high + room], [top + PANEL, top]).nice(5);
  const grid = y.ticks(5).map((value) => html`<line class="faint" x1="${LEFT}" x2="${RIGHT}" y1="${place(y(value))}" y2="${place(y(value))}"/><text x="${LEFT - 8}" y="${place(y(value) + 4)}" text-anchor="end" font-size="12">${figure(value)}</text>`);
  const below = ticks.map(({ x, text }) => html`<line class="faint" x1="${place(x)}" x2="${place(x)}" y1="${top + PANEL}" y2="${top + PANEL + 5}"/><text x="${place(x)}" y="${top + PANEL + 19}" text-anchor="middle" font-size="12">${text}</text>`);
  const curve = line<Shown>(({ x }) => x, ({ estimate }) => y(estimate))(shown) ?? '';
  const bars = shown.map(({ x, ci95 }) => (ci95 === null ? html`` : html`<path class="bar" d="M${place(x - 8)} ${place(y(ci95[0]))}h16m-8 0V${place(y(ci95[1]))}m-8 0h16"/>`));
  const dots = shown.map(({ point, x, estimate }) => {
    const hollow = point.inside === false || point.thin || point.reasons.length > 0;
    return html`<circle class="${hollow ? 'dot out' : 'dot'}" cx="${place(x)}" cy="${place(y(estimate))}" r="5"><title>${point.name}: ${figure(estimate)}</title></circle>${answer.best?.point === point.name ? html`<circle class="best" cx="${place(x)}" cy="${place(y(estimate))}" r="10"/>` : html``}`;
  });
  return html`${head}${grid}${below}${answer.axis.numeric ? html`<path class="curve" d="${curve}"/>` : html``}${bars}${dots}`;
}

function description({ points, metrics: [metric], sentences }: SweepAnswer): string {
  return [...points.map(({ name, figures, inside }) => `${name}: ${figure(metric ? figures[metric.name]?.estimate : null)}${inside === false ? ' (outside the targets)' : ''}.`), ...sentences].join(' ');
}

export function picture(answer: SweepAnswer): Markup {
  const height = TOP + answer.metrics.length * (PANEL + GAP) + 10;
  const { xOf, ticks } = placesOf(answer);
  const axis = `${answer.axis.title}${answer.axis.unit === '' ? '' : ` (${answer.axis.unit})`}`;
  return html`<svg class="sweep" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="sweep-title sweep-desc">
<title id="sweep-title">Over ${axis}</title><desc id="sweep-desc">${description(answer)}</desc><style>${new Markup(STYLE)}</style>
<rect class="ground" width="${WIDTH}" height="${height}" rx="6"/><text x="12" y="24">over ${axis}; ring: the best; hollow: can't be the best</text>
${answer.metrics.map((metric, index) => panel(answer, metric, index, xOf, ticks))}</svg>
`;
}
