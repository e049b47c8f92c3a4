/** One contender of the bench `sampler`, in a process of its own: `sampler-contender.js NAME SECONDS`. Says its cost as JSON. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import type { LiveContext } from '@joulebook/agent/sources/source.js';
import { instant, seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { childSeconds, type Cost } from './contest.js';

const PERIOD = seconds(0.1);

/** Seconds of CPU of this process and of its children that have ended. */
function cpuSoFar(): number {
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  return (userCPUTime + systemCPUTime) / 1e6 + childSeconds(readFileSync('/proc/self/stat', 'utf8'));
}

/** The moment of the first reading: from here on it counts. */
let first: { readonly at: number; readonly cpu: number } | undefined;
const began = (): void => void (first = { at: performance.now(), cpu: cpuSoFar() });

interface Rounds {
  rounds: number;
  missed: number;
  readings: number;
}

/** The real source in its real thread; what it says is counted and dropped. */
async function nvmlSource(lasting: number): Promise<Rounds> {
  const { nvml } = await import('@joulebook/agent/sources/power/nvidia/nvml.js');
  const done: Rounds = { rounds: 0, missed: 0, readings: 0 };
  const stop = new AbortController();
  const context: LiveContext = {
    now: () => instant(Date.now() / 1000),
    environment: process.env,
    signal: stop.signal,
    log: { info: () => undefined, warn: (message) => console.error(message) },
    bill: {
      read: () => void (done.rounds += 1),
      // Ticks that pass while it opens, and looks how often values change, are told before the second read.
      missed: (_, ticks) => void (done.missed += done.rounds > 1 ? ticks : 0),
    },
  };
  for await (const event of nvml({ period: PERIOD, library: process.env['BENCH_NVML'] }).events(context)) {
    if (event.kind !== 'reading') continue;
    if (done.readings === 0) {
      began();
      setTimeout(() => stop.abort(), lasting * 1000);
    }
    done.readings += 1;
  }
  return done;
}

/** A plain loop: one poll at a time; a tick that is due while a poll runs is missed. */
async function polling(lasting: number, poll: () => Promise<number>): Promise<Rounds> {
  const done: Rounds = { rounds: 0, missed: 0, readings: 0 };
  await poll();
  began();
  const start = performance.now();
  let tick = 0;
  while (performance.now() - start < lasting * 1000) {
    done.readings += await poll();
    done.rounds += 1;
    const next = Math.max(tick + 1, Math.ceil((performance.now() - start) / (PERIOD * 1000)));
    done.missed += next - tick - 1;
    tick = next;
    await new Promise((resolve) => setTimeout(resolve, start + tick * PERIOD * 1000 - performance.now()));
  }
  return done;
}

async function spawning(lasting: number): Promise<Rounds> {
  const run = promisify(execFile);
  return polling(lasting, async () => {
    const { stdout } = await run('nvidia-smi', ['--query-gpu=timestamp,index,uuid,name,power.draw,utilization.gpu,temperature.gpu,clocks.sm,memory.used', '--format=csv,noheader,nounits']);
    return stdout.split('\n').filter((line) => Number(line.split(', ')[4]) > 0).length;
  });
}

async function systeminformation(lasting: number): Promise<Rounds> {
  const path = createRequire(import.meta.resolve('@joulebook/agent/version.js')).resolve('systeminformation');
  const { graphics } = z.object({ graphics: z.custom<() => Promise<unknown>>((value) => typeof value === 'function') }).parse(createRequire(import.meta.url)(path));
  const found = z.object({ controllers: z.array(z.object({ powerDraw: z.number().optional() })) });
  return polling(lasting, async () => found.parse(await graphics()).controllers.filter(({ powerDraw }) => powerDraw !== undefined).length);
}

const CONTENDERS: Readonly<Record<string, (lasting: number) => Promise<Rounds>>> = { nvml: nvmlSource, spawning, systeminformation };

const [name = '', lasting = '10'] = process.argv.slice(2);
const contender = CONTENDERS[name];
if (!contender) throw new Error(`no contender '${name}'`);
const rounds = await contender(Number(lasting));
if (!first) throw new Error(`${name} read nothing`);
const told: Cost = { ...rounds, wallSeconds: (performance.now() - first.at) / 1000, startSeconds: first.cpu, cpuSeconds: cpuSoFar() - first.cpu, rssMiB: process.resourceUsage().maxRSS / 1024 };
process.stdout.write(`${JSON.stringify(told)}\n`);
