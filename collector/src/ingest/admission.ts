/**
 * Is this a batch to book? What no honest agent sends is refused by a code and a sentence that says what to change.
 *
 *   TOO_MANY_SLICES, TOO_MANY_LABELS, TOO_MANY_SERIES    more than the settings allow
 *   FACTS_TOO_OLD                                        older than maxAge
 *   FACTS_TOO_EARLY                                      in the future by the sender's own clock: to be sent again when it has come
 *   FACTS_IN_FUTURE                                      so far ahead that waiting does not help
 *
 * A machine whose clock is off is not refused for it: its facts are held against its own clock, up to an hour off.
 */
import type { Batch } from '@joulebook/shared/batch.js';
import { instant, seconds, toIso, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { ClockOffsets } from './clock-offsets.js';
import { SeriesLimit } from './series-limit.js';

/** Slice time creeps after a clock that was set back by less than a minute. */
const MOST_AHEAD_SECONDS = 300;
/** Who set a clock by more has no facts to wait for. */
const LONGEST_WAIT_SECONDS = 86_400;
/** Asked again meanwhile: the clock may have been set right. */
const ASK_AGAIN_SECONDS = 300;
/** What a sender says of its clock is believed so far: saying more would let it date facts as it likes. */
const MOST_OFF_SECONDS = 3600;
const DAY_SECONDS = 86_400;

/** Read at each batch. */
export interface AdmissionSettings {
  readonly maxSlices: number;
  readonly maxLabels: number;
  readonly maxSeries: number;
  /** Seconds. */
  readonly maxAge?: number | undefined;
}

export interface Objection {
  readonly error: string;
  readonly message: string;
  /** Present: not now, but then. */
  readonly after?: Seconds;
}

export class Admission {
  readonly #settings: AdmissionSettings;
  readonly #clocks: ClockOffsets;
  readonly #series: SeriesLimit;

  constructor(settings: AdmissionSettings, clocks: ClockOffsets) {
    this.#settings = settings;
    this.#clocks = clocks;
    this.#series = new SeriesLimit(settings);
  }

  /** @returns what stands against it; undefined where nothing does */
  objection(batch: Batch, now: Instant): Objection | undefined {
    const { maxSlices, maxLabels } = this.#settings;
    if (batch.slices.length > maxSlices) return { error: 'TOO_MANY_SLICES', message: `The batch has ${batch.slices.length} slices; at most ${maxSlices} are taken (maxSlices). Send smaller ones.` };
    for (const [index, { labels }] of batch.slices.entries()) {
      const count = labels === undefined ? 0 : Object.keys(labels).length;
      if (count > maxLabels) return { error: 'TOO_MANY_LABELS', message: `slices.${index}.labels: ${count} labels; at most ${maxLabels} are taken (maxLabels).` };
    }
    const untimely = this.#untimely(batch, now);
    if (untimely) return untimely;
    const tooMany = this.#series.admit(batch.node, batch.slices, Math.floor(now / DAY_SECONDS));
    return tooMany === undefined ? undefined : { error: 'TOO_MANY_SERIES', message: tooMany };
  }

  #untimely({ node, slices }: Batch, now: Instant): Objection | undefined {
    let [oldest, newest] = [Infinity, -Infinity];
    for (const { from, to } of slices) [oldest, newest] = [Math.min(oldest, to / 1e6), Math.max(newest, to / 1e6, from / 1e6)];
    const { maxAge } = this.#settings;
    if (maxAge !== undefined && oldest < now - maxAge) {
      return { error: 'FACTS_TOO_OLD', message: `The batch has facts of ${toIso(instant(oldest))}; this collector takes none that are older than ${maxAge} s (maxAge).` };
    }
    const offset = Math.max(-MOST_OFF_SECONDS, Math.min(MOST_OFF_SECONDS, this.#clocks.of(node) ?? 0));
    const ahead = newest - offset - now;
    if (!(ahead > MOST_AHEAD_SECONDS)) return undefined;
    const said = `The batch has facts of ${toIso(instant(newest))}, ${Math.round(ahead)} s ahead of the clock of node '${node}'`;
    if (ahead > LONGEST_WAIT_SECONDS) return { error: 'FACTS_IN_FUTURE', message: `${said}. Set that clock and begin anew; such facts are not taken.` };
    return { error: 'FACTS_TOO_EARLY', message: `${said}; send it again when that time has come.`, after: seconds(Math.min(ASK_AGAIN_SECONDS, Math.ceil(ahead - MOST_AHEAD_SECONDS))) };
  }
}
