import { createWriteStream } from 'node:fs';
import { basename, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { flagName, loadSettings, parseDuration } from '@joulebook/shared/settings.js';
import { toIso, type Instant } from '@joulebook/shared/units.js';
import { Command } from 'commander';
import { collectorsOf } from '../configured.js';
import { addSettings, COLLECTOR_TLS, type Operands } from './options.js';
import { progressOn } from './progress.js';
import { checkManifest, readManifest, type Recording } from '../recording/manifest.js';
import { describeWindow, replay, type ReplayProgress, type ReplaySummary } from '../recording/replay.js';
import type { Collectors } from '../shipper/collectors.js';
import { deliver, type Delivered } from '../shipper/deliver.js';
import { agentSettings } from '../settings.js';
import { powerFormats, servingFormats } from '../sources/index.js';
import { parseInstant, zone } from '../sources/timestamps.js';

interface ReplayFlags {
  power?: string[];
  serving?: string[];
  deployment?: string;
  model?: string;
  label?: string[];
  tz?: string;
  from?: string;
  to?: string;
  slice?: string;
  out: string;
  collector?: string[];
  config?: string;
  token?: string;
  collectorCa?: string;
  collectorCert?: string;
  collectorKey?: string;
}

/** Settings of `run` by which batches reach a collector. */
const SENDING = { token: 'TOKEN', ...COLLECTOR_TLS } as const satisfies Operands;
/** What is of no use where nothing is sent. */
const FOR_SENDING = ['config', 'token', 'collectorCa', 'collectorCert', 'collectorKey'] as const satisfies readonly (keyof ReplayFlags)[];

const SENDING_HELP = `
Sent twice, a recording is counted once. A collector takes no facts of a time that its retention has deleted (retentionRaw, 14d where
not said): send an old recording to one with a store of its own and 'retentionRaw: forever', or leave out what is old with --from.
`;

const collect = (value: string, all: string[] = []): string[] => [...all, value];

export function replayCommand(): Command {
  const command = new Command('replay')
    .summary('run recorded sensor and serving files through the pipeline of `run`')
    .description('Runs recorded sensor and serving files through the very pipeline of `run` and writes the batches it would ship.')
    .argument('[DIR]', 'folder with a recording.yaml')
    .option('--power <FORMAT=FILE>', 'a recorded power file (repeatable)', collect)
    .option('--serving <FORMAT=FILE>', 'a recorded serving file (repeatable)', collect)
    .option('--deployment <NAME>', 'what the serving files speak of')
    .option('--model <NAME>', 'the model served')
    .option('--label <k=v>', 'a label on every fact (repeatable)', collect)
    .option('--tz <ZONE>', 'zone of local timestamps, e.g. America/Chicago or -07:00')
    .option('--from <T>', 'start of the window')
    .option('--to <T>', 'end of the window')
    .option('--slice <DURATION>', 'length of a slice (default 1s)')
    .option('--out <FILE>', 'where the batches go, - for stdout', '-')
    .option('--collector <URL>', 'ship to a collector instead (repeatable: the first that works of several that share a store)', collect)
    .option('--config <FILE>', 'settings of `run` (YAML) to ship with: token, collectorCa, collectorCert, collectorKey; the environment is read too (JOULEBOOK_TOKEN …)');
  return addSettings(command, SENDING).addHelpText('after', `${formatsHelp()}\n${SENDING_HELP}`).action(runReplay);
}

const list = (formats: readonly { name: string; summary: string }[]): string => formats.map(({ name, summary }) => `  ${name.padEnd(18)} ${summary}`).join('\n');

function formatsHelp(): string {
  return `\nPower formats:\n${list(powerFormats)}\n\nServing formats:\n${list(servingFormats)}\n  ${'role'.padEnd(18)} no file: a pool that only prefills or only decodes (recording.yaml: role: prefill|decode)\n\nruns: whole runs (energy and tokens per row), in recording.yaml only`;
}

async function runReplay(folder: string | undefined, flags: ReplayFlags): Promise<void> {
  const collectors = await collectorsFrom(flags);
  const recording = await recordingOf(folder, flags);
  const options = { slice: sliceLength(flags.slice), from: moment(flags.from, '--from'), to: moment(flags.to, '--to') };
  const summaries: ReplaySummary[] = [];
  let delivered: Delivered | undefined;
  const progress = progressOn(process.stderr);
  // What is shipped is counted by who ships it.
  const told = (how: ReplayProgress): void => (collectors && how.doing === 'booking' ? progress.done() : progress.tell(() => describeProgress(how)));
  const batches = replay(recording, options, (summary) => summaries.push(summary), told);
  try {
    if (collectors) delivered = await deliver(batches, { collectors, progress: process.stderr.isTTY ? process.stderr : undefined });
    else await write(batches, flags.out);
  } finally {
    progress.done();
  }
  if (delivered) process.stderr.write(`${describeDelivered(delivered)}\n`);
  for (const summary of summaries) printSummary(summary);
}

/** Undefined where nothing is sent. @throws UsageError with every fault */
async function collectorsFrom(flags: ReplayFlags): Promise<Collectors | undefined> {
  if (flags.collector === undefined) {
    const idle = FOR_SENDING.filter((name) => flags[name] !== undefined);
    if (idle.length > 0) throw new UsageError(idle.map((name) => `${flagName(name)}: of use with --collector only`));
    return undefined;
  }
  const urls = agentSettings.collectorUrl.schema.safeParse(flags.collector);
  if (!urls.success) throw new UsageError(['--collector: not an address like http://collector.example:9840']);
  const { config: file, token, collectorCa, collectorCert, collectorKey } = flags;
  const settings = await loadSettings(agentSettings, { flags: { token, collectorCa, collectorCert, collectorKey }, environment: process.env, file });
  return { ...collectorsOf(settings), urls: urls.data };
}

const describeDelivered = ({ batches, duplicates }: Delivered): string => `sent: ${batches} batches, ${batches - duplicates} new, ${duplicates} that the collector had already`;

function describeProgress(progress: ReplayProgress): string {
  if (progress.doing === 'identifying') return `reading ${progress.file}: ${(progress.bytes / 1e6).toFixed(0)} MB`;
  if (progress.doing === 'scanning') return `looking through ${progress.file}: at ${toIso(progress.at)}`;
  const { doing, at, window } = progress;
  return `${doing}: at ${toIso(at)}, ${(((at - window.from) / Math.max(1, window.to - window.from)) * 100).toFixed(0)} % of the window`;
}

/** The file is opened when there is something to write: a replay that fails leaves what was there. */
async function write(batches: AsyncGenerator<Batch>, out: string): Promise<void> {
  const first = await batches.next();
  const all = async function* (): AsyncGenerator<Batch> {
    if (!first.done) yield first.value;
    yield* batches;
  };
  await pipeline(linesOf(all()), out === '-' ? process.stdout : createWriteStream(resolve(out)), { end: out !== '-' });
}

async function* linesOf(batches: AsyncIterable<Batch>): AsyncGenerator<string> {
  for await (const batch of batches) yield `${encodeBatch(batch)}\n`;
}

async function recordingOf(folder: string | undefined, flags: ReplayFlags): Promise<Recording> {
  const labels = Object.fromEntries((flags.label ?? []).map((text) => keyValue(text, '--label')));
  const fromFlags = {
    power: (flags.power ?? []).map((text) => fileEntry(text, '--power', flags.tz)),
    serving: (flags.serving ?? []).map((text) => ({ ...fileEntry(text, '--serving', flags.tz), ...(flags.deployment !== undefined && { deployment: flags.deployment }), ...(flags.model !== undefined && { model: flags.model }) })),
  };
  if (folder === undefined) {
    if (fromFlags.power.length + fromFlags.serving.length === 0) throw new UsageError(['replay: name a folder with a recording.yaml, or files with --power and --serving']);
    return { base: process.cwd(), manifest: checkManifest({ ...fromFlags, labels }, 'replay', basename(process.cwd())) };
  }
  const { base, manifest } = await readManifest(folder);
  const overridden = {
    ...manifest,
    power: manifest.power.map((entry) => (flags.tz === undefined ? entry : { ...entry, tz: flags.tz })),
    serving: manifest.serving.map((entry) => ({ ...entry, ...(flags.tz !== undefined && { tz: flags.tz }), ...(flags.deployment !== undefined && { deployment: flags.deployment }), ...(flags.model !== undefined && { model: flags.model }) })),
    labels: { ...manifest.labels, ...labels },
  };
  const added = checkManifest({ power: [...overridden.power, ...absolute(fromFlags.power)], serving: [...overridden.serving, ...absolute(fromFlags.serving)], runs: overridden.runs }, 'replay', manifest.node);
  return { base, manifest: { ...overridden, power: added.power, serving: added.serving } };
}

/** Files of the command line are relative to where the command runs, not to the manifest. */
const absolute = <E extends { file: string }>(entries: readonly E[]): E[] => entries.map((entry) => ({ ...entry, file: resolve(entry.file) }));

function fileEntry(text: string, flag: string, tz: string | undefined): { format: string; file: string; tz?: string } {
  const [format, file] = keyValue(text, flag);
  return { format, file, ...(tz !== undefined && { tz }) };
}

function keyValue(text: string, flag: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new UsageError([`${flag}: '${text}' is not of the form name=value`]);
  return [text.slice(0, at), text.slice(at + 1)];
}

function sliceLength(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const length = parseDuration(text);
  if (length === undefined || length < 0.01 || length > 86_400) throw new UsageError([`--slice: '${text}' is no length of a slice; write 1s or 10s (10 ms to a day)`]);
  return length;
}

function moment(text: string | undefined, flag: string): Instant | undefined {
  if (text === undefined) return undefined;
  const at = parseInstant(text, zone('UTC'));
  if (at === undefined) throw new UsageError([`${flag}: '${text}' is not a time; write 2024-07-17T09:52:23.554Z or epoch seconds`]);
  return at;
}

function printSummary({ window, readings, flagged }: ReplaySummary): void {
  if (window) process.stderr.write(`window: ${describeWindow(window)}, ${readings} power readings\n`);
  for (const { code, detail, count } of flagged) process.stderr.write(code === 'SKIPPED_LINES' ? `skipped: ${detail}\n` : `${code.toLowerCase()}${count > 1 ? ` (${count})` : ''}: ${detail}\n`);
}

