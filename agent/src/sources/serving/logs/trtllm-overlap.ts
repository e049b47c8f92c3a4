/**
 * Whether an engine overlaps its iterations. If it does, a pass of its loop starts iteration k on the device and then
 * waits for the result of k−1, so the host's time of a pass is the device's time of the iteration before:
 *
 *     host pass       │ 7 │ 7 │ 7 │ 200 │ 7 │            device of k is next to host of k+1
 *     iteration       │ 7 │ 7 │200│  7  │ 7 │            without overlap: next to host of k
 *
 * Both times are printed; which neighbour fits better over the changes from one iteration to the next tells.
 */
import type { Report } from './trtllm-report.js';

export interface Overlap {
  /** A line and the one after it. */
  learn(line: Report, next: Report): void;
  readonly seen: boolean;
}

const FORGETS = 0.99;

export function overlapOf(): Overlap {
  let misfitOfOwn = 0;
  let misfitOfNext = 0;
  return {
    learn({ hostStep: own }, { hostStep: following, previousDevice: device }) {
      if (own === undefined || following === undefined || device === undefined) return;
      const longest = Math.max(own, following, device);
      if (longest === 0) return;
      misfitOfOwn = misfitOfOwn * FORGETS + Math.abs(device - own) / longest;
      misfitOfNext = misfitOfNext * FORGETS + Math.abs(device - following) / longest;
    },
    get seen() {
      return misfitOfNext < misfitOfOwn;
    },
  };
}
