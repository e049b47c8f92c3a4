/** Sustainability statement of a month: a report per site over its own month, with what such a statement has to say beside its figures. */
import type { Boundary } from '@joulebook/shared/slice.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { epochMicros } from '@joulebook/shared/units.js';
import type { Book } from '../book/book.js';
import type { Report, Row } from '../join/report.js';
import { formatTime } from '../join/times.js';
import type { Span } from '../rates/pieces.js';
import { buildReport } from '../report/build.js';
import type { Defaults, ReportRequest } from '../report/request.js';
import { remembering } from '../store/remembering.js';
import type { Filter, Store } from '../store/store.js';
import { BOUNDARY_WORDS } from './boundary-words.js';
import { COLUMN_NAMES, COLUMNS, type ColumnName } from './columns.js';
import { gapsOf, type NodeGaps } from './gaps.js';
import { localText, monthBefore, monthIn, zoneOf } from './period.js';
import type { Line, MonthlyStatement, SiteStatement } from './statement.js';

export interface MonthlyQuestion extends Defaults {
  /** `2026-10`, or a range that is the same everywhere. */
  readonly period: string | Span;
  /** All where not said. */
  readonly site: string | undefined;
  /** The narrowest that is measured where not said. */
  readonly boundary: Boundary | undefined;
}

/** Zones are no farther from UTC. */
const MOST_OFFSET = 14 * 3600e6;
const HOUR = 3600;

const siteFilter = (site: string | null): Filter => (site === null ? { key: 'site', values: [], orMissing: true } : { key: 'site', values: [site] });
const spanOf = (period: string | Span, zone: string): Span | undefined => (typeof period === 'string' ? monthIn(zone, period) : period);

async function sitesIn(store: Store, period: string | Span): Promise<(string | null)[]> {
  const utc = spanOf(period, 'UTC');
  if (!utc) return [];
  const scope = { where: [], from: epochMicros(utc.from - MOST_OFFSET), to: epochMicros(utc.to + MOST_OFFSET) };
  const energy = await store.sum({ kind: 'booked', by: ['boundary', 'site'], ...scope });
  const tokens = await store.sum({ kind: 'tokens', by: ['site'], ...scope });
  const names = new Set([...energy, ...tokens].map(({ values }) => values.at(-1) ?? null));
  return [...names].toSorted((a, b) => (a === b ? 0 : a === null ? 1 : b === null ? -1 : a < b ? -1 : 1));
}

function lineOf(row: Row): Line {
  const entries = COLUMN_NAMES.map((name) => [name, COLUMNS[name].of(row)] as const);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- one entry per column
  const figures = Object.fromEntries(entries) as Record<ColumnName, number | null>;
  return { model: row.group['model'] ?? null, ...figures, flags: row.flags };
}

const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 });
const percentOf = (share: number): string => `${(share * 100).toFixed(1)} %`;

function methodSentences({ boundary, methods, pue, basis }: Report, zone: string): string[] {
  if (boundary === null) return ['No energy was measured here.'];
  const by = methods.filter((each) => each.boundary === boundary).map(({ source, method }) => `${source} (${method === 'counter' ? 'energy counter' : 'power, integrated over time'})`);
  return [
    `Boundary ${boundary}: ${BOUNDARY_WORDS[boundary].holds}. Measured by ${[...new Set(by)].join(', ') || 'nothing'}.`,
    `Energy at the meter is that at the boundary times PUE${pue === null ? '' : ` (${number.format(pue)} in the mean over the energy)`}, each joule at the PUE of its time; carbon is energy at the meter times the intensity of its time.`,
    'Location-based: by the intensity of the grid that the site is on. Market-based: by the intensity of what was bought (contracts, certificates). Both are of electricity alone (scope 2 where the servers are yours, scope 3 where they are rented).',
    `Joules per token are over ${basis === 'all' ? 'all joules, idle ones included' : 'joules of serving alone'}. Coverage is time seen of the time in which each device should have been; what was not seen is in no figure and was not estimated. The month is that of ${zone}.`,
    'The range of a figure is what the sensors state of their error and what was missed between readings; PUE and intensities are taken as they are given.',
  ];
}

function notMeasured(report: Report, gaps: NodeGaps): string[] {
  const { boundary, total, pue, rows } = report;
  const lost = gaps.gaps.reduce((sum, { deviceSeconds }) => sum + deviceSeconds, gaps.besidesSeconds);
  const nameless = rows.find(({ group }) => group['model'] === null);
  const share = nameless?.joules && total.joules ? nameless.joules / total.joules : 0;
  return [
    ...(boundary === null ? [] : [`Beyond the boundary: ${BOUNDARY_WORDS[boundary].lacks}${pue !== null && pue > 1 ? ', but for what the PUE adds' : ''}.`]),
    ...(pue === 1 && boundary !== 'meter' ? ['PUE is 1 or not stated: nothing is added for cooling and power supply.'] : []),
    ...(lost > 0 ? [`${number.format(lost / HOUR)} device hours in which a device was not seen (gaps below).`] : []),
    ...(gaps.silent.length > 0 ? [`Seen the month before and not once in this one, in no coverage: ${gaps.silent.join(', ')}.`] : []),
    ...(share > 0 ? [`${percentOf(share)} of the energy names no model: machines or devices that nothing ran on, or nothing told of.`] : []),
    ...(total.tokens.output === null ? ['Tokens: no engine told of any.'] : []),
    ...(total.joules !== null && total.uncertainty === null ? ['The error of the energy: some sensors do not state theirs.'] : []),
    ...(total.joules !== null && total.carbonGrams === null ? ['Location-based carbon: the intensity of the grid is not known for all of the energy.'] : []),
    ...(total.joules !== null && total.carbonGramsMarket === null ? ['Market-based carbon: the intensity of what was bought is not known for all of the energy.'] : []),
    'Making, transport and disposal of the machines (embodied carbon), refrigerants, water, and the energy of clients and networks.',
  ];
}

async function siteStatementOf(store: Store, book: Book, question: MonthlyQuestion, site: string | null): Promise<SiteStatement | undefined> {
  const zone = zoneOf(book, site);
  const span = spanOf(question.period, zone);
  if (!span) return undefined;
  const where = [siteFilter(site)];
  const request: ReportRequest = { ...span, by: ['model'], step: undefined, boundary: question.boundary, where, basis: 'all', price: question.price ?? null, pue: question.pue ?? null, carbon: question.carbon ?? null, slo: undefined };
  const report = await buildReport(store, request, '', book);
  const { total, rows, boundary, methods, demand, flags } = report;
  if (total.joules === null && total.deviceSeconds === null && total.tokens.output === null && total.tokens.input === null) return undefined;
  const gaps = await gapsOf(store, where, boundary, span, monthBefore(zone, span));
  return {
    site, zone, from: formatTime(span.from), to: formatTime(span.to), localFrom: localText(span.from, zone), localTo: localText(span.to, zone), boundary,
    method: methodSentences(report, zone),
    notMeasured: notMeasured(report, gaps),
    methods,
    total: lineOf(total),
    models: rows.map(lineOf),
    ...(demand && { demand }),
    gaps: gaps.gaps.map(({ node, from, to, deviceSeconds }) => ({ node, from: formatTime(from), to: formatTime(to), deviceSeconds })),
    shortGapSeconds: gaps.besidesSeconds,
    flags,
  };
}

/** @throws TelemetryError (`abort`) where there are no facts of that month, or of that site */
export async function monthlyStatementOf(plain: Store, book: Book, question: MonthlyQuestion): Promise<MonthlyStatement> {
  const store = remembering(plain);
  const { period, site } = question;
  const known = await sitesIn(store, period);
  const name = typeof period === 'string' ? period : `${formatTime(period.from)}/${formatTime(period.to)}`;
  const sites: SiteStatement[] = [];
  for (const each of site === undefined ? known : known.filter((other) => other === site)) {
    const found = await siteStatementOf(store, book, question, each);
    if (found) sites.push(found);
  }
  if (sites.length === 0) {
    const others = known.flatMap((each) => each ?? []);
    throw new TelemetryError('NO_FACTS', `There are no facts of ${site === undefined ? name : `site '${site}' in ${name}`}.${others.length > 0 && site !== undefined ? ` Sites with facts around then: ${others.join(', ')}.` : ''}`, 'abort');
  }
  return { statement: 'monthly', period: name, currency: book.currency, sites };
}
