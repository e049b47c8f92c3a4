/**
 * How fast facts are taken in: the same facts over HTTP into Joulebook, InfluxDB 1.6 and VictoriaMetrics, as ratios of one run;
 * then a fleet of agents that send their 10 s every 10 s to one collector, and how many nodes one collector carries here.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from '@joulebook/shared/errors.js';
import { epochMicros } from '@joulebook/shared/units.js';
import { CELL_SECONDS, simulatedCells, writeCells } from './ingest-facts.js';
import { contest } from './ingest-contest.js';
import { fleet } from './ingest-fleet.js';

interface Asked {
  readonly nodes: number;
  readonly steps: number;
  readonly runs: number;
  readonly agents: number;
  readonly minutes: number;
  readonly only: 'contest' | 'fleet' | undefined;
}

function asked(options: readonly string[]): Asked {
  try {
    const { values } = parseArgs({
      args: [...options],
      options: { nodes: { type: 'string', default: '200' }, steps: { type: 'string', default: '28' }, runs: { type: 'string', default: '3' }, agents: { type: 'string', default: '2000' }, minutes: { type: 'string', default: '5' }, only: { type: 'string' } },
    });
    const [nodes, steps, runs, agents] = [values.nodes, values.steps, values.runs, values.agents].map(Number);
    const minutes = Number(values.minutes);
    const counts = [nodes, steps, runs, agents].every((count) => Number.isInteger(count) && (count ?? 0) >= 1 && (count ?? 0) <= 20_000);
    const { only } = values;
    if (counts && minutes >= 0.5 && minutes <= 60 && (only === undefined || only === 'contest' || only === 'fleet')) return { nodes: nodes ?? 0, steps: steps ?? 0, runs: runs ?? 0, agents: agents ?? 0, minutes, only };
  } catch {
    // Told below, together with numbers that are none.
  }
  throw new UsageError(['npm run bench -- ingest [--only contest|fleet] [--nodes N] [--steps N] [--runs N] [--agents N] [--minutes N], with 0.5 to 60 minutes']);
}

const loadNow = (): string => `${cpus().length} CPUs, load ${loadavg().map((each) => each.toFixed(1)).join(' ')}`;

/** @returns whether every goal was reached */
export async function ingest(options: readonly string[]): Promise<boolean> {
  if (process.platform !== 'linux') throw new UsageError(['The bench ingest needs Linux: processor time and memory of servers are read from /proc.']);
  const { nodes, steps, runs, agents, minutes, only } = asked(options);
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-ingest-'));
  try {
    const simulated = await simulatedCells(join(folder, 'recording'));
    const cells = join(folder, 'cells.ndjson');
    await writeCells(cells, simulated);
    console.log(`A node with 8 GPUs: ${simulated.map(({ length }) => length).join(', ')} facts in its 10 s; ${loadNow()}`);
    let reached = true;
    if (only !== 'fleet') {
      console.log(`\n${nodes} nodes, ${steps} batches each, one for each ${CELL_SECONDS} s`);
      const begin = epochMicros(Math.floor(Date.now() / 1000 / CELL_SECONDS - steps - 1) * CELL_SECONDS * 1e6);
      reached = await contest({ cells, nodes, steps, begin, runs });
      console.log(`afterwards: ${loadNow()}`);
    }
    if (only !== 'contest') {
      reached = (await fleet({ cells, folder, agents, minutes })) && reached;
      console.log(`afterwards: ${loadNow()}`);
    }
    return reached;
  } finally {
    await rm(folder, { recursive: true });
  }
}
