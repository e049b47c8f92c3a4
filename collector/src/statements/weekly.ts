/** Weekly review: what moved cost per useful token against the week before, by deployment and by every label that changed. */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Boundary } from '@joulebook/shared/slice.js';
import { DateTime } from 'luxon';
import type { Book } from '../book/book.js';
import { FIGURES } from '../figures/table.js';
import type { Report, Row } from '../join/report.js';
import { formatTime } from '../join/times.js';
import type { Span } from '../rates/pieces.js';
import { buildReport } from '../report/build.js';
import type { Defaults, ReportRequest } from '../report/request.js';
import { remembering } from '../store/remembering.js';
import type { Key, Store } from '../store/store.js';
import { decompose, type Amounts, type Compared } from './decompose.js';
import { weekBefore, weekIn } from './period.js';
import { REVIEWED, type Cut, type WeeklyReview } from './review.js';

type Figure = (typeof REVIEWED)[number];

export interface WeeklyQuestion extends Defaults {
  /** `2026-W46` */
  readonly week: string;
  readonly zone: string;
  readonly site: string | undefined;
  readonly boundary: Boundary | undefined;
}

/** Two reports each. */
const MOST_LABELS = 20;
/** Says where facts come from, not what served. */
const NOT_SERVING: readonly string[] = ['simulated', 'demonstration'];

const SUMS: Readonly<Record<Figure, { readonly amount: (row: Row) => number | null; readonly tokens: (row: Row) => number | null }>> = {
  costPerUsefulToken: { amount: ({ allInCost }) => allInCost, tokens: ({ tokens }) => tokens.useful },
  energyCostPerUsefulToken: { amount: ({ energyCost }) => energyCost, tokens: ({ tokens }) => tokens.useful },
  energyCostPerToken: { amount: ({ energyCost }) => energyCost, tokens: ({ tokens }) => tokens.output },
  joulesPerUsefulToken: { amount: ({ joules }) => joules, tokens: ({ tokens }) => tokens.useful },
  joulesPerToken: { amount: ({ joules }) => joules, tokens: ({ tokens }) => tokens.output },
};

const amountsOf = (figure: Figure, row: Row | undefined): Amounts => ({ amount: (row && SUMS[figure].amount(row)) ?? 0, tokens: (row && SUMS[figure].tokens(row)) ?? 0 });
const isKnown = (figure: Figure, row: Row): boolean => SUMS[figure].amount(row) !== null && (SUMS[figure].tokens(row) ?? 0) > 0;

const byGroup = (report: Report): Map<string, Row> => new Map(report.rows.map((row) => [JSON.stringify(row.group), row]));

function cutOf(figure: Figure, by: readonly string[], before: Report, after: Report): Cut {
  const [first, last] = [byGroup(before), byGroup(after)];
  const groups = [...new Set([...first.keys(), ...last.keys()])].map((key): Compared<Row['group']> => ({
    key: (last.get(key) ?? first.get(key))?.group ?? {}, before: amountsOf(figure, first.get(key)), after: amountsOf(figure, last.get(key)),
  }));
  const whole = { before: amountsOf(figure, before.total), after: amountsOf(figure, after.total) };
  const moved = decompose(groups, whole);
  const change = whole.after.amount / whole.after.tokens - whole.before.amount / whole.before.tokens;
  const told = moved.reduce((sum, { effect }) => sum + effect, 0);
  // What is left of adding up doubles is no rest.
  const rest = Math.abs(change - told) <= 1e-9 * Math.max(Math.abs(change), whole.before.amount / whole.before.tokens) ? 0 : change - told;
  return { by: [...by], groups: moved.map(({ key, ratio, share, ...effects }) => ({ group: key, ratio: [...ratio], share: [...share], ...effects })), rest };
}

/** A label that no deployment has two values of tells nothing that deployments do not. */
const dividesMore = ({ groups }: Cut): boolean => new Set(groups.map(({ group }) => group['deployment'])).size < groups.length;

/** Deployments that served in both weeks, and with no value of the label in both. */
function replacedIn({ groups }: Cut): string[] {
  const names = [...new Set(groups.map(({ group }) => group['deployment'] ?? null))];
  return names.flatMap((name) => {
    const own = groups.filter(({ group }) => (group['deployment'] ?? null) === name);
    const served = ([before, after]: [boolean, boolean]): boolean => own.some(({ share }) => share[0] > 0 === before && share[1] > 0 === after);
    return served([true, false]) && served([false, true]) && !served([true, true]) ? [name ?? '(none)'] : [];
  });
}

const weekOf = (name: string, span: Span, { total }: Report, cost: 'allInCost' | 'energyCost'): WeeklyReview['before'] => ({
  week: name, from: formatTime(span.from), to: formatTime(span.to), joules: total.joules, outputTokens: total.tokens.output, usefulTokens: total.tokens.useful, cost: total[cost], coverage: total.coverage,
});
const nameOf = (zone: string, { from }: Span): string => DateTime.fromMillis(from / 1000, { zone }).toFormat("kkkk-'W'WW");

/** @throws TelemetryError (`abort`) where a week has nothing that could be compared */
export async function weeklyReviewOf(plain: Store, book: Book, question: WeeklyQuestion): Promise<WeeklyReview> {
  const { week, zone, site } = question;
  const after = weekIn(zone, week);
  if (!after) throw new TelemetryError('NO_WEEK', `'${week}' is no week of ${zone}; write one like 2026-W46.`, 'abort');
  const before = weekBefore(zone, after);
  const store = remembering(plain);
  const ask = (span: Span, by: readonly Key[]): Promise<Report> => {
    const where: ReportRequest['where'] = site === undefined ? [] : [{ key: 'site', values: [site] }];
    return buildReport(store, { ...span, by, step: undefined, boundary: question.boundary, where, basis: 'all', price: question.price ?? null, pue: question.pue ?? null, carbon: question.carbon ?? null, slo: undefined }, '', book);
  };
  const [first, last] = [await ask(before, ['deployment']), await ask(after, ['deployment'])];
  const figure = REVIEWED.find((each) => isKnown(each, first.total) && isKnown(each, last.total));
  if (figure === undefined) {
    const lacking = [[nameOf(zone, before), first], [week, last]] as const;
    const names = lacking.filter(([, { total }]) => !isKnown('joulesPerToken', total)).map(([name]) => name);
    throw new TelemetryError('NO_FACTS', `There is nothing to compare: energy with tokens is missing in ${names.join(' and ') || 'one of the weeks'}.`, 'abort');
  }
  const cuts = [cutOf(figure, ['deployment'], first, last)];
  const labels = (await store.labels()).filter((label) => !NOT_SERVING.includes(label));
  for (const label of labels.slice(0, MOST_LABELS)) {
    const by: readonly Key[] = ['deployment', { label }];
    const cut = cutOf(figure, ['deployment', label], await ask(before, by), await ask(after, by));
    if (dividesMore(cut)) cuts.push(cut);
  }
  const valueOf = ({ total }: Report): number => amountsOf(figure, total).amount / amountsOf(figure, total).tokens;
  const value: [number, number] = [valueOf(first), valueOf(last)];
  const flags = new Map([...first.flags, ...last.flags].map((each) => [`${each.code} ${each.detail}`, each]));
  // Side by side they are only of use in the same terms.
  const withoutAllIn = [[nameOf(zone, before), first] as const, [week, last] as const].flatMap(([name, { total }]) => (total.allInCost === null ? [name] : []));
  const cost = withoutAllIn.length === 0 ? 'allInCost' : 'energyCost';
  if (withoutAllIn.length === 1) flags.set('cost', { code: 'COST_OF_ENERGY_ALONE', detail: `There is no all-in cost of ${withoutAllIn.join('')} (no entry of the book fits it, or not all of it is known): cost is that of energy in both weeks.` });
  for (const cut of cuts.slice(1)) {
    const [label = '', names] = [cut.by.at(-1), replacedIn(cut)];
    if (names.length > 0) flags.set(`replaced ${label}`, { code: 'LABEL_REPLACED', detail: `'${label}' changed altogether in ${names.join(', ')}: no value of it is in both weeks, so there is no mix to compare; the effects of its old and new values together are what the change did, as by deployment.` });
  }
  if (labels.length > MOST_LABELS) flags.set('labels', { code: 'LABELS_NOT_SHOWN', detail: `Of ${labels.length} labels the first ${MOST_LABELS} by name are looked at.` });
  return { statement: 'weekly', week, zone, boundary: last.boundary, currency: last.currency, figure, unit: FIGURES[figure].unit, before: weekOf(nameOf(zone, before), before, first, cost), after: weekOf(week, after, last, cost), value, change: value[1] - value[0], cuts, flags: [...flags.values()] };
}
