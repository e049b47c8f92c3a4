import { systemClock } from '@joulebook/shared/clock.js';
import { loadSettings } from '@joulebook/shared/settings.js';
import { seconds } from '@joulebook/shared/units.js';
import { Command } from 'commander';
import { runAgent } from '../agent.js';
import { bill } from '../bill/bill.js';
import { openSources } from '../configured.js';
import { hostFacts } from '../host/host.js';
import { agentSettings } from '../settings.js';
import { livePowerKinds } from '../sources/index.js';
import { AGENT_VERSION } from '../version.js';
import { aborted, logTo, stopSignal } from './process.js';

export function runCommand(): Command {
  const command = new Command('run').summary('measure this machine and ship what it says').description('Measures this machine until it is stopped. SIGTERM: spools what is pending, tries one last send, exits within 10 s.').option('--config <FILE>', 'settings (YAML)');
  for (const [flag, description] of RUN_FLAGS) command.option(flag, description);
  return command.action(run);
}

/** The settings one changes by hand; all of them can stand in the file or the environment. */
const RUN_FLAGS: readonly (readonly [string, string])[] = [
  ['--node <NAME>', agentSettings.node.description],
  ['--collector-url <URL>', agentSettings.collectorUrl.description],
  ['--data-dir <DIR>', agentSettings.dataDir.description],
  ['--slice <DURATION>', agentSettings.slice.description],
  ['--play <DIR>', agentSettings.play.description],
  ['--log-level <LEVEL>', agentSettings.logLevel.description],
];

async function run(flags: Record<string, unknown>): Promise<void> {
  const { config, ...said } = flags;
  const settings = await loadSettings(agentSettings, { flags: said, environment: process.env, file: typeof config === 'string' ? config : undefined });
  const log = logTo(settings.logLevel);
  const stop = stopSignal();
  const sources = await Promise.race([openSources(settings, log), aborted(stop)]);
  if (!sources) return;
  await runAgent(
    {
      ...sources,
      node: settings.node,
      site: settings.site,
      slice: seconds(settings.slice),
      evidenceDelay: seconds(settings.evidenceDelay),
      dataDir: settings.dataDir,
      collector: { url: settings.collectorUrl, token: settings.token },
      preference: livePowerKinds.map((kind) => kind.name),
      host: settings.hostFacts ? hostFacts({ agentVersion: AGENT_VERSION, signal: stop }) : undefined,
      clock: systemClock,
      environment: process.env,
      log,
      bill: bill(process),
    },
    stop,
  );
  log.info('stopped');
}
