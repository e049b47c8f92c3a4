/** A monthly statement for people and for spreadsheets. */
import { count, figure, flagLine, percent, printable } from '../report/columns.js';
import { html, Markup, page, STYLE } from '../report/html.js';
import { csvText, markdownText, tableLine } from '../report/render.js';
import { COLUMN_NAMES, CSV_HEAD, CSV_TAIL } from './columns.js';
import type { Line, MonthlyStatement, SiteStatement } from './statement.js';
import { bar, PRINT_STYLE } from './statement-page.js';

export const nameOfSite = (site: string | null): string => (site === null ? 'no site' : printable(site));
const nameOfModel = ({ model }: Line): string => (model === null ? '(no model)' : printable(model));

const interval = (low: number | null, high: number | null): string => (low === null || high === null ? '–' : `${figure(low)} to ${figure(high)}`);

interface TableColumn {
  readonly head: string;
  readonly cell: (line: Line) => string;
}
/** Those that some line has, in two tables: one would be too wide for a page. */
function tablesOf({ total, models }: SiteStatement, currency: string): { readonly caption: string; readonly columns: readonly TableColumn[] }[] {
  const has = (name: keyof Line): boolean => [total, ...models].some((each) => each[name] !== null);
  const column = (head: string, cell: TableColumn['cell'], shown = true): TableColumn[] => (shown ? [{ head, cell }] : []);
  return [
    {
      caption: 'Energy and carbon by model',
      columns: [
        ...column('kWh', ({ energyKwh }) => figure(energyKwh)),
        ...column('kWh, range', ({ energyKwhLow, energyKwhHigh }) => interval(energyKwhLow, energyKwhHigh), has('energyKwhLow')),
        ...column('kWh at the meter', ({ meterKwh }) => figure(meterKwh)),
        ...column('t CO2e (location)', ({ locationTonnes }) => figure(locationTonnes), has('locationTonnes')),
        ...column('t CO2e (market)', ({ marketTonnes }) => figure(marketTonnes), has('marketTonnes')),
        ...column('J/token', ({ joulesPerToken }) => figure(joulesPerToken)),
        ...column('J/token, range', ({ joulesPerTokenLow, joulesPerTokenHigh }) => interval(joulesPerTokenLow, joulesPerTokenHigh), has('joulesPerTokenLow')),
        ...column('J/useful token', ({ joulesPerUsefulToken }) => figure(joulesPerUsefulToken), has('joulesPerUsefulToken')),
        ...column('coverage', ({ coverage }) => percent(coverage)),
      ],
    },
    {
      caption: 'Tokens and money by model',
      columns: [
        ...column('prompt tokens', ({ promptTokens }) => count(promptTokens)),
        ...column('of these cached', ({ cachedPromptTokens }) => count(cachedPromptTokens), has('cachedPromptTokens')),
        ...column('output tokens', ({ outputTokens }) => count(outputTokens)),
        ...column('useful tokens', ({ usefulTokens }) => count(usefulTokens), has('usefulTokens')),
        ...column(`energy cost, ${currency}`, ({ energyCost }) => figure(energyCost), has('energyCost')),
        ...column(`all-in cost, ${currency}`, ({ allInCost }) => figure(allInCost), has('allInCost')),
      ],
    },
  ];
}

const titleOf = ({ period, sites }: MonthlyStatement): string => `Sustainability statement ${period}${sites.length === 1 ? `, ${nameOfSite(sites[0]?.site ?? null)}` : ''}`;
/** Whole minutes read better without seconds. */
const minuteText = (time: string): string => time.replace(/:00\.000Z$/, 'Z');
const rangeOf = ({ localFrom, localTo, zone }: SiteStatement): string => `${localFrom} to ${localTo} (${zone})`;
const hours = (seconds: number): string => `${figure(seconds / 3600)} h`;
const demandText = ({ month, peakKw, at, cost }: NonNullable<SiteStatement['demand']>[number], currency: string): string => `${month}: ${at === null ? 'not known' : `${figure(peakKw)} kW at ${minuteText(at)}, ${figure(cost)} ${currency}`}, in no cost above.`;
const flagsOf = ({ flags }: SiteStatement): string[] => [...new Set(flags.map(flagLine))];
/** Of a page for people; CSV counts them and JSON has all. */
const MOST_GAPS = 100;
const gapRows = ({ gaps }: SiteStatement): string[][] => gaps.slice(0, MOST_GAPS).map(({ node, from, to, deviceSeconds }) => [printable(node), minuteText(from), minuteText(to), hours(deviceSeconds)]);
function gapsNote({ gaps, shortGapSeconds }: SiteStatement): string {
  const more = gaps.length > MOST_GAPS ? `… and ${gaps.length - MOST_GAPS} more gaps, which the JSON has. ` : '';
  const none = gaps.length === 0 ? 'None of a length that is listed. ' : '';
  return `${none}${more}To the quarter of an hour. Beside them devices were not seen for ${hours(shortGapSeconds)}, in pieces of less than 1 % of a quarter.`;
}
const GAP_HEAD = ['node', 'from', 'to', 'not seen, of its devices'];

const bullets = (title: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : ['', `### ${title}`, '', ...lines.map((text) => `- ${markdownText(text)}`)]);

function siteMarkdown(site: SiteStatement, currency: string): string[] {
  const tables = tablesOf(site, currency).flatMap(({ caption, columns }) => {
    const row = (name: string, each: Line): string => tableLine([name, ...columns.map(({ cell }) => cell(each))].map(markdownText));
    return ['', caption, '', tableLine(['model', ...columns.map(({ head }) => markdownText(head))]), tableLine(['---', ...columns.map(() => '---:')]), ...site.models.map((each) => row(nameOfModel(each), each)), row('all', site.total)];
  });
  return [
    '', `## Site: ${markdownText(nameOfSite(site.site))}`, '', markdownText(`${rangeOf(site)}, boundary ${site.boundary ?? 'none'}, PUE ${figure(site.total.pue)}`), ...tables,
    ...bullets('Demand charge', (site.demand ?? []).map((each) => demandText(each, currency))),
    ...bullets('Method and boundary', site.method), ...bullets('Not measured', site.notMeasured),
    '', '### Gaps', '', ...(site.gaps.length === 0 ? [] : [tableLine(GAP_HEAD), tableLine(['---', '---', '---', '---:']), ...gapRows(site).map((cells) => tableLine(cells.map(markdownText))), '']), gapsNote(site),
    ...bullets('Reservations', flagsOf(site)),
  ];
}

export const monthlyMarkdown = (statement: MonthlyStatement): string => [`# ${markdownText(titleOf(statement))}`, ...statement.sites.flatMap((site) => siteMarkdown(site, statement.currency)), ''].join('\n');

const list = (title: string, lines: readonly string[]): Markup => (lines.length === 0 ? html`` : html`<section><h3>${title}</h3><ul>${lines.map((text) => html`<li>${text}</li>`)}</ul></section>`);

function keyFigures({ total, boundary }: SiteStatement): Markup {
  const entries = [
    [`Energy (${boundary ?? 'none'}), kWh`, figure(total.energyKwh)], ['At the meter, kWh', figure(total.meterKwh)], ['Location-based, t CO2e', figure(total.locationTonnes)], ['Market-based, t CO2e', figure(total.marketTonnes)],
    ['Output tokens', count(total.outputTokens)], ['Joules per token', figure(total.joulesPerToken)], ['PUE', figure(total.pue)], ['Coverage', percent(total.coverage)],
  ] as const;
  return html`<dl class="figures">${entries.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function tableHtml(head: readonly string[], rows: readonly Markup[], caption: string, foot: Markup): Markup {
  return html`<table><caption>${caption}</caption><thead><tr>${head.map((text, index) => html`<th scope="col" class="${index === 0 ? 'name' : 'number'}">${text}</th>`)}</tr></thead><tbody>${rows}</tbody>${foot}</table>`;
}

function siteHtml(site: SiteStatement, currency: string): Markup {
  const most = Math.max(0, ...site.models.map(({ energyKwh }) => energyKwh ?? 0));
  const tables = tablesOf(site, currency).map(({ caption, columns }, index) => {
    const row = (name: string, each: Line, drawn: Markup): Markup => html`<tr><th scope="row">${name}${drawn}</th>${columns.map(({ cell }) => html`<td class="number">${cell(each)}</td>`)}</tr>`;
    const rows = site.models.map((each) => row(nameOfModel(each), each, index === 0 ? bar(each.energyKwh, most) : html``));
    return tableHtml(['model', ...columns.map(({ head }) => head)], rows, index === 0 ? `${caption} (bars: kWh)` : caption, html`<tfoot>${row('all', site.total, html``)}</tfoot>`);
  });
  const gaps = site.gaps.length === 0 ? html`` : tableHtml(GAP_HEAD, gapRows(site).map(([node = '', ...cells]) => html`<tr><th scope="row">${node}</th>${cells.map((cell) => html`<td class="number">${cell}</td>`)}</tr>`), 'When a node was not seen', html``);
  return html`<section class="site"><h2>Site: ${nameOfSite(site.site)}</h2><p>${rangeOf(site)}</p>${keyFigures(site)}${tables}
${list('Demand charge', (site.demand ?? []).map((each) => demandText(each, currency)))}${list('Method and boundary', site.method)}${list('Not measured', site.notMeasured)}
<section><h3>Gaps</h3>${gaps}<p>${gapsNote(site)}</p></section>${list('Reservations', flagsOf(site))}</section>`;
}

const BANNER = 'Simulated or demonstration data: not measured on these machines';
const isMadeUp = ({ sites }: MonthlyStatement): boolean => sites.some(({ flags }) => flags.some(({ code }) => code === 'SIMULATED' || code === 'DEMONSTRATION'));

export const monthlyHtml = (statement: MonthlyStatement): string =>
  page(titleOf(statement), new Markup(`<style>${STYLE}${PRINT_STYLE}</style>`), html`<main><h1>${titleOf(statement)}</h1>${isMadeUp(statement) ? html`<p class="demonstration" role="note">${BANNER}</p>` : html``}${statement.sites.map((site) => siteHtml(site, statement.currency))}</main>`);

const figuresOf = (each: Line) => COLUMN_NAMES.map((name) => each[name]);
const codesOf = ({ flags }: Pick<Line, 'flags'>): string => [...new Set(flags.map(({ code }) => code))].join(' ');
/** The highest, and all of the money; of what is not known in part neither is. */
function demandOf({ demand = [] }: SiteStatement): (number | null)[] {
  const known = demand.flatMap(({ peakKw, cost }) => (peakKw === null || cost === null ? [] : [{ peakKw, cost }]));
  return known.length === 0 || known.length < demand.length ? [null, null] : [Math.max(...known.map(({ peakKw }) => peakKw)), known.reduce((sum, { cost }) => sum + cost, 0)];
}

/** A line of each site, then of its models. */
export function monthlyCsv({ period, currency, sites }: MonthlyStatement): string {
  const lines = sites.flatMap((site) => {
    const head = (level: string, each: Line) => [period, site.site, site.zone, site.from, site.to, level, each.model, site.boundary];
    const lost = site.gaps.reduce((sum, { deviceSeconds }) => sum + deviceSeconds, site.shortGapSeconds);
    return [
      [...head('site', site.total), ...figuresOf(site.total), site.gaps.length, lost / 3600, ...demandOf(site), currency, codesOf(site)],
      ...site.models.map((each) => [...head('model', each), ...figuresOf(each), null, null, null, null, currency, codesOf(each)]),
    ];
  });
  return csvText([[...Object.keys(CSV_HEAD), ...COLUMN_NAMES, ...Object.keys(CSV_TAIL)], ...lines]);
}
