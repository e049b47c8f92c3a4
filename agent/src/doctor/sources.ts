/** Every source of the list: found or not and why, what it reads, how fast it really moves, what it costs. */
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import type { Bill } from '../bill/bill.js';
import { deadline } from '../schedule/signals.js';
import type { LivePowerKind } from '../sources/live.js';
import type { Channel, LiveContext, LivePower, Reading } from '../sources/source.js';

export interface ChannelFinding {
  readonly channel: string;
  readonly device: string;
  readonly boundary: string;
  readonly method: 'energy counter' | 'averaged power' | 'instantaneous power' | 'power';
  readonly readings: number;
  /** Median time between two changes of the value, as seen here; null when it did not change often enough to tell. */
  readonly refreshSeconds: number | null;
  readonly averagedOverSeconds: number | null;
  /** True energy lies between reading × (1 + low) and reading × (1 + high). */
  readonly gain: { readonly low: number; readonly high: number };
  readonly watts: number | null;
  /** Whether the agent would book energy from it. */
  readonly booked: boolean;
}

export interface SourceFinding {
  readonly source: string;
  readonly state: 'ok' | 'absent' | 'failed';
  /** Why it is not used and what to do; what it said while it was read. */
  readonly notes: readonly string[];
  readonly channels: readonly ChannelFinding[];
  readonly readLatencySeconds: { readonly p50: number; readonly p99: number } | null;
}

/** The longest a source is listened to; one that is slower than this is heard at least twice or named. */
const LISTEN_SECONDS = 4;

export interface Examined {
  readonly kind: LivePowerKind;
  /** Options of a configured source; absent: whatever detection finds. */
  readonly options?: Readonly<Record<string, unknown>>;
}

export async function examinePower({ kind, options }: Examined, context: LiveContext, bill: Bill): Promise<SourceFinding & { readonly heard: readonly Heard[] }> {
  const nothing = { source: kind.name, channels: [], readLatencySeconds: null, heard: [] };
  try {
    const detected = options === undefined ? await kind.detect(context.environment) : { found: true as const, options };
    if (!detected.found) return { ...nothing, state: 'absent', notes: [detected.reason] };
    const { heard, notes } = await listen(kind.open(detected.options), context);
    const latency = bill.latency(kind.name);
    return {
      source: kind.name,
      state: heard.length > 0 ? 'ok' : 'failed',
      notes: heard.length > 0 ? notes : [...notes, 'it gave no reading'],
      channels: [],
      readLatencySeconds: latency ? { p50: latency.p50, p99: latency.p99 } : null,
      heard,
    };
  } catch (error) {
    return { ...nothing, state: error instanceof TelemetryError && error.remedy === 'disable' ? 'absent' : 'failed', notes: [messageOf(error)] };
  }
}

export interface Heard {
  readonly channel: Channel;
  readonly readings: readonly Reading[];
  readonly period: Seconds;
}

async function listen(source: LivePower, context: LiveContext): Promise<{ heard: Heard[]; notes: string[] }> {
  const limit = Math.max(LISTEN_SECONDS, 2.5 * source.period);
  const readings = new Map<string, { channel: Channel; readings: Reading[] }>();
  const notes = new Set<string>();
  const signal = deadline(context.signal, seconds(limit));
  for await (const event of source.events({ ...context, signal })) {
    if (event.kind === 'flagged') notes.add(event.detail);
    if (event.kind !== 'reading') continue;
    const known = readings.get(event.channel.id) ?? { channel: event.channel, readings: [] };
    readings.set(event.channel.id, known);
    known.readings.push(event);
  }
  return { heard: [...readings.values()].map((each) => ({ ...each, period: source.period })), notes: [...notes] };
}

export function findingOf({ channel, readings }: Heard, booked: boolean): ChannelFinding {
  const { averagedOver, gain } = channel.sensor;
  const method = channel.measures === 'counter' ? 'energy counter' : averagedOver === undefined ? 'power' : averagedOver >= 0.5 ? 'averaged power' : 'instantaneous power';
  return {
    channel: channel.id,
    device: channel.device,
    boundary: channel.boundary,
    method,
    readings: readings.length,
    refreshSeconds: refreshOf(readings) ?? channel.sensor.refresh ?? null,
    averagedOverSeconds: averagedOver ?? null,
    gain,
    watts: wattsOf(readings),
    booked,
  };
}

function refreshOf(readings: readonly Reading[]): Seconds | undefined {
  const changes: number[] = [];
  for (const [index, reading] of readings.entries()) {
    const last = readings[index - 1];
    if (last && valueOf(last) !== valueOf(reading)) changes.push(reading.at);
  }
  const between = changes.slice(1).map((at, index) => at - (changes[index] ?? at)).toSorted((a, b) => a - b);
  const middle = between[Math.floor(between.length / 2)];
  return between.length >= 3 && middle !== undefined ? seconds(middle) : undefined;
}

const valueOf = (reading: Reading): number | bigint => (reading.measures === 'counter' ? reading.total : reading.power);

/** Of a counter: its rise over the time listened. */
function wattsOf(readings: readonly Reading[]): number | null {
  const [first] = readings;
  const last = readings.at(-1);
  if (!first || !last) return null;
  if (last.measures === 'power') return last.power;
  if (first.measures !== 'counter' || last.at <= first.at) return null;
  return Number(last.total - first.total) / 1e6 / (last.at - first.at);
}
