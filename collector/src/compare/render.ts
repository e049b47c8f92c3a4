/** A comparison in the format asked for, as text that ends with a newline. */
import Table from 'cli-table3';
import { count, figure, percent, printable } from '../report/columns.js';
import { html, Markup, page, STYLE } from '../report/html.js';
import type { Comparison } from './answer.js';
import { restsOn } from './found.js';
import { picture } from './picture.js';
import { change, intervalText, lasting, unitText } from './sentence.js';

export const FORMATS = ['table', 'json', 'html', 'svg', 'markdown'] as const;
export type Format = (typeof FORMATS)[number];

const ABSENT = '–';
const changed = (value: number | null): string => (value === null ? ABSENT : change(value));
const ranged = (value: readonly [number, number] | null): string => (value === null ? ABSENT : intervalText([value[0], value[1]]));

const VERDICTS: Readonly<Record<Comparison['verdict'], string>> = { 'b-better': 'B is better', 'a-better': 'A is better', 'no-difference-shown': 'no difference shown', 'not-comparable': 'not comparable' };
const DESIGNS = { runs: 'runs of their own', parallel: 'both in the same time', 'before-after': 'one after the other', switchback: 'turn by turn' } as const;

/** Measure by measure: the first row is what was asked for. */
function measureRows(comparison: Comparison): string[][] {
  const { a, b, effect: { relative, unadjusted }, effect, verdict, title, unit, currency, also, sequential } = comparison;
  const line = (of: { title: string; unit: string }, first: number | null, second: number | null, relativeToA: number | null, interval: Comparison['a']['ci95'], found: Comparison['verdict']): string[] =>
    [of.title, unitText(of.unit, currency), figure(first), figure(second), changed(relativeToA), ranged(interval), VERDICTS[found]];
  return [line({ title, unit }, a.estimate, b.estimate, relative ?? unadjusted, restsOn(effect, sequential), verdict), ...also.map((each) => line(each, each.a, each.b, each.relative ?? each.unadjusted, restsOn(each, sequential), each.verdict))];
}
const MEASURE_HEAD = ['measure', 'unit', 'A', 'B', 'B against A', '95 % interval', 'verdict'] as const;

function sideRows({ a, b }: Comparison): string[][] {
  return ([['A', a], ['B', b]] as const).map(([name, { name: said, blocks, from, to, coverage, watts, tokensPerSecond }]) =>
    [name, printable(said), from === null || to === null ? ABSENT : `${from} – ${to}`, count(blocks), percent(coverage), figure(watts), figure(tokensPerSecond)]);
}
const SIDE_HEAD = ['side', 'what it is', 'measured', 'blocks', 'coverage', 'watts', 'output tok/s'] as const;

export const captionOf = ({ boundary, design, step, sequential }: Comparison): string =>
  [`boundary ${boundary ?? 'none'}`, ...(design === null ? [] : [DESIGNS[design]]), ...(step === null ? [] : [`blocks of ${lasting(step)}`]), ...(sequential ? ['looked at while data comes in'] : [])].join(' · ');

const reasonHead = ({ verdict }: Comparison): string => (verdict === 'not-comparable' ? 'Why not' : 'What to know');
const reasonLines = ({ reasons }: Comparison): string[] => reasons.map(({ code, detail }) => `${code}: ${printable(detail)}`);
const adjustmentLines = ({ adjustments }: Comparison): string[] => adjustments.map(({ detail }) => `Adjusted: ${printable(detail)}`);

/** The same of both sides once. */
function flagLines({ flags }: Comparison): string[] {
  const lines = new Map<string, Set<string>>();
  for (const { code, detail, side } of flags) {
    const text = `${code}: ${printable(detail)}`;
    lines.set(text, (lines.get(text) ?? new Set<string>()).add(side.toUpperCase()));
  }
  return [...lines].map(([text, sides]) => `${[...sides].join(' and ')}: ${text}`);
}

function tableText(head: readonly string[], rows: readonly string[][], names: number): string {
  const table = new Table({ head: [...head], colAligns: head.map((_, index) => (index < names ? 'left' : 'right')), style: { head: [], border: [], compact: true } });
  table.push(...rows);
  return table.toString();
}

function renderTable(comparison: Comparison): string {
  const reasons = reasonLines(comparison);
  return [
    ...comparison.sentences.map(printable), '', captionOf(comparison), tableText(MEASURE_HEAD, measureRows(comparison), 2), tableText(SIDE_HEAD, sideRows(comparison), 3),
    ...adjustmentLines(comparison), ...(reasons.length === 0 ? [] : [`${reasonHead(comparison)}:`, ...reasons.map((line) => `  ${line}`)]), ...flagLines(comparison),
  ].join('\n');
}

const markdownText = (text: string): string => text.replaceAll(/[\\`*_[\]<>|]/g, String.raw`\$&`);
const markdownTable = (head: readonly string[], rows: readonly string[][], names: number): string[] =>
  [head, head.map((_, index) => (index < names ? '---' : '---:')), ...rows.map((cells) => cells.map(markdownText))].map((cells) => `| ${cells.join(' | ')} |`);

function renderMarkdown(comparison: Comparison): string {
  const [first = '', ...more] = comparison.sentences.map((sentence) => markdownText(printable(sentence)));
  const notes = [...adjustmentLines(comparison), ...reasonLines(comparison), ...flagLines(comparison)];
  return [
    `**${VERDICTS[comparison.verdict]}.** ${first}`, '', ...more.flatMap((sentence) => [sentence, '']), captionOf(comparison), '', ...markdownTable(MEASURE_HEAD, measureRows(comparison), 2), '',
    ...markdownTable(SIDE_HEAD, sideRows(comparison), 3), ...(notes.length === 0 ? [] : ['', ...notes.map((line) => `- ${markdownText(line)}`)]),
  ].join('\n');
}

const htmlTable = (caption: string, head: readonly string[], rows: readonly string[][], names: number): Markup => {
  const classOf = (index: number): string => (index < names ? 'name' : 'number');
  return html`<table><caption>${caption}</caption><thead><tr>${head.map((name, index) => html`<th scope="col" class="${classOf(index)}">${name}</th>`)}</tr></thead>
<tbody>${rows.map((cells) => html`<tr>${cells.map((cell, index) => html`<td class="${classOf(index)}">${cell}</td>`)}</tr>`)}</tbody></table>`;
};
const listOf = (title: string, lines: readonly string[]): Markup => (lines.length === 0 ? html`` : html`<section aria-label="${title}"><h2>${title}</h2><ul>${lines.map((line) => html`<li>${line}</li>`)}</ul></section>`);

/** What a page shows of it. @param nonce of the page, for the picture's style */
export function comparisonBody(comparison: Comparison, nonce?: string): Markup {
  return html`<p class="verdict"><strong>${VERDICTS[comparison.verdict]}</strong></p>${comparison.sentences.map((sentence) => html`<p>${printable(sentence)}</p>`)}
<figure>${picture(comparison, nonce)}</figure>${htmlTable(captionOf(comparison), MEASURE_HEAD, measureRows(comparison), 2)}${htmlTable('Sides', SIDE_HEAD, sideRows(comparison), 3)}
${listOf(reasonHead(comparison), reasonLines(comparison))}${listOf('Adjustments', adjustmentLines(comparison))}${listOf('Reservations of the facts', flagLines(comparison))}`;
}

export const PAGE_STYLE = `${STYLE}
figure { margin: 1rem 0; overflow-x: auto; } figure svg { max-width: 100%; height: auto; } .verdict { font-size: 1.5rem; margin: .5rem 0; } label input { min-width: 14rem; }
`;

const renderHtml = (comparison: Comparison): string => page('Joulebook comparison', new Markup(`<style>${PAGE_STYLE}</style>`), html`<main><h1>Joulebook comparison</h1>${comparisonBody(comparison)}</main>`);

const RENDERERS: Readonly<Record<Format, (comparison: Comparison) => string>> = {
  table: renderTable,
  json: (comparison) => JSON.stringify(comparison, null, 2),
  html: (comparison) => renderHtml(comparison).trimEnd(),
  svg: (comparison) => String(picture(comparison)).trimEnd(),
  markdown: renderMarkdown,
};

export const renderComparison = (comparison: Comparison, format: Format): string => `${RENDERERS[format](comparison)}\n`;
