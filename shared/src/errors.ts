/**
 * What the one who meets an error should do. Nothing else about an error is branched on.
 * - `retry`: the same call may work later.
 * - `disable`: it will not work here; go on without it and say so.
 * - `discard`: this datum is unusable; count it and go on.
 * - `abort`: the work asked for can't be done.
 */
export type Remedy = 'retry' | 'disable' | 'discard' | 'abort';

export class TelemetryError extends Error {
  override readonly name = 'TelemetryError';
  constructor(
    /** Stable and greppable, e.g. `FILE_MISSING`. */
    readonly code: string,
    /** One sentence for a person: what is wrong, where, and what to do. */
    message: string,
    readonly remedy: Remedy,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Bad usage or bad configuration: every fault at once, each naming its setting. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  constructor(readonly faults: readonly string[]) {
    super(faults.join('\n'));
  }
}

/** What the system or a library calls it, e.g. `ENOENT`; undefined where it says nothing. */
export const codeOf = (error: unknown): string | undefined => (error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined);

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
