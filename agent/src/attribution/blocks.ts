/** Neighbouring pieces of energy put together until they are long enough to learn from: a sensor's edges blur what is shorter. */
import type { MeasuredPiece } from './attribution.js';
import type { Block, Load, PowerModel } from './power-model.js';

const BLOCK_SECONDS = 1;
const BLURRED_BLOCK_SECONDS = 5;

type Sums<T> = { -readonly [K in keyof T]: T[K] extends number ? number : Sums<T[K]> };

const nothing = (): Sums<Load> => ({ prefill: 0, decode: 0, sequences: 0 });
const empty = (): Sums<Block> => ({ seconds: 0, joules: 0, idle: 0, alone: nothing(), together: nothing() });

export function blocks(model: PowerModel): { add(pieces: readonly MeasuredPiece[], blurred: boolean): void } {
  let open = empty();

  function add({ from, to, energy, stretch }: MeasuredPiece): void {
    const time = to - from;
    // What nobody knows teaches nothing, and neither does what lies beside it in the same reading.
    if (stretch.state === 'unknown' || stretch.state === 'active' || energy <= 0) {
      open = empty();
      return;
    }
    open.seconds += time;
    open.joules += energy / 1e6;
    if (stretch.state === 'idle') open.idle += time;
    for (const work of stretch.work) {
      const load = work.prefill > 0 && work.decode > 0 && work.mixing === 'iteration' ? open.together : open.alone;
      load.prefill += work.prefill * time;
      load.decode += work.decode * time;
      load.sequences += work.sequences * work.decode * time;
    }
  }

  return {
    add(pieces, blurred) {
      for (const piece of pieces) add(piece);
      if (open.seconds < (blurred ? BLURRED_BLOCK_SECONDS : BLOCK_SECONDS)) return;
      model.learn(open);
      open = empty();
    },
  };
}
