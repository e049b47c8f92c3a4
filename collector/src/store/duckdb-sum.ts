/** Sums as SQL. Text from outside is always bound, never spliced; only names from fixed lists are spliced. */
import type { DuckDBValue } from '@duckdb/node-api';
import { epochMicros, seconds, type Seconds } from '@joulebook/shared/units.js';
import { commonStep, planOf, type Level, type Plan, type Segment, type Standing } from './levels.js';
import { METERED, UNSTATED } from './rollup-schema.js';
import { CELL_MICROS, filtersIn, groupingOf, nameOf, perCell, type Grouping } from './walls.js';
import { divides, type Dimension, type FactKind, type FactSums, type Filter, type GroupSum, type Key, type RequestCounts, type SumQuery, type Weighed } from './store.js';

/** Details of one flag code that are told one by one. */
export const DETAILS_PER_CODE = 5;

export interface Statement {
  readonly sql: string;
  readonly parameters: string[];
}

type Row = readonly DuckDBValue[];
interface Reader<K extends FactKind> {
  /**
   * From the rows of `facts` (group columns, step, from_us, to_us and the kind's own) to one row per group.
   * @param walls SQL of wall times with their groups, of energy
   * @param length SQL of the length of a step's part of the window in seconds, of asked time
   * @param weights of weighed energy
   */
  select(groups: string, walls: string, length: string, weights: SpelledWeights): string;
  /** `row` holds the kind's own columns. */
  read(row: Row): FactSums[K];
}

const number = (value: DuckDBValue | undefined): number => (typeof value === 'bigint' || typeof value === 'number' ? Number(value) : 0);
const bigint = (value: DuckDBValue | undefined): bigint => (typeof value === 'bigint' ? value : 0n);
/** To the microsecond: a sum of doubles depends in its last digit on the order in which threads finish. */
const time = (value: DuckDBValue | undefined): Seconds => seconds(Math.round(number(value) * 1e6) / 1e6);
/** As `time`, for doubles of any size. */
const twelveDigits = (value: DuckDBValue | undefined): number => Number(number(value).toPrecision(12));
const text = (value: DuckDBValue | undefined): string | null => (typeof value === 'string' ? value : null);

const REQUEST_COUNTS = ['sum(requests)', 'sum(input_tokens)', 'sum(cached_input_tokens)', 'sum(output_tokens)'] as const;
const requestCounts = ([requests, input, cached, output]: readonly (DuckDBValue | undefined)[]): RequestCounts => ({ requests: number(requests), inputTokens: number(input), cachedInputTokens: number(cached), outputTokens: number(output) });

const plain = (columns: string) => (groups: string) => `SELECT ${groups}, min(from_us), max(to_us), ${columns} FROM facts GROUP BY ${groups}`;

/**
 * Columns of µJ × factors. First by the cells in which no factor changes: looking factors up for each fact takes ten times as long.
 * @param which of the facts
 */
const weighedSelect = (groups: string, columns: readonly string[], which: string, { rows, site, grid, factors }: SpelledWeights): string => `, weights AS (${rows}),
        cells AS (SELECT ${groups}, ${site} AS at_site, (from_us // ${grid}) * ${grid} AS at_us, min(from_us) AS first, max(to_us) AS last, ${columns.map((name) => `sum(${name}) AS ${name}`).join(', ')} FROM facts WHERE ${which} GROUP BY ${groups}, ${site}, from_us // ${grid})
        SELECT ${groups}, min(first), max(last), ${columns.flatMap((name) => factors.map((factor) => `fsum(${name} * ${factor}), sum(${name}) FILTER (${factor} IS NULL)`)).join(', ')}
        FROM cells ASOF LEFT JOIN weights ON cells.at_site = weights.at_site AND cells.at_us >= weights.at_us GROUP BY ${groups}`;

/** A sum and what is not known for each factor. */
const weighedOf = (row: Row): Weighed[] => Array.from({ length: Math.floor(row.length / 2) }, (_, index) => ({ sum: twelveDigits(row[2 * index]), unknown: bigint(row[2 * index + 1]) }));

/** fsum: compensated, so that 30 slices of 0.1 s are 3 s. */
const READERS: { readonly [K in FactKind]: Reader<K> } = {
  energy: {
    select: (groups, walls) => {
      const same = groups.split(', ').map((group) => `totals.${group} IS NOT DISTINCT FROM walls.${group}`).join(' AND ');
      // By device first: counting them among all facts takes twice as long.
      return `, per_device AS (SELECT ${groups}, min(from_us) AS first, max(to_us) AS last, sum(microjoules) AS microjoules, sum(modelled_microjoules) AS modelled,
          fsum(seconds) AS seconds, fsum(asked_seconds) AS asked, sum(low_microjoules) AS low, sum(high_microjoules) AS high,
          fsum(coalesce(sampling_variance, 0)) AS variance, sum(coalesce(division_microjoules, 0)) AS division, sum(unstated) AS unstated FROM facts GROUP BY ${groups}, node, device),
        totals AS (SELECT ${groups}, min(first) AS first, max(last) AS last, sum(microjoules) AS microjoules, sum(modelled) AS modelled,
          fsum(seconds) AS seconds, fsum(asked) AS asked, count(*) AS devices, sum(low) AS low, sum(high) AS high, fsum(variance) AS variance, sum(division) AS division,
          sum(unstated) AS unstated FROM per_device GROUP BY ${groups}),
        walls AS (SELECT ${groups}, fsum(wall) AS wall FROM (${walls}) GROUP BY ${groups})
        SELECT totals.*, walls.wall FROM totals LEFT JOIN walls ON ${same}`;
    },
    read: ([microjoules, modelled, observed, asked, devices, low, high, variance, division, unstated, wall]) => ({
      microjoules: bigint(microjoules),
      modelledMicrojoules: bigint(modelled),
      divisionMicrojoules: bigint(division),
      seconds: time(observed),
      askedSeconds: time(asked),
      devices: number(devices),
      wallSeconds: time(wall),
      stated: number(unstated) > 0 || typeof low !== 'bigint' || typeof high !== 'bigint' ? null : { lowMicrojoules: low, highMicrojoules: high, samplingVariance: twelveDigits(variance) },
    }),
  },
  booked: {
    select: plain('sum(microjoules), fsum(seconds), fsum(asked_seconds)'),
    read: ([microjoules, observed, asked]) => ({ microjoules: bigint(microjoules), seconds: time(observed), askedSeconds: time(asked) }),
  },
  asked: {
    // `own`: the filters keep the fact. Sums of doubles fall short of a window by less than a millionth.
    select: (groups, _, length) => `, per_group AS (SELECT ${groups}, node, device, min(from_us) FILTER (own) AS first, max(to_us) FILTER (own) AS last,
          fsum(asked_seconds) AS asked, fsum(asked_seconds) FILTER (own) AS own FROM facts GROUP BY ${groups}, node, device),
        per_device AS (SELECT step, node, device, fsum(asked) AS asked FROM per_group GROUP BY step, node, device)
        SELECT ${groups}, min(first), max(last), fsum(own + own / d.asked * CASE WHEN ${length} - d.asked > 1e-6 * ${length} THEN ${length} - d.asked ELSE 0 END)
        FROM per_group JOIN per_device d USING (step, node, device) WHERE own > 0 GROUP BY ${groups}`,
    read: ([askedOfWindow]) => ({ askedOfWindow: time(askedOfWindow) }),
  },
  weighed: {
    select: (groups, _, __, weights) => weighedSelect(groups, ['microjoules'], 'true', weights),
    read: (row) => ({ weighed: weighedOf(row) }),
  },
  weighedRequests: {
    select: (groups, _, __, weights) => weighedSelect(groups, ['prefill_microjoules', 'decode_microjoules'], METERED, weights),
    read: (row) => ({ prefill: weighedOf(row.slice(0, row.length / 2)), decode: weighedOf(row.slice(row.length / 2)) }),
  },
  tokens: { select: plain('sum(count)'), read: ([count]) => ({ count: number(count) }) },
  requests: {
    select: plain([...REQUEST_COUNTS, `count(*) FILTER (${METERED})`, 'sum(prefill_microjoules)', 'sum(decode_microjoules)', ...REQUEST_COUNTS.map((count) => `${count} FILTER (${METERED})`)].join(', ')),
    read: ([requests, input, cached, output, facts, prefill, decode, ...metered]) => ({
      ...requestCounts([requests, input, cached, output]),
      metered: number(facts) === 0 ? null : { prefillMicrojoules: bigint(prefill), decodeMicrojoules: bigint(decode), ...requestCounts(metered) },
    }),
  },
  gauge: {
    select: plain('fsum(value_seconds), fsum(seconds), max(max)'),
    read: ([value, observed, max]) => ({ valueSeconds: twelveDigits(value), seconds: time(observed), max: number(max) }),
  },
  flag: {
    select: (groups) => `, per_detail AS (SELECT ${groups}, code, detail, min(from_us) AS first, max(to_us) AS last,
          sum(count) FILTER (of_count IS NULL) AS count, sum(count) FILTER (of_count IS NOT NULL) AS count_of, sum(of_count) AS of_count
          FROM facts GROUP BY ${groups}, code, detail),
        ranked AS (SELECT *, row_number() OVER (PARTITION BY ${groups}, code ORDER BY first, detail) AS place FROM per_detail),
        folded AS (SELECT * REPLACE (CASE WHEN place <= ${DETAILS_PER_CODE} THEN detail END AS detail) FROM ranked)
        SELECT ${groups}, min(first), max(last), code, detail, count(*), sum(count), sum(count_of), sum(of_count) FROM folded
        GROUP BY ${groups}, code, detail`,
    read: ([code, detail, details, count, countOf, of]) => ({ code: text(code) ?? '', detail: text(detail), details: number(details), count: number(count), countOf: number(countOf), of: number(of) }),
  },
};

/** Dimensions whose column has another name or type. */
const COLUMNS: Partial<Record<Dimension, string>> = {
  inputBand: 'input_band::VARCHAR', concurrencyBand: 'concurrency_band::VARCHAR', ttftBucket: 'ttft_bucket::VARCHAR', tpotBucket: 'tpot_bucket::VARCHAR',
  // Of single requests only: a cell of many has both.
  cached: `CASE WHEN request IS NULL THEN NULL WHEN cached_input_tokens > 0 THEN 'cached' ELSE 'uncached' END`,
};

function column(key: Key, bind: (value: string) => string): string {
  // A JSON pointer names a key whatever characters it has.
  return typeof key === 'string' ? (COLUMNS[key] ?? key) : `json_extract_string(labels, ${bind(`/${key.label.replaceAll('~', '~0').replaceAll('/', '~1')}`)})`;
}

function condition(filter: Filter, bind: (value: string) => string): string {
  const expression = column(filter.key, bind);
  const listed = filter.values.length === 0 ? 'false' : `${expression} IN (${filter.values.map(bind).join(', ')})`;
  return filter.orMissing === true ? `(${expression} IS NULL OR ${listed})` : listed;
}

const isOfLabel = ({ key, orMissing }: Filter): boolean => typeof key === 'object' && orMissing !== true;

/**
 * Labels are JSON, and to read it of each row takes longer than to add the rows up: of a month by the minute it is read once for each
 * set of labels that occurs. A list of them, since the planner would take any other subquery for the larger side of the join.
 */
const inSets = (rows: string, conditions: readonly string[]): string[] =>
  conditions.length === 0 ? [] : [`labels IN (SELECT labels FROM (SELECT unnest(list(DISTINCT labels)) AS labels FROM ${rows}) WHERE ${conditions.join(' AND ')})`];

const tableOf = (kind: FactKind): string => (kind === 'booked' || kind === 'asked' || kind === 'weighed' ? 'energy' : kind === 'weighedRequests' ? 'requests' : kind);

/** Weights as SQL. Where no site is listed the name of the others is empty, which no site's is. */
interface SpelledWeights {
  readonly rows: string;
  readonly site: string;
  readonly grid: number;
  readonly factors: readonly string[];
}

/** A column of values as one text: thousands of them as SQL take seconds to plan. What is not known is empty, and becomes null. */
const listed = (values: readonly (number | null)[], bind: (value: string) => string): string => `unnest(string_split(${bind(values.map((value) => value ?? '').join(' '))}, ' '))`;

function spelled({ weights }: SumQuery<FactKind>, bind: (value: string) => string): SpelledWeights {
  if (!weights) return { rows: '', site: '', grid: CELL_MICROS, factors: [] };
  const { sites, grid, count } = weights;
  const named = new Map(sites.flatMap(({ site }) => (site === null ? [] : [[site, bind(site)] as const])));
  const factors = Array.from({ length: count }, (_, index) => `factor${index}`);
  const rows = (sites.length === 0 ? [{ site: null, pieces: [] }] : sites).map(({ site, pieces }) =>
    `SELECT at_site, TRY_CAST(at_us AS BIGINT) AS at_us, ${factors.map((factor) => `TRY_CAST(${factor} AS DOUBLE) AS ${factor}`).join(', ')} FROM (SELECT ${site === null ? "''" : named.get(site)} AS at_site, ${listed(pieces.map(({ from }) => from), bind)} AS at_us, ${factors.map((factor, index) => `${listed(pieces.map((piece) => piece.factors[index] ?? null), bind)} AS ${factor}`).join(', ')})`);
  return { rows: rows.join(' UNION ALL '), site: named.size === 0 ? "''" : `CASE WHEN site IN (${[...named.values()].join(', ')}) THEN site ELSE '' END`, grid, factors };
}

function refuseNonsense(query: SumQuery<FactKind>): void {
  const keys = [...query.by, ...query.where.map(({ key }) => key)];
  const foreign = keys.find((key) => !divides(query.kind, key));
  if (foreign !== undefined) throw new RangeError(`${query.kind} facts have no ${JSON.stringify(foreign)}`);
  const ofTime = keys.find((key) => key === 'tariffPeriod' || key === 'loadBand');
  if (ofTime !== undefined) throw new RangeError(`nothing says what ${ofTime} a time is in`);
  if (keys.includes('tenant') && tableOf(query.kind) === 'energy') throw new RangeError('energy facts have no tenant; something has to share them');
  if (query.kind === 'asked' && !query.window) throw new RangeError('time is asked of a window');
  if ((query.kind === 'weighed' || query.kind === 'weighedRequests') && !query.weights) throw new RangeError('energy is weighed by something');
  if (tableOf(query.kind) !== 'energy') return;
  const oneBoundary = query.where.some(({ key, values }) => key === 'boundary' && values.length === 1);
  if (!oneBoundary && !query.by.includes('boundary')) throw new RangeError('energy of several boundaries is never added: they overlap');
}

/** What a query is summed from. */
export interface Sources {
  readonly facts: Plan;
  /** Of energy. */
  readonly walls: Plan;
  readonly grouping: Grouping | undefined;
}

export function sourcesOf(query: SumQuery<FactKind>, standing: Standing): Sources {
  const grouping = groupingOf(query);
  // Where factors change sums may not reach over.
  const step = query.weights ? commonStep(query.weights.grid, query.step ?? 0) : query.step;
  const facts = planOf({ ...query, step }, standing, ['minute', 'hour', 'day']);
  return { facts, walls: grouping ? planOf(query, standing, ['hour', 'day']) : query.wallByCell === true ? facts : planOf(query, standing, []), grouping };
}

/** Wall times that are kept for this very grouping; else the rows of `level` stand in for slices. */
const areKept = (grouping: Grouping | undefined, level: Level | undefined): grouping is Grouping => grouping !== undefined && (level?.name === 'hour' || level?.name === 'day');

export const isWallTimeByCell = ({ walls, grouping }: Sources): boolean => walls.segments.some(({ level }) => level !== undefined && !areKept(grouping, level));

function boundsOf({ from, to }: Pick<Segment, 'from' | 'to'>): string {
  const bounds = [...(from > 0 ? [`from_us >= ${from}`] : []), ...(to < Number.MAX_SAFE_INTEGER ? [`from_us < ${to}`] : [])];
  return bounds.length === 0 ? 'true' : `(${bounds.join(' AND ')})`;
}

/** Each range more is held against every row; so many cells of a grid are looked up instead. */
const FEW_RANGES = 8;
const MOST_CELLS = 200_000;

/** In order of time. */
function rangeOf(segments: readonly Segment[]): string {
  const [from, to] = [segments[0]?.from ?? 0, segments.at(-1)?.to ?? 0];
  const grid = segments.flatMap((segment) => [segment.from, segment.to]).reduce(commonStep, 0);
  const cells = segments.reduce((sum, segment) => sum + segment.to - segment.from, 0) / grid;
  if (segments.length <= FEW_RANGES || cells > MOST_CELLS) return `(${segments.map(boundsOf).join(' OR ')})`;
  const lists = segments.map((segment) => `range(${segment.from / grid}, ${segment.to / grid})`);
  return `(${boundsOf({ from, to })} AND from_us // ${grid} IN (SELECT unnest(flatten([${lists.join(', ')}]))))`;
}

/** Segments by the table they are read from. */
export function byLevel(segments: readonly Segment[]): [Level | undefined, string][] {
  const levels = new Map<Level | undefined, Segment[]>();
  for (const segment of segments) levels.set(segment.level, [...(levels.get(segment.level) ?? []), segment]);
  return levels.size === 0 ? [[undefined, 'false']] : [...levels].map(([level, each]) => [level, rangeOf(each)]);
}


/** Rows of wall time with the group columns: of facts by slice, of roll-ups as they are kept or, at worst, by the level's own cells. */
function wallRows({ walls, grouping }: Sources, keys: readonly string[], groups: string, where: readonly string[], whereKept: readonly string[]): string {
  const parts = byLevel(walls.segments).map(([level, range]) => {
    if (areKept(grouping, level)) return `SELECT ${keys.join(', ')}, wall FROM wall_${level?.name} WHERE keys = '${nameOf(grouping)}' AND ${[range, ...whereKept].join(' AND ')}`;
    const slice = level ? `(from_us // ${level.micros}) * ${level.micros}` : 'from_us';
    const rows = `(SELECT ${keys.join(', ')}, node, device, ${slice} AS slice_us, from_us, to_us, seconds FROM energy${level ? `_${level.name}` : ''} WHERE ${[range, ...where].join(' AND ')})`;
    return `SELECT ${groups}, wall FROM (${perCell(rows, groups, level?.micros ?? CELL_MICROS)})`;
  });
  return parts.join(' UNION ALL ');
}

/** Of the window, and of the ranges that are asked of it, the part that lies in a step. */
function lengthOf({ window, step, within }: SumQuery<FactKind>): string {
  if (!window) return '0';
  const parts = within?.map(({ from, to }) => ({ from: Math.max(from, window.from), to: Math.min(to, window.to) })).filter(({ from, to }) => from < to) ?? [window];
  if (step === undefined) return `${parts.reduce((sum, { from, to }) => sum + to - from, 0) / 1e6}`;
  return `((${['0', ...parts.map(({ from, to }) => `greatest(0, least(step + ${step}, ${to}) - greatest(step, ${from}))`)].join(' + ')}) / 1e6)`;
}

export function sumStatement(query: SumQuery<FactKind>, sources: Sources): Statement {
  refuseNonsense(query);
  const parameters: string[] = [];
  const bind = (value: string): string => `$${parameters.push(value)}`;
  const keys = query.by.map((key, index) => `${column(key, bind)} AS g${index}`);
  const step = query.step === undefined ? '0::BIGINT AS step' : `(from_us // ${query.step}) * ${query.step} AS step`;
  const conditions = query.where.map((filter) => condition(filter, bind));
  // The step is always a group column: without one, no facts would still give one row of nulls.
  const groups = [...query.by.map((_, index) => `g${index}`), 'step'].join(', ');
  const columns = [...keys, step];
  const table = tableOf(query.kind);
  // Of asked time the other facts of a device count too.
  const keeps = query.kind === 'asked' ? query.where.map(({ key }) => key === 'boundary') : [];
  const taken = conditions.filter((_, index) => keeps[index] ?? true);
  const ofLabels = conditions.filter((_, index) => (keeps[index] ?? true) && query.where.slice(index, index + 1).some(isOfLabel));
  const own = query.kind === 'asked' ? [`(${['true', ...conditions.filter((_, index) => keeps[index] === false)].join(' AND ')}) AS own`] : [];
  const facts = byLevel(sources.facts.segments).map(([level, range]) => {
    const unstated = table === 'energy' && !level ? [`${UNSTATED} AS unstated`] : [];
    const from = `${table}${level ? `_${level.name}` : ''}`;
    const where = level?.name === 'minute' ? [...taken.filter((each) => !ofLabels.includes(each)), ...inSets(`${from} WHERE ${range}`, ofLabels)] : taken;
    return `SELECT ${[...columns, ...own, '*', ...unstated].join(', ')} FROM ${from} WHERE ${[range, ...where].join(' AND ')}`;
  });
  const kept = sources.grouping ? filtersIn(sources.grouping, query.where) : query.where;
  const whereKept = query.where.flatMap((filter, index) => (kept.includes(filter) ? [conditions[index] ?? 'false'] : []));
  const walls = query.kind === 'energy' ? wallRows(sources, columns, groups, conditions, whereKept) : '';
  return { sql: `WITH facts AS (${facts.join(' UNION ALL BY NAME ')}) ${READERS[query.kind].select(groups, walls, lengthOf(query), spelled(query, bind))} ORDER BY ALL`, parameters };
}

export function readGroup<K extends FactKind>(query: SumQuery<K>, row: Row): GroupSum<K> {
  const width = query.by.length;
  const reader: Reader<K> = READERS[query.kind];
  return {
    values: row.slice(0, width).map(text),
    step: epochMicros(number(row[width])),
    from: epochMicros(number(row[width + 1])),
    to: epochMicros(number(row[width + 2])),
    sums: reader.read(row.slice(width + 3)),
  };
}
