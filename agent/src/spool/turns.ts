/** Calls on a folder that follow each other: none sees half of what another does. */
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';

export class Turns {
  readonly #directory: string;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  take<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(() => {
      if (this.#closed) throw new TelemetryError('SPOOL_CLOSED', `The spool ${this.#directory} is closed.`, 'abort');
      return guarded(this.#directory, work);
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** The last one; whoever comes after it is told. */
  async close(work: () => Promise<void>): Promise<void> {
    if (this.#closed) return;
    await this.take(async () => {
      this.#closed = true;
      await work();
    });
  }
}

/** Whatever the file system says may pass (room is made, a disk is mounted again): the caller should try again. */
export async function guarded<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof Error) || !('syscall' in cause)) throw cause;
    throw new TelemetryError('SPOOL_DISK', `The spool ${directory} can't be used: ${messageOf(cause)}. Make room or check its permissions.`, 'retry', { cause });
  }
}
