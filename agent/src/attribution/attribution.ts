/**
 * Dividing the energy of one deployment on its GPUs: what is learnt of it, and what follows from that for each group of
 * readings. One for each deployment, fed by all its GPUs, since they share its work.
 */
import type { Instant } from '@joulebook/shared/units.js';
import { alignment, type Offset } from './alignment.js';
import { blocks } from './blocks.js';
import { learnt, type Learnt } from './learnt.js';
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
}

export interface Attribution {
  /** How fast it works. */
  readonly knows: Learnt;
  /** For one device: its pieces come in their order. @param averagedOver its sensor shows the mean over so long before, in s */
  lane(averagedOver: number): Lane;
  /** What will be expected of its devices; stretches come in their order. */
  expect(stretches: readonly Stretch[]): void;
  /** Phases of a stretch by what ran, where no energy of its own tells more. */
  judge(stretch: Stretch): Shares;
  /** How much later than the evidence says the power shows it, beyond its sensor's blur. @param stated what the sensor is known to be late, in s */
  lag(stated: number): number;
  offset(): Offset | undefined;
  /** Whether mixed work can be divided. */
  ready(): boolean;
  debug(): unknown;
}

export interface Lane {
  /** What its device drew; in order. */
  drawn(from: Instant, to: Instant, watts: number): void;
  /** Learns from a group of neighbouring pieces and divides it. @param blurred the readings average over long times */
  divide(pieces: readonly MeasuredPiece[], blurred: boolean): Division[];
}

/** Of a stretch where nothing is learnt yet: prefill draws more than decode, and both more than idle. */
const GUESS = { prefill: 1, decode: 0.6 };

export function attribution(): Attribution {
  const power = powerModel();
  const windows = windowModel(power);
  const clocks = alignment();
  let lanes = 0;

  function lane(averagedOver: number): Lane {
    const block = blocks(power);
    // One device tells the offset for all: they have the same sensors, and the evidence has one clock.
    const first = lanes++ === 0;
    if (first) clocks.blur(averagedOver);
    return {
      drawn(from, to, watts) {
        if (first) clocks.drawn(from, to, watts);
      },
      divide(pieces, blurred) {
        if (pieces[0]?.stretch.window) return windows.divide(pieces);
        block.add(pieces, blurred || pieces[0]?.stretch.groupEnd !== undefined);
        const judged = pieces.map(({ stretch }): Judged => power.judge(stretch));
        // Without an expectation for each piece the readings' own shape divides them.
        const all = judged.every(({ watts }) => watts !== undefined);
        return pieces.map(({ from, to, energy, stretch }, index) => {
          const { watts, shares } = judged[index] ?? { watts: undefined, shares: pure(stretch.state === 'work' ? 'active' : stretch.state) };
          return { shares, weight: all && watts !== undefined ? watts * (to - from) : energy };
        });
      },
    };
  }

  function expect(stretches: readonly Stretch[]): void {
    for (const stretch of stretches) {
      if (stretch.groupEnd !== undefined || stretch.state === 'unknown' || stretch.state === 'active') continue;
      const guess = Math.max(0, ...stretch.work.map(({ prefill, decode }) => GUESS.prefill * (prefill?.busy ?? 0) + GUESS.decode * (decode?.busy ?? 0)));
      clocks.expected(stretch.from, stretch.to, guess);
    }
  }

  return {
    knows: learnt(),
    lane,
    expect,
    judge: (stretch) => power.judge(stretch).shares,
    lag: (stated) => clocks.offset()?.seconds ?? stated,
    offset: clocks.offset,
    ready: power.ready,
    debug: power.debug,
  };
}
