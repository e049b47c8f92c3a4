/**
 * A recording through the very pipeline of `run`: recorded sensors and logs in, batches out. It is read three times: to
 * learn what it covers (window, pace of each sensor), to learn what the work of its deployments draws, and to book.
 */
import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { access } from 'node:fs/promises';
import { basename } from 'node:path';
import { SCHEMA_VERSION, type Batch } from '@joulebook/shared/batch.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { instant, seconds, toIso, type Instant } from '@joulebook/shared/units.js';
import type { Attribution } from '../attribution/attribution.js';
import { correlator } from '../correlator/correlator.js';
import { deploymentsOf, servedBy, type Deployment } from '../sources/deployments.js';
import { intake } from '../correlator/intake.js';
import { slicer, type Slicer } from '../correlator/slicer.js';
import { chooser } from '../sampler/chooser.js';
import { gapThreshold, integrator, type Window } from '../sampler/integrator.js';
import { livePowerKinds } from '../sources/index.js';
import type { Flagged } from '../sources/source.js';
import { periodsOf, scanPower, union, windowOf, type Asked, type ChannelExtent, type Heard, type RecordedWindow, type Said } from './extent.js';
import { energyOutside } from './energy-outside.js';
import { inTimeOrder } from './merge.js';
import { requestsNotCounted } from './requests-not-counted.js';
import { openRecording, type OpenedRecording, type OpenedServing } from './open.js';
import type { Recording } from './manifest.js';
import { NO_TIME_ORIGIN, runSlices } from './runs.js';
import { servingFeed, type ServingFeed } from './serving-feed.js';

export interface ReplayOptions {
  /** Slice length in seconds; the manifest's, else 1. */
  readonly slice?: number | undefined;
  readonly from?: Instant | undefined;
  readonly to?: Instant | undefined;
}

/** What a replay had to say besides its facts. */
export interface ReplaySummary {
  readonly window: Window | undefined;
  readonly readings: number;
  readonly flagged: readonly Flagged[];
}

/** How far a replay is: what it reads, and how far in recorded time. */
export type ReplayProgress =
  | { readonly doing: 'identifying'; readonly file: string; readonly bytes: number }
  | { readonly doing: 'scanning'; readonly file: string; readonly at: Instant }
  | { readonly doing: 'learning' | 'booking'; readonly at: Instant; readonly window: Window };
type TellProgress = (progress: ReplayProgress) => void;

const SLICES_PER_BATCH = 1000;
const HASHED_AT_ONCE = 1024 * 1024;
/** What a deployment draws is learnt from so much of a recording before it is booked, and on while it is. */
const LEARN_SECONDS = 4 * 3_600;
/** Readings so long behind the window still say how late its last ones were shown, and those of as long as a gap which sensor was to be booked. */
const AFTER_SECONDS = 60;
/** Evidence without power is told in such pieces of time. */
const STRIDE_SECONDS = 60;

export async function* replay(recording: Recording, options: ReplayOptions, summarise: (summary: ReplaySummary) => void, progress: TellProgress = () => undefined): AsyncGenerator<Batch> {
  const { manifest } = recording;
  const opened = openRecording(recording);
  await allPresent(opened.files);
  const stream = await streamOf(recording, opened.files, options, progress);
  let sequence = 0;
  let pending: Slice[] = [];
  const batchOf = (slices: Slice[]): Batch => ({ schema: SCHEMA_VERSION, stream, sequence: sequence++, node: manifest.node, slices });

  const flagged: Flagged[] = [];
  let window: Window | undefined;
  let readings = 0;
  if (opened.power.length > 0 || opened.serving.length > 0) {
    const prepared = await prepare(opened, options, progress);
    ({ window, readings } = prepared);
    for (const each of prepared.flagged) flagged.push(each);
    const attributions = new Map<string, Attribution>();
    await learn(opened, prepared, manifest, attributions, progress);
    const cells = slicer({ length: seconds(options.slice ?? manifest.slice ?? 1), window, site: manifest.site, labels: manifest.labels });
    const told = (at: Instant): void => progress({ doing: 'booking', at, window: prepared.window });
    for await (const slices of playThrough(opened, prepared, cells, attributions, { evidenceUntil: instant(Infinity), tellRequests: true, heard: told })) {
      for (const slice of slices) pending.push(slice);
      while (pending.length >= SLICES_PER_BATCH) yield batchOf(pending.splice(0, SLICES_PER_BATCH));
    }
  }
  let end = NO_TIME_ORIGIN;
  const asked = askedOf(options, opened);
  for (const runs of opened.runs) {
    const { slices, flagged: said, end: ended } = await runSlices(runs, manifest, end, { from: asked.from ?? instant(-Infinity), ...(asked.to !== undefined && { to: asked.to }) });
    end = ended;
    for (const each of said) flagged.push(each);
    for (const slice of slices) pending.push(slice);
  }
  if (!window && pending.length === 0) throw new TelemetryError('WINDOW_EMPTY', 'No run lies in the window that is asked for (--from, --to, window).', 'abort');
  while (pending.length > 0) yield batchOf(pending.splice(0, SLICES_PER_BATCH));
  summarise({ window, readings, flagged });
}

const askedOf = (options: ReplayOptions, { window }: OpenedRecording): Asked => ({ from: options.from ?? window.from, to: options.to ?? window.to });

interface Prepared {
  readonly window: RecordedWindow;
  readonly readings: number;
  readonly channels: readonly ChannelExtent[];
  readonly flagged: readonly Flagged[];
  readonly deployments: readonly Deployment[];
  readonly serving: readonly { readonly opened: OpenedServing; readonly feed: ServingFeed }[];
}

async function prepare(opened: OpenedRecording, options: ReplayOptions, progress: TellProgress): Promise<Prepared> {
  const scanning = (file: string) => (at: Instant) => progress({ doing: 'scanning', file, at });
  const power = await Promise.all(opened.power.map(({ source, entry }) => scanPower(source, scanning(entry.file))));
  const channels = power.flatMap((scan) => scan.channels);
  if (opened.power.length > 0 && channels.every(({ readings }) => readings < 2)) throw new TelemetryError('NO_ENERGY', 'No power file has two readings of one device: there is no energy between less than two.', 'abort');
  const powerExtent = union(channels);
  const serving: { opened: OpenedServing; feed: ServingFeed }[] = [];
  for (const each of opened.serving) {
    const file = each.entry.file ?? each.entry.format;
    if (each.source) serving.push({ opened: each, feed: await servingFeed(each.source, powerExtent, file, scanning(file)) });
  }
  const asked = askedOf(options, opened);
  const window = windowOf(powerExtent, union(serving.flatMap(({ feed }) => feed.extent ?? [])), asked);
  const outside = powerExtent ? await energyOutside({ power: opened.power.map(({ source }) => source), extent: powerExtent, periodOf: periodsOf(channels) }, window, asked) : [];
  const deployments = deploymentsOf(opened.serving.map(({ entry }) => ({ ...entry, kind: entry.format })));
  checkDevices(deployments, channels);
  const flagged = [...power.flatMap((scan) => scan.flagged), ...serving.flatMap(({ feed }) => feed.flagged), ...requestsNotCounted(serving), ...outside];
  return { window, readings: channels.reduce((sum, each) => sum + each.readings, 0), channels, flagged, deployments, serving };
}

/** Requests are fully known where every request log of the deployment speaks; beside another source that counts, one may tell only those of its own clients. */
function wholeExtents(serving: Prepared['serving']): Map<string, Window> {
  const whole = new Map<string, Window>();
  const counted = new Set(serving.flatMap(({ opened: { entry, counts } }) => (counts ? [entry.deployment] : [])));
  for (const { opened, feed: { requestsExtent } } of serving) {
    const { deployment } = opened.entry;
    if (!requestsExtent || (!opened.counts && counted.has(deployment))) continue;
    const known = whole.get(deployment);
    whole.set(deployment, known ? { from: instant(Math.max(known.from, requestsExtent.from)), to: instant(Math.min(known.to, requestsExtent.to)) } : requestsExtent);
  }
  return whole;
}

/** Plays the recording once without keeping its facts, so that the first minutes are divided as well as the last. */
async function learn(opened: OpenedRecording, prepared: Prepared, manifest: Recording['manifest'], attributions: Map<string, Attribution>, progress: TellProgress): Promise<void> {
  const { window } = prepared;
  if (prepared.serving.length === 0 || !prepared.channels.some(({ channel }) => channel.boundary === 'gpu')) return;
  const enough = { from: window.from, to: instant(Math.min(window.to, window.from + LEARN_SECONDS)) };
  const slices = slicer({ length: seconds(10), window: enough, site: manifest.site, labels: manifest.labels });
  const told = (at: Instant): void => progress({ doing: 'learning', at, window: enough });
  for await (const _ of playThrough(opened, { ...prepared, window: enough, flagged: [] }, slices, attributions, { evidenceUntil: enough.to, tellRequests: false, heard: told }));
}

interface PlayThrough {
  /** How far evidence is asked for: behind the window it has only tokens to tell, which are outside. */
  readonly evidenceUntil: Instant;
  /** Each request is a fact of its own, with what it drew. */
  readonly tellRequests: boolean;
  readonly heard: Heard;
}

async function* playThrough(opened: OpenedRecording, { window, channels, deployments, serving, flagged }: Prepared, slices: Slicer, attributions: Map<string, Attribution>, { evidenceUntil, tellRequests, heard }: PlayThrough): AsyncGenerator<Slice[]> {
  const facts = correlator({ deployments, window, slicer: slices, attributions, tellRequests });
  for (const { channel } of channels) if (channel.use !== 'check') facts.watch(channel);
  for (const each of flagged) facts.flag(each);
  for (const [deployment, extent] of wholeExtents(serving)) facts.whole(deployment, extent.from, extent.to);
  const feeds = serving.map(({ opened: { entry, counts }, feed }) => ({ feed: feed.open(), tell: (event: Said) => facts.evidence(entry.deployment, event, counts) }));
  const listen = async (at: Instant): Promise<void> => {
    for (const { feed, tell } of feeds) for await (const event of feed.upTo(at)) tell(event);
  };

  const periodOf = periodsOf(channels);
  const spans = integrator(periodOf, window);
  const choose = chooser(livePowerKinds.map((kind) => kind.name), periodOf);
  const take = intake(spans, choose, facts);
  /** How far each channel has been read; nothing before the slowest can still change. */
  const reached = new Map(channels.map(({ channel }) => [channel.id, window.from]));
  const ends = new Map<string, Instant>();
  for (const { channel, to } of channels) ends.set(channel.id, instant(Math.max(to, ends.get(channel.id) ?? to)));

  const enough = window.to + Math.max(AFTER_SECONDS, ...channels.map(({ channel }) => gapThreshold(periodOf(channel))));
  let slowest = window.from;
  let swept = window.from;
  const sweepTo = async (to: Instant): Promise<Slice[]> => {
    swept = to < window.to ? to : window.to;
    await listen(swept);
    heard(swept);
    return slices.close(facts.advance(swept));
  };
  for await (const event of inTimeOrder(opened.power.map(({ source }) => source.events()))) {
    if ('at' in event && event.at > enough && slowest >= window.to) break;
    take(event);
    if (event.kind !== 'reading') continue;
    reached.set(event.channel.id, event.at >= (ends.get(event.channel.id) ?? event.at) ? instant(Infinity) : event.at);
    slowest = instant(Math.min(choose.settled(), ...reached.values(), event.at));
    if (slowest >= swept + 1) yield await sweepTo(slowest);
  }
  // Without power, or behind its end, evidence still has its tokens to tell, a piece of time after the other.
  while (swept < window.to) yield await sweepTo(instant(swept + STRIDE_SECONDS));
  await listen(evidenceUntil);
  for (const { feed } of feeds) await feed.close();
  for (const span of choose.finish()) facts.span(span);
  facts.finish(window.to);
  for (const { channel } of channels) if (choose.booked(channel)) facts.edge(channel, spans.edge(channel));
  yield slices.finish(window.to);
}

/** @throws TelemetryError naming every file that can't be read */
async function allPresent(files: readonly string[]): Promise<void> {
  const missing = (await Promise.all(files.map((file) => access(file, constants.R_OK).then(() => [], () => [file])))).flat();
  if (missing.length > 0) throw new TelemetryError('FILE_MISSING', `Can't read ${missing.join(', ')}: check the paths; they are relative to the manifest.`, 'abort');
}

/** @throws TelemetryError when a deployment is said to run on a device that no file has */
function checkDevices(deployments: readonly Deployment[], channels: readonly ChannelExtent[]): void {
  const gpus = channels.map(({ channel }) => channel).filter(({ boundary }) => boundary === 'gpu');
  if (gpus.length === 0) return;
  for (const { name, devices = [] } of deployments) {
    const lost = devices.filter((entry) => !gpus.some((channel) => servedBy({ name, devices: [entry] }, channel)));
    if (lost.length > 0) throw new TelemetryError('DEVICES_MISMATCH', `deployment ${name}: devices ${lost.join(', ')} are in no power file; there are ${[...new Set(gpus.map(({ device, index }) => (index === undefined ? device : `${index} (${device})`)))].join(', ')}.`, 'abort');
  }
}

/** The same inputs and options always make the same stream: importing a recording twice changes nothing. */
async function streamOf(recording: Recording, files: readonly string[], options: ReplayOptions, progress: TellProgress): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([SCHEMA_VERSION, recording.manifest, options]));
  for (const file of files) {
    const bytes = createReadStream(file, { highWaterMark: HASHED_AT_ONCE });
    for await (const chunk of bytes) {
      const piece: unknown = chunk;
      if (piece instanceof Uint8Array) hash.update(piece);
      progress({ doing: 'identifying', file: basename(file), bytes: bytes.bytesRead });
    }
  }
  return hash.digest('hex').slice(0, 32);
}

export const describeWindow = ({ from, to }: Window): string => `${toIso(from)} to ${toIso(to)} (${(to - from).toFixed(3)} s)`;
