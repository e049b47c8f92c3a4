/** The thread in which NVML is asked: a call may block in the driver for as long as it likes. One message in, one reply out. */
import { parentPort } from 'node:worker_threads';
import { messageOf, TelemetryError, type Remedy } from '@joulebook/shared/errors.js';
import { instant, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { hostSeconds } from '../host-seconds.js';
import { roundPacker } from './nvml-round.js';
import { openNvmlSession, type NvmlOpening, type NvmlSession } from './nvml-session.js';

export type Request =
  | { readonly method: 'open'; readonly opening: NvmlOpening }
  /** The slice clock's time at a moment of the host's monotonic clock, which all threads share. */
  | { readonly method: 'read'; readonly at: Instant; readonly host: Seconds }
  | { readonly method: 'uses' | 'close' };
export type Call = Request & { readonly id: number };

/** Errors lose their class on the way between threads; these fields bring it back. */
export interface Failure {
  readonly code: string | null;
  readonly message: string;
  readonly remedy: Remedy;
}
export type Reply = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly failure: Failure };

const pack = roundPacker();
let session: NvmlSession | undefined;

async function answer(call: Call): Promise<unknown> {
  switch (call.method) {
    case 'open':
      session = await openNvmlSession(call.opening);
      return session.gpus;
    case 'read':
      return pack(session?.read(() => instant(call.at + (hostSeconds() - call.host))) ?? []);
    case 'uses':
      return session?.uses();
    case 'close':
      session?.close();
      session = undefined;
      return undefined;
    default:
      return call satisfies never;
  }
}

const describe = (error: unknown): Failure =>
  error instanceof TelemetryError ? { code: error.code, message: error.message, remedy: error.remedy } : { code: null, message: messageOf(error), remedy: 'retry' };

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origin; the rule means windows
const reply = (message: Reply): void => parentPort?.postMessage(message);

parentPort?.on('message', (call: Call) => {
  void answer(call).then(
    (value) => reply({ id: call.id, value }),
    (error: unknown) => reply({ id: call.id, failure: describe(error) }),
  );
});
