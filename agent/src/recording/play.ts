/**
 * A recording as live sources: played in real time, in a loop, every time moved to now. It is for demonstrations and for
 * trying the live pipeline where there is no GPU; whatever it yields must be marked as a demonstration.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { instant, seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Window } from '../sampler/integrator.js';
import type { Evidence, LiveContext, LivePower, LiveServing, PowerEvent, RecordedPower, ServingEvent } from '../sources/source.js';
import { extentOf, scanPower, scanServing, union, windowOf } from './extent.js';
import { openRecording } from './open.js';
import type { Recording, ServingEntry } from './manifest.js';

export interface Played {
  readonly power: readonly LivePower[];
  readonly serving: readonly { readonly entry: ServingEntry; readonly source: LiveServing; readonly counts: boolean }[];
}

/** How often a played serving source says how far it has come. */
const WATERMARK_SECONDS = 0.5;

/** @param begin the moment, on the slice clock, at which the recording's first moment is played */
export async function play(recording: Recording, begin: Instant): Promise<Played> {
  const opened = openRecording(recording);
  const power = await Promise.all(opened.power.map(async ({ source }) => ({ source, scan: await scanPower(source) })));
  const serving = await Promise.all(
    opened.serving.flatMap((each) => (each.source ? [{ ...each, source: each.source }] : [])).map(async (each) => ({ ...each, scan: await scanServing(each.source) })),
  );
  const extents = serving.flatMap(({ scan }) => extentOf(scan.evidence) ?? []);
  const window = windowOf(union(power.flatMap(({ scan }) => scan.channels)), union(extents), opened.window);
  const loop = { window, begin, length: seconds(window.to - window.from) };
  return {
    power: power.map(({ source, scan }) => ({
      description: `${source.description} (demonstration)`,
      period: seconds(Math.max(...scan.channels.map((channel) => channel.period), 0.001)),
      events: (context) => playPower(source, loop, context),
    })),
    serving: serving.map(({ entry, source, counts, scan }) => ({
      entry,
      counts,
      source: {
        description: `${source.description} (demonstration)`,
        tellsRequests: scan.evidence.some((each) => each.kind === 'request'),
        events: (context) => playServing(scan.evidence, loop, context),
      },
    })),
  };
}

interface Loop {
  readonly window: Window;
  readonly begin: Instant;
  readonly length: Seconds;
}

const shiftOf = ({ window, begin, length }: Loop, round: number): number => begin - window.from + round * length;

async function* playPower(source: RecordedPower, loop: Loop, context: LiveContext): AsyncGenerator<PowerEvent> {
  for (let round = 0; ; round += 1) {
    const shift = shiftOf(loop, round);
    for await (const event of source.events()) {
      if (!('at' in event) || event.at < loop.window.from || event.at >= loop.window.to) continue;
      const at = instant(event.at + shift);
      if (!(await until(at, context))) return;
      yield { ...event, at };
    }
  }
}

/** What will happen is known beforehand, so a request is told when it starts. */
async function* playServing(evidence: readonly Evidence[], loop: Loop, context: LiveContext): AsyncGenerator<ServingEvent> {
  const inOrder = evidence.flatMap((each) => inWindow(each, loop.window) ?? []).toSorted((a, b) => startOf(a) - startOf(b));
  for (let round = 0; ; round += 1) {
    const shift = shiftOf(loop, round);
    for (const each of inOrder) {
      const at = instant(startOf(each) + shift);
      while (context.now() < at) {
        if (!(await until(instant(Math.min(at, context.now() + WATERMARK_SECONDS)), context))) return;
        yield { kind: 'watermark', at: context.now() < at ? context.now() : at };
      }
      yield moved(each, shift);
    }
    const end = instant(loop.window.to + shift);
    while (context.now() < end) {
      if (!(await until(instant(Math.min(end, context.now() + WATERMARK_SECONDS)), context))) return;
      yield { kind: 'watermark', at: context.now() };
    }
  }
}

/**
 * What reaches over an edge of the window, between two looks at counters say, is cut there, so that the end of a round and the
 * beginning of the next are both told and speak of different times. A request belongs to the round in which it starts.
 */
function inWindow(evidence: Evidence, { from, to }: Window): Evidence | undefined {
  if (evidence.kind === 'request') return evidence.start >= from && evidence.start < to ? evidence : undefined;
  if (evidence.to <= from || evidence.from >= to) return undefined;
  return { ...evidence, from: evidence.from > from ? evidence.from : from, to: evidence.to < to ? evidence.to : to };
}

const startOf = (evidence: Evidence): Instant => (evidence.kind === 'request' ? evidence.start : evidence.from);

function moved(evidence: Evidence, shift: number): Evidence {
  const move = (at: Instant): Instant => instant(at + shift);
  if (evidence.kind !== 'request') return { ...evidence, from: move(evidence.from), to: move(evidence.to) };
  return { ...evidence, start: move(evidence.start), end: move(evidence.end), ...(evidence.firstToken !== undefined && { firstToken: move(evidence.firstToken) }) };
}

/** False when the signal aborted first. */
async function until(at: Instant, { now, signal }: LiveContext): Promise<boolean> {
  try {
    for (let left = at - now(); left > 0; left = at - now()) await sleep(Math.max(1, left * 1000), undefined, { signal });
    return !signal.aborted;
  } catch {
    return false;
  }
}
