/**
 * An NVML session wherever it runs. In a thread of its own a call that blocks in the driver holds up nobody else; the
 * thread can be given up then, but not ended: V8 stops only when the call comes back, and so does a process that exits.
 */
import type { Worker } from 'node:worker_threads';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { openThread, type Thread, type ThreadErrors } from '@joulebook/shared/thread.js';
import type { Instant, Seconds } from '@joulebook/shared/units.js';
import type { PowerEvent } from '../../source.js';
import type { GpuUse } from './gpu-processes.js';
import { hostSeconds } from '../host-seconds.js';
import { roundUnpacker, type PackedRound } from './nvml-round.js';
import { openNvmlSession, type NvmlOpening } from './nvml-session.js';
import type { Request } from './nvml-worker.js';

export interface NvmlLink {
  readonly gpus: number;
  /** @throws TelemetryError `retry` NVML_SILENT after the limit, and whatever the session throws: close it then */
  read(now: () => Instant, limit: Seconds): Promise<readonly PowerEvent[]>;
  uses(limit: Seconds): Promise<readonly GpuUse[]>;
  /** Returns within a second; a thread that is stuck is left behind. */
  close(): Promise<void>;
}

/**
 * A thread can't load TypeScript. Unit tests run on sources, so there NVML stays in the caller's thread: the same code,
 * never a stale build. The thread itself is tested on the built file, by whoever passes `worker`.
 */
export const NVML_WORKER = import.meta.url.endsWith('.js') ? new URL('nvml-worker.js', import.meta.url) : undefined;

/** Threads that were given up and have not ended yet. */
export type StuckThreads = Set<Worker>;

/** So many may hang in the driver at a time; each costs memory, and more would hang too. */
const MOST_STUCK = 3;
const LONGEST_END_MS = 1000;

export interface NvmlThread {
  /** The thread's file; undefined: the caller's thread. */
  readonly worker: URL | undefined;
  readonly stuck: StuckThreads;
  /** How long initialising, and looking how often values change, may take. */
  readonly limit: Seconds;
}

/** @throws TelemetryError `disable` when NVML, its driver or a GPU is not here, `retry` when it may come */
export async function openNvmlLink(opening: NvmlOpening, { worker, stuck, limit: start }: NvmlThread): Promise<NvmlLink> {
  if (!worker) {
    const session = await openNvmlSession(opening);
    return {
      gpus: session.gpus,
      read: async (now) => session.read(now),
      uses: async () => session.uses(),
      close: async () => session.close(),
    };
  }
  if (stuck.size >= MOST_STUCK) throw new TelemetryError('NVML_STUCK', `The NVIDIA driver has not come back from ${stuck.size} calls; NVML is asked again when one of them ends. See dmesg (Xid); a reset or reboot may be needed.`, 'retry');
  const thread = openNvmlThread(worker, stuck);
  const unpack = roundUnpacker();
  try {
    const gpus = await answered(thread.call<number>({ method: 'open', opening }), start);
    return {
      gpus,
      read: async (now, limit) => unpack(await answered(thread.call<PackedRound>({ method: 'read', at: now(), host: hostSeconds() }), limit)),
      uses: (limit) => answered(thread.call<readonly GpuUse[]>({ method: 'uses' }), limit),
      close: () => thread.close(),
    };
  } catch (error) {
    await thread.close();
    throw error;
  }
}

const ERRORS: ThreadErrors = {
  revive: ({ code, message, remedy }) => new TelemetryError(code ?? 'NVML_FAILED', message, remedy),
  failed: (cause) => new TelemetryError('NVML_THREAD_FAILED', `NVML's thread failed: ${cause.message}`, 'retry', { cause }),
  ended: () => new TelemetryError('NVML_THREAD_ENDED', 'NVML\'s thread has ended.', 'retry'),
};

function openNvmlThread(file: URL, stuck: StuckThreads): Pick<Thread<Request>, 'call'> & { close(): Promise<void> } {
  const thread = openThread<Request>(file, ERRORS);
  const { worker, call } = thread;
  worker.on('exit', () => stuck.delete(worker));
  return {
    call,
    async close() {
      if (thread.hasEnded) return;
      const idle = thread.pending === 0;
      stuck.add(worker);
      worker.unref();
      const closing = (idle ? call<undefined>({ method: 'close' }).catch(() => undefined) : Promise.resolve()).then(() => worker.terminate());
      await withinMillis(LONGEST_END_MS, closing);
    },
  };
}

async function withinMillis(limit: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, limit)))]);
  clearTimeout(timer);
}

async function answered<T>(work: Promise<T>, limit: Seconds): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const silent = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TelemetryError('NVML_SILENT', `NVML did not answer within ${limit} s; its thread is given up. See dmesg (Xid) for a GPU that hangs.`, 'retry')), limit * 1000);
  });
  try {
    return await Promise.race([work, silent]);
  } finally {
    clearTimeout(timer);
  }
}
