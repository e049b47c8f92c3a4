/** A report for people: which columns a table has and how a number reads. Shared by table, markdown and html. */
import { FIGURES, type FigureName } from '../figures/table.js';
import type { Flag, Report, Row } from '../join/report.js';

export interface Column {
  readonly head: string;
  readonly numeric: boolean;
  readonly cell: (row: Row) => string;
}

const ABSENT = '–';
const plain = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 });
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** Four significant digits; `–` for what was not measured. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined) return ABSENT;
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(3) : plain.format(value);
}

export const count = (value: number | null | undefined): string => (value === null || value === undefined ? ABSENT : whole.format(value));
/** Cut, not rounded: 99.99 % observed is not all of it. */
export const percent = (value: number | null): string => (value === null ? ABSENT : `${(Math.floor(value * 1000 + 1e-9) / 10).toFixed(1)} %`);

const signed = (share: number): string => `${share < 0 ? '−' : '+'}${Math.abs(share * 100).toFixed(1)}`;

/** How far below and above the figure the truth may lie, e.g. `−5.0/+6.1 %`: of the ratios, where there is none of the joules. */
export function plusMinus({ uncertainty, joules, joulesPerToken }: Row): string {
  const [interval, told] = uncertainty?.joulesPerToken ? [uncertainty.joulesPerToken, joulesPerToken] : [uncertainty?.joules, joules];
  return !interval || told === null || told <= 0 ? ABSENT : `${signed(interval[0] / told - 1)}/${signed(interval[1] / told - 1)} %`;
}

/** Control characters in names and details must not reach a terminal. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
export const printable = (text: string): string => text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '\ufffd');

const numeric = (head: string, cell: Column['cell']): Column => ({ head, numeric: true, cell });

const SIGNS: Readonly<Record<string, string>> = { USD: '$', EUR: '€', GBP: '£', JPY: '¥' };
/** A figure under the heading of the table, money in the report's own. */
const ofTable = ({ currency }: Report, name: FigureName): Column => numeric(FIGURES[name].head.replace(/\bmoney\b|\bcost\b/, (word) => (word === 'money' ? (SIGNS[currency] ?? currency) : `${SIGNS[currency] ?? currency} ${word}`)), (row) => figure(row[name]));

const shows = ({ rows }: Report, name: FigureName): boolean => rows.some((row) => (row[name] ?? 0) !== 0);
/** Those of the figures that any row has. */
const anyOf = (report: Report, names: readonly FigureName[]): Column[] => names.filter((name) => shows(report, name)).map((name) => ofTable(report, name));

/** Where rows are of one phase each, J/tok says it already. */
function phaseColumns(report: Report): Column[] {
  const plainRows = report.rows.every(({ group }) => !Object.hasOwn(group, 'phase'));
  return anyOf(report, plainRows ? ['joulesPerPromptToken', 'joulesPerOutputToken', 'joulesSavedByCache'] : ['joulesSavedByCache']);
}

/** Where a target was asked for, here or in the book. */
function usefulColumns(report: Report): Column[] {
  if (report.slo === null && !report.rows.some(({ ttft, tpot }) => ttft !== null || tpot !== null)) return [];
  return [
    numeric('useful tok', ({ tokens }) => count(tokens.useful)),
    numeric('useful', ({ usefulShare }) => percent(usefulShare)),
    ...anyOf(report, ['joulesPerUsefulToken', 'energyCostPerUsefulToken', 'costPerUsefulToken', 'joulesPerMeaningfulResponse', 'costPerMeaningfulResponse']),
  ];
}

export function columnsOf(report: Report): Column[] {
  const keys = Object.keys(report.rows[0]?.group ?? {});
  return [
    ...(report.step === null ? [] : [{ head: 'from', numeric: false, cell: ({ from }: Row) => from ?? ABSENT }]),
    ...keys.map((key) => ({ head: printable(key), numeric: false, cell: ({ group }: Row) => printable(group[key] ?? '(none)') })),
    numeric('joules', ({ joules }) => figure(joules)),
    ofTable(report, 'watts'),
    numeric('coverage', ({ coverage }) => percent(coverage)),
    numeric('tokens in', ({ tokens }) => count(tokens.input)),
    numeric('tokens out', ({ tokens }) => count(tokens.output)),
    ofTable(report, 'tokensPerWattSecond'),
    ofTable(report, 'joulesPerToken'),
    numeric('±', plusMinus),
    ofTable(report, 'tokensPerKwh'),
    ...phaseColumns(report),
    ...anyOf(report, ['energyCost', 'energyCostPerToken', 'carbonGrams', 'carbonGramsMarket', 'allInCost', 'costPerMillionInputTokens', 'costPerMillionOutputTokens']),
    ...usefulColumns(report),
  ];
}

/** What every figure must say of itself: boundary, range, coverage, basis. */
export function captionOf(report: Report): string {
  const range = report.from === null || report.to === null ? 'no facts' : `${report.from} – ${report.to}`;
  return [`boundary ${report.boundary ?? 'none'}`, range, `coverage ${percent(report.coverage)}`, `basis ${report.basis}`, `PUE ${figure(report.pue)}`].join(' · ');
}

export const flagLine = ({ code, detail, count: cases }: Flag): string => `${code}: ${printable(detail)}${cases === undefined || cases === 1 ? '' : ` (${count(cases)}×)`}`;

/** A report by minutes has a row for each; whoever wants all of them reads the JSON. */
const MOST_ROW_LINES = 20;

function rowFlagLines(report: Report): string[] {
  const told = new Set(report.flags.map(({ code, detail }) => `${code} ${detail}`));
  const lines = report.rows.flatMap((row) => {
    const names = [...(report.step === null ? [] : [row.from ?? ABSENT]), ...Object.entries(row.group).map(([key, value]) => `${key}=${value ?? '(none)'}`)];
    return row.flags.filter(({ code, detail }) => !told.has(`${code} ${detail}`)).map((each) => `${printable(names.join(' '))}: ${flagLine(each)}`);
  });
  const unique = [...new Set(lines)];
  return unique.length <= MOST_ROW_LINES ? unique : [...unique.slice(0, MOST_ROW_LINES), `… and ${count(unique.length - MOST_ROW_LINES)} more reservations of single rows; --format json has them all.`];
}

/** Reservations about the whole, then those of single rows that the whole does not carry. */
export const flagLines = (report: Report): string[] => [...report.flags.map(flagLine), ...rowFlagLines(report)];
