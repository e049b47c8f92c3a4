/** Settings → opened sources: what was configured, else what this machine has, else a recording to play. */
import { systemClock } from '@joulebook/shared/clock.js';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import type { Values } from '@joulebook/shared/settings.js';
import { later, seconds } from '@joulebook/shared/units.js';
import type { AgentParts, ServingSource } from './agent.js';
import { readManifest } from './recording/manifest.js';
import { play } from './recording/play.js';
import { liveServingEntry, type agentSettings, type LivePowerEntry, type LiveServingEntry } from './settings.js';
import type { Collectors } from './shipper/collectors.js';
import { countingEntries, deploymentsOf } from './sources/deployments.js';
import { detectSources } from './sources/detect.js';
import { livePowerKinds, liveServingKinds } from './sources/index.js';
import { named } from './sources/named.js';
import { gpuProcesses, nvidiaSmiGpuUses } from './sources/power/nvidia/gpu-processes.js';
import type { ProcessRule } from './sources/power/nvidia/gpu-deployments.js';
import { tenancy, type Tenants } from './sources/power/nvidia/gpu-tenants.js';
import { nvmlGpuUses } from './sources/power/nvidia/nvml-processes.js';
import type { LivePower } from './sources/source.js';

export type AgentValues = Values<typeof agentSettings>;

/** A recording is played from here on, when everything else is up. */
const PLAY_AFTER = seconds(1);

export const collectorsOf = (settings: AgentValues): Collectors => ({ urls: settings.collectorUrl, token: settings.token, tls: { ca: settings.collectorCa, cert: settings.collectorCert, key: settings.collectorKey } });

export type Sources = Pick<AgentParts, 'power' | 'serving' | 'deployments' | 'labels' | 'tenants'>;

/** @throws UsageError with every fault of the configuration; TelemetryError when there is nothing to measure with */
export const openSources = (settings: AgentValues, log: AgentParts['log']): Promise<Sources> => (settings.play === undefined ? sensors(settings, log) : demonstration(settings, settings.play));

async function sensors(settings: AgentValues, log: AgentParts['log']): Promise<Sources> {
  const detected = settings.power === undefined || settings.serving === undefined ? await detectSources(process.env) : undefined;
  for (const { source, reason } of detected?.absent ?? []) log.info(`${source}: not used: ${reason}`);
  const power: readonly LivePowerEntry[] = settings.power ?? detected?.power ?? [];
  const serving = settings.serving ?? (detected?.serving ?? []).map((entry) => liveServingEntry.parse(entry));
  const faults: string[] = [];
  const counting = countingEntries(serving.map((entry) => ({ ...entry, kind: entry.source, tokensFrom: liveServingKinds.find(({ name }) => name === entry.source)?.tokensFrom })), faults);
  const opened = {
    power: power.flatMap(({ source, ...options }, index): LivePower[] => attempt(faults, `power.${index}`, () => named('source', livePowerKinds, source).open(options))),
    serving: serving.flatMap((entry, index) => (entry.source === 'role' ? [] : openServing(entry, index, counting.has(index), faults))),
  };
  if (faults.length > 0) throw new UsageError(faults);
  if (opened.power.length + opened.serving.length === 0) {
    throw new TelemetryError('NO_SOURCES', `Nothing to measure on this machine: ${(detected?.absent ?? []).map(({ source, reason }) => `${source}: ${reason}`).join('; ')}. Configure power and serving, or try --play with a recording.`, 'abort');
  }
  const rules = serving.flatMap(({ deployment, process: rule }) => (rule ? [{ deployment, ...rule }] : []));
  return { ...opened, ...(rules.length > 0 && { tenants: tenantsBy(rules, power) }), deployments: deploymentsOf(serving.map((entry) => ({ ...entry, kind: entry.source }))), labels: settings.labels };
}

/** Where NVML is read for power it is asked for processes too: that is cheaper than starting nvidia-smi each time. */
function tenantsBy(rules: readonly ProcessRule[], power: readonly LivePowerEntry[]): Tenants {
  const nvml = power.find(({ source }) => source === 'nvml');
  const uses = nvml ? nvmlGpuUses({ library: typeof nvml['library'] === 'string' ? nvml['library'] : undefined }) : undefined;
  const processes = gpuProcesses({ ask: uses?.ask ?? nvidiaSmiGpuUses({ environment: process.env }) });
  return { look: () => tenancy(processes, rules), close: async () => uses?.close() };
}

function openServing(entry: LiveServingEntry, index: number, counts: boolean, faults: string[]): ServingSource[] {
  const { source: name, deployment, model: _model, devices: _devices, role: _role, tokens: _tokens, process: _process, ...options } = entry;
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
