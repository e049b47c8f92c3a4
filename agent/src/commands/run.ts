import { systemClock } from '@joulebook/shared/clock.js';
import { loadSettings } from '@joulebook/shared/settings.js';
import { seconds } from '@joulebook/shared/units.js';
import { Command } from 'commander';
import { runAgent, type AgentParts } from '../agent.js';
import { bill } from '../bill/bill.js';
import { collectorsOf, openSources, type AgentValues } from '../configured.js';
import { hostFacts } from '../host/host.js';
import { agentMetrics } from '../metrics/metrics.js';
import { servePage } from '../metrics/page.js';
import { either, unlessAborted } from '../schedule/signals.js';
import { agentSettings } from '../settings.js';
import { livePowerKinds } from '../sources/index.js';
import { AGENT_VERSION } from '../version.js';
import { addSettings, COLLECTOR_TLS, type Operands } from './options.js';
import { hangups, openLog, stopSignal } from './process.js';
import { reconfigured, type Configured } from './reload.js';

export function runCommand(): Command {
  const command = new Command('run').summary('measure this machine and ship what it says').description('Measures this machine until it is stopped. SIGTERM: spools what is pending, tries one last send, exits within 10 s. SIGHUP: reads the settings again and goes on with them.').option('--config <FILE>', 'settings (YAML)');
  return addSettings(command, RUN_SETTINGS).action(run);
}

/** The settings one changes by hand; all of them can stand in the file or the environment. */
const RUN_SETTINGS: Operands = {
  node: 'NAME', collectorUrl: 'URL...', ...COLLECTOR_TLS, dataDir: 'DIR', spoolMaxBytes: 'SIZE', spoolMinFreeBytes: 'SIZE', spoolSync: 'WHEN', catchUpRate: 'NUMBER', batchAge: 'DURATION', slice: 'DURATION', play: 'DIR',
  metricsListen: 'HOST:PORT', logLevel: 'LEVEL',
};

async function run(flags: Record<string, unknown>): Promise<void> {
  const { config, ...said } = flags;
  const load = (): Promise<AgentValues> => loadSettings(agentSettings, { flags: said, environment: process.env, file: typeof config === 'string' ? config : undefined });
  const asked = hangups();
  const settings = await load();
  const log = openLog(settings.logLevel);
  const stop = stopSignal();
  const metrics = agentMetrics(() => systemClock.monotonic());
  const costs = metrics.watching(bill(process));
  const page = settings.metricsListen && (await servePage({ listen: settings.metricsListen, token: settings.metricsToken, metrics, log: log.log }));

  /** Runs until it is stopped, or there are other settings. */
  async function live(current: Configured): Promise<Configured | undefined> {
    const [changed, ended] = [new AbortController(), new AbortController()];
    const next = reconfigured(current.settings, { load, hangups: asked, metrics, log }, either(stop, ended.signal));
    void next.then((found) => found && changed.abort());
    try {
      const parts = partsOf(current, log.log, stop);
      await runAgent({ ...parts, bill: costs, watch: metrics, goesOn: () => !stop.aborted && changed.signal.aborted }, either(stop, changed.signal));
    } finally {
      ended.abort();
    }
    return unlessAborted(next, stop);
  }

  try {
    const opening = openSources(settings, log.log).then((sources): Configured => ({ settings, sources }));
    let current = await unlessAborted(opening, stop);
    if (!current) return;
    while (current) current = stop.aborted ? undefined : await live(current);
  } finally {
    page?.close();
  }
  log.log.info('stopped');
}

const partsOf = ({ settings, sources }: Configured, log: AgentParts['log'], stop: AbortSignal): Omit<AgentParts, 'bill' | 'watch' | 'goesOn'> => ({
  ...sources,
  node: settings.node,
  site: settings.site,
  slice: seconds(settings.slice),
  evidenceDelay: seconds(settings.evidenceDelay),
  dataDir: settings.dataDir,
  spool: { maxBytes: settings.spoolMaxBytes, minFreeBytes: settings.spoolMinFreeBytes, sync: settings.spoolSync },
  collectors: collectorsOf(settings),
  catchUpRate: settings.catchUpRate,
  batchAge: seconds(settings.batchAge),
  preference: livePowerKinds.map((kind) => kind.name),
  host: settings.hostFacts ? hostFacts({ agentVersion: AGENT_VERSION, signal: stop }) : undefined,
  clock: systemClock,
  environment: process.env,
  log,
});
