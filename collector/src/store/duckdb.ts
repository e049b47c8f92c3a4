/** The embedded store as the rest of the collector sees it: DuckDB in a thread of its own. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve as absolute } from 'node:path';
import { encodeBatch } from '@joulebook/shared/batch.js';
import { systemClock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { openThread, type ThreadErrors } from '@joulebook/shared/thread.js';
import { MEMORY, openDuckdbFile, type Opening } from './duckdb-file.js';
import { isServerAddress } from './influx/address.js';
import type { FactFiles } from './duckdb-load.js';
import type { Request } from './duckdb-worker.js';
import type { StreamSeen } from './ledger.js';
import { pack } from './packed.js';
import type { Exported } from './duckdb-export.js';
import type { Retained } from './retention.js';
import type { RolledUp } from './rollup.js';
import type { Appended, ExperimentMark, Extent, FactKind, GroupSum, NodeSeen, Resolution, SumQuery } from './store.js';
import type { EmbeddedStore } from './upkeep.js';

/**
 * A thread can't load TypeScript. Unit tests run on sources, so there DuckDB stays in the caller's thread: the same
 * code, never a stale build. The thread itself is tested on the built file, by whoever passes `worker`.
 */
const COMPILED_WORKER = import.meta.url.endsWith('.js') ? new URL('duckdb-worker.js', import.meta.url) : undefined;

const ERRORS: ThreadErrors = {
  revive: ({ code, message, remedy }) => new TelemetryError(code ?? 'STORE_FAILED', code === null ? `The store failed: ${message.split('\n')[0]}` : message, remedy),
  failed: (cause) => new TelemetryError('STORE_FAILED', `The store's thread failed: ${cause.message}`, 'retry', { cause }),
  ended: () => new TelemetryError('STORE_CLOSED', 'The store is closed.', 'retry'),
};

async function openInThread(opening: Opening, file: URL): Promise<EmbeddedStore> {
  const { worker, call } = openThread<Request>(file, ERRORS);
  try {
    await call<undefined>({ method: 'open', opening });
  } catch (error) {
    await worker.terminate();
    throw error;
  }
  return {
    append: (batch, written = encodeBatch(batch)) => call<Appended>({ method: 'append', packed: pack(batch, written) }),
    seen: (batch, written = encodeBatch(batch)) => call<'duplicate' | 'conflict' | null>({ method: 'seen', written }),
    streams: () => call<readonly StreamSeen[]>({ method: 'streams' }),
    markLost: (losses) => call<undefined>({ method: 'markLost', losses }),
    experimentMarks: () => call<readonly ExperimentMark[]>({ method: 'experimentMarks' }),
    markExperiment: (mark) => call<undefined>({ method: 'markExperiment', mark }),
    probe: () => call<undefined>({ method: 'probe' }),
    sum: <K extends FactKind>(query: SumQuery<K>) => call<readonly GroupSum<K>[]>({ method: 'sum', query }),
    resolution: (query) => call<Resolution>({ method: 'resolution', query }),
    rollUp: (seconds) => call<RolledUp>({ method: 'rollUp', seconds }),
    retain: (policy) => call<Retained>({ method: 'retain', policy }),
    export: (question, path) => call<Exported>({ method: 'export', question, path }),
    backup: (path) => call<undefined>({ method: 'backup', path }),
    labels: () => call<readonly string[]>({ method: 'labels' }),
    nodes: () => call<readonly NodeSeen[]>({ method: 'nodes' }),
    extent: (before) => call<Extent | null>({ method: 'extent', before }),
    async close() {
      try {
        await call<undefined>({ method: 'close' });
      } finally {
        await worker.terminate();
      }
    },
  };
}

/**
 * @param path a file, made with its folder when missing, or `:memory:`
 * @throws TelemetryError (`abort`) when the file is held by another process, newer than this program, or unreadable
 */
export async function openDuckdb(path: string, options: { readOnly?: boolean; worker?: URL | undefined; facts?: FactFiles | undefined } = {}): Promise<EmbeddedStore> {
  if (isServerAddress(path)) throw new TelemetryError('STORE_NOT_A_FILE', 'The store is a server. This works on the file of an embedded store; a server has tools of its own for it.', 'abort');
  const opening: Opening = { path, readOnly: options.readOnly ?? false, facts: options.facts };
  if (path !== MEMORY && !opening.readOnly) await makeFolder(dirname(path));
  const worker = options.worker ?? COMPILED_WORKER;
  return worker ? openInThread(opening, worker) : openDuckdbFile(opening, systemClock);
}

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : messageOf(error));

/** Missing folders from the outside in, after the nearest one that exists. */
async function missingFolders(folder: string): Promise<string[]> {
  const missing: string[] = [];
  for (let path = absolute(folder); path !== dirname(path); path = dirname(path)) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory()) break;
    if (found) throw new TelemetryError('STORE_FOLDER', `The folder ${folder} for the store can't be made: ${path} is a file.`, 'abort');
    missing.unshift(path);
  }
  return missing;
}

/** One folder after the other: Node's recursive mkdir never returns where the file system answers ENOENT for a new folder, as /proc does. */
async function makeFolder(folder: string): Promise<void> {
  for (const path of await missingFolders(folder)) {
    try {
      await mkdir(path);
    } catch (cause) {
      if (codeOf(cause) === 'EEXIST') continue;
      throw new TelemetryError('STORE_FOLDER', `The folder ${folder} for the store can't be made: no folder can be made in ${dirname(path)} (${codeOf(cause)}). Name a file elsewhere with --store FILE.`, 'abort', { cause });
    }
  }
}
