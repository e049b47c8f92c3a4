/** The thread in which NVML is asked: a call may block in the driver for as long as it likes. One message in, one reply out. */
import { answerCalls } from '@joulebook/shared/thread.js';
import { instant, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { hostSeconds } from '../host-seconds.js';
import { roundPacker } from './nvml-round.js';
import { openNvmlSession, type NvmlOpening, type NvmlSession } from './nvml-session.js';

export type Request =
  | { readonly method: 'open'; readonly opening: NvmlOpening }
  /** The slice clock's time at a moment of the host's monotonic clock, which all threads share. */
  | { readonly method: 'read'; readonly at: Instant; readonly host: Seconds }
  | { readonly method: 'uses' | 'close' };


const pack = roundPacker();
let session: NvmlSession | undefined;

async function answer(call: Request): Promise<unknown> {
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

answerCalls(answer);
