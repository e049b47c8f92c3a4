/** A weekly review for people and for spreadsheets. */
import { FIGURES } from '../figures/table.js';
import { count, figure, flagLine, percent, printable } from '../report/columns.js';
import { html, Markup, page, STYLE } from '../report/html.js';
import { csvText, markdownText, tableLine } from '../report/render.js';
import type { Cut, MovedGroup, WeeklyReview } from './review.js';
import { bar, PRINT_STYLE } from './statement-page.js';

/** Of a cut; the rest of them is one line. JSON and CSV have all. */
const MOST_GROUPS = 12;

const METHOD = 'Rate: the group’s mean share of the tokens × the change of its own figure. Mix: the change of its share × (its own mean figure − the mean of the whole). Unused: what was spent in a week without a token. Means are of both weeks, so that the effects add up to the change; a group that is in one week only is all mix.';
const HEAD = ['before', 'after', 'share of tokens', 'rate', 'mix', 'unused', 'effect'];

/** Of a token money is a millionth: people read it by the million. */
const scaleOf = ({ unit }: WeeklyReview): number => (unit === 'money/token' ? 1e6 : 1);
const scaled = (value: number | null, scale: number): string => figure(value === null ? null : value * scale);
const signed = (value: number): string => (value === 0 ? '0' : `${value > 0 ? '+' : '−'}${figure(Math.abs(value))}`);
const nameOf = ({ group }: Pick<MovedGroup, 'group'>): string => Object.values(group).map((value) => printable(value ?? '(none)')).join(' · ');
const unitOf = ({ unit, currency }: Pick<WeeklyReview, 'unit' | 'currency'>): string => (unit === 'money/token' ? `${currency} per million tokens` : unit);
const titleOf = ({ week }: WeeklyReview): string => `Weekly review ${week}`;

function summaryOf(review: WeeklyReview): string {
  const { value: [before, after], change } = review;
  const scale = scaleOf(review);
  return `${FIGURES[review.figure].title}: ${scaled(before, scale)} ${unitOf(review)} in ${review.before.week}, ${scaled(after, scale)} in ${review.after.week} (${signed(change * scale)}${before === 0 ? '' : `, ${signed((100 * change) / Math.abs(before))} %`}).`;
}

const weekText = ({ week, from, to, joules, outputTokens, usefulTokens, coverage }: WeeklyReview['before']): string =>
  `${week} (${from} to ${to}): ${figure(joules === null ? null : joules / 3.6e6)} kWh, ${count(outputTokens)} output tokens, ${count(usefulTokens)} useful, coverage ${percent(coverage)}`;

interface Shown {
  readonly name: string;
  readonly cells: readonly string[];
  readonly effect: number;
}
function shownOf({ groups, rest }: Cut, scale: number): Shown[] {
  const cells = ({ ratio, share, rate, mix, unused, effect }: MovedGroup): string[] => [scaled(ratio[0], scale), scaled(ratio[1], scale), `${(share[0] * 100).toFixed(1)} → ${(share[1] * 100).toFixed(1)} %`, ...[rate, mix, unused, effect].map((each) => signed(each * scale))];
  const more = groups.slice(MOST_GROUPS);
  const sum = (of: 'rate' | 'mix' | 'unused' | 'effect'): number => more.reduce((total, each) => total + each[of], 0);
  return [
    ...groups.slice(0, MOST_GROUPS).map((each) => ({ name: nameOf(each), cells: cells(each), effect: each.effect })),
    ...(more.length === 0 ? [] : [{ name: `${more.length} more`, cells: ['', '', '', ...(['rate', 'mix', 'unused', 'effect'] as const).map((of) => signed(sum(of) * scale))], effect: sum('effect') }]),
    ...(rest === 0 ? [] : [{ name: 'not told apart', cells: ['', '', '', '', '', '', signed(rest * scale)], effect: rest }]),
  ];
}

const cutName = ({ by }: Cut): string => `By ${by.map(printable).join(' and ')}`;

export function weeklyMarkdown(review: WeeklyReview): string {
  const flags = review.flags.map(flagLine);
  return [
    `# ${titleOf(review)}`, '', markdownText(summaryOf(review)), '', ...[review.before, review.after].map((week) => `- ${markdownText(weekText(week))}`), '', `Boundary ${review.boundary ?? 'none'}, weeks of ${review.zone}. Effects in ${unitOf(review)}, largest first.`,
    ...review.cuts.flatMap((cut) => ['', `## ${markdownText(cutName(cut))}`, '', tableLine([markdownText(cut.by.join(' · ')), ...HEAD]), tableLine(['---', ...HEAD.map(() => '---:')]), ...shownOf(cut, scaleOf(review)).map(({ name, cells }) => tableLine([name, ...cells].map(markdownText)))]),
    '', '## Method', '', METHOD, ...(flags.length === 0 ? [] : ['', '## Reservations', '', ...flags.map((line) => `- ${markdownText(line)}`)]), '',
  ].join('\n');
}

function cutHtml(cut: Cut, scale: number): Markup {
  const shown = shownOf(cut, scale);
  const most = Math.max(0, ...shown.map(({ effect }) => Math.abs(effect)));
  return html`<section><h2>${cutName(cut)}</h2><table><caption>Effects, largest first</caption><thead><tr><th scope="col" class="name">${cut.by.map(printable).join(' · ')}</th>${HEAD.map((head) => html`<th scope="col" class="number">${head}</th>`)}</tr></thead>
<tbody>${shown.map(({ name, cells, effect }) => html`<tr><th scope="row">${name}${bar(effect, most, effect > 0 ? 'more' : 'less')}</th>${cells.map((cell) => html`<td class="number">${cell}</td>`)}</tr>`)}</tbody></table></section>`;
}

export function weeklyHtml(review: WeeklyReview): string {
  const flags = review.flags.map(flagLine);
  return page(titleOf(review), new Markup(`<style>${STYLE}${PRINT_STYLE}</style>`), html`<main><h1>${titleOf(review)}</h1><p><strong>${summaryOf(review)}</strong></p>
<ul>${[review.before, review.after].map((week) => html`<li>${weekText(week)}</li>`)}</ul><p>Boundary ${review.boundary ?? 'none'}, weeks of ${review.zone}. Effects in ${unitOf(review)}; bars show their size, to the dearer in orange and to the cheaper in green.</p>
${review.cuts.map((cut) => cutHtml(cut, scaleOf(review)))}<section><h2>Method</h2><p>${METHOD}</p></section>${flags.length === 0 ? html`` : html`<section><h2>Reservations</h2><ul>${flags.map((line) => html`<li>${line}</li>`)}</ul></section>`}</main>`);
}

export const REVIEW_CSV = {
  week: 'the later week', figure: 'what is reviewed', unit: 'its unit, money in the currency of the book', by: 'keys of the cut', group: 'values of the keys, joined by ·; empty: not told apart', before: 'figure of the group in the week before', after: 'and in this one',
  shareBefore: 'its share of the tokens', shareAfter: 'and now', rate: 'effect of its own figure', mix: 'effect of its share', unused: 'effect of what was spent without a token', effect: 'the sum of the three',
} as const;

export function weeklyCsv(review: WeeklyReview): string {
  const lines = review.cuts.flatMap((cut) => {
    const head = [review.week, review.figure, review.unit.replace('money', review.currency), cut.by.join(' · ')];
    const rest = cut.rest === 0 ? [] : [[...head, null, null, null, null, null, null, null, null, cut.rest]];
    return [...cut.groups.map((each) => [...head, nameOf(each), ...each.ratio, ...each.share, each.rate, each.mix, each.unused, each.effect]), ...rest];
  });
  return csvText([Object.keys(REVIEW_CSV), ...lines]);
}
