/**
 * The evidence of a recording, given out as the replay gets there. A log in the order of time is read along, so that one of
 * days and gigabytes takes no more memory than one of minutes; a table in any order is held whole.
 *
 *   replayed up to ──────────────┤
 *   read up to     ──────────────┼── lookahead ──┤      what happened before may be told later
 */
import { instant, later, seconds, type Instant } from '@joulebook/shared/units.js';
import type { Window } from '../sampler/integrator.js';
import type { Flagged, RecordedServing, ServingEvent } from '../sources/source.js';
import { evidenceFrom, evidenceTo, extentOf, scanServing, type Heard, type Said } from './extent.js';
import { FAR_SECONDS, usableEvidence } from './far.js';

export interface ServingFeed {
  /** Where it speaks; undefined: nowhere. */
  readonly extent: Window | undefined;
  /** Where every request is told; undefined where the source tells none. */
  readonly requestsExtent: Window | undefined;
  readonly flagged: readonly Flagged[];
  /** Each call reads from the start. */
  open(): OpenFeed;
}

export interface OpenFeed {
  /** What is to be known once the replay has come to this moment, each event once. */
  upTo(at: Instant): AsyncIterable<Said> | Iterable<Said>;
  /** No more is asked for. */
  close(): Promise<void>;
}

/** A log may tell at its end what began so long before. */
const LOOKAHEAD = seconds(900);

/** @param power evidence more than a day away from it is left out and told */
export async function servingFeed(source: RecordedServing, power: Window | undefined, file: string, heard: Heard): Promise<ServingFeed> {
  return source.ordered ? await read(source, power, file, heard) : await hold(source, power, file, heard);
}

async function hold(source: RecordedServing, power: Window | undefined, file: string, heard: Heard): Promise<ServingFeed> {
  const scan = await scanServing(source, heard);
  const usable = usableEvidence(scan.evidence, power, file);
  const said: Said[] = [...usable.evidence, ...scan.gauges, ...scan.engine];
  return {
    extent: extentOf(usable.evidence),
    requestsExtent: extentOf(usable.evidence.filter(({ kind }) => kind === 'request')),
    flagged: [...scan.flagged, ...usable.flagged],
    open() {
      let given = false;
      return {
        upTo() {
          if (given) return [];
          given = true;
          return said;
        },
        close: () => Promise.resolve(),
      };
    },
  };
}

async function read(source: RecordedServing, power: Window | undefined, file: string, heard: Heard): Promise<ServingFeed> {
  const isFar = (event: Said): boolean => power !== undefined && (timeOf(event).to < power.from - FAR_SECONDS || timeOf(event).from > power.to + FAR_SECONDS);
  const flagged: Flagged[] = [];
  const all = extentSoFar();
  const requests = extentSoFar();
  let far = 0;
  let near = 0;
  for await (const event of source.events()) {
    if (event.kind === 'flagged') flagged.push(event);
    else if (isSaid(event) && event.kind !== 'gauge' && event.kind !== 'engine' && event.kind !== 'hole') {
      heard(evidenceTo(event));
      if (isFar(event)) {
        far += 1;
        continue;
      }
      near += 1;
      all.add(timeOf(event));
      if (event.kind === 'request') requests.add(timeOf(event));
    }
  }
  if (far > 0 && near > 0) flagged.push({ kind: 'flagged', code: 'UNUSABLE_EVIDENCE', count: far, detail: `${file}: ${far} lines tell of times more than a day away from the power log; not used` });
  // Where everything is far away the two sides do not overlap at all, which is said elsewhere.
  const usable = (event: Said): boolean => near === 0 || !isFar(event);
  return { extent: near > 0 ? all.extent() : await extentOfAll(source), requestsExtent: requests.extent(), flagged, open: () => reader(source, usable) };
}

function reader(source: RecordedServing, usable: (event: Said) => boolean): OpenFeed {
  const events: AsyncIterator<ServingEvent, unknown> = source.events()[Symbol.asyncIterator]();
  /** Read, of later than was asked for. */
  let waiting: Said[] = [];
  let over = false;
  return {
    async *upTo(at) {
      const limit = later(at, LOOKAHEAD);
      // By its begin: an hour of idle time is told at its end, and must be known before the replay is past it.
      const isDue = (event: Said): boolean => timeOf(event).from <= limit;
      const due = waiting.filter(isDue);
      waiting = waiting.filter((event) => !isDue(event));
      yield* due;
      // A gauge is told with its own line, the idle time before that line only with the work that follows.
      let enough = waiting.some(({ kind }) => kind !== 'gauge' && kind !== 'engine');
      while (!over && !enough) {
        const { value: event, done } = await events.next();
        if (done) over = true;
        else if (!isSaid(event) || !usable(event)) continue;
        else if (isDue(event)) yield event;
        else {
          waiting.push(event);
          enough = event.kind !== 'gauge' && event.kind !== 'engine';
        }
      }
    },
    async close() {
      await events.return?.();
    },
  };
}

const isSaid = (event: ServingEvent): event is Said => event.kind !== 'flagged' && event.kind !== 'watermark';

function timeOf(event: Said): Window {
  if (event.kind === 'gauge' || event.kind === 'engine') return { from: event.at, to: event.at };
  return { from: evidenceFrom(event), to: evidenceTo(event) };
}

function extentSoFar(): { add(window: Window): void; extent(): Window | undefined } {
  let from = Infinity;
  let to = -Infinity;
  return {
    add(window) {
      from = Math.min(from, window.from);
      to = Math.max(to, window.to);
    },
    extent: () => (from <= to ? { from: instant(from), to: instant(to) } : undefined),
  };
}

async function extentOfAll(source: RecordedServing): Promise<Window | undefined> {
  const all = extentSoFar();
  for await (const event of source.events()) if (isSaid(event) && event.kind !== 'gauge' && event.kind !== 'engine' && event.kind !== 'hole') all.add(timeOf(event));
  return all.extent();
}
