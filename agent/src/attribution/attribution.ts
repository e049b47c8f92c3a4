/**
 * Dividing the energy of one deployment on its GPUs: what is learnt of it, and what follows from that for each group of
 * readings. One for each deployment, fed by all its GPUs, since they share its work.
 */
import type { Role } from '../sources/source.js';
import type { Instant } from '@joulebook/shared/units.js';
import { alignment, type Offset } from './alignment.js';

import { learnt, type Learnt } from './learnt.js';
import { observations } from './observations.js';
import { powerModel, type Judged } from './power-model.js';
import { windowModel } from './window-model.js';
import { pure, type Shares } from './split.js';
import type { Stretch } from './work.js';

/** Energy between two neighbouring changes of evidence or reading; in µJ, not rounded. */
export interface MeasuredPiece {
  readonly from: Instant;
  readonly to: Instant;
  readonly stretch: Stretch;
  readonly energy: number;
}

/** How a piece is booked: its phases, and its part of the energy of its group. */
export interface Division {
  readonly shares: Shares;
  readonly weight: number;
  /** By how much the ratio of prefill to decode may be off, where its stretch does not say it. */
  readonly doubt?: number;
}

export interface Attribution {
  /** How fast it works. */
  readonly knows: Learnt;
  /** Time starts anew, maybe earlier; what is known stays. */
  rewind(): void;
  /**
   * For one device.
   * @param blur its sensor shows the mean over so long before, in s
   * @param stated and is known to be so late besides
   */
  lane(blur: number, stated: number): Lane;
  /** What will be expected of its devices; stretches come in their order. */
  expect(stretches: readonly Stretch[]): void;
  /** Phases of a stretch by what ran, where no energy of its own tells more. */
  judge(stretch: Stretch): Shares;
  /** How much later than the evidence says the power shows it, beyond its sensor's blur. @param stated what the sensor is known to be late, in s */
  lag(stated: number): number;
  offset(): Offset | undefined;
  /** Whether mixed work can be divided. */
  ready(): boolean;
  /** Both phases were seen for long enough, and what was drawn does not go with them. */
  unrelated(): boolean;
  /** How far the ratio of prefill to decode may be off for what was learnt so far (95 %, relative), beyond what the kind of evidence makes it. */
  error(): number;
}

export interface Lane {
  /** What its device drew; in order. */
  drawn(from: Instant, to: Instant, joules: number): void;
  /** Divides a group of neighbouring pieces. */
  divide(pieces: readonly MeasuredPiece[]): Division[];
}

/** Of a stretch where nothing is learnt yet: prefill draws more than decode, and both more than idle. */
const GUESS = { prefill: 1, decode: 0.6 };
/** A change of the offset that is worth following. */
const MOVED_SECONDS = 0.04;
/** What was learnt with the clocks further apart than this is better forgotten. */
const FAR_SECONDS = 0.2;
/** A device that drew nothing for so long is no longer the one to go by. */
const SILENT_SECONDS = 60;

/** @param role the only phase that runs there */
export function attribution(role?: Role): Attribution {
  const power = powerModel(role && [role]);
  const windows = windowModel(power);
  const clocks = alignment();
  const seen = observations(power);
  let leader: { readonly lane: object; spoke: Instant } | undefined;
  let believed: number | undefined;

  /** @param stated what the sensor is known to be late */
  function lag(stated: number): number {
    const found = clocks.offset()?.seconds;
    if (found === undefined) return believed ?? stated;
    const moved = Math.abs(found - (believed ?? stated));
    if (believed !== undefined && moved <= MOVED_SECONDS) return believed;
    const little = believed !== undefined && moved <= FAR_SECONDS;
    believed = found;
    if (little || moved <= MOVED_SECONDS) return found;
    power.forget();
    return found;
  }

  /** One device tells the offset for all, as long as it speaks: they have the same sensors, and the evidence has one clock. */
  function leads(who: object, at: Instant, blur: number): boolean {
    if (!leader || (leader.lane !== who && at - leader.spoke > SILENT_SECONDS)) {
      leader = { lane: who, spoke: at };
      clocks.blur(blur);
    }
    if (leader.lane !== who) return false;
    leader.spoke = at;
    return true;
  }

  function lane(blur: number, stated: number): Lane {
    const device = seen.device(blur);
    const self = {};
    let worked = -Infinity;
    return {
      drawn(from, to, joules) {
        if (leads(self, from, blur)) clocks.drawn(from, to, joules / (to - from));
        device.drawn(from, to, joules, lag(stated));
      },
      divide(pieces) {
        if (pieces.some(({ stretch }) => stretch.window)) return runsOf(pieces).flatMap((run) => (run[0]?.stretch.window ? windows.divide(run) : run.map(({ stretch, energy }) => ({ shares: power.judge(stretch).shares, weight: energy }))));
        const judged = pieces.map(({ from, to, stretch }): Judged => {
          if (stretch.state === 'work') worked = to;
          return power.judge(stretch, from - worked);
        });
        // Without an expectation for each piece the readings' own shape divides them.
        const all = judged.every(({ watts }) => watts !== undefined);
        return pieces.map(({ from, to, energy, stretch }, index) => {
          const { watts, shares } = judged[index] ?? { watts: undefined, shares: pure(stretch.state === 'work' ? 'active' : stretch.state) };
          // What was not seen gets nothing, whatever was to be expected.
          return { shares, weight: all && watts !== undefined && energy > 0 ? watts * (to - from) : energy };
        });
      },
    };
  }

  function expect(stretches: readonly Stretch[]): void {
    seen.work(stretches);
    for (const stretch of stretches) {
      if (stretch.groupEnd !== undefined || stretch.state === 'unknown' || stretch.state === 'active') continue;
      const guess = Math.max(0, ...stretch.work.map(({ prefill, decode }) => GUESS.prefill * (prefill?.busy ?? 0) + GUESS.decode * (decode?.busy ?? 0)));
      clocks.expected(stretch.from, stretch.to, guess);
    }
  }

  return {
    knows: learnt(),
    rewind() {
      clocks.rewind();
      seen.rewind();
      leader = undefined;
    },
    lane,
    expect,
    judge: (stretch) => power.judge(stretch).shares,
    lag,
    offset: () => clocks.offset(),
    ready: () => power.ready(),
    unrelated: () => power.unrelated(),
    error: () => power.error(),
  };
}

/** Neighbouring pieces of the same window of counts, or of none. */
function runsOf(pieces: readonly MeasuredPiece[]): MeasuredPiece[][] {
  const runs: MeasuredPiece[][] = [];
  for (const piece of pieces) {
    const run = runs.at(-1);
    if (run && run[0]?.stretch.window === piece.stretch.window) run.push(piece);
    else runs.push([piece]);
  }
  return runs;
}
