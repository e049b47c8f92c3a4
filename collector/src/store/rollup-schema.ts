/**
 * Tables of the roll-ups. Those of a level look like the facts' own, without stream and sequence, so that one query adds
 * up both. How a kind is summed is said here once, for every level:
 *
 *   energy ─▶ energy_minute ─▶ energy_hour ─▶ energy_day        (likewise tokens, requests, gauge, flag)
 *   energy ──────────────────▶ wall_hour ───▶ wall_day          wall time is no sum: see walls.ts
 */
import type { SliceKind } from '@joulebook/shared/slice.js';
import { LEVELS } from './levels.js';

export const KINDS = ['energy', 'tokens', 'requests', 'gauge', 'flag'] as const satisfies readonly SliceKind[];
const everyTable = (tables: (kind: SliceKind) => string): string => KINDS.map(tables).join('\n');

/**
 * `unstated`: how many facts have energy and don't state its error. `touched`: cells whose facts are not summed yet (at
 * first, all that the store has). `kept`: since when facts and minutes are kept; one row.
 */
export const ROLL_UP_SCHEMA = `
  ${LEVELS.map(({ name }) => everyTable((kind) => `CREATE TABLE ${kind}_${name} AS SELECT * EXCLUDE (stream, sequence)${kind === 'energy' ? ', 0::BIGINT AS unstated' : ''} FROM ${kind} LIMIT 0;`)).join('\n')}
  ${LEVELS.slice(1).map(({ name }) => `CREATE TABLE wall_${name} (keys VARCHAR NOT NULL, site VARCHAR, node VARCHAR, deployment VARCHAR, model VARCHAR, phase VARCHAR, boundary VARCHAR NOT NULL, from_us BIGINT NOT NULL, wall DOUBLE NOT NULL);`).join('\n')}
  CREATE TABLE touched (level VARCHAR NOT NULL, cell_us BIGINT NOT NULL);
  INSERT INTO touched SELECT DISTINCT 'minute', (from_us // ${LEVELS[0].micros}) * ${LEVELS[0].micros} FROM (${KINDS.map((kind) => `SELECT from_us FROM ${kind}`).join(' UNION ALL ')});
  CREATE TABLE kept (facts_since BIGINT NOT NULL, minutes_since BIGINT NOT NULL);
  INSERT INTO kept VALUES (0, 0);`;

interface Summing {
  readonly dimensions: readonly string[];
  /** Divide too, and are no columns of their own. */
  readonly apart?: string;
  readonly sums: Readonly<Record<string, string>>;
}
const PLACE = ['node', 'site', 'deployment', 'model', 'labels'] as const;
const added = (...columns: readonly string[]) => Object.fromEntries(columns.map((column) => [column, `sum(${column})`]));

/** As a fact has it; rows of roll-ups have the column. */
export const UNSTATED = '(microjoules <> 0 AND (low_microjoules IS NULL OR high_microjoules IS NULL))::BIGINT';
/** A request that ended before its first token has no decode: what is told of one phase is told. */
export const METERED = '(prefill_microjoules IS NOT NULL OR decode_microjoules IS NOT NULL)';

export const SUMMING: Readonly<Record<SliceKind, Summing>> = {
  energy: {
    dimensions: [...PLACE, 'device', 'boundary', 'phase', 'source', 'method', 'contains'],
    sums: {
      ...added('microjoules', 'modelled_microjoules', 'low_microjoules', 'high_microjoules', 'division_microjoules', 'unstated'),
      seconds: 'fsum(seconds)', asked_seconds: 'fsum(asked_seconds)', sampling_variance: 'fsum(sampling_variance)',
    },
  },
  tokens: { dimensions: [...PLACE, 'tenant', 'token'], sums: added('count') },
  requests: {
    dimensions: [...PLACE, 'tenant', 'outcome', 'ttft_bucket', 'tpot_bucket', 'request', 'input_band', 'concurrency_band'],
    apart: METERED,
    sums: added('requests', 'input_tokens', 'cached_input_tokens', 'output_tokens', 'prefill_microjoules', 'decode_microjoules'),
  },
  gauge: { dimensions: [...PLACE, 'device', 'gauge'], sums: { value_seconds: 'fsum(value_seconds)', seconds: 'fsum(seconds)', max: 'max(max)' } },
  flag: { dimensions: [...PLACE, 'device', 'phase', 'code', 'detail'], apart: '(of_count IS NULL)', sums: added('count', 'of_count') },
};
