/** Waste for people: the account, a table of findings, and a sentence for each kind on what to do. */
import Table from 'cli-table3';
import { count, figure, flagLine, printable } from '../report/columns.js';
import { html, type Markup } from '../report/html.js';
import type { Finding, Waste } from './answer.js';
import { ABOUT, HOW_TO_COLLECT, OUTPUT_NOT_TOLD } from './kinds.js';

/** The JSON has all of them. */
const MOST_FINDINGS = 40;

interface Column {
  readonly head: string;
  readonly numeric: boolean;
  readonly cell: (finding: Finding) => string;
}

const ABSENT = '–';
const numeric = (head: string, cell: Column['cell']): Column => ({ head, numeric: true, cell });

function columnsOf({ findings, currency }: Waste): Column[] {
  const names = Object.keys(findings[0]?.group ?? {});
  const all: readonly (readonly [keyof Finding, Column])[] = [
    ['kwh', numeric('kWh', ({ kwh }) => figure(kwh))],
    ['energyCost', numeric(`energy ${currency}`, ({ energyCost }) => figure(energyCost))],
    ['allInCost', numeric(`all-in ${currency}`, ({ allInCost }) => figure(allInCost))],
    ['carbonGrams', numeric('g CO₂e', ({ carbonGrams }) => figure(carbonGrams))],
    ['gpuHours', numeric('GPU h', ({ gpuHours }) => figure(gpuHours))],
    ['seconds', numeric('throttled s', ({ seconds }) => figure(seconds))],
    ['tokens', numeric('tokens', ({ tokens }) => count(tokens))],
  ];
  return [
    { head: 'waste', numeric: false, cell: ({ kind }) => ABOUT[kind].head },
    ...names.map((name) => ({ head: printable(name), numeric: false, cell: ({ group }: Finding) => printable(group[name] ?? ABSENT) })),
    ...all.filter(([name]) => findings.some((finding) => finding[name] !== null)).map(([, column]) => column),
  ];
}

export function accountLine({ account: { joules, serving, idle, unknown, wastedOutput } }: Waste): string {
  const of = (part: number): string => `${figure(part)} J${joules > 0 ? ` (${((part / joules) * 100).toFixed(1)} %)` : ''}`;
  const wasted = wastedOutput === null || wastedOutput === 0 ? '' : `, of which for output of no use ${of(wastedOutput)}`;
  return `Measured at boundary gpu ${figure(joules)} J: serving ${of(serving)}${wasted}; idle ${of(idle)}; unknown ${of(unknown)}.`;
}

const moreLine = ({ findings }: Waste): string[] => (findings.length > MOST_FINDINGS ? [`… and ${count(findings.length - MOST_FINDINGS)} more, cheaper ones; the JSON has them all.`] : []);
const remedyLines = ({ kinds }: Waste): string[] => kinds.map(({ kind, remedy }) => `${ABOUT[kind].head}: ${remedy}`);
const notSeenLines = ({ notSeen }: Waste): string[] => [...notSeen.map(({ kind, detail }) => `${ABOUT[kind].head}: ${printable(detail)}`), ...(notSeen.length > 0 ? [HOW_TO_COLLECT] : [])];

export function renderWaste(waste: Waste): string {
  const columns = columnsOf(waste);
  const table = new Table({ head: columns.map(({ head }) => head), colAligns: columns.map((column) => (column.numeric ? 'right' : 'left')), style: { head: [], border: [], compact: true } });
  for (const finding of waste.findings.slice(0, MOST_FINDINGS)) table.push(columns.map(({ cell }) => cell(finding)));
  return [
    `${waste.from ?? 'no facts'} – ${waste.to ?? 'no facts'}`,
    accountLine(waste),
    ...(waste.findings.length === 0 ? ['No waste was found.'] : [table.toString()]),
    ...moreLine(waste), ...remedyLines(waste), ...notSeenLines(waste), ...waste.flags.map(flagLine),
    '',
  ].join('\n');
}

/** Of a page that shows a report of the same facts: their reservations stand there, but for that of waste alone. */
export function wasteSection(waste: Waste): Markup {
  const columns = columnsOf(waste);
  const lines = [...moreLine(waste), ...remedyLines(waste), ...notSeenLines(waste), ...waste.flags.filter(({ code }) => code === OUTPUT_NOT_TOLD.code).map(flagLine)];
  const table = html`<table><caption>${accountLine(waste)}</caption><thead><tr>${columns.map(({ head, numeric: isNumeric }) => html`<th scope="col" class="${isNumeric ? 'number' : 'name'}">${head}</th>`)}</tr></thead>
<tbody>${waste.findings.slice(0, MOST_FINDINGS).map((finding) => html`<tr>${columns.map(({ numeric: isNumeric, cell }) => html`<td class="${isNumeric ? 'number' : 'name'}">${cell(finding)}</td>`)}</tr>`)}</tbody></table>`;
  return html`<section aria-label="Waste"><h2>Waste</h2>${waste.findings.length === 0 ? html`<p>${accountLine(waste)} No waste was found.</p>` : table}<ul>${lines.map((line) => html`<li>${line}</li>`)}</ul></section>`;
}
