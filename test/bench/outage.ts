/**
 * The collector is away while one node with 8 GPUs measures for a day; then it is started. Shown: that nothing is lost, how long
 * catching up takes, what the agent's memory comes to, and by how much live batches are late meanwhile.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { UsageError } from '@joulebook/shared/errors.js';
import { z } from 'zod';
import { reportSchema } from '../support/report.js';

const COLLECTOR = fileURLToPath(new URL('../../../collector/bin/joulebook.js', import.meta.url));
const NODE = fileURLToPath(new URL('outage-node.js', import.meta.url));
/** How long the shipper meets a refused connection before the collector comes: long enough to back off. */
const AWAY_MS = 20_000;
const GOALS = { lateSeconds: 10, rssMiB: 200 };

const whole = z.string().transform(BigInt);
const spooledSchema = z.object({ spooled: z.number(), bytes: z.number(), seconds: z.number(), rssMiB: z.number() });
const endSchema = z.object({
  caughtUpSeconds: z.number(),
  rssMiB: z.number(),
  pending: z.number(),
  lost: z.number(),
  counts: z.object({ accepted: z.number(), rejected: z.number(), retried: z.number() }),
  live: z.number(),
  latestAfterUp: z.number(),
  truth: z.object({ batches: z.number(), slices: z.number(), gpuMicrojoules: whole, outputTokens: z.number(), requests: z.number() }),
});
const logSchema = z.object({ log: z.string() });

/** @returns whether every goal was reached */
export async function outage(options: readonly string[]): Promise<boolean> {
  const { hours, pace } = asked(options);
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-outage-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  console.log(`${hours} h of one 8-GPU node, 10 s slices, while no collector answers; live batches every ${pace} s; ${cpus().length} CPUs, load ${loadavg().map((each) => each.toFixed(1)).join(' ')}\n`);
  const node = spawn(process.execPath, [NODE, folder, url, String(hours), String(pace)], { stdio: ['pipe', 'pipe', 'inherit'] });
  let collector: ChildProcess | undefined;
  try {
    const lines = linesOf(node);
    const spooled = spooledSchema.parse((await lines.next()).value);
    console.log(`spooled            ${spooled.spooled} batches, ${(spooled.bytes / 1e6).toFixed(1)} MB on disk (${(spooled.bytes / spooled.spooled / 1e3).toFixed(1)} kB each), each durable, in ${spooled.seconds.toFixed(1)} s`);
    await sleep(AWAY_MS);
    collector = spawn(process.execPath, [COLLECTOR, 'serve', '--store', join(folder, 'store.duckdb'), '--listen', `127.0.0.1:${port}`, '--log-level', 'warn'], { stdio: ['ignore', 'inherit', 'inherit'] });
    await untilReady(url, collector);
    node.stdin.write('up\n');
    const end = await endOf(lines);
    await once(node, 'exit');
    return await tell(end, spooled.spooled, url);
  } finally {
    node.kill('SIGKILL');
    if (collector) {
      collector.kill('SIGTERM');
      if (collector.exitCode === null) await once(collector, 'exit');
    }
    await rm(folder, { recursive: true });
  }
}

async function tell(end: z.output<typeof endSchema>, backlog: number, url: string): Promise<boolean> {
  const report = reportSchema.parse(await (await fetch(`${url}/v1/report?boundary=gpu`)).json());
  const [row] = report.rows;
  const found = { microjoules: BigInt(Math.round((row?.joules ?? 0) * 1e6)), output: row?.tokens.output ?? 0, requests: row?.requests['ok'] ?? 0 };
  const { truth } = end;
  const exact = found.microjoules === truth.gpuMicrojoules && found.output === truth.outputTokens && found.requests === truth.requests;
  const checks: readonly (readonly [string, boolean])[] = [
    [`nothing lost       ${truth.batches} batches, ${truth.slices} facts; in the store ${found.microjoules} of ${truth.gpuMicrojoules} µJ, ${found.output} of ${truth.outputTokens} output tokens, ${found.requests} of ${truth.requests} requests; ${end.pending} pending, ${end.lost} in the loss account`, exact && end.pending === 0 && end.lost === 0],
    [`catching up        ${end.caughtUpSeconds.toFixed(1)} s after the collector answered (${(backlog / end.caughtUpSeconds).toFixed(0)} batches/s beside live ones); ${end.counts.retried} sendings repeated`, true],
    [`memory             peak RSS of the agent's process ${end.rssMiB.toFixed(0)} MiB (goal: under ${GOALS.rssMiB})`, end.rssMiB < GOALS.rssMiB],
    [`live data          ${end.live} batches; late by at most ${end.latestAfterUp.toFixed(2)} s while catching up, the agent's waiting for the collector included (goal: ${GOALS.lateSeconds})`, end.live > 0 && end.latestAfterUp <= GOALS.lateSeconds],
  ];
  for (const [said, ok] of checks) console.log(`${said}  ${ok ? 'ok' : 'MISSED'}`);
  return checks.every(([, ok]) => ok);
}

async function endOf(lines: AsyncGenerator): Promise<z.output<typeof endSchema>> {
  for await (const line of lines) {
    const end = endSchema.safeParse(line);
    if (end.success) return end.data;
    console.log(`agent              ${logSchema.parse(line).log}`);
  }
  throw new Error('the agent of the bench ended early');
}

async function* linesOf(child: ChildProcess): AsyncGenerator {
  if (!child.stdout) throw new Error('no output to read');
  for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line);
}

async function untilReady(url: string, collector: ChildProcess): Promise<void> {
  while (collector.exitCode === null) {
    const ready = await fetch(`${url}/readyz`).then(({ ok }) => ok, () => false);
    if (ready) return;
    await sleep(20);
  }
  throw new Error(`the collector ended with ${collector.exitCode}`);
}

/** Asked of the system, and let go: the collector takes it a moment later. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function asked(options: readonly string[]): { hours: number; pace: number } {
  try {
    const { values } = parseArgs({ args: [...options], options: { hours: { type: 'string', default: '24' }, pace: { type: 'string', default: '1' } } });
    const [hours, pace] = [Number(values.hours), Number(values.pace)];
    if (hours > 0 && hours <= 240 && pace >= 0.1 && pace <= 10) return { hours, pace };
  } catch {
    // Told below, together with numbers that are none.
  }
  throw new UsageError(['npm run bench -- outage [--hours N] [--pace SECONDS], with up to 240 hours and live batches every 0.1 to 10 s']);
}
