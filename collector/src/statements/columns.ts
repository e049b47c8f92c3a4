/**
 * The columns of a sustainability statement, once: CSV, JSON, the tables for people and docs/statements.md are made of them. All come
 * from figures of a report; here they get the units that such statements are written in. What is not known is null, never 0.
 */
import { JOULES_PER_KWH } from '@joulebook/shared/units.js';
import type { Row } from '../join/report.js';

type Measured = number | null;

export interface Column {
  readonly unit: string;
  readonly title: string;
  /** Out of which figures, as docs/money.md names them. */
  readonly how: string;
  readonly of: (row: Row) => Measured;
}

const column = (unit: string, title: string, how: string, of: Column['of']): Column => ({ unit, title, how, of });
const over = (value: Measured | undefined, unit: number): Measured => (value === null || value === undefined ? null : value / unit);
const GRAMS_PER_TONNE = 1e6;

export const COLUMNS = {
  energyKwh: column('kWh', 'Energy at the boundary', '`joules` / 3.6e6', ({ joules }) => over(joules, JOULES_PER_KWH)),
  energyKwhLow: column('kWh', 'the least it can be by what the sensors state', 'low end of `uncertainty.joules`', ({ uncertainty }) => over(uncertainty?.joules?.[0], JOULES_PER_KWH)),
  energyKwhHigh: column('kWh', 'the most', 'high end of `uncertainty.joules`', ({ uncertainty }) => over(uncertainty?.joules?.[1], JOULES_PER_KWH)),
  pue: column('1', 'Power usage effectiveness, in the mean over the energy', '`facilityJoules` / `joules`', ({ facilityJoules, joules }) => (facilityJoules === null || joules === null || joules <= 0 ? null : facilityJoules / joules)),
  meterKwh: column('kWh', 'Energy at the meter', '`facilityJoules` / 3.6e6', ({ facilityJoules }) => over(facilityJoules, JOULES_PER_KWH)),
  locationTonnes: column('t CO2e', 'Carbon, location-based', '`carbonGrams` / 1e6', ({ carbonGrams }) => over(carbonGrams, GRAMS_PER_TONNE)),
  marketTonnes: column('t CO2e', 'Carbon, market-based', '`carbonGramsMarket` / 1e6', ({ carbonGramsMarket }) => over(carbonGramsMarket, GRAMS_PER_TONNE)),
  promptTokens: column('token', 'Prompt tokens, cached ones included', '`tokens.input`', ({ tokens }) => tokens.input),
  cachedPromptTokens: column('token', 'of these from a cache', '`tokens.cachedInput`', ({ tokens }) => tokens.cachedInput),
  outputTokens: column('token', 'Output tokens', '`tokens.output`', ({ tokens }) => tokens.output),
  usefulTokens: column('token', 'Useful output tokens', '`tokens.useful`', ({ tokens }) => tokens.useful),
  joulesPerToken: column('J/token', 'Energy per output token, at the boundary', '`joulesPerToken`', ({ joulesPerToken }) => joulesPerToken),
  joulesPerTokenLow: column('J/token', 'the least it can be', 'low end of `uncertainty.joulesPerToken`', ({ uncertainty }) => uncertainty?.joulesPerToken?.[0] ?? null),
  joulesPerTokenHigh: column('J/token', 'the most', 'high end of `uncertainty.joulesPerToken`', ({ uncertainty }) => uncertainty?.joulesPerToken?.[1] ?? null),
  joulesPerUsefulToken: column('J/token', 'Energy per useful token', '`joulesPerUsefulToken`', ({ joulesPerUsefulToken }) => joulesPerUsefulToken),
  energyCost: column('money', 'Energy cost', '`energyCost`', ({ energyCost }) => energyCost),
  allInCost: column('money', 'Cost of the whole serving stack', '`allInCost`', ({ allInCost }) => allInCost),
  deviceHours: column('h', 'Device hours seen', '`deviceSeconds` / 3600', ({ deviceSeconds }) => over(deviceSeconds, 3600)),
  coverage: column('1', 'Coverage: time seen of the time that should have been', '`coverage`', ({ coverage }) => coverage),
  modelledShare: column('1', 'Share of the energy divided by a model', '`modelledJoules` / `joules`', ({ modelledJoules, joules }) => (modelledJoules === null || joules === null || joules <= 0 ? null : modelledJoules / joules)),
} as const satisfies Readonly<Record<string, Column>>;

export type ColumnName = keyof typeof COLUMNS;
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the names of a literal are its own
export const COLUMN_NAMES = Object.keys(COLUMNS) as readonly ColumnName[];

/** What stands before and behind them in a CSV. */
export const CSV_HEAD = {
  period: 'month, or the range that was asked', site: 'site of the agents; empty for those that name none', zone: 'whose calendar the month is of', from: 'beginning', to: 'end, not in it', level: '`site` for all of the site, `model` for one of its models; models add up to the site',
  model: 'model; empty for energy and tokens that name none, and in rows of sites', boundary: 'where energy is measured: gpu, module, cpu, dram, server or meter',
} as const;
export const CSV_TAIL = {
  gaps: 'number of gaps (rows of sites)', gapDeviceHours: 'h of devices that were not seen, short gaps included (rows of sites)', demandKw: 'kW, highest mean power of the month (rows of sites with a demand charge)',
  demandCost: 'money for it, in no other cost', currency: 'ISO 4217', flags: 'codes of reservations, as in a report',
} as const;
