/** The processes that the bench `chaos` kills and starts again: collectors and nodes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Origin } from './chaos-generator.js';

const START_MS = 30_000;
const DRAIN_MS = 120_000;
/** A store that is a server may be away when the collector starts. */
const MOST_STARTS = 30;
/** What a node says when a collector is away, which it is all the time. */
const EXPECTED: readonly unknown[] = ['COLLECTOR_UNREACHABLE', 'COLLECTOR_BUSY'];

async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  const limit = new AbortController();
  try {
    return await Promise.race([work, sleep(ms, undefined, { signal: limit.signal }).then(() => Promise.reject(new Error(`${what}: nothing within ${ms / 1000} s`)))]);
  } finally {
    limit.abort();
  }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

export interface Collector {
  address: string;
  readonly pid: number;
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Lets it finish. */
  stop(): Promise<void>;
}

/**
 * @param program file of `joulebook`, built
 * @param also flags of `serve`
 */
export function collectorAt(program: string, store: string, also: readonly string[] = []): Collector {
  let child: ChildProcess | undefined;

  async function launch(): Promise<string> {
    const { JOULEBOOK_TOKEN: _token, ...env } = process.env;
    const started = spawn(process.execPath, [program, 'serve', '--store', store, '--listen', '127.0.0.1:0', '--retention-raw', 'forever', '--log-level', 'error', ...also], { stdio: ['ignore', 'ignore', 'pipe'], env });
    child = started;
    let said = '';
    const address = new Promise<string>((resolve, reject) => {
      started.stderr.on('data', (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-4000);
        const [, found] = /Joulebook is at (http:\/\/[\d.:]+)/.exec(said) ?? [];
        if (found !== undefined) resolve(found);
      });
      started.once('exit', () => reject(new Error(`the collector ended: ${said}`)));
    });
    return within(START_MS, 'the collector starts', address);
  }

  const collector: Collector = {
    address: '',
    get pid() {
      return child?.pid ?? 0;
    },
    async stop() {
      if (!child || child.exitCode !== null) return;
      const exit = once(child, 'exit');
      child.kill('SIGTERM');
      await exit;
    },
    async kill() {
      if (child) await killed(child);
    },
    async start() {
      for (let tries = 1; ; tries += 1) {
        try {
          collector.address = await launch();
          return;
        } catch (error) {
          await collector.kill();
          if (tries === MOST_STARTS) throw error;
          await sleep(200);
        }
      }
    },
  };
  return collector;
}

const startedSchema = z.object({ held: z.number(), confirmed: z.number() });
const drainedSchema = z.object({ drained: z.number(), lost: z.number() });
const warningSchema = z.object({ warning: z.string(), code: z.string().optional() });

export interface SpoolSeen {
  /** Numbers that the spool has given out, and those of which the node knew before it was killed. */
  readonly held: number;
  readonly confirmed: number;
}

export interface Sender {
  readonly origin: Origin;
  readonly spoolFolder: string;
  start(): Promise<SpoolSeen>;
  kill(): Promise<void>;
  /** Makes no more. @returns how many batches it has made over all its lives, once every one is delivered */
  drain(): Promise<{ readonly drained: number; readonly lost: number }>;
  go(): void;
}

/** @param program file of chaos-sender, built */
export function senderAt(program: string, folder: string, url: string, origin: Origin, warn: (text: string) => void): Sender {
  let child: ChildProcess | undefined;
  let said = new EventEmitter();

  async function next<T>(schema: z.ZodType<T>, ms: number, what: string): Promise<T> {
    return z.tuple([schema]).parse(await within(ms, `${origin.node} ${what}`, once(said, what)))[0];
  }

  return {
    origin,
    spoolFolder: join(folder, 'spool'),
    async start() {
      const started = spawn(process.execPath, [program, JSON.stringify({ folder, url, ...origin })], { stdio: ['pipe', 'pipe', 'inherit'] });
      child = started;
      // What is written to one that was just killed goes nowhere.
      started.stdin.on('error', () => undefined);
      const events = new EventEmitter();
      said = events;
      createInterface({ input: started.stdout }).on('line', (line) => {
        const heard: unknown = JSON.parse(line);
        const { data: warning } = warningSchema.safeParse(heard);
        if (warning && !EXPECTED.includes(warning.code)) warn(`${origin.node}: ${warning.code ?? ''} ${warning.warning}`);
        if (!warning) events.emit(startedSchema.safeParse(heard).success ? 'starts' : 'drains', heard);
      });
      started.once('exit', (code) => {
        if (code === null) return;
        warn(`${origin.node} ended by itself with ${code}`);
        if (events.listenerCount('error') > 0) events.emit('error', new Error(`${origin.node} ended with ${code}`));
      });
      return next(startedSchema, START_MS, 'starts');
    },
    async kill() {
      if (child) await killed(child);
    },
    async drain() {
      child?.stdin?.write('drain\n');
      return next(drainedSchema, DRAIN_MS, 'drains');
    },
    go: () => void child?.stdin?.write('go\n'),
  };
}
