/** The thread that DuckDB lives in: its appender is synchronous and would stall HTTP. One message in, one reply out. */
import { parentPort } from 'node:worker_threads';
import type { Batch } from '@joulebook/shared/batch.js';
import { systemClock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError, type Remedy } from '@joulebook/shared/errors.js';
import { openDuckdbFile, type Opening } from './duckdb-file.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import type { FactKind, SumQuery } from './store.js';
import type { ExportQuestion } from './duckdb-export.js';
import type { RetentionPolicy } from './retention.js';
import type { EmbeddedStore } from './upkeep.js';

export type Request =
  | { readonly method: 'open'; readonly opening: Opening }
  | { readonly method: 'append' | 'seen'; readonly batch: Batch }
  | { readonly method: 'sum' | 'resolution'; readonly query: SumQuery<FactKind> }
  | { readonly method: 'extent'; readonly before: EpochMicros | undefined }
  | { readonly method: 'rollUp'; readonly seconds: number }
  | { readonly method: 'retain'; readonly policy: RetentionPolicy }
  | { readonly method: 'export'; readonly question: ExportQuestion; readonly path: string }
  | { readonly method: 'backup'; readonly path: string }
  | { readonly method: 'labels' | 'nodes' | 'streams' | 'close' };
export type Call = Request & { readonly id: number };
/** Errors lose their class on the way between threads; these fields bring it back. */
export interface Failure {
  readonly code: string | null;
  readonly message: string;
  readonly remedy: Remedy;
}
export type Reply = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly failure: Failure };

const describe = (error: unknown): Failure =>
  error instanceof TelemetryError ? { code: error.code, message: error.message, remedy: error.remedy } : { code: null, message: messageOf(error), remedy: 'retry' };

const NOT_OPEN: Promise<EmbeddedStore> = Promise.reject(new Error('the store was not opened'));
NOT_OPEN.catch(() => undefined);

let store = NOT_OPEN;

async function answer(call: Call): Promise<unknown> {
  if (call.method === 'open') {
    store = openDuckdbFile(call.opening, systemClock);
    await store;
    return undefined;
  }
  const opened = await store;
  switch (call.method) {
    case 'append':
    case 'seen':
      return opened[call.method](call.batch);
    case 'sum':
      return opened.sum(call.query);
    case 'resolution':
      return opened.resolution?.(call.query);
    case 'rollUp':
      return opened.rollUp(call.seconds);
    case 'retain':
      return opened.retain(call.policy);
    case 'export':
      return opened.export(call.question, call.path);
    case 'backup':
      return opened.backup(call.path);
    case 'extent':
      return opened.extent(call.before);
    case 'labels':
    case 'nodes':
    case 'streams':
    case 'close':
      return opened[call.method]();
    default:
      return call satisfies never;
  }
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin; the rule means windows
const reply = (message: Reply): void => parentPort?.postMessage(message);

parentPort?.on('message', (call: Call) => {
  void answer(call).then(
    (value) => reply({ id: call.id, value }),
    (error: unknown) => reply({ id: call.id, failure: describe(error) }),
  );
});
