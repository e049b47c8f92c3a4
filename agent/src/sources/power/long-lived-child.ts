/**
 * A program that prints readings for ever, as a stream of events: a start costs up to seconds, so there is one, and never
 * two at a time (they would wait for each other in the driver).
 *
 *     start ─▶ text … ─▶ exit, or silence ─▶ SIGKILL to its group
 *       ▲                        │
 *       └── 1 s, 2 s, 4 s … 60 s ◀── break over all channels       (1 s again after a minute of readings)
 */
import { either } from '../../schedule/signals.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { execa } from 'execa';
import { eventQueue, type EventQueue } from '../event-queue.js';
import type { Channel, LiveContext, LivePower, PowerEvent } from '../source.js';
import { isAbsent, killGroup, plainEnvironment } from '../program.js';

/** The text of one program as it arrives → events. */
export interface ChildText {
  /** @returns what the chunk says, and whether it held a whole line */
  read(chunk: string, at: Instant): { readonly events: readonly PowerEvent[]; readonly alive: boolean; readonly readings: number };
  /** The first thing it said to people since `begin`. */
  readonly words: string | undefined;
  /** Every channel seen so far. */
  readonly channels: readonly Channel[];
  /** A new child: nothing of the old one's last line is left. */
  begin(): void;
}

export interface ChildPatience {
  /** A child that is silent for so long is killed. Default: 5 s, or ten periods if that is more. */
  readonly silence?: Seconds | undefined;
  /** How long the first line may take: without persistence mode the driver loads first, with many GPUs that is over 10 s. */
  readonly start?: Seconds | undefined;
  /** The first wait before a restart. */
  readonly restart?: Seconds | undefined;
}

export interface LongLivedChild<Text extends ChildText> extends ChildPatience {
  /** For people: `nvidia-smi`. Codes are made of it: NVIDIA_SMI_MISSING, NVIDIA_SMI_FAILED. */
  readonly name: string;
  readonly description: string;
  readonly command: string;
  readonly period: Seconds;
  /** What to do when there is no such program. */
  readonly advice: string;
  text(): Text;
  /** Its arguments, found out before each start. Never throws for what is merely not known. */
  prepare(context: LiveContext, text: Text): Promise<readonly string[]>;
}

const LONGEST_RESTART_SECONDS = 60;
const HEALTHY_SECONDS = 60;
/** SIGTERM, then SIGKILL. */
const TERM_MS = 2000;
/** A process the driver holds does not die of SIGKILL either; the agent must end all the same. */
const GONE_MS = 3000;
const MOST_QUEUED = 20_000;
const LONGEST_WORDS = 300;

export function longLivedChild<Text extends ChildText>(child: LongLivedChild<Text>): LivePower {
  const { name, description, period } = child;
  return {
    description,
    period,
    async *events(context) {
      const stop = new AbortController();
      const signal = either(context.signal, stop.signal);
      const queue = eventQueue<PowerEvent>(MOST_QUEUED, (count) => ({ kind: 'flagged', code: 'READINGS_DROPPED', count, detail: `${name}: readings came faster than they were taken; the oldest were dropped` }));
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

const codeOf = (name: string, what: string): string => `${name.toUpperCase().replaceAll('-', '_')}_${what}`;

async function supervise<Text extends ChildText>(child: LongLivedChild<Text>, context: LiveContext, queue: EventQueue<PowerEvent>): Promise<void> {
  const { signal, log, now } = context;
  const { name, restart = seconds(1) } = child;
  const text = child.text();
  let wait: number = restart;
  let failing = false;
  while (!signal.aborted) {
    const { reason, absent, healthySeconds } = await runChild(child, context, text, queue, () => {
      if (failing) log.info(`${name}: readings again.`);
      failing = false;
    });
    if (signal.aborted) return;
    if (absent && text.channels.length === 0) {
      throw new TelemetryError(codeOf(name, 'MISSING'), `'${child.command}' can't be run (${reason}): ${child.advice}`, 'disable');
    }
    if (text.channels.length > 0) queue.push({ kind: 'break', channels: text.channels, at: now(), reason: `${name} ${reason}` });
    if (!failing) {
      log.warn(`${name} ${reason}; it is started again.`);
      queue.push({ kind: 'flagged', code: codeOf(name, 'FAILED'), count: 1, detail: `${name} ${reason}` });
    }
    failing = true;
    if (healthySeconds >= HEALTHY_SECONDS) wait = restart;
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

async function runChild<Text extends ChildText>(child: LongLivedChild<Text>, context: LiveContext, text: Text, queue: EventQueue<PowerEvent>, reading: () => void): Promise<Ended> {
  const { signal, environment, now } = context;
  const { period, silence = seconds(Math.max(5, 10 * period)), start = seconds(Math.max(30, silence)) } = child;
  const args = await child.prepare(context, text);
  text.begin();
  // Not started at all: there is nobody to be ended.
  if (signal.aborted) return { reason: 'was not needed any more', absent: false, healthySeconds: 0 };
  const running = execa(child.command, [...args], { stdin: 'ignore', buffer: false, reject: false, env: plainEnvironment(environment), extendEnv: false, detached: true });
  let killing: NodeJS.Timeout | undefined;
  const end = (): void => {
    killGroup(running.pid, 'SIGTERM');
    killing = setTimeout(() => killGroup(running.pid, 'SIGKILL'), TERM_MS);
  };
  signal.addEventListener('abort', end, { once: true });

  let silent = false;
  let first: number | undefined;
  let last = 0;
  const silenced = (): void => {
    silent = true;
    killGroup(running.pid, 'SIGKILL');
    // Should it have left a process behind that holds the pipe: it is not waited for.
    running.stdout.destroy();
    running.stderr.destroy();
  };
  let watchdog = setTimeout(silenced, start * 1000);
  running.stdout.setEncoding('utf8');
  running.stdout.on('data', (chunk: string) => {
    if (signal.aborted || silent) return;
    const { events, alive, readings } = text.read(chunk, now());
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
  let complaint = '';
  running.stderr.setEncoding('utf8');
  running.stderr.on('data', (chunk: string) => {
    if (complaint.length < LONGEST_WORDS) complaint += chunk;
  });
  const { code, exitCode, signal: killedBy } = await running;
  clearTimeout(watchdog);
  clearTimeout(killing);
  signal.removeEventListener('abort', end);
  killGroup(running.pid, 'SIGKILL');
  const words = text.words ?? complaint.trim().split('\n')[0]?.slice(0, LONGEST_WORDS) ?? '';
  const said = words === '' ? '' : `: ${words}`;
  return {
    absent: isAbsent(code),
    reason: silent ? `was silent for ${first === undefined ? start : silence} s and was killed${said}` : `ended (${code ?? killedBy ?? `exit code ${exitCode}`})${said}`,
    healthySeconds: first === undefined ? 0 : (last - first) / 1000,
  };
}
