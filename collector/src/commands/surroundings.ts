/** What a command is given by the process it runs in; a test gives it something else. */
import type { Readable, Writable } from 'node:stream';

export interface Surroundings {
  readonly environment: NodeJS.ProcessEnv;
  readonly stdin: Readable;
  /** Data, and nothing else. */
  readonly stdout: Writable;
  /** Everything else. */
  readonly stderr: Writable;
  /** Resolves when the process is asked to stop. Only who calls it takes the signals over. */
  untilStopped(): Promise<void>;
  /** Calls back whenever the process is asked to read its files again; absent where nobody can ask. */
  onReload?(listener: () => void): void;
}
