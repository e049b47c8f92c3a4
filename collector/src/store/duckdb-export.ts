/**
 * Facts out of the embedded store, as one file:
 *
 *   parquet, csv   one kind, the columns of its table: times as integer µs since 1970, energy as integer µJ, labels as JSON text
 *   ndjson         the batches, one per line as agents ship them, with all kinds; `joulebook report FILE` reads it, and so does
 *                  another collector. What was kept apart from a second writer is in neither: it is in no sum.
 *
 * Facts that retention deleted are left as sums only: `resolution` exports those, as parquet or csv.
 */
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { once } from 'node:events';
import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api';
import { SCHEMA_VERSION } from '@joulebook/shared/batch.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { SliceKind } from '@joulebook/shared/slice.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import { LEVELS } from './levels.js';
import { KINDS } from './rollup-schema.js';
import type { ReadFrom } from './store.js';

export const EXPORT_FORMATS = ['parquet', 'csv', 'ndjson'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
export const RESOLUTIONS = ['facts', '1m', '1h', '1d'] as const satisfies readonly ReadFrom['resolution'][];

export type ExportQuestion = {
  readonly from: EpochMicros | undefined;
  readonly to: EpochMicros | undefined;
} & ({ readonly format: 'ndjson'; readonly kind: SliceKind | undefined } | { readonly format: 'parquet' | 'csv'; readonly kind: SliceKind; readonly resolution: ReadFrom['resolution'] });

export interface Exported {
  /** Of parquet and csv rows, of ndjson slices. */
  readonly rows: number;
}

const quoted = (path: string): string => `'${path.replaceAll("'", "''")}'`;

function rangeOf({ from, to }: Pick<ExportQuestion, 'from' | 'to'>): string {
  return ['true', ...(from === undefined ? [] : [`from_us >= ${from}`]), ...(to === undefined ? [] : [`from_us < ${to}`])].join(' AND ');
}

/** Name on the wire and column, by kind; those that every kind has come first. */
const SHARED = { from: 'from_us', to: 'to_us', site: 'site', deployment: 'deployment', model: 'model', labels: 'labels::JSON' };
const OWN: Readonly<Record<SliceKind, Readonly<Record<string, string>>>> = {
  energy: {
    device: 'device', boundary: 'boundary', phase: 'phase', microjoules: 'microjoules', modelledMicrojoules: 'modelled_microjoules', seconds: 'seconds', askedSeconds: 'asked_seconds',
    lowMicrojoules: 'low_microjoules', highMicrojoules: 'high_microjoules', divisionMicrojoules: 'division_microjoules', samplingVariance: 'sampling_variance', contains: 'contains::JSON', source: 'source', method: 'method',
  },
  tokens: { tenant: 'tenant', token: 'token', count: 'count' },
  requests: {
    tenant: 'tenant', outcome: 'outcome', ttftBucket: 'ttft_bucket', tpotBucket: 'tpot_bucket', requests: 'requests', inputTokens: 'input_tokens', cachedInputTokens: 'cached_input_tokens', outputTokens: 'output_tokens',
    request: 'request', inputBand: 'input_band', concurrencyBand: 'concurrency_band', prefillMicrojoules: 'prefill_microjoules', decodeMicrojoules: 'decode_microjoules',
  },
  gauge: { device: 'device', gauge: 'gauge', valueSeconds: 'value_seconds', seconds: 'seconds', max: 'max' },
  flag: { device: 'device', phase: 'phase', code: 'code', detail: 'detail', count: 'count', of: 'of_count' },
};

/** A slice as JSON; merging with nothing drops what is null, which the wire leaves out. */
function slicesOf(kind: SliceKind, range: string): string {
  const fields = Object.entries({ ...SHARED, ...OWN[kind] }).map(([name, column]) => `'${name}', ${column}`);
  return `SELECT stream, sequence, node, ${KINDS.indexOf(kind)} AS kind, rowid AS place, json_merge_patch('{}', json_object('kind', '${kind}', ${fields.join(', ')}))::VARCHAR AS slice FROM ${kind} WHERE ${range}`;
}

const texts = ([stream, sequence, node, , , slice]: readonly DuckDBValue[]) => ({ key: `${String(stream)} ${String(sequence)}`, stream: String(stream), sequence: Number(sequence), node: String(node), slice: String(slice) });

async function writeBatches(connection: DuckDBConnection, question: ExportQuestion, path: string): Promise<number> {
  const kinds = question.kind === undefined ? KINDS : [question.kind];
  // Always in the same order: a batch that is exported and imported twice has to be the same batch.
  const sql = `${kinds.map((kind) => slicesOf(kind, rangeOf(question))).join(' UNION ALL ')} ORDER BY stream, sequence, kind, place`;
  const file = createWriteStream(path);
  const closed = finished(file);
  closed.catch(() => undefined);
  let rows = 0;
  let open: { readonly key: string; readonly head: string; readonly slices: string[] } | undefined;
  const write = async (): Promise<void> => {
    if (open && !file.write(`${open.head}${open.slices.join(',')}]}\n`)) await Promise.race([once(file, 'drain'), closed]);
  };
  try {
    const result = await connection.stream(sql);
    for (let chunk = await result.fetchChunk(); chunk && chunk.rowCount > 0; chunk = await result.fetchChunk()) {
      for (const { key, stream, sequence, node, slice } of chunk.getRows().map(texts)) {
        if (open?.key !== key) {
          await write();
          open = { key, head: `${JSON.stringify({ schema: SCHEMA_VERSION, stream, sequence, node }).slice(0, -1)},"slices":[`, slices: [] };
        }
        open.slices.push(slice);
        rows += 1;
      }
    }
    await write();
  } finally {
    file.end();
  }
  await closed;
  return rows;
}

async function copyTable(connection: DuckDBConnection, question: Extract<ExportQuestion, { readonly kind: SliceKind; readonly resolution: string }>, path: string): Promise<number> {
  const level = LEVELS.find(({ resolution }) => resolution === question.resolution);
  const table = level ? `${question.kind}_${level.name}` : question.kind;
  const how = question.format === 'csv' ? 'FORMAT csv, HEADER' : 'FORMAT parquet, COMPRESSION zstd';
  const { rowsChanged } = await connection.run(`COPY (SELECT * FROM ${table} WHERE ${rangeOf(question)}) TO ${quoted(path)} (${how})`);
  return rowsChanged;
}

const cannotWrite = (path: string, cause: unknown): TelemetryError => new TelemetryError('EXPORT_FAILED', `${path} can't be written: ${messageOf(cause).split('\n')[0]}`, 'abort', { cause });

/** Memory is bounded by the store's own limit: what is sorted beyond it goes to disk. A file that was begun and failed is removed. */
export async function exportFacts(connection: DuckDBConnection, question: ExportQuestion, path: string): Promise<Exported> {
  try {
    return { rows: question.format === 'ndjson' ? await writeBatches(connection, question, path) : await copyTable(connection, question, path) };
  } catch (error) {
    await rm(path, { force: true }).catch(() => undefined);
    throw cannotWrite(path, error);
  }
}

/**
 * A copy of one moment: a transaction sees nothing that is committed after it began, and keeps nobody from appending.
 * It becomes `path` when it is whole.
 */
export async function copyStore(connection: DuckDBConnection, path: string): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await Promise.all([rm(partial, { force: true }), rm(`${partial}.wal`, { force: true })]);
    const [[name] = []] = (await connection.runAndReadAll('SELECT current_database()')).getRows();
    await connection.run(`ATTACH ${quoted(partial)} AS copied (READ_WRITE)`);
    try {
      await connection.run(`COPY FROM DATABASE "${String(name).replaceAll('"', '""')}" TO copied`);
    } finally {
      // Writes what is still in its log, too.
      await connection.run('DETACH copied');
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw cannotWrite(path, error);
  }
}
