/**
 * Hundreds of rounds of kill -9 of agents, collector and store under load, over a network that cuts and repeats. What the store
 * says must be the generator's truth: to the microjoule, the token and the request.
 */
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { hasInfluxdb, hasVictoria, startInfluxdb, startVictoria, type TestServer } from '@joulebook/collector/store/influx/servers.testing.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { chaosRounds, type Programs } from './chaos-rounds.js';
import { said } from './chaos-truth.js';

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const PROGRAMS: Programs = { collector: file('../../../collector/bin/joulebook.js'), sender: file('chaos-sender.js') };
const DRAIN_EVERY = 10;
const LONGEST_MS = 1500;

interface Engine {
  readonly there: boolean;
  readonly start: () => Promise<TestServer | undefined>;
}
const ENGINES: Readonly<Record<string, Engine>> = {
  duckdb: { there: true, start: () => Promise.resolve(undefined) },
  influxdb: { there: hasInfluxdb, start: () => startInfluxdb() },
  victoria: { there: hasVictoria, start: () => startVictoria() },
};

interface Asked {
  readonly rounds: number;
  readonly seed: number;
  readonly store: string;
}

function asked(options: readonly string[]): Asked & { readonly engine: Engine } {
  try {
    const { values } = parseArgs({ args: [...options], options: { rounds: { type: 'string', default: '300' }, seed: { type: 'string' }, store: { type: 'string', default: 'duckdb' } } });
    const [rounds, seed] = [Number(values.rounds), values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed)];
    const engine = Object.hasOwn(ENGINES, values.store) ? ENGINES[values.store] : undefined;
    if (engine && rounds >= 1 && rounds <= 10_000 && Number.isSafeInteger(rounds) && Number.isSafeInteger(seed)) return { rounds, seed, store: values.store, engine };
  } catch {
    // Told below, together with values that are none.
  }
  throw new UsageError([`npm run bench -- chaos [--rounds N] [--seed N] [--store ${Object.keys(ENGINES).join('|')}], with 1 to 10000 rounds`]);
}

const print = (line: string): void => console.log(line);

/** @returns false where anything was lost, double or said to be wrong */
export async function chaos(options: readonly string[]): Promise<boolean> {
  const { rounds, seed, store, engine } = asked(options);
  if (!engine.there) throw new UsageError([`--store ${store}: its server is not installed`]);
  print(`${rounds} rounds, store ${store}, seed ${seed}; ${cpus().length} CPUs, load ${loadavg().map((each) => each.toFixed(1)).join(' ')}`);
  const server = await engine.start();
  try {
    const begun = performance.now();
    const result = await chaosRounds({ rounds, seed, drainEvery: DRAIN_EVERY, longestMs: LONGEST_MS, programs: PROGRAMS, print, ...(server && { server }) });
    const { network: { requests, cuts, repeats, duplicates } } = result;
    print(`
rounds     ${result.rounds} in ${((performance.now() - begun) / 60_000).toFixed(1)} min
killed     ${Object.entries(result.kills).filter(([, count]) => count > 0).map(([victim, count]) => `${victim} ${count}`).join('; ')}
network    ${requests} requests, ${cuts} cuts, ${repeats} sent again, ${duplicates} answered as duplicates
truth      ${result.batches} batches: ${said(result.truth)}
lost       ${said(result.lost)}
double     ${said(result.double)}
wrong      ${result.wrong} of ${result.compared} comparisons, ${result.troubles.length} other troubles`);
    return result.wrong === 0 && result.troubles.length === 0;
  } finally {
    await server?.stop();
  }
}
