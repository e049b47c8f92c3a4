/** The thread that DuckDB lives in: its appender is synchronous and would stall HTTP. One message in, one reply out. */
import { parentPort } from 'node:worker_threads';
import type { Batch } from '@joulebook/shared/batch.js';
import { systemClock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError, type Remedy } from '@joulebook/shared/errors.js';
import { openDuckdbFile, type Opening } from './duckdb-file.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import type { FactKind, Store, SumQuery } from './store.js';

export type Request =
  | { readonly method: 'open'; readonly opening: Opening }
  | { readonly method: 'append'; readonly batch: Batch }
  | { readonly method: 'sum'; readonly query: SumQuery<FactKind> }
  | { readonly method: 'extent'; readonly before: EpochMicros | undefined }
  | { readonly method: 'labels' | 'nodes' | 'close' };
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

const NOT_OPEN: Promise<Store> = Promise.reject(new Error('the store was not opened'));
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
      return opened.append(call.batch);
    case 'sum':
      return opened.sum(call.query);
    case 'extent':
      return opened.extent(call.before);
    case 'labels':
    case 'nodes':
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
