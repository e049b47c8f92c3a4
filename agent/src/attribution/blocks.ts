/** Neighbouring pieces of energy put together until they are long enough to learn from: a sensor's edges blur what is shorter. */
import type { MeasuredPiece } from './attribution.js';
import type { Block, PowerModel } from './power-model.js';
import { NO_LOAD, plus, times } from './work.js';

const BLOCK_SECONDS = 1;
const BLURRED_BLOCK_SECONDS = 5;
const EMPTY: Block = { seconds: 0, joules: 0, idle: 0, load: NO_LOAD, prefill: 0, decode: 0 };

export function blocks(model: PowerModel): { add(pieces: readonly MeasuredPiece[], blurred: boolean): void } {
  let open = EMPTY;

  function add({ from, to, energy, stretch }: MeasuredPiece): void {
    const time = to - from;
    // What nobody knows teaches nothing, and neither does what lies beside it in the same reading.
    if (stretch.state === 'unknown' || stretch.state === 'active' || energy <= 0) {
      open = EMPTY;
      return;
    }
    open = {
      seconds: open.seconds + time,
      joules: open.joules + energy / 1e6,
      idle: open.idle + (stretch.state === 'idle' ? time : 0),
      load: stretch.work.reduce((sum, { ran }) => plus(sum, times(ran, time)), open.load),
      prefill: open.prefill + time * stretch.work.reduce((sum, work) => sum + (work.prefill?.busy ?? 0), 0),
      decode: open.decode + time * stretch.work.reduce((sum, work) => sum + (work.decode?.busy ?? 0), 0),
    };
  }

  return {
    add(pieces, blurred) {
      for (const piece of pieces) add(piece);
      if (open.seconds < (blurred ? BLURRED_BLOCK_SECONDS : BLOCK_SECONDS)) return;
      model.learn(open);
      open = EMPTY;
    },
  };
}
