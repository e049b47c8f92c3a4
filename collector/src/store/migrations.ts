/**
 * The embedded store's schema: numbered, forward only, never edited once released. One table per kind of fact; times
 * are integer microseconds since 1970, energy is integer microjoules, labels are canonical JSON text (sorted keys).
 * The ledger's key is what makes appending exactly-once; fact tables have no keys, which costs 3× in speed and 7× in size.
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { ROLL_UP_SCHEMA } from './rollup-schema.js';

const facts = `
  stream VARCHAR NOT NULL, sequence BIGINT NOT NULL, node VARCHAR NOT NULL, from_us BIGINT NOT NULL, to_us BIGINT NOT NULL,
  site VARCHAR, deployment VARCHAR, model VARCHAR, labels VARCHAR`;

/** JSON with half of a surrogate pair in it, which batches could have and no JSON function reads; behind an even number of backslashes, else it is text about one. */
const HALVES = '((?:^|[^\\\\])(?:\\\\\\\\)*)(?:\\\\ud[89a-f][0-9a-f]{2})+';
const repaired = (table: string, column: string): string =>
  `UPDATE ${table} SET ${column} = regexp_replace(${column}, '${HALVES}', '\\1\ufffd', 'g') WHERE contains(${column}, '\\ud') AND regexp_matches(${column}, '${HALVES}');`;
const everyLevel = (kind: string): readonly string[] => [kind, `${kind}_minute`, `${kind}_hour`, `${kind}_day`];

export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE ledger (stream VARCHAR NOT NULL, sequence BIGINT NOT NULL, hash VARCHAR NOT NULL, node VARCHAR NOT NULL, at_us BIGINT NOT NULL, slices BIGINT NOT NULL, PRIMARY KEY (stream, sequence));
   CREATE TABLE host (node VARCHAR NOT NULL, at_us BIGINT NOT NULL, facts VARCHAR NOT NULL);
   CREATE TABLE energy (${facts}, device VARCHAR NOT NULL, boundary VARCHAR NOT NULL, phase VARCHAR NOT NULL,
     microjoules BIGINT NOT NULL, modelled_microjoules BIGINT NOT NULL, seconds DOUBLE NOT NULL, asked_seconds DOUBLE NOT NULL, source VARCHAR NOT NULL, method VARCHAR NOT NULL);
   CREATE TABLE tokens (${facts}, tenant VARCHAR, token VARCHAR NOT NULL, count BIGINT NOT NULL);
   CREATE TABLE requests (${facts}, tenant VARCHAR, outcome VARCHAR NOT NULL, ttft_bucket BIGINT, tpot_bucket BIGINT,
     requests BIGINT NOT NULL, input_tokens BIGINT NOT NULL, cached_input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL);
   CREATE TABLE gauge (${facts}, device VARCHAR, gauge VARCHAR NOT NULL, value_seconds DOUBLE NOT NULL, seconds DOUBLE NOT NULL, max DOUBLE NOT NULL);
   CREATE TABLE flag (${facts}, device VARCHAR, phase VARCHAR, code VARCHAR NOT NULL, detail VARCHAR NOT NULL, count BIGINT NOT NULL, of_count BIGINT);`,
  // `contains` is canonical JSON text (sorted). `kept_apart` holds whole facts as JSON: what a second writer says of a device is in no sum and not lost.
  `ALTER TABLE energy ADD COLUMN low_microjoules BIGINT;
   ALTER TABLE energy ADD COLUMN high_microjoules BIGINT;
   ALTER TABLE energy ADD COLUMN sampling_variance DOUBLE;
   ALTER TABLE energy ADD COLUMN contains VARCHAR;
   CREATE TABLE kept_apart (stream VARCHAR NOT NULL, sequence BIGINT NOT NULL, node VARCHAR NOT NULL, from_us BIGINT NOT NULL, to_us BIGINT NOT NULL,
     series VARCHAR, rival_stream VARCHAR NOT NULL, rival_node VARCHAR NOT NULL, fact VARCHAR NOT NULL);`,
  // Null in nearly every row of a live store, which costs next to nothing.
  `ALTER TABLE energy ADD COLUMN division_microjoules BIGINT;
   ALTER TABLE requests ADD COLUMN request VARCHAR;
   ALTER TABLE requests ADD COLUMN input_band BIGINT;
   ALTER TABLE requests ADD COLUMN concurrency_band BIGINT;
   ALTER TABLE requests ADD COLUMN prefill_microjoules BIGINT;
   ALTER TABLE requests ADD COLUMN decode_microjoules BIGINT;`,
  // The ledger keeps a row for the newest batches of a stream only; older ones are packed (duckdb-ledger.ts).
  `ALTER TABLE ledger ADD COLUMN from_us BIGINT;
   ALTER TABLE ledger ADD COLUMN to_us BIGINT;
   CREATE TABLE ledger_page (stream VARCHAR NOT NULL, node VARCHAR NOT NULL, first BIGINT NOT NULL, last BIGINT NOT NULL, slices BIGINT NOT NULL, hashes BLOB, from_us BIGINT, to_us BIGINT,
     at_us BIGINT NOT NULL, last_at_us BIGINT NOT NULL);`,
  ROLL_UP_SCHEMA,
  // What the index of writers has to remember of facts that were deleted (duckdb-writers.ts), and since when sums by hour are kept.
  `CREATE TABLE claim AS SELECT stream, node, device, boundary, source, contains, from_us, to_us FROM energy LIMIT 0;
   CREATE TABLE contest AS SELECT stream, series FROM kept_apart LIMIT 0;
   ALTER TABLE kept ADD COLUMN hours_since BIGINT DEFAULT 0;`,
  [
    ...['energy', 'tokens', 'requests', 'gauge', 'flag'].flatMap(everyLevel).map((table) => repaired(table, 'labels')),
    ...[...everyLevel('energy'), 'claim'].map((table) => repaired(table, 'contains')),
    repaired('kept_apart', 'fact'),
  ].join('\n'),
  // Sequences of which an admin has said that they are lost for good, and of when their facts were, as far as that was known.
  'CREATE TABLE lost (stream VARCHAR NOT NULL, node VARCHAR NOT NULL, first BIGINT NOT NULL, last BIGINT NOT NULL, from_us BIGINT, to_us BIGINT, at_us BIGINT NOT NULL);',
  // Empty but for the moment in which the store is tried out (`probe`).
  'CREATE TABLE filler (text VARCHAR NOT NULL);',
  // That experiments began and ended, as JSON (experiments/mark.ts).
  'CREATE TABLE experiment (at_us BIGINT NOT NULL, text VARCHAR NOT NULL);',
];

/** Nothing in it yet, or only the table that says how far it got. */
async function isUnbegun(connection: DuckDBConnection): Promise<boolean> {
  const others = await connection.runAndReadAll(`SELECT count(*) FROM information_schema.tables WHERE table_name <> 'schema_version'`);
  return Number(others.getRows()[0]?.[0] ?? 0) === 0;
}

/**
 * Brings an open store to this program's schema, each step in its own transaction.
 * @throws TelemetryError (`abort`) when a newer program wrote it, or when it is older and may only be read
 */
export async function migrate(connection: DuckDBConnection, path: string, readOnly: boolean): Promise<void> {
  const existing = await connection.runAndReadAll(`SELECT count(*) FROM information_schema.tables WHERE table_name = 'schema_version'`);
  const isNew = Number(existing.getRows()[0]?.[0] ?? 0) === 0;
  if (isNew && !readOnly) await connection.run('CREATE TABLE schema_version (version INTEGER NOT NULL)');
  const version = isNew ? 0 : Number((await connection.runAndReadAll('SELECT coalesce(max(version), 0) FROM schema_version')).getRows()[0]?.[0] ?? 0);
  if (version > MIGRATIONS.length) {
    throw new TelemetryError('STORE_NEWER', `The store ${path} has schema ${version}; this program knows up to ${MIGRATIONS.length}. Use the release that wrote it, or a newer one.`, 'abort');
  }
  if (readOnly && version < MIGRATIONS.length) {
    const what = version > 0 ? `has the older schema ${version}; 'joulebook serve --store ${path}' brings it up to date` : (await isUnbegun(connection)) ? `is a store that was never finished: its first start was interrupted, and there is nothing in it; 'joulebook serve --store ${path}' finishes it` : 'is no Joulebook store';
    throw new TelemetryError('STORE_OLDER', `The file ${path} ${what}.`, 'abort');
  }
  for (const [index, sql] of MIGRATIONS.entries()) {
    if (index < version) continue;
    await connection.run(`BEGIN; ${sql} INSERT INTO schema_version VALUES (${index + 1}); COMMIT;`);
  }
}
