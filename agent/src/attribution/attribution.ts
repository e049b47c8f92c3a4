/**
 * Dividing the energy of one deployment on its GPUs: what is learnt of it, and what follows from that for each group of
 * readings. One for each deployment, fed by all its GPUs, since they share its work.
 */
import type { Instant } from '@joulebook/shared/units.js';
import { blocks } from './blocks.js';
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
  /** For one device: its pieces come in their order. */
  lane(): Lane;
  /** Phases of a stretch by what ran, where no energy of its own tells more. */
  judge(stretch: Stretch): Shares;
  /** How much later than the evidence says the power shows it, in s. */
  offset(): number;
  /** Whether mixed work can be divided. */
  ready(): boolean;
}

export interface Lane {
  /** Learns from a group of neighbouring pieces and divides it. @param blurred the readings average over long times */
  divide(pieces: readonly MeasuredPiece[], blurred: boolean): Division[];
}

export function attribution(): Attribution {
  const power = powerModel();
  const windows = windowModel(power);

  function lane(): Lane {
    const block = blocks(power);
    return {
      divide(pieces, blurred) {
        const [first] = pieces;
        if (first?.stretch.window) return windows.divide(pieces);
        block.add(pieces, blurred);
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

  return { lane, judge: (stretch) => power.judge(stretch).shares, offset: () => 0, ready: power.ready };
}
