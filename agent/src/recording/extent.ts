/** What a recording covers, found by reading it once before it is played. */
import { instant, seconds, toIso, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { WindowEnds } from '../correlator/cut.js';
import type { Window } from '../sampler/integrator.js';
import type { Channel, EngineFacts, Evidence, Flagged, RecordedPower, RecordedServing, ServingEvent } from '../sources/source.js';

export interface ChannelExtent {
  readonly channel: Channel;
  readonly from: Instant;
  readonly to: Instant;
  /** Median time between two readings. */
  readonly period: Seconds;
  readonly readings: number;
}

/** The first intervals say what a sensor's pace is; a recording of months need not keep them all. */
const INTERVALS_KEPT = 50_000;

/** Who follows a long reading hears how far it is in recorded time. */
export type Heard = (at: Instant) => void;
const NOBODY_HEARS: Heard = () => undefined;

export async function scanPower(power: RecordedPower, heard = NOBODY_HEARS): Promise<{ channels: ChannelExtent[]; flagged: Flagged[] }> {
  const seen = new Map<string, { channel: Channel; from: Instant; to: Instant; intervals: number[]; readings: number }>();
  const flagged: Flagged[] = [];
  for await (const event of power.events()) {
    if (event.kind === 'flagged') flagged.push(event);
    if (event.kind !== 'reading') continue;
    const { channel, at } = event;
    heard(at);
    const known = seen.get(channel.id);
    if (!known) {
      seen.set(channel.id, { channel, from: at, to: at, intervals: [], readings: 1 });
      continue;
    }
    if (at > known.to && known.intervals.length < INTERVALS_KEPT) known.intervals.push(at - known.to);
    if (at < known.from) known.from = at;
    if (at > known.to) known.to = at;
    known.readings += 1;
  }
  return { channels: [...seen.values()].map(({ intervals, ...rest }) => ({ ...rest, period: seconds(median(intervals)) })), flagged };
}

/** A channel may be kept in several files (rotation), each with its own pace: the slowest says what is normal. */
export function periodsOf(channels: readonly ChannelExtent[]): (channel: Channel) => Seconds {
  const periods = new Map<string, Seconds>();
  for (const { channel, period } of channels) periods.set(channel.id, seconds(Math.max(period, periods.get(channel.id) ?? 0)));
  return (channel) => periods.get(channel.id) ?? seconds(0);
}

/** What a serving source says about time. */
export type Said = Exclude<ServingEvent, Flagged | { readonly kind: 'watermark' }>;

export interface ServingScan {
  /** In the order of the file. */
  readonly evidence: readonly Evidence[];
  readonly gauges: readonly Extract<Said, { kind: 'gauge' }>[];
  readonly engine: readonly EngineFacts[];
  readonly flagged: Flagged[];
}

export async function scanServing(serving: RecordedServing, heard = NOBODY_HEARS): Promise<ServingScan> {
  const evidence: Evidence[] = [];
  const gauges: Extract<Said, { kind: 'gauge' }>[] = [];
  const engine: EngineFacts[] = [];
  const flagged: Flagged[] = [];
  for await (const event of serving.events()) {
    if (event.kind === 'flagged') flagged.push(event);
    else if (event.kind === 'gauge') gauges.push(event);
    else if (event.kind === 'engine') engine.push(event);
    else if (event.kind !== 'watermark') {
      evidence.push(event);
      heard(evidenceTo(event));
    }
  }
  return { evidence, gauges, engine, flagged };
}

export const evidenceFrom = (evidence: Evidence): Instant => (evidence.kind === 'request' ? evidence.start : evidence.from);
export const evidenceTo = (evidence: Evidence): Instant => (evidence.kind === 'request' ? evidence.end : evidence.to);

/** The extent of what speaks; a hole says nothing. */
export function extentOf(evidence: readonly Evidence[]): Window | undefined {
  let from = Infinity;
  let to = -Infinity;
  for (const each of evidence) {
    if (each.kind === 'hole') continue;
    from = Math.min(from, evidenceFrom(each));
    to = Math.max(to, evidenceTo(each));
  }
  return from <= to ? { from: instant(from), to: instant(to) } : undefined;
}

export const union = (windows: readonly Window[]): Window | undefined =>
  windows.length === 0 ? undefined : { from: instant(Math.min(...windows.map((each) => each.from))), to: instant(Math.max(...windows.map((each) => each.to))) };

/** What somebody wants, whatever the recording covers. */
export interface Asked {
  readonly from?: Instant | undefined;
  readonly to?: Instant | undefined;
}

/** What is asked about of a recording: half-open, but for the moments at which the recording itself ends. */
export interface RecordedWindow extends Window, WindowEnds {}

/**
 * The window of a recording: half-open, where both sides speak; with one side only, that side's. What happens at the very
 * end of it all belongs to the window that ends there, so that windows which follow each other have every moment once.
 * @throws TelemetryError when the two sides do not overlap, saying which shift would make them
 */
export function windowOf(power: Window | undefined, serving: Window | undefined, asked: Asked): RecordedWindow {
  const latest = power && serving ? { from: power.from > serving.from ? power.from : serving.from, to: power.to < serving.to ? power.to : serving.to } : (power ?? serving);
  if (!latest) throw new TelemetryError('NOTHING_RECORDED', 'The recording holds neither a power reading nor any serving evidence.', 'abort');
  if (power && serving && latest.to <= latest.from && !(latest.to === latest.from && serving.from === serving.to)) throw noOverlap(power, serving);
  const wanted = { from: asked.from ?? latest.from, to: asked.to ?? latest.to };
  // What is asked for beyond either end of the recording can't have been seen; it is not spelled out second by second.
  const everything = union([power, serving].flatMap((extent) => extent ?? [])) ?? latest;
  const window = { from: wanted.from > everything.from ? wanted.from : everything.from, to: wanted.to < everything.to ? wanted.to : everything.to };
  const natural = asked.from === undefined && asked.to === undefined;
  if (window.to < window.from || (window.to === window.from && !natural)) {
    throw new TelemetryError('WINDOW_EMPTY', `The window ${toIso(wanted.from)} to ${toIso(wanted.to)} holds nothing of the recording, which covers ${toIso(everything.from)} to ${toIso(everything.to)}.`, 'abort');
  }
  const isLast = (at: Instant): boolean => at === latest.to || at === everything.to;
  return { ...window, hasFrom: !isLast(window.from), hasTo: isLast(window.to) };
}

function noOverlap(power: Window, serving: Window): TelemetryError {
  const shift = Math.round((serving.from - power.from) / 900) / 4;
  const hint = shift !== 0 && Math.abs(shift) <= 26 ? ` Shifting the power by ${shift > 0 ? '+' : ''}${shift} h would bring them together: check tz.` : ' Check tz, and that the files are of the same run.';
  return new TelemetryError('NO_OVERLAP', `Power (${toIso(power.from)} to ${toIso(power.to)}) and serving evidence (${toIso(serving.from)} to ${toIso(serving.to)}) do not overlap.${hint}`, 'abort');
}

function median(values: readonly number[]): number {
  if (values.length === 0) return 0;
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
