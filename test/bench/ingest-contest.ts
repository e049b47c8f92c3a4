/** The contest of the bench `ingest`: the same facts over HTTP into each server, new ones in each round, in alternating order. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { EpochMicros } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { CONTESTANTS, costOf, LARGE, SMALL, type Contestant, type Running } from './ingest-contestants.js';
import { isSame, type Truth } from './ingest-facts.js';

const LOAD = fileURLToPath(new URL('ingest-load.js', import.meta.url));
const ASK_MS = 20_000;

const truthSchema = z.object({ facts: z.number(), gpuMicrojoules: z.number(), outputTokens: z.number(), requests: z.number() });
const preparedSchema = z.object({ bodies: z.number(), bytes: z.number(), values: z.number(), truth: truthSchema });
const roundSchema = z.object({ seconds: z.number(), cpuSeconds: z.number(), facts: z.number() });

/** One of a round. */
interface Measured {
  readonly factsPerSecond: number;
  /** Of a million facts: of the server while it took them, and with what it does to settle; of the generator. */
  readonly cpuSeconds: number;
  readonly settledCpuSeconds: number;
  readonly loadCpuSeconds: number;
  readonly peakMiB: number;
  readonly bytesPerFact: number;
  readonly exact: boolean;
  readonly stored: Truth;
}

interface Sender {
  readonly contestant: Contestant;
  readonly prepared: z.output<typeof preparedSchema>;
  send(part: 'warm' | 'rest', to: Pick<Running, 'url' | 'headers'>): Promise<z.output<typeof roundSchema>>;
  end(): Promise<void>;
}

export interface Load {
  /** File of cells. */
  readonly cells: string;
  readonly nodes: number;
  readonly steps: number;
  readonly begin: EpochMicros;
  readonly runs: number;
}

async function senderFor(contestant: Contestant, { cells, nodes, steps, begin }: Load): Promise<Sender> {
  const { form, cellsPerBody, perBody, connections } = contestant;
  const child = spawn(process.execPath, [LOAD, JSON.stringify({ form, cells, nodes, steps, begin, cellsPerBody, perBody, connections })], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines: AsyncIterator<string, unknown> = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const { value, done }: IteratorResult<string, unknown> = await lines.next();
    if (done === true) throw new Error(`the generator for ${contestant.name} ended early`);
    return JSON.parse(value);
  };
  return {
    contestant,
    prepared: preparedSchema.parse(await next()),
    async send(part, { url, headers }) {
      child.stdin.write(`${JSON.stringify({ url, headers, part })}\n`);
      const said = await next();
      const sent = roundSchema.safeParse(said);
      if (!sent.success) throw new Error(`${contestant.name}, ${contestant.how}: ${JSON.stringify(said)}`);
      return sent.data;
    },
    async end() {
      const exit = once(child, 'exit');
      child.stdin.end();
      await exit;
    },
  };
}

async function round(sender: Sender): Promise<Measured> {
  const { contestant, prepared: { truth } } = sender;
  const server = await contestant.start();
  try {
    await sender.send('warm', server);
    const before = await costOf(server.pid);
    const { seconds, cpuSeconds, facts } = await sender.send('rest', server);
    const taken = await costOf(server.pid);
    await server.settle();
    const settled = await costOf(server.pid);
    let stored = await server.stored();
    // What was written last is not in every server's answers at once.
    for (const deadline = performance.now() + ASK_MS; !isSame(stored, truth) && performance.now() < deadline; ) stored = await server.stored();
    const perMillion = (value: number): number => (value / facts) * 1e6;
    const measured = {
      factsPerSecond: facts / seconds, cpuSeconds: perMillion(taken.cpuSeconds - before.cpuSeconds), settledCpuSeconds: perMillion(settled.cpuSeconds - before.cpuSeconds), loadCpuSeconds: perMillion(cpuSeconds),
      peakMiB: settled.peakMiB, exact: isSame(stored, truth), stored,
    };
    return { ...measured, bytesPerFact: (await server.stop()).bytes / truth.facts };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN) + (sorted[Math.ceil((sorted.length - 1) / 2)] ?? Number.NaN)) / 2;
}

type Result = Sender & { readonly rounds: readonly Measured[] };
const rateOf = ({ rounds }: Result): number => median(rounds.map(({ factsPerSecond }) => factsPerSecond));
const isExact = ({ rounds }: Result): boolean => rounds.length > 0 && rounds.every(({ exact }) => exact);

function row(result: Result, own: number): string {
  const { contestant: { name, how, durable }, rounds } = result;
  const middle = (of: (measured: Measured) => number, digits: number): string => median(rounds.map(of)).toFixed(digits);
  const rate = rateOf(result);
  return `| ${[
    `${name}: ${how}`, durable ? 'yes' : 'no', Math.round(rate).toLocaleString('en-US'), `${(own / rate).toFixed(2)} ×`, middle(({ cpuSeconds }) => cpuSeconds, 1), middle(({ settledCpuSeconds }) => settledCpuSeconds, 1),
    middle(({ loadCpuSeconds }) => loadCpuSeconds, 1), middle(({ peakMiB }) => peakMiB, 0), middle(({ bytesPerFact }) => bytesPerFact, 1), isExact(result) ? 'yes' : 'NO',
  ].join(' | ')} |`;
}

function tell(results: readonly Result[]): boolean {
  const goals: [string, boolean][] = [];
  for (const size of [SMALL, LARGE]) {
    const group = results.filter(({ contestant }) => contestant.size === size);
    const [own] = group;
    if (!own) continue;
    console.log(`\n| ${size} | durable when it answers | facts/s | Joulebook is | CPU s per million facts | with settling | sender's CPU s | peak RSS MiB | bytes on disk per fact | stored as sent |`);
    console.log('|---|---|---:|---:|---:|---:|---:|---:|---:|---|');
    for (const result of group) console.log(row(result, rateOf(own)));
    const rival = group.find(({ contestant }) => contestant.durable && contestant !== own.contestant);
    if (rival) goals.push([`${size}: at least as fast as ${rival.contestant.name}, both durable when they answer: ${(rateOf(own) / rateOf(rival)).toFixed(2)} ×`, rateOf(own) >= rateOf(rival)]);
  }
  console.log(`\nMedians of ${results[0]?.rounds.length ?? 0} rounds, each after a tenth of the facts that is not timed; senders share the CPUs. Disk: InfluxDB when its cache was written and nothing changed for 4 s; VictoriaMetrics after a forced flush and merge and 4 s of quiet; Joulebook when it was stopped.`);
  for (const { contestant: { name, how, connections }, prepared: { bodies, bytes, values } } of results) console.log(`${name}, ${how}: ${bodies} bodies, ${(bytes / 1e6).toFixed(1)} MB, ${connections} connections, ${values} ${name.startsWith('Joulebook') ? 'facts' : 'values'}`);
  for (const { contestant: { name, how }, prepared: { truth }, rounds } of results) for (const { exact, stored } of rounds) if (!exact) console.log(`WRONG: ${name}, ${how} has ${JSON.stringify(stored)} of ${JSON.stringify(truth)}`);
  goals.push(['every server has exactly what was sent', results.every(isExact)]);
  console.log(goals.map(([goal, reached]) => `${reached ? 'reached' : 'MISSED '}  ${goal}`).join('\n'));
  return goals.every(([, reached]) => reached);
}

/** @returns whether every goal was reached */
export async function contest(load: Load): Promise<boolean> {
  const senders: Sender[] = [];
  for (const contestant of CONTESTANTS) {
    if (contestant.there) senders.push(await senderFor(contestant, load));
    else console.log(`${contestant.name}, ${contestant.how}: not installed`);
  }
  const results = senders.map((sender) => ({ ...sender, rounds: new Array<Measured>() }));
  try {
    for (let run = 0; run < load.runs; run += 1) {
      for (const result of run % 2 === 0 ? results : results.toReversed()) {
        const measured = await round(result);
        result.rounds.push(measured);
        console.log(`round ${run + 1}: ${result.contestant.name}, ${result.contestant.how}: ${Math.round(measured.factsPerSecond).toLocaleString('en-US')} facts/s, ${measured.cpuSeconds.toFixed(1)} CPU s per million`);
      }
    }
    return tell(results);
  } finally {
    await Promise.all(senders.map((sender) => sender.end()));
  }
}
