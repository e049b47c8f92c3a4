import { systemClock } from '@joulebook/shared/clock.js';
import { messageOf, UsageError } from '@joulebook/shared/errors.js';
import { loadSettings } from '@joulebook/shared/settings.js';
import Table from 'cli-table3';
import { Command } from 'commander';
import { bill } from '../bill/bill.js';
import { collectorsOf, openSources, type AgentValues } from '../configured.js';
import { booksFrom } from '../doctor/booked.js';
import { examinePower, findingOf, type ChannelFinding, type Examined, type SourceFinding } from '../doctor/sources.js';
import { examineServing, type ServingEntry, type ServingFinding } from '../doctor/serving.js';
import { examineSpool } from '../doctor/spool.js';
import { examineCollectors, type Finding } from '../doctor/surroundings.js';
import { agentSettings, type LiveServingEntry } from '../settings.js';
import { nvidiaInventory, type NvidiaInventory } from '../sources/power/nvidia/nvidia-inventory.js';
import { livePowerKinds, liveServingKinds } from '../sources/index.js';
import type { LiveContext } from '../sources/source.js';
import { stopSignal } from './process.js';

const PROBLEM_FOUND = 3;

export interface Diagnosis {
  readonly ok: boolean;
  readonly power: readonly SourceFinding[];
  readonly serving: readonly ServingFinding[];
  readonly surroundings: readonly Finding[];
  /** What the driver's own tool says is in the machine; null where it is not there or does not answer. */
  readonly nvidia: NvidiaInventory | null;
  /** What looking cost. */
  readonly agent: { readonly cpuSeconds: number; readonly rssBytes: number };
}

export function doctorCommand(): Command {
  return new Command('doctor')
    .summary('look at every source, the collector and the spool')
    .description('Looks at every source this agent knows, the collector and the spool; exit code 3 when something keeps it from measuring.')
    .option('--config <FILE>', 'settings (YAML)')
    .option('--json', 'the findings as JSON')
    .action(doctor);
}

async function doctor(flags: { config?: string; json?: boolean }): Promise<void> {
  const settings = await loadSettings(agentSettings, { environment: process.env, file: flags.config });
  const costs = bill(process);
  const context: LiveContext = { now: () => systemClock.wall(), environment: process.env, bill: costs, signal: stopSignal(), log: { info: () => undefined, warn: () => undefined } };

  const progress = process.stderr.isTTY && !flags.json;
  if (progress) process.stderr.write('Listening to every sensor for a few seconds …\n');
  const asked = livePowerKinds.flatMap((kind): Examined[] => {
    const configured = settings.power?.filter((entry) => entry.source === kind.name) ?? [];
    return configured.length > 0 ? configured.map(({ source: _source, ...options }) => ({ kind, options })) : [{ kind }];
  });
  const [nvidia, examined, serving, collector, spool] = await Promise.all([
    nvidiaInventory(process.env).catch(() => null),
    Promise.all(asked.map((each) => examinePower(each, context, costs))),
    examineServing(settings.serving?.map(servingEntry), liveServingKinds, context),
    examineCollectors(collectorsOf(settings), settings.node),
    examineSpool(settings.dataDir, settings),
  ]);

  const booked = booksFrom(examined.flatMap(({ heard }) => heard), livePowerKinds.map((kind) => kind.name));
  const power = examined.map(({ heard, ...finding }) => ({ ...finding, channels: heard.map((each) => findingOf(each, booked.has(each.channel.id))) }));
  const played = await examinePlay(settings, context.log);
  const surroundings = [...played, ...collector, ...spool];
  const playing = settings.play !== undefined;
  const measuring = playing || power.some(({ state }) => state === 'ok');
  const broken = !playing && (asked.some(({ options }, index) => options !== undefined && power[index]?.state !== 'ok') || (settings.serving !== undefined && serving.some(({ state }) => state !== 'ok')));
  const diagnosis: Diagnosis = {
    ok: measuring && !broken && surroundings.every(({ ok }) => ok),
    power,
    serving,
    surroundings,
    nvidia,
    agent: { cpuSeconds: sumCpu(process.cpuUsage()), rssBytes: process.memoryUsage.rss() },
  };
  process.stdout.write(flags.json ? `${JSON.stringify(diagnosis, undefined, 2)}\n` : describe(diagnosis));
  process.exitCode = diagnosis.ok ? 0 : PROBLEM_FOUND;
}

/** A recording that is played takes the place of this machine's sensors. */
async function examinePlay(settings: AgentValues, log: LiveContext['log']): Promise<Finding[]> {
  if (settings.play === undefined) return [];
  try {
    const { power, serving } = await openSources(settings, log);
    const sources = [...power, ...serving.map(({ source }) => source)].map(({ description }) => description);
    return [{ check: 'play', ok: sources.length > 0, detail: `${settings.play} is played (play) in the place of this machine's sensors and engines: ${sources.join(', ') || 'there is nothing in it'}` }];
  } catch (error) {
    return [{ check: 'play', ok: false, detail: `${settings.play} can't be played (play): ${error instanceof UsageError ? error.faults.join('; ') : messageOf(error)}` }];
  }
}

/** What is everybody's is taken off: the rest are the source's own options. */
function servingEntry({ source, deployment, role, tokens, model: _model, devices: _devices, process: _process, ...options }: LiveServingEntry): ServingEntry {
  return { source, deployment, role, tokens, options };
}

const sumCpu = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1e6;

function describe({ ok, power, serving, surroundings, nvidia, agent }: Diagnosis): string {
  const sources = new Table({ head: ['source', 'state', 'what it says'], colWidths: [18, 9, 92], wordWrap: true, style: { head: [], border: [] } });
  for (const { source, state, notes, readLatencySeconds, channels } of power) {
    const cost = readLatencySeconds ? `a read takes ${milliseconds(readLatencySeconds.p50)} (p99 ${milliseconds(readLatencySeconds.p99)})` : undefined;
    sources.push([source, state, [channels.length > 0 ? `${channels.length} channels` : undefined, cost, ...notes].filter((note) => note !== undefined).join('; ')]);
  }
  for (const { source, state, notes } of serving) sources.push([source, state, notes.join('; ')]);
  const channels = new Table({ head: ['device', 'boundary', 'channel', 'method', 'now W', 'moves every', 'averages', 'error', 'booked'], style: { head: [], border: [] } });
  const found = power.flatMap((each) => each.channels);
  for (const each of found) channels.push(channelRow(each));
  const boards = (nvidia?.gpus ?? []).map((gpu) => `GPU      ${[gpu.name, gpu.uuid, gpu.serial === undefined ? undefined : `serial ${gpu.serial}`, gpu.migEnabled ? `MIG with ${gpu.migDevices.length} instances` : undefined, nvidia?.driver === undefined ? undefined : `driver ${nvidia.driver}`].filter((said) => said !== undefined).join(', ')}\n`).join('');
  const rest = surroundings.map(({ check, ok: fine, detail }) => `${fine ? 'ok     ' : 'PROBLEM'}  ${check}: ${detail}`).join('\n');
  const playing = surroundings.some(({ check }) => check === 'play');
  const verdict = ok ? (playing ? 'Ready to play.' : 'Ready to measure.') : found.length === 0 && !playing ? 'Nothing to measure with: no power source was found on this machine. Configure one under `power`, or play a recording with `joulebook-agent run --play DIR`.' : 'Something above keeps this agent from measuring as configured.';
  return `${sources.toString()}\n${found.length > 0 ? `${channels.toString()}\n` : ''}${boards}${rest}\nlooking cost ${agent.cpuSeconds.toFixed(2)} s of CPU; ${(agent.rssBytes / 1e6).toFixed(0)} MB of memory\n${verdict}\n`;
}

const milliseconds = (time: number): string => `${(time * 1000).toFixed(1)} ms`;
const percent = (part: number): string => `${part >= 0 ? '+' : '−'}${Math.abs(part * 100).toFixed(1)}`;

function channelRow(each: ChannelFinding): string[] {
  return [
    each.device,
    each.boundary,
    each.channel,
    each.method,
    each.watts === null ? '–' : each.watts.toFixed(1),
    each.refreshSeconds === null ? '–' : milliseconds(each.refreshSeconds),
    each.averagedOverSeconds === null ? '–' : milliseconds(each.averagedOverSeconds),
    `${percent(each.gain.low)}/${percent(each.gain.high)} %`,
    each.booked ? 'yes' : '',
  ];
}
