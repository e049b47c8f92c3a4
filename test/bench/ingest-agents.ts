/**
 * A fleet of agents in one process, each with its own token, stream and sequence: a batch every 10 s at a moment of its own, sent
 * again as the collector says until it is taken. Bodies are made before the first is sent, so that little of the processor
 * is spent on what a fleet's own machines do.
 *
 *     argv     JSON: cells (file), url, tokens (file: one per line), agents, batches, everySeconds, firstSequence, begin
 *     stdout ▶ { prepared, truth }, then { seconds, accepted, duplicates, refusals, waits, answers, late, cpuSeconds } or { failed }
 */
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { encodeBatch } from '@joulebook/shared/batch.js';
import { messageOf } from '@joulebook/shared/errors.js';
import { epochMicros } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { batchOf, NOTHING, plus, readCells, truthOf } from './ingest-facts.js';

const ANSWER_MS = 60_000;
/** After its last moment to send; what is not taken by then is told as failed. */
const DRAIN_MS = 120_000;
const PREPARED_AT_ONCE = 64;
const compress = promisify(gzip);

const job = z.object({ cells: z.string(), url: z.string(), tokens: z.string(), agents: z.number(), batches: z.number(), everySeconds: z.number(), firstSequence: z.number(), begin: z.number().transform(epochMicros) }).parse(JSON.parse(process.argv[2] ?? ''));
const tell = (said: object): void => void process.stdout.write(`${JSON.stringify(said)}\n`);
const cells = await readCells(job.cells);
const tokens = (await readFile(job.tokens, 'utf8')).trim().split('\n');

async function prepared(): Promise<Buffer[][]> {
  let truth = NOTHING;
  const bodies: Buffer[][] = Array.from({ length: job.agents }, () => []);
  for (let agent = 0; agent < job.agents; agent += 1) {
    for (let first = 0; first < job.batches; first += PREPARED_AT_ONCE) {
      const batches = Array.from({ length: Math.min(PREPARED_AT_ONCE, job.batches - first) }, (_, index) => batchOf(cells, job.begin, agent, job.firstSequence + first + index));
      truth = batches.map(truthOf).reduce(plus, truth);
      bodies[agent]?.push(...(await Promise.all(batches.map((batch) => compress(encodeBatch(batch), { level: 1 })))));
    }
  }
  const all = bodies.flat();
  tell({ prepared: all.length, bytes: all.reduce((sum, { length }) => sum + length, 0), truth });
  return bodies;
}

interface Answer {
  readonly status: number;
  readonly duplicate: boolean;
  readonly afterSeconds: number;
}

/** As many connections as agents; each is kept. */
const connections = new Agent({ keepAlive: true, maxSockets: job.agents });

function post(body: Buffer, token: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip', 'content-length': body.length, authorization: `Bearer ${token}`, 'x-joulebook-sent': (Date.now() / 1000).toFixed(3) };
    const sending = request(`${job.url}/v1/batches`, { agent: connections, method: 'POST', timeout: ANSWER_MS, headers }, (answer) => {
      let said = '';
      answer.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(0, 500)));
      answer.on('error', reject);
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, duplicate: said.includes('"duplicate":true'), afterSeconds: Number(answer.headers['retry-after'] ?? 1) }));
    });
    sending.on('timeout', () => sending.destroy(new Error(`no answer within ${ANSWER_MS / 1000} s`)));
    sending.on('error', reject);
    sending.end(body);
  });
}

const counts = { accepted: 0, duplicates: 0 };
const refusals = new Map<string, number>();
/** From the first sending to the answer that it is stored, and of that answer alone: ms. */
const waits: number[] = [];
const answers: number[] = [];
/** By how much the generator itself was behind: ms. */
const lags: number[] = [];
const count = (why: string): void => void refusals.set(why, (refusals.get(why) ?? 0) + 1);

async function deliver(body: Buffer, token: string, deadline: number): Promise<void> {
  const first = performance.now();
  for (;;) {
    const begun = performance.now();
    const answer = await post(body, token).catch((error: unknown) => ({ status: 0, duplicate: false, afterSeconds: 1, why: messageOf(error) }));
    if (answer.status === 200) {
      counts.accepted += 1;
      if (answer.duplicate) counts.duplicates += 1;
      waits.push(performance.now() - first);
      answers.push(performance.now() - begun);
      return;
    }
    count('why' in answer ? answer.why : String(answer.status));
    const again = answer.status === 0 || answer.status === 429 || answer.status === 503 || answer.status === 425;
    if (!again || performance.now() > deadline) throw new Error(`a batch was refused for good: ${answer.status}`);
    await sleep(answer.afterSeconds * 1000 * (1 + 0.25 * Math.random()));
  }
}

async function sendAll(bodies: readonly Buffer[], token: string, begin: number): Promise<void> {
  const phase = Math.random() * job.everySeconds * 1000;
  const deadline = begin + job.batches * job.everySeconds * 1000 + DRAIN_MS;
  for (const [index, body] of bodies.entries()) {
    const due = begin + phase + index * job.everySeconds * 1000;
    const wait = due - performance.now();
    if (wait > 0) await sleep(wait);
    else lags.push(-wait);
    await deliver(body, token, deadline);
  }
}

const quantile = (sorted: readonly number[], share: number): number => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0;
const spread = (values: number[]): { readonly p50: number; readonly p99: number; readonly most: number } => {
  values.sort((a, b) => a - b);
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99), most: values.at(-1) ?? 0 };
};

try {
  const bodies = await prepared();
  const cpu = process.cpuUsage();
  const begin = performance.now();
  await Promise.all(bodies.map((own, index) => sendAll(own, tokens[index] ?? '', begin)));
  const seconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  tell({ seconds, ...counts, refusals: Object.fromEntries(refusals), waits: spread(waits), answers: spread(answers), late: lags.length, cpuSeconds: (user + system) / 1e6 });
} catch (error) {
  tell({ failed: messageOf(error), refusals: Object.fromEntries(refusals) });
}
connections.destroy();
