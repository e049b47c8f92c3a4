/**
 * A day of a busy server through the built `joulebook-agent replay`: how much faster than time it is, whether its memory
 * stays what it is for two hours, and whether every token and every microjoule of the day comes out again.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, statfs } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { UsageError } from '@joulebook/shared/errors.js';
import { z } from 'zod';
import { BYTES_PER_HOUR, writeDay, type DayRecording } from './day-recording.js';

const AGENT = fileURLToPath(new URL('../../../agent/bin/joulebook-agent.js', import.meta.url));
const GOALS = { timesRealTime: 100, memoryRatio: 1.5 };
/** What the long one is compared with. */
const SHORT_HOURS = 2;
const LOOK_EVERY_MS = 200;

interface Replayed {
  readonly recording: DayRecording;
  readonly bytes: number;
  readonly wallSeconds: number;
  readonly rssMiB: number;
  readonly sums: Sums;
}

interface Sums {
  slices: number;
  input: number;
  output: number;
  /** Tokens of any other kind: nothing here is cached, and nothing lies outside. */
  otherTokens: number;
  microjoules: bigint;
  readonly phases: Map<string, bigint>;
}

/** @returns whether every goal was reached */
export async function day(options: readonly string[]): Promise<boolean> {
  const { hours, gpus } = asked(options);
  if (process.platform !== 'linux') throw new UsageError(['The bench day needs Linux: the peak of a process\'s memory is read from /proc.']);
  await checkRoom(hours);
  console.log(`${hours} h and ${SHORT_HOURS} h of a vLLM log beside ${gpus} GPUs read every second; ${cpus().length} CPUs, load ${loadavg().map((each) => each.toFixed(1)).join(' ')}\n`);
  const short = await played(SHORT_HOURS, gpus);
  const long = await played(hours, gpus);
  return tell(short, long);
}

function asked(options: readonly string[]): { hours: number; gpus: number } {
  try {
    const { values } = parseArgs({ args: [...options], options: { hours: { type: 'string', default: '24' }, gpus: { type: 'string', default: '8' } } });
    const [hours, gpus] = [Number(values.hours), Number(values.gpus)];
    if (Number.isInteger(hours) && hours > SHORT_HOURS && hours <= 720 && Number.isInteger(gpus) && gpus >= 1 && gpus <= 8) return { hours, gpus };
  } catch {
    // Told below, together with numbers that are none.
  }
  throw new UsageError([`npm run bench -- day [--hours N] [--gpus N], with whole hours, more than ${SHORT_HOURS}, and 1 to 8 GPUs`]);
}

async function checkRoom(hours: number): Promise<void> {
  const { bavail, bsize } = await statfs(tmpdir());
  const [there, needed] = [(bavail * bsize) / 1e9, (BYTES_PER_HOUR * hours * 1.1) / 1e9];
  if (there < needed) throw new UsageError([`The bench day writes ${needed.toFixed(1)} GB under ${tmpdir()}, where ${there.toFixed(1)} GB are free: make room, set TMPDIR to another disk, or ask for fewer hours with --hours.`]);
}

/** Writes it, replays it, and leaves nothing behind. */
async function played(hours: number, gpus: number): Promise<Replayed> {
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-day-'));
  try {
    const recording = await writeDay(folder, hours, gpus);
    const sizes = await Promise.all(recording.files.map(async (file) => (await stat(join(folder, file))).size));
    return { recording, bytes: sizes.reduce((sum, size) => sum + size, 0), ...(await replayed(folder)) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Node's own garbage collection is left as it is: what is measured is what a user sees. */
async function replayed(folder: string): Promise<{ wallSeconds: number; rssMiB: number; sums: Sums }> {
  const began = performance.now();
  const child = spawn(process.execPath, [AGENT, 'replay', folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let rssMiB = 0;
  const look = setInterval(() => void peakOf(child.pid).then((peak) => (rssMiB = Math.max(rssMiB, peak))), LOOK_EVERY_MS);
  try {
    const sums: Sums = { slices: 0, input: 0, output: 0, otherTokens: 0, microjoules: 0n, phases: new Map() };
    for await (const line of createInterface({ input: child.stdout })) addBatch(sums, line);
    const ended: unknown[] = await exited;
    if (ended[0] !== 0) throw new Error(`replay ended with ${String(ended[0])}`);
    return { wallSeconds: (performance.now() - began) / 1000, rssMiB, sums };
  } finally {
    clearInterval(look);
    child.kill('SIGKILL');
  }
}

/** The kernel keeps the peak, so a look every now and then misses at most what the last moments added. */
async function peakOf(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024;
}

/** Only what is summed. */
const batch = z.object({
  slices: z.array(
    z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('energy'), phase: z.string(), microjoules: z.int() }),
      z.object({ kind: z.literal('tokens'), token: z.string(), count: z.int() }),
      z.object({ kind: z.enum(['requests', 'gauge', 'flag']) }),
    ]),
  ),
});

function addBatch(sums: Sums, line: string): void {
  for (const slice of batch.parse(JSON.parse(line)).slices) {
    sums.slices += 1;
    if (slice.kind === 'energy') {
      sums.microjoules += BigInt(slice.microjoules);
      sums.phases.set(slice.phase, (sums.phases.get(slice.phase) ?? 0n) + BigInt(slice.microjoules));
    } else if (slice.kind === 'tokens') {
      if (slice.token === 'input' || slice.token === 'output') sums[slice.token] += slice.count;
      else sums.otherTokens += slice.count;
    }
  }
}

const whole = (count: number | bigint): string => count.toLocaleString('en-US');

function tell(short: Replayed, long: Replayed): boolean {
  console.log('| hours | GB | lines | requests | readings | slices | wall s | times real time | peak RSS MB |');
  console.log('|---:|---:|---:|---:|---:|---:|---:|---:|---:|');
  for (const { recording, bytes, sums, wallSeconds, rssMiB } of [short, long]) {
    console.log(`| ${recording.hours} | ${(bytes / 1e9).toFixed(2)} | ${whole(recording.lines)} | ${whole(recording.requests)} | ${whole(recording.readings)} | ${whole(sums.slices)} | ${wallSeconds.toFixed(1)} | ${speedOf({ recording, wallSeconds }).toFixed(0)} | ${rssMiB.toFixed(0)} |`);
  }
  for (const { recording, sums } of [short, long]) console.log(`\n${recording.hours} h: ${[...sums.phases].map(([phase, energy]) => `${phase} ${whole(energy / 1_000_000n)} J`).join(', ')}`);
  const ratio = long.rssMiB / short.rssMiB;
  const goals: readonly (readonly [string, boolean])[] = [
    [`at least ${GOALS.timesRealTime} times real time: ${speedOf(long).toFixed(0)}`, speedOf(long) >= GOALS.timesRealTime],
    [`memory of ${long.recording.hours} h at most ${GOALS.memoryRatio} times that of ${SHORT_HOURS} h: ${ratio.toFixed(2)}`, ratio <= GOALS.memoryRatio],
    ...[short, long].flatMap(({ recording: { hours, tokens, microjoules }, sums }): (readonly [string, boolean])[] => [
      [`${hours} h: tokens as generated: ${whole(sums.input)} of ${whole(tokens.input)} input, ${whole(sums.output)} of ${whole(tokens.output)} output`, sums.input === tokens.input && sums.output === tokens.output && sums.otherTokens === 0],
      [`${hours} h: energy as measured, to the µJ: ${whole(sums.microjoules)} of ${whole(microjoules)}`, sums.microjoules === microjoules],
    ]),
  ];
  console.log(`\n${goals.map(([goal, reached]) => `${reached ? 'reached' : 'MISSED '}  ${goal}`).join('\n')}`);
  return goals.every(([, reached]) => reached);
}

const speedOf = ({ recording, wallSeconds }: { readonly recording: DayRecording; readonly wallSeconds: number }): number => (recording.hours * 3_600) / wallSeconds;
