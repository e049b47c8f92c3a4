/** What an embedded store can do beside a store's contract: keep itself small and fast, and give its facts away. */
import type { RolledUp } from './rollup.js';
import type { Retained, RetentionPolicy } from './retention.js';
import type { Exported, ExportQuestion } from './duckdb-export.js';
import type { Store } from './store.js';

export interface Upkeep {
  /** Sums what facts have touched, oldest first, for about so many seconds. One at a time: a second caller waits. */
  rollUp(seconds: number): Promise<RolledUp>;
  /** Deletes what is older than the policy keeps, after it was summed. */
  retain(policy: RetentionPolicy): Promise<Retained>;
  /** Writes one file. @throws TelemetryError (`abort`) where it can't be written */
  export(question: ExportQuestion, path: string): Promise<Exported>;
  /** A store of its own with everything of this moment, while batches go on being taken. @throws TelemetryError (`abort`) where it can't be written */
  backup(path: string): Promise<void>;
}
export interface EmbeddedStore extends Store, Upkeep {}
