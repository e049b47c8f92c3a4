/**
 * A comparison as a picture: the figure of each side's blocks, and the change with its interval. Self-contained SVG that reads in
 * light and dark; what it shows is told in its description too.
 *
 *     A  ▁▃▇█▆▂   ├─▇─┤          hill: how often; dots: single blocks, where they are few; box: the middle half of them;
 *     B       ▂▅█▇▃  ├─▇─┤       diamond: pooled figure, with its 95 % interval
 *        ───┼──────┼──────┼─▶
 *     B against A   ────╂──●──   0 is no change
 */
import { scaleLinear, type ScaleLinear } from 'd3-scale';
import { area, curveBasis } from 'd3-shape';
import { figure } from '../report/columns.js';
import { html, Markup } from '../report/html.js';
import type { Comparison, SideAnswer } from './answer.js';
import { restsOn } from './found.js';
import { change, intervalText, unitText } from './sentence.js';

const WIDTH = 760;
const LEFT = 130;
const RIGHT = WIDTH - 44;
const TOP = 56;
const ROW = 84;
const AXIS = TOP + 2 * ROW;
const EFFECT = AXIS + 116;
const HEIGHT = EFFECT + 62;
/** Above this many, dots would be a bar. */
const MOST_DOTS = 60;
/** Of many blocks, the outermost hundredth on either side would leave no room for the rest. */
const TRIMMED = 0.01;
const MANY = 100;

type Scale = ScaleLinear<number, number>;
type Pair = readonly [number, number];

const place = (value: number): string => value.toFixed(1);

export const PICTURE_STYLE = `
.comparison { --ground: #fff; --ink: #1c2024; --faint: #1c202455; --a: #2f6fd0; --b: #c2630a; font: 14px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .comparison { --ground: #15181c; --ink: #e6e8ea; --faint: #e6e8ea55; --a: #6ea8ff; --b: #f2a14a; } }
.comparison .ground { fill: var(--ground); } .comparison text { fill: var(--ink); } .comparison .head { font-weight: 600; }
.comparison .line { stroke: var(--faint); fill: none; } .comparison .ink { stroke: var(--ink); fill: var(--ink); }
.comparison .a { fill: var(--a); stroke: var(--a); } .comparison .b { fill: var(--b); stroke: var(--b); }
.comparison .hill { fill-opacity: .25; stroke-opacity: .8; } .comparison .box { fill-opacity: .35; stroke: none; } .comparison .dot { fill-opacity: .7; stroke: none; }
`;

const at = (sorted: readonly number[], share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? 0;

function rangeOf(sides: readonly SideAnswer[]): Pair {
  const values = sides.flatMap(({ distribution, estimate, ci95 }) => [
    ...(distribution.length > MANY ? [at(distribution, TRIMMED), at(distribution, 1 - TRIMMED)] : distribution), ...(estimate === null ? [] : [estimate]), ...(ci95 ?? []),
  ]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [low - room, high + room];
}

/** Gaussian kernels, as wide as Silverman's rule has them: 0.9 · min(σ, IQR / 1.34) · n^(−1/5). */
export function density(sorted: readonly number[], points: readonly number[]): number[] {
  const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
  const deviation = Math.sqrt(sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, sorted.length - 1));
  const spread = Math.min(deviation, (at(sorted, 0.75) - at(sorted, 0.25)) / 1.34 || deviation);
  const width = 0.9 * spread * sorted.length ** -0.2;
  if (!(width > 0)) return points.map(() => 0);
  return points.map((point) => sorted.reduce((sum, value) => sum + Math.exp(-(((point - value) / width) ** 2) / 2), 0) / (sorted.length * width * Math.sqrt(2 * Math.PI)));
}

const POINTS = 120;

function hill({ distribution }: SideAnswer, x: Scale, base: number, className: string): Markup {
  const [low = 0, high = 1] = x.domain();
  const points = Array.from({ length: POINTS + 1 }, (_, index) => low + (index * (high - low)) / POINTS);
  const heights = density(distribution, points);
  const most = Math.max(...heights);
  if (distribution.length < 3 || most <= 0) return html``;
  // A hill ends where nobody would see it any more.
  const shape = area<number>((_, index) => x(points[index] ?? low), base, (height) => base - (height / most) * (ROW - 40)).defined((height) => height > most / 500).curve(curveBasis);
  return html`<path class="hill ${className}" d="${shape(heights) ?? ''}"/>`;
}

function row(side: SideAnswer, name: 'A' | 'B', index: number, x: Scale): Markup {
  const base = TOP + (index + 1) * ROW - 26;
  const className = name.toLowerCase();
  const { distribution, estimate, ci95 } = side;
  const shown = distribution.filter((value) => value >= (x.domain()[0] ?? value) && value <= (x.domain()[1] ?? value));
  const dots = distribution.length > MOST_DOTS ? [] : shown.map((value) => html`<circle class="dot ${className}" cx="${place(x(value))}" cy="${base - 7}" r="3"/>`);
  const [low, middle, high] = [at(distribution, 0.25), at(distribution, 0.5), at(distribution, 0.75)];
  const box = distribution.length < 3 ? html`` : html`<rect class="box ${className}" x="${place(x(low))}" y="${base + 4}" width="${place(Math.max(1, x(high) - x(low)))}" height="12"/><line class="${className}" x1="${place(x(middle))}" x2="${place(x(middle))}" y1="${base + 4}" y2="${base + 16}" stroke-width="2"/>`;
  const interval = ci95 === null ? html`` : html`<line class="ink" x1="${place(x(ci95[0]))}" x2="${place(x(ci95[1]))}" y1="${base + 10}" y2="${base + 10}" stroke-width="2"/>`;
  const pooled = estimate === null ? html`` : html`<path class="ink" d="M${place(x(estimate))} ${base + 4}l6 6l-6 6l-6 -6z"/>`;
  return html`<g><text class="head" x="12" y="${base - 6}">${name}</text><text x="30" y="${base - 6}">${figure(estimate)}</text><text x="12" y="${base + 13}" font-size="11">${shorter(side.name)}</text>${hill(side, x, base, className)}${dots}${box}${interval}${pooled}</g>`;
}

const LONGEST_NAME = 18;
const shorter = (name: string): string => (name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME - 1)}…`);

function axis(x: Scale, y: number, format: (value: number) => string, label: string): Markup {
  const ticks = x.ticks(6).map((value) => html`<line class="line" x1="${place(x(value))}" x2="${place(x(value))}" y1="${y}" y2="${y + 5}"/><text x="${place(x(value))}" y="${y + 20}" text-anchor="middle" font-size="12">${format(value)}</text>`);
  return html`<line class="line" x1="${LEFT}" x2="${RIGHT}" y1="${y}" y2="${y}"/>${ticks}<text x="${RIGHT}" y="${y + 38}" text-anchor="end" font-size="12">${label}</text>`;
}

/** The always-valid interval thinner around the one for a single look. */
function effect({ effect: { relative, ci95, alwaysValid }, sequential }: Comparison): Markup {
  if (relative === null || ci95 === null) return html`<text x="12" y="${EFFECT - 58}">B against A: no interval can be told.</text>`;
  const wide = sequential && alwaysValid ? alwaysValid : ci95;
  const [low, high] = [Math.min(0, ...wide), Math.max(0, ...wide)];
  const room = (high - low || 0.01) * 0.12;
  const x = scaleLinear([low - room, high + room], [LEFT, RIGHT]).nice(6);
  const bar = (interval: Pair, width: number): Markup => html`<line class="ink" x1="${place(x(interval[0]))}" x2="${place(x(interval[1]))}" y1="${EFFECT}" y2="${EFFECT}" stroke-width="${width}" stroke-linecap="round"/>`;
  return html`<text x="12" y="${EFFECT - 58}"><tspan class="head">B against A: ${change(relative)}</tspan> (95 % interval ${intervalText(ci95)}${sequential && alwaysValid ? `; at every look ${intervalText(alwaysValid)}` : ''})</text>
<line class="ink" x1="${place(x(0))}" x2="${place(x(0))}" y1="${EFFECT - 22}" y2="${EFFECT + 22}" stroke-dasharray="3 3"/><text x="${place(x(0))}" y="${EFFECT - 27}" text-anchor="middle" font-size="12">no change</text>
${sequential && alwaysValid ? bar(alwaysValid, 1) : html``}${bar(ci95, 5)}<circle class="ink" cx="${place(x(relative))}" cy="${EFFECT}" r="6"/>${axis(x, EFFECT + 26, tick, '')}`;
}

const tick = (relative: number): string => (relative === 0 ? '0' : `${relative < 0 ? '−' : '+'}${figure(Number(Math.abs(relative * 100).toPrecision(6)))} %`);

function description({ a, b, effect: { relative }, effect: told, sequential, unit, currency, sentences }: Comparison): string {
  const interval = restsOn(told, sequential);
  const of = (name: string, { estimate, ci95: own, blocks, distribution }: SideAnswer): string =>
    `${name}: ${figure(estimate)}${unit === '1' ? '' : ` ${unitText(unit, currency)}`}${own === null ? '' : ` (95 % interval ${figure(own[0])} to ${figure(own[1])})`}, ${blocks} blocks between ${figure(distribution[0])} and ${figure(distribution.at(-1))}.`;
  const effectText = relative === null || interval === null ? 'No change can be told.' : `B against A: ${change(relative)} (95 % interval ${intervalText(interval)}).`;
  return [of('A', a), of('B', b), effectText, sentences[0] ?? ''].join(' ');
}

/** @param nonce of the page that it stands in; without one it is a file of its own */
export function picture(comparison: Comparison, nonce?: string): Markup {
  const { a, b, title, unit, currency } = comparison;
  const [low, high] = rangeOf([a, b]);
  const isEmpty = !Number.isFinite(low) || !Number.isFinite(high);
  const x = scaleLinear(isEmpty ? [0, 1] : [low, high], [LEFT, RIGHT]);
  const style = html`<style${nonce === undefined ? html`` : html` nonce="${nonce}"`}>${new Markup(PICTURE_STYLE)}</style>`;
  const shown = isEmpty ? html`<text x="${LEFT}" y="${TOP + ROW}">There is nothing to show of these sides.</text>` : html`${row(a, 'A', 0, x)}${row(b, 'B', 1, x)}${axis(x, AXIS, figure, unitText(unit, currency))}${effect(comparison)}`;
  return html`<svg class="comparison" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-labelledby="comparison-title comparison-desc">
<title id="comparison-title">A and B by ${title}</title><desc id="comparison-desc">${description(comparison)}</desc>${style}
<rect class="ground" width="${WIDTH}" height="${HEIGHT}" rx="6"/><text class="head" x="12" y="28">${title}</text>${shown}</svg>
`;
}
