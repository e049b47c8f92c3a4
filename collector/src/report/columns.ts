/** A report for people: which columns a table has and how a number reads. Shared by table, markdown and html. */
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

/** Where rows are of one phase each, J/tok says it already. */
function phaseColumns({ rows }: Report): Column[] {
  const shows = (cell: (row: Row) => number | null): boolean => rows.some((row) => (cell(row) ?? 0) !== 0);
  const plainRows = rows.every(({ group }) => !Object.hasOwn(group, 'phase'));
  return [
    ...(plainRows && shows((row) => row.joulesPerPromptToken) ? [numeric('J/prompt tok', ({ joulesPerPromptToken }) => figure(joulesPerPromptToken))] : []),
    ...(plainRows && shows((row) => row.joulesPerOutputToken) ? [numeric('J/output tok', ({ joulesPerOutputToken }) => figure(joulesPerOutputToken))] : []),
    ...(shows((row) => row.joulesSavedByCache) ? [numeric('J saved by cache', ({ joulesSavedByCache }) => figure(joulesSavedByCache))] : []),
  ];
}

export function columnsOf(report: Report): Column[] {
  const keys = Object.keys(report.rows[0]?.group ?? {});
  return [
    ...(report.step === null ? [] : [{ head: 'from', numeric: false, cell: ({ from }: Row) => from ?? ABSENT }]),
    ...keys.map((key) => ({ head: printable(key), numeric: false, cell: ({ group }: Row) => printable(group[key] ?? '(none)') })),
    numeric('joules', ({ joules }) => figure(joules)),
    numeric('watts', ({ watts }) => figure(watts)),
    numeric('coverage', ({ coverage }) => percent(coverage)),
    numeric('tokens in', ({ tokens }) => count(tokens.input)),
    numeric('tokens out', ({ tokens }) => count(tokens.output)),
    numeric('tok/J', ({ tokensPerWattSecond }) => figure(tokensPerWattSecond)),
    numeric('J/tok', ({ joulesPerToken }) => figure(joulesPerToken)),
    numeric('±', plusMinus),
    numeric('tok/kWh', ({ tokensPerKwh }) => figure(tokensPerKwh)),
    ...phaseColumns(report),
    ...(report.price === null ? [] : [numeric('cost $', ({ energyCost }) => figure(energyCost)), numeric('$/tok', ({ energyCostPerToken }) => figure(energyCostPerToken))]),
    ...(report.carbon === null ? [] : [numeric('g CO2', ({ carbonGrams }) => figure(carbonGrams))]),
  ];
}

/** What every figure must say of itself: boundary, range, coverage, basis. */
export function captionOf(report: Report): string {
  const range = report.from === null || report.to === null ? 'no facts' : `${report.from} – ${report.to}`;
  return [`boundary ${report.boundary ?? 'none'}`, range, `coverage ${percent(report.coverage)}`, `basis ${report.basis}`, `PUE ${report.pue}`].join(' · ');
}

const flagLine = ({ code, detail, count: cases }: Flag): string => `${code}: ${printable(detail)}${cases === undefined || cases === 1 ? '' : ` (${count(cases)}×)`}`;

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
