/** The thread that DuckDB lives in: its appender is synchronous and would stall HTTP. One message in, one reply out. */
import { systemClock } from '@joulebook/shared/clock.js';
import { answerCalls } from '@joulebook/shared/thread.js';
import { openDuckdbFile, type DuckdbFile, type Opening } from './duckdb-file.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import type { Loss } from './ledger.js';
import type { Packed } from './packed.js';
import type { ExperimentMark, FactKind, SumQuery } from './store.js';
import type { ExportQuestion } from './duckdb-export.js';
import type { RetentionPolicy } from './retention.js';

export type Request =
  | { readonly method: 'open'; readonly opening: Opening }
  | { readonly method: 'append'; readonly packed: Packed }
  | { readonly method: 'seen'; readonly written: string }
  | { readonly method: 'sum' | 'resolution'; readonly query: SumQuery<FactKind> }
  | { readonly method: 'extent'; readonly before: EpochMicros | undefined }
  | { readonly method: 'rollUp'; readonly seconds: number }
  | { readonly method: 'retain'; readonly policy: RetentionPolicy }
  | { readonly method: 'export'; readonly question: ExportQuestion; readonly path: string }
  | { readonly method: 'backup'; readonly path: string }
  | { readonly method: 'markLost'; readonly losses: readonly Loss[] }
  | { readonly method: 'markExperiment'; readonly mark: ExperimentMark }
  | { readonly method: 'labels' | 'nodes' | 'streams' | 'experimentMarks' | 'probe' | 'close' };

const NOT_OPEN: Promise<DuckdbFile> = Promise.reject(new Error('the store was not opened'));
NOT_OPEN.catch(() => undefined);

let store = NOT_OPEN;

async function answer(call: Request): Promise<unknown> {
  if (call.method === 'open') {
    store = openDuckdbFile(call.opening, systemClock);
    await store;
    return undefined;
  }
  const opened = await store;
  switch (call.method) {
    case 'append':
      return opened.appendPacked(call.packed);
    case 'seen':
      return opened.seenText(call.written);
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
    case 'markLost':
      return opened.markLost(call.losses);
    case 'markExperiment':
      return opened.markExperiment(call.mark);
    case 'extent':
      return opened.extent(call.before);
    case 'labels':
    case 'nodes':
    case 'streams':
    case 'experimentMarks':
    case 'probe':
    case 'close':
      return opened[call.method]();
    default:
      return call satisfies never;
  }
}

answerCalls(answer);
