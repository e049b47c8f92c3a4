/**
 * Power by one long-lived `nvidia-smi … -lms N`: a start costs up to seconds, so there is one, and never two at a time
 * (they would wait for each other in the driver).
 *
 *     start ─▶ header ─▶ rows … ─▶ exit, or silence ─▶ SIGKILL
 *       ▲                                 │
 *       └── 1 s, 2 s, 4 s … 60 s ◀── break over all channels       (1 s again after a minute of readings)
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { instant, seconds, type Seconds } from '@joulebook/shared/units.js';
import { execa } from 'execa';
import { z } from 'zod';
import { eventQueue, type EventQueue } from '../event-queue.js';
import { liveKind, type LivePowerKind } from '../live.js';
import type { LiveContext, LivePower, PowerEvent } from '../source.js';
import { nvidiaSmiStream, type NvidiaSmiStream } from './nvidia-smi-stream.js';

const NAME = 'nvidia-smi';
const FIELDS = 'timestamp,index,uuid,name,power.draw,utilization.gpu,temperature.gpu,clocks.sm,memory.used';

export interface NvidiaSmiOptions {
  readonly command?: string | undefined;
  /** Time between two rounds of readings. */
  readonly period?: Seconds | undefined;
  /** A child that is silent for so long is killed. */
  readonly silence?: Seconds | undefined;
  /** How long the first line may take: without persistence mode the driver loads first, with many GPUs that is over 10 s. */
  readonly start?: Seconds | undefined;
  /** The first wait before a restart. */
  readonly restart?: Seconds | undefined;
}

const options = z.strictObject({
  command: z.string().min(1).default(NAME),
  period: duration.prefault('200ms').refine((value) => value >= 0.02 && value <= 60, 'a period is 20 ms to 60 s'),
});

export const liveNvidiaSmi: LivePowerKind = liveKind({
  name: NAME,
  summary: 'power, utilisation, temperature, clock and memory of NVIDIA GPUs by one running nvidia-smi',
  options,
  open: ({ command, period }) => nvidiaSmi({ command, period: seconds(period) }),
  async detect(environment) {
    const probe = await probeNvidiaSmi(environment);
    return probe.found ? { found: true, options: {} } : probe;
  },
});

const LONGEST_RESTART_SECONDS = 60;
const HEALTHY_SECONDS = 60;
/** SIGTERM, then SIGKILL. */
const TERM_MS = 2000;
/** A process the driver holds does not die of SIGKILL either; the agent must end all the same. */
const GONE_MS = 3000;
const MOST_QUEUED = 20_000;

export function nvidiaSmi({ command = NAME, period = seconds(0.2), silence = seconds(Math.max(5, 10 * period)), start = seconds(Math.max(30, silence)), restart = seconds(1) }: NvidiaSmiOptions = {}): LivePower {
  const millis = Math.round(period * 1000);
  return {
    description: `nvidia-smi every ${millis} ms`,
    period,
    async *events(context) {
      const stop = new AbortController();
      const signal = AbortSignal.any([context.signal, stop.signal]);
      const queue = eventQueue<PowerEvent>(MOST_QUEUED, (count) => ({ kind: 'flagged', code: 'READINGS_DROPPED', count, detail: 'nvidia-smi: readings came faster than they were taken; the oldest were dropped' }));
      const child = { command, millis, silence, start, restart };
      const supervised = supervise(child, { ...context, signal }, queue).then(() => queue.end(), (error: unknown) => queue.end(error));
      const given = aborted(signal).then(() => sleep(GONE_MS, undefined, { ref: false }));
      void given.then(() => queue.end());
      try {
        yield* queue;
      } finally {
        stop.abort();
        await Promise.race([supervised, given]);
      }
    },
  };
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

interface Child {
  readonly command: string;
  readonly millis: number;
  readonly silence: Seconds;
  readonly start: Seconds;
  readonly restart: Seconds;
}

/** One child after the other until the signal aborts. */
async function supervise(child: Child, context: LiveContext, queue: EventQueue<PowerEvent>): Promise<void> {
  const { signal, log, now } = context;
  const stream = nvidiaSmiStream();
  let wait: number = child.restart;
  let failing = false;
  while (!signal.aborted) {
    const { reason, absent, healthySeconds } = await runChild(child, context, stream, queue, () => {
      if (failing) log.info('nvidia-smi: readings again.');
      failing = false;
    });
    if (signal.aborted) return;
    if (absent && stream.channels.length === 0) throw missing(child.command, reason);
    if (stream.channels.length > 0) queue.push({ kind: 'break', channels: stream.channels, at: now(), reason: `nvidia-smi ${reason}` });
    if (!failing) {
      log.warn(`nvidia-smi ${reason}; it is started again.`);
      queue.push({ kind: 'flagged', code: 'NVIDIA_SMI_FAILED', count: 1, detail: `nvidia-smi ${reason}` });
    }
    failing = true;
    if (healthySeconds >= HEALTHY_SECONDS) wait = child.restart;
    await sleep(wait * 1000, undefined, { signal }).catch(() => undefined);
    wait = Math.min(LONGEST_RESTART_SECONDS, wait * 2);
  }
}

interface Ended {
  readonly reason: string;
  /** There is no such program. */
  readonly absent: boolean;
  /** From its first reading to its last. */
  readonly healthySeconds: number;
}

async function runChild({ command, millis, silence, start }: Child, { signal, environment, now }: LiveContext, stream: NvidiaSmiStream, queue: EventQueue<PowerEvent>, reading: () => void): Promise<Ended> {
  stream.begin();
  const child = execa(command, [`--query-gpu=${FIELDS}`, '--format=csv,nounits', '-lms', String(millis)], {
    stdin: 'ignore',
    stderr: 'ignore',
    buffer: false,
    reject: false,
    env: { ...environment, LC_ALL: 'C' },
    extendEnv: false,
    cancelSignal: signal,
    forceKillAfterDelay: TERM_MS,
  });
  let silent = false;
  let first: number | undefined;
  let last = 0;
  const silenced = (): void => {
    silent = true;
    child.kill('SIGKILL');
    // Should it have left a process behind that holds the pipe: it is not waited for.
    child.stdout.destroy();
  };
  let watchdog = setTimeout(silenced, start * 1000);
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk: string) => {
    if (signal.aborted || silent) return;
    const { events, alive, readings } = stream.read(chunk, now());
    if (alive) {
      clearTimeout(watchdog);
      watchdog = setTimeout(silenced, silence * 1000);
    }
    if (readings > 0) {
      last = performance.now();
      first ??= last;
      reading();
    }
    for (const event of events) queue.push(event);
  });
  const { code, exitCode, signal: killedBy } = await child;
  clearTimeout(watchdog);
  const said = stream.words === undefined ? '' : `: ${stream.words}`;
  return {
    absent: code === 'ENOENT' || code === 'EACCES',
    reason: silent ? `was silent for ${first === undefined ? start : silence} s and was killed${said}` : `ended (${code ?? killedBy ?? `exit code ${exitCode}`})${said}`,
    healthySeconds: first === undefined ? 0 : (last - first) / 1000,
  };
}

const missing = (command: string, reason: string): TelemetryError =>
  new TelemetryError('NVIDIA_SMI_MISSING', `'${command}' can't be run (${reason}): install the NVIDIA driver's tools or name the program in its option 'command'.`, 'disable');

export type NvidiaSmiProbe = { readonly found: true; readonly gpus: number } | { readonly found: false; readonly reason: string };

/** Whether there is an NVIDIA GPU here that says its power, and if not, why. */
export async function probeNvidiaSmi(environment: NodeJS.ProcessEnv, command: string = NAME, limit: Seconds = seconds(15)): Promise<NvidiaSmiProbe> {
  const { stdout, code, exitCode, timedOut } = await execa(command, [`--query-gpu=${FIELDS}`, '--format=csv,nounits'], {
    stdin: 'ignore',
    stderr: 'ignore',
    reject: false,
    env: { ...environment, LC_ALL: 'C' },
    extendEnv: false,
    timeout: limit * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: 1024 * 1024,
  });
  if (code === 'ENOENT' || code === 'EACCES') return { found: false, reason: `'${command}' is not on this machine` };
  if (timedOut) return { found: false, reason: `nvidia-smi did not answer within ${limit} s` };
  const stream = nvidiaSmiStream();
  stream.read(`${stdout}\n`, instant(Date.now() / 1000));
  if (exitCode !== 0) return { found: false, reason: `nvidia-smi ended with exit code ${exitCode}${stream.words === undefined ? '' : `: ${stream.words}`}` };
  const gpus = stream.channels.length;
  return gpus > 0 ? { found: true, gpus } : { found: false, reason: stream.words ?? 'no GPU here says its power' };
}
