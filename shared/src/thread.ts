/**
 * Calls into a thread and answers from it: one message in, one reply out.
 *
 *     caller   call(request) ─▶ { id, request }                       answerCalls(answer)   thread
 *              promise       ◀─ { id, value } or { id, failure } ◀─
 *
 * A thread can't load TypeScript: its file is a built one.
 */
import { parentPort, Worker } from 'node:worker_threads';
import { messageOf, TelemetryError, type Remedy } from './errors.js';

/** What arrives is what the caller asked; `never` lets each thread state its requests. */
interface Call {
  readonly id: number;
  readonly request: never;
}
/** Errors lose their class on the way between threads; these fields bring it back. */
export interface Failure {
  /** Null: of a fault that nobody foresaw. */
  readonly code: string | null;
  readonly message: string;
  readonly remedy: Remedy;
}
type Reply = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly failure: Failure };
/** What arrives is what the thread answered to this very call; `never` lets each caller state its type. */
type Arrival = { readonly id: number; readonly value: never; readonly failure?: Failure };

export interface Thread<R> {
  readonly worker: Worker;
  readonly call: <T>(request: R) => Promise<T>;
  /** How many calls are not answered. */
  readonly pending: number;
  /** It answers nothing any more. */
  readonly hasEnded: boolean;
}

/** What becomes of calls that the thread does not answer as it should. */
export interface ThreadErrors {
  /** An answer that is a failure. */
  revive(failure: Failure): Error;
  failed(cause: Error): Error;
  ended(): Error;
}

export function openThread<R>(file: URL, errors: ThreadErrors): Thread<R> {
  // Flags of the main thread (a test runner's import conditions, say) are not for compiled files.
  const worker = new Worker(file, { execArgv: [] });
  const pending = new Map<number, { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void }>();
  let calls = 0;
  let ended: Error | undefined;
  const end = (error: Error): void => {
    ended ??= error;
    for (const { reject } of pending.values()) reject(ended);
    pending.clear();
  };
  worker.on('message', ({ id, value, failure }: Arrival) => {
    const caller = pending.get(id);
    pending.delete(id);
    if (failure) caller?.reject(errors.revive(failure));
    else caller?.resolve(value);
  });
  worker.on('error', (cause) => end(errors.failed(cause)));
  worker.on('exit', () => end(errors.ended()));
  return {
    worker,
    call: <T>(request: R): Promise<T> =>
      new Promise<T>((resolve, reject) => {
        if (ended) return reject(ended);
        const id = (calls += 1);
        pending.set(id, { resolve, reject });
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin; the rule means windows
        worker.postMessage({ id, request });
      }),
    get pending() {
      return pending.size;
    },
    get hasEnded() {
      return ended !== undefined;
    },
  };
}

const describe = (error: unknown): Failure =>
  error instanceof TelemetryError ? { code: error.code, message: error.message, remedy: error.remedy } : { code: null, message: messageOf(error), remedy: 'retry' };

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin; the rule means windows
const reply = (message: Reply): void => parentPort?.postMessage(message);

/** In the thread: answers every call. */
export function answerCalls(answer: (request: never) => Promise<unknown>): void {
  parentPort?.on('message', ({ id, request }: Call) => {
    void answer(request).then(
      (value) => reply({ id, value }),
      (error: unknown) => reply({ id, failure: describe(error) }),
    );
  });
}
