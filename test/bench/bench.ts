/** `npm run bench -- NAME [OPTIONS]`: figures that the documents quote, made anew. Without a name it lists them. */
import { UsageError } from '@joulebook/shared/errors.js';

interface Bench {
  readonly summary: string;
  /** @returns false when a goal was missed */
  readonly run: (options: readonly string[]) => Promise<boolean>;
}

/** Each is loaded when it is asked for. */
const BENCHES: Readonly<Record<string, Bench>> = {
  attribution: { summary: 'error of prefill and decode joules against the truth of simulated servers   [--tuning] [--rounds 2] [--duration 10m] [--only TEXT]', run: async (options) => (await import('./attribution.js')).attribution(options) },
  sampler: { summary: 'CPU and memory of reading 8 GPUs at 10 Hz: the source nvml against starting nvidia-smi, and systeminformation   [--seconds 60]', run: async (options) => (await import('./sampler.js')).sampler(options) },
  day: { summary: 'replay of a day of a busy vLLM server beside 8 GPUs: speed, memory against 2 h, tokens and energy   [--hours 24] [--gpus 8]', run: async (options) => (await import('./day.js')).day(options) },
  alerts: { summary: 'simulated months of several seeds: false alarms of energy per token, how soon anomalies are found, and that a webhook that fails is told each firing and each resolve once   [--days 30] [--seeds 10]', run: async (options) => (await import('./alerts.js')).alerts(options) },
  compare: { summary: 'simulated comparisons whose truth is known: false verdicts at one look and looked at every hour, coverage, power, and a B that ran at night; then how long a comparison of a month of 64 GPUs takes   [--only method|speed] [--seeds 400] [--days 14] [--memory 3]', run: async (options) => (await import('./compare.js')).compare(options) },
  fuzz: { summary: 'broken lines of engines’ logs through the agent’s pipeline, then random and mutated batches over HTTP to a collector: no crash, bounded memory, no wrong sum   [--lines 1000000] [--bodies 1000000] [--seed N]', run: async (options) => (await import('./fuzz.js')).fuzz(options) },
  outage: { summary: 'the collector away for a day of one 8-GPU node: nothing lost, time to catch up, memory, lateness of live data   [--hours 24] [--pace 1]', run: async (options) => (await import('./outage.js')).outage(options) },
  ingest: { summary: 'the same facts into Joulebook, InfluxDB 1.6 and VictoriaMetrics; then a fleet on one collector: speed, CPU, memory, disk   [--only contest|fleet] [--nodes 200] [--steps 28] [--runs 3] [--agents 2000] [--minutes 5]', run: async (options) => (await import('./ingest.js')).ingest(options) },
  query: { summary: 'report by model and phase over 30 days of 1,000 GPUs from the embedded store: p50 and p99, against the same question asked of InfluxDB 1.6 and VictoriaMetrics   [--gpus 1000] [--days 30] [--hours 6] [--runs 100]', run: async (options) => (await import('./query.js')).query(options) },
  chaos: { summary: 'kill -9 of agents, collector and store in random rounds under load, with network cuts and duplicates: lost and double   [--rounds 300] [--seed N] [--store all|duckdb|influxdb|victoria]', run: async (options) => (await import('./chaos.js')).chaos(options) },
  stores: { summary: 'stores that are servers (VictoriaMetrics, InfluxDB 1.6) and their collectors killed again and again under load: lost and double, by round   [--rounds 10]', run: async (options) => (await import('./stores.js')).stores(options) },
};

const [name, ...options] = process.argv.slice(2);
const bench = name !== undefined && Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
if (bench) {
  try {
    process.exitCode = (await bench.run(options)) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
} else {
  if (name !== undefined) console.error(`There is no bench '${name}'.\n`);
  console.log(`npm run bench -- NAME [OPTIONS]\n\n${Object.entries(BENCHES).map(([each, { summary }]) => `  ${each.padEnd(12)}${summary}`).join('\n')}`);
  process.exitCode = name === undefined ? 0 : 2;
}
