/**
 * Wall time by hour. It is no sum of facts: of each slice the longest seen device counts (store.ts), so how facts are
 * grouped decides about it, and it can't be added up from finer groups. So it is kept per grouping that reports use:
 *
 *   keys               site  node    deployment  model  phase    boundary  from_us  wall
 *   ''                 –     –       –           –      –        gpu       10:00    3600    all GPUs together
 *   'deployment'       –     –       chat        –      –        gpu       10:00    3600
 *   'deployment+phase' –     –       chat        –      decode   gpu       10:00    2810
 *   'deployment+serving' …                                                                  prefill, decode and active together
 *
 * Cells of the slice grid lie inside hours: over time walls of one grouping do add up.
 */
import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api';
import type { Phase } from '@joulebook/shared/slice.js';
import type { FactKind, Filter, SumQuery } from './store.js';

/** The coarsest slice grid, which every slice fits into. */
export const CELL_MICROS = 10_000_000;

const KEYS = ['site', 'node', 'deployment', 'model'] as const;
type WallKey = (typeof KEYS)[number];
export const SERVING_PHASES = ['prefill', 'decode', 'active'] as const satisfies readonly Phase[];
const PHASE_MODES = ['', 'phase', 'serving'] as const;
type PhaseMode = (typeof PHASE_MODES)[number];

export interface Grouping {
  readonly keys: readonly WallKey[];
  readonly phases: PhaseMode;
}
export const nameOf = ({ keys, phases }: Grouping): string => [...keys, ...(phases === '' ? [] : [phases])].join('+');

const subsets = (keys: readonly WallKey[]): WallKey[][] => keys.reduce<WallKey[][]>((all, key) => [...all, ...all.map((set) => [...set, key])], [[]]);
export const GROUPINGS: readonly Grouping[] = subsets(KEYS).flatMap((keys) => PHASE_MODES.map((phases) => ({ keys, phases })));

const isWallKey = (key: unknown): key is WallKey => KEYS.some((known) => known === key);
const same = (some: readonly string[], others: readonly string[]): boolean => some.length === others.length && some.every((each) => others.includes(each));

/** Which wall times answer a query: those kept for its keys and filters together. Undefined where none do. */
export function groupingOf({ by, where }: Pick<SumQuery<FactKind>, 'by' | 'where'>): Grouping | undefined {
  const keys = new Set<WallKey>();
  let phases: PhaseMode = '';
  for (const key of by) {
    if (isWallKey(key)) keys.add(key);
    else if (key === 'phase') phases = 'phase';
    else if (key !== 'boundary') return undefined;
  }
  for (const filter of where) {
    // Groups that a query tells apart may be kept or left one by one; others only where one is left.
    const one = filter.values.length === 1 && filter.orMissing !== true;
    if (by.includes(filter.key) || filter.key === 'boundary') continue;
    if (filter.key === 'phase' && phases === '' && filter.orMissing !== true && (one || same(filter.values, SERVING_PHASES))) phases = one ? 'phase' : 'serving';
    else if (isWallKey(filter.key) && one) keys.add(filter.key);
    else return undefined;
  }
  return { keys: KEYS.filter((key) => keys.has(key)), phases };
}

/** Serving phases are one group there and no column. */
export const filtersIn = ({ phases }: Grouping, where: readonly Filter[]): Filter[] => where.filter(({ key }) => phases !== 'serving' || key !== 'phase');

/**
 * From facts to observed wall time per group and cell of the slice grid.
 * @param facts rows with the groups, `slice_us`, from_us, to_us, seconds and what tells devices apart
 * @param cell micros of the grid in which no group is seen for longer than it lasts
 */
export const perCell = (facts: string, groups: string, cell: number, device = 'node, device'): string =>
  `SELECT ${groups}, CASE WHEN count(*) = 1 THEN max(seconds) ELSE least(fsum(seconds), (max(to_us) - min(from_us)) / 1e6) END AS wall FROM (
     SELECT ${groups}, slice_us, min(from_us) AS from_us, max(to_us) AS to_us, max(seconds) AS seconds FROM (
       SELECT ${groups}, slice_us, min(from_us) AS from_us, max(to_us) AS to_us, fsum(seconds) AS seconds FROM ${facts} GROUP BY ${groups}, slice_us, ${device}
     ) GROUP BY ${groups}, slice_us
   ) GROUP BY ${groups}, slice_us // ${cell}`;

const PLACE = [...KEYS, 'phase', 'boundary'] as const;
type Place = Readonly<Record<(typeof PLACE)[number] | 'place', string | null>>;

const isIn = ({ phases }: Grouping, { phase }: Place): boolean => phases !== 'serving' || SERVING_PHASES.some((serving) => serving === phase);
const columnsOf = ({ keys, phases }: Grouping): string[] => [...keys, ...(phases === 'phase' ? ['phase'] : []), 'boundary'];

/** Which places are in one group with which: equal text for groupings that make the same groups here, as `node` and `site+node` do. */
function partition(places: readonly Place[], grouping: Grouping): string {
  const groups = new Map<string, string | null>();
  return places.map((place) => {
    if (!isIn(grouping, place)) return '-';
    const key = JSON.stringify([...grouping.keys, ...(grouping.phases === 'phase' ? (['phase'] as const) : []), 'boundary' as const].map((column) => place[column]));
    const first = groups.get(key) ?? place.place;
    groups.set(key, first);
    return first;
  }).join(' ');
}

const textOf = (value: DuckDBValue | undefined): string | null => (typeof value === 'string' || typeof value === 'number' ? String(value) : null);

async function placesOf(connection: DuckDBConnection): Promise<Place[]> {
  const rows = (await connection.runAndReadAll(`SELECT place, ${PLACE.join(', ')} FROM places ORDER BY place`)).getRows();
  return rows.map(([place, site, node, deployment, model, phase, boundary]) => ({ place: textOf(place), site: textOf(site), node: textOf(node), deployment: textOf(deployment), model: textOf(model), phase: textOf(phase), boundary: textOf(boundary) }));
}

/** Walls of every hour in the range, from facts; in the caller's transaction. @param within SQL: which facts */
export async function sumWalls(connection: DuckDBConnection, within: string, hour: number): Promise<void> {
  const onPlace = PLACE.map((column) => `e.${column} IS NOT DISTINCT FROM p.${column}`).join(' AND ');
  // Numbers instead of names: all groupings add up these rows, and only what comes out gets its names back.
  await connection.run(`CREATE OR REPLACE TEMP TABLE places AS SELECT (row_number() OVER ())::INTEGER AS place, * FROM (SELECT DISTINCT ${PLACE.join(', ')} FROM energy WHERE ${within})`);
  await connection.run(`CREATE OR REPLACE TEMP TABLE devices AS SELECT (row_number() OVER ())::INTEGER AS id, * FROM (SELECT DISTINCT node, device FROM energy WHERE ${within})`);
  await connection.run(`CREATE OR REPLACE TEMP TABLE seen AS SELECT place, id AS device, from_us AS slice_us, (from_us // ${hour}) * ${hour} AS cell_us, max(to_us) AS to_us, fsum(seconds) AS seconds
    FROM (SELECT * FROM energy WHERE ${within}) e JOIN places p ON ${onPlace} JOIN devices d ON e.node = d.node AND e.device = d.device GROUP BY ALL`);
  const places = await placesOf(connection);
  const partitions = new Map<string, Grouping[]>();
  for (const grouping of GROUPINGS) {
    const which = partition(places, grouping);
    partitions.set(which, [...(partitions.get(which) ?? []), grouping]);
  }
  for (const groupings of partitions.values()) await sumPartition(connection, groupings);
  for (const table of ['places', 'devices', 'seen', 'walled']) await connection.run(`DROP TABLE IF EXISTS temp.${table}`);
}

/** @param groupings that make the same groups; each group is named after its first place */
async function sumPartition(connection: DuckDBConnection, groupings: readonly Grouping[]): Promise<void> {
  const [some] = groupings;
  if (!some) return;
  const serving = some.phases === 'serving' ? ` WHERE phase IN (${SERVING_PHASES.map((phase) => `'${phase}'`).join(', ')})` : '';
  const members = `SELECT place, min(place) OVER (PARTITION BY ${columnsOf(some).join(', ')}) AS first FROM places${serving}`;
  const rows = `(SELECT first, cell_us, device, slice_us, slice_us AS from_us, to_us, seconds FROM seen JOIN (${members}) USING (place))`;
  await connection.run(`CREATE OR REPLACE TEMP TABLE walled AS SELECT first, cell_us AS from_us, fsum(wall) AS wall FROM (${perCell(rows, 'first, cell_us', CELL_MICROS, 'device')}) GROUP BY first, cell_us`);
  for (const grouping of groupings) {
    await connection.run(`INSERT INTO wall_hour BY NAME SELECT '${nameOf(grouping)}' AS keys, ${columnsOf(grouping).join(', ')}, from_us, wall FROM walled JOIN places ON place = first`);
  }
}

/** Of a coarser level, from those of the finer one. */
export const wallsOfWalls = (finer: string, level: { readonly name: string; readonly micros: number }, within: string): string =>
  `INSERT INTO wall_${level.name} BY NAME SELECT keys, site, node, deployment, model, phase, boundary, (from_us // ${level.micros}) * ${level.micros} AS from_us, fsum(wall) AS wall FROM wall_${finer} WHERE ${within}
   GROUP BY keys, site, node, deployment, model, phase, boundary, from_us // ${level.micros}`;
