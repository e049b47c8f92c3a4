import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { systemClock } from '@joulebook/shared/clock.js';
import { loadSettings, type Values } from '@joulebook/shared/settings.js';
import { later, seconds } from '@joulebook/shared/units.js';
import { Command } from 'commander';
import { pino } from 'pino';
import { runAgent, type AgentParts, type ServingSource } from '../agent.js';
import { hostFacts } from '../host/host.js';
import { readManifest } from '../recording/manifest.js';
import { play } from '../recording/play.js';
import { agentSettings, liveServingEntry, type LivePowerEntry, type LiveServingEntry } from '../settings.js';
import { countingEntries, deploymentsOf } from '../sources/deployments.js';
import { detectSources } from '../sources/detect.js';
import { livePowerKinds, liveServingKinds } from '../sources/index.js';
import { named } from '../sources/named.js';
import type { LivePower } from '../sources/source.js';
import { AGENT_VERSION } from '../version.js';

type AgentValues = Values<typeof agentSettings>;

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
  const logger = pino({ level: settings.logLevel }, pino.destination({ fd: 2, sync: true }));
  const log: AgentParts['log'] = { info: (message, fields) => logger.info(fields ?? {}, message), warn: (message, fields) => logger.warn(fields ?? {}, message) };

  const stop = new AbortController();
  // `on`, not `once`: the helper that ends child processes kills this process when it finds itself the only listener.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort());

  const common = {
    node: settings.node,
    site: settings.site,
    slice: seconds(settings.slice),
    evidenceDelay: seconds(settings.evidenceDelay),
    dataDir: settings.dataDir,
    collector: { url: settings.collectorUrl, token: settings.token },
    host: settings.hostFacts ? hostFacts({ agentVersion: AGENT_VERSION, signal: stop.signal }) : undefined,
    clock: systemClock,
    environment: process.env,
    log,
    bill: { read: () => undefined, missed: () => undefined },
  };
  const parts = settings.play === undefined ? await sensors(settings, log) : await demonstration(settings, settings.play);
  await runAgent({ ...common, ...parts }, stop.signal);
  log.info('stopped');
}

/** A recording is played from here on, when everything else is up. */
const PLAY_AFTER = seconds(1);

type Sources = Pick<AgentParts, 'power' | 'serving' | 'deployments' | 'labels'>;

async function sensors(settings: AgentValues, log: AgentParts['log']): Promise<Sources> {
  const detected = settings.power === undefined || settings.serving === undefined ? await detectSources(process.env) : undefined;
  for (const { source, reason } of detected?.absent ?? []) log.info(`${source}: not used: ${reason}`);
  const power: readonly LivePowerEntry[] = settings.power ?? detected?.power ?? [];
  const serving = settings.serving ?? (detected?.serving ?? []).map((entry) => liveServingEntry.parse(entry));
  const faults: string[] = [];
  const counting = countingEntries(serving.map((entry) => ({ ...entry, kind: entry.source })), faults);
  const opened = {
    power: power.flatMap(({ source, ...options }, index): LivePower[] => attempt(faults, `power.${index}`, () => named('source', livePowerKinds, source).open(options))),
    serving: serving.flatMap((entry, index) => (entry.source === 'role' ? [] : openServing(entry, index, counting.has(index), faults))),
  };
  if (faults.length > 0) throw new UsageError(faults);
  if (opened.power.length + opened.serving.length === 0) {
    throw new TelemetryError('NO_SOURCES', `Nothing to measure on this machine: ${(detected?.absent ?? []).map(({ source, reason }) => `${source}: ${reason}`).join('; ')}. Configure power and serving, or try --play with a recording.`, 'abort');
  }
  return { ...opened, deployments: deploymentsOf(serving.map((entry) => ({ ...entry, kind: entry.source }))), labels: settings.labels };
}

function openServing(entry: LiveServingEntry, index: number, counts: boolean, faults: string[]): ServingSource[] {
  const { source: name, deployment, model: _model, devices: _devices, role: _role, tokens: _tokens, ...options } = entry;
  return attempt(faults, `serving.${index}`, () => named('source', liveServingKinds, name).open(options)).map((source) => ({ deployment, source, counts }));
}

async function demonstration(settings: AgentValues, folder: string): Promise<Sources> {
  const recording = await readManifest(folder);
  const played = await play(recording, later(systemClock.wall(), PLAY_AFTER));
  const deployments = deploymentsOf(played.serving.map(({ entry }) => ({ ...entry, kind: entry.format })));
  return {
    power: played.power,
    serving: played.serving.map(({ entry, source, counts }) => ({ deployment: entry.deployment, source, counts })),
    deployments,
    labels: { ...recording.manifest.labels, ...settings.labels, demonstration: 'true' },
  };
}

function attempt<T>(faults: string[], where: string, open: () => T): T[] {
  try {
    return [open()];
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    faults.push(...error.faults.map((fault) => `${where}: ${fault}`));
    return [];
  }
}
