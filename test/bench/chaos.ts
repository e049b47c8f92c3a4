/**
 * Hundreds of rounds of kill -9 of agents, collector and store under load, over a network that cuts and repeats. What the store
 * says must be the generator's truth: to the microjoule, the token and the request. Each store gets its share of the rounds, one
 * after the other; Ctrl-C ends with the round under way, compared and summed up.
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
  readonly name: string;
  readonly there: boolean;
  /** Of the rounds, where all stores take part. */
  readonly share: number;
  readonly start: () => Promise<TestServer | undefined>;
}
const ENGINES: readonly Engine[] = [
  { name: 'duckdb', there: true, share: 0.5, start: () => Promise.resolve(undefined) },
  { name: 'influxdb', there: hasInfluxdb, share: 0.25, start: () => startInfluxdb() },
  { name: 'victoria', there: hasVictoria, share: 0.25, start: () => startVictoria() },
];

interface Asked {
  readonly rounds: number;
  readonly seed: number;
  readonly engines: readonly Engine[];
}

function asked(options: readonly string[]): Asked {
  try {
    const { values } = parseArgs({ args: [...options], options: { rounds: { type: 'string', default: '300' }, seed: { type: 'string' }, store: { type: 'string', default: 'all' } } });
    const [rounds, seed] = [Number(values.rounds), values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed)];
    const engines = ENGINES.filter(({ name }) => values.store === 'all' || values.store === name);
    if (engines.length > 0 && rounds >= 1 && rounds <= 10_000 && Number.isSafeInteger(rounds) && Number.isSafeInteger(seed)) return { rounds, seed, engines };
  } catch {
    // Told below, together with values that are none.
  }
  throw new UsageError([`npm run bench -- chaos [--rounds N] [--seed N] [--store all|${ENGINES.map(({ name }) => name).join('|')}], with 1 to 10000 rounds`]);
}

const print = (line: string): void => console.log(line);

async function chaosOf({ name, start }: Engine, rounds: number, seed: number, stop: AbortSignal): Promise<boolean> {
  print(`${rounds} rounds, store ${name}, seed ${seed}; ${cpus().length} CPUs, load ${loadavg().map((each) => each.toFixed(1)).join(' ')}`);
  const server = await start();
  try {
    const begun = performance.now();
    const result = await chaosRounds({ rounds, seed, drainEvery: DRAIN_EVERY, longestMs: LONGEST_MS, programs: PROGRAMS, stop, print, ...(server && { server }) });
    const { network: { requests, cuts, repeats, duplicates } } = result;
    print(`
store      ${name}
rounds     ${result.rounds} of ${rounds} in ${((performance.now() - begun) / 60_000).toFixed(1)} min
killed     ${Object.entries(result.kills).filter(([, count]) => count > 0).map(([victim, count]) => `${victim} ${count}`).join('; ')}
network    ${requests} requests, ${cuts} cuts, ${repeats} sent again, ${duplicates} answered as duplicates
truth      ${result.batches} batches: ${said(result.truth)}
lost       ${said(result.lost)}
double     ${said(result.double)}
wrong      ${result.wrong} of ${result.compared} comparisons, ${result.troubles.length} other troubles
`);
    return result.wrong === 0 && result.troubles.length === 0;
  } finally {
    await server?.stop();
  }
}

/** @returns false where anything was lost, double or said to be wrong, or a store could not take part */
export async function chaos(options: readonly string[]): Promise<boolean> {
  const { rounds, seed, engines } = asked(options);
  const absent = engines.filter(({ there }) => !there).map(({ name }) => name);
  if (absent.length > 0) throw new UsageError([`--store: the server of ${absent.join(' and ')} is not installed; name another store, or install it`]);
  const stop = new AbortController();
  const interrupted = (): void => {
    print('ending with this round; Ctrl-C again ends at once and leaves what was started');
    stop.abort();
  };
  process.once('SIGINT', interrupted);
  try {
    let good = true;
    for (const engine of engines) if (!stop.signal.aborted) good = (await chaosOf(engine, engines.length === 1 ? rounds : Math.ceil(rounds * engine.share), seed, stop.signal)) && good;
    return good;
  } finally {
    process.off('SIGINT', interrupted);
  }
}
