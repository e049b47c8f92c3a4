/**
 * Power and energy of NVIDIA GPUs from NVML, the driver's own library, without starting a program:
 *
 *     main thread                                thread
 *     tick ─▶ read ──────────────────────────▶ all boards in turn ─▶ driver
 *        ◀── events, stamped there ◀──────────
 *     no answer for max(5 s, 10 periods): the thread is given up, its channels are broken, another is started
 */
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled } from '../../polled.js';
import type { LivePower } from '../../source.js';
import { NVML_SOURCE } from './nvml-board.js';
import { NVML_WORKER, openNvmlLink, type NvmlLink, type StuckThreads } from './nvml-link.js';
import { UNKNOWN_ERRORS } from './nvml-session.js';

const options = z.strictObject({
  period: duration.prefault('200ms').refine((value) => value >= 0.02 && value <= 60, 'a period is 20 ms to 60 s'),
  library: z.string().min(1).optional(),
  probe: z.boolean().default(true),
});

export const liveNvml: LivePowerKind = liveKind({
  name: NVML_SOURCE,
  family: 'nvidia',
  summary: 'energy counter, average, instant and module power, clocks, throttling and memory of NVIDIA GPUs, from the driver\'s library',
  options,
  open: ({ period, library, probe }) => nvml({ period: seconds(period), library, probe }),
  async detect() {
    const found = await probeNvml();
    return found.found ? { found: true, options: {} } : found;
  },
});

export interface NvmlOptions {
  /** Time between two rounds of power readings. */
  readonly period?: Seconds | undefined;
  /** The library's file; absent: where drivers put it. */
  readonly library?: string | undefined;
  /** Whether to find out at the start how often values change. */
  readonly probe?: boolean | undefined;
  /** A thread that does not answer for so long is given up. */
  readonly silence?: Seconds | undefined;
  /** The thread's file. */
  readonly worker?: URL | undefined;
}

/** The energy counter is read no faster: on some boards it falls short by 13 % at ten reads a second, by 1.6 % at one. */
const COUNTER_SECONDS = 1;
/** Without persistence mode the driver loads first; with many GPUs that takes more than 10 s. */
const START_SECONDS = 60;
/** Unknown errors that come back within so long were not cured by initialising anew. */
const RELAPSE_SECONDS = 60;

export function nvml({ period = seconds(0.2), library, probe = true, silence = seconds(Math.max(5, 10 * period)), worker = NVML_WORKER }: NvmlOptions = {}): LivePower {
  const slowEvery = Math.max(1, Math.ceil(COUNTER_SECONDS / period - 1e-9));
  const stuck: StuckThreads = new Set();
  let everOpened = false;
  let unknownAt = Number.NEGATIVE_INFINITY;

  async function open(): Promise<NvmlLink> {
    const anew = performance.now() / 1000 - unknownAt < RELAPSE_SECONDS;
    try {
      const link = await openNvmlLink({ library, probe, period, slowEvery, anew }, { worker, stuck, limit: seconds(START_SECONDS) });
      everOpened = true;
      return link;
    } catch (error) {
      // What was here once is being reloaded or replaced; it may come back.
      if (everOpened && error instanceof TelemetryError && error.remedy === 'disable') throw new TelemetryError(error.code, error.message, 'retry', { cause: error });
      throw error;
    }
  }

  return polled({
    name: NVML_SOURCE,
    description: `NVML every ${Math.round(period * 1000)} ms`,
    period,
    // Longer than what is limited here: a limit that knows of the thread can give it up.
    limit: seconds(Math.max(START_SECONDS, silence) + 5),
    async open(context) {
      const link = await open();
      return {
        async read() {
          try {
            return await link.read(context.now, silence);
          } catch (error) {
            if (error instanceof TelemetryError && error.code === UNKNOWN_ERRORS) unknownAt = performance.now() / 1000;
            throw error;
          }
        },
        close: () => link.close(),
      };
    },
  });
}

export type NvmlProbe = { readonly found: true; readonly gpus: number } | { readonly found: false; readonly reason: string };

/** Whether NVML is here and sees a GPU, and if not, why. Never throws. */
export async function probeNvml({ library, limit = seconds(15), worker = NVML_WORKER }: { readonly library?: string; readonly limit?: Seconds; readonly worker?: URL | undefined } = {}): Promise<NvmlProbe> {
  try {
    const link = await openNvmlLink({ library, probe: false, period: seconds(COUNTER_SECONDS), slowEvery: 1, anew: false }, { worker, stuck: new Set(), limit });
    await link.close();
    return { found: true, gpus: link.gpus };
  } catch (error) {
    return { found: false, reason: messageOf(error) };
  }
}
