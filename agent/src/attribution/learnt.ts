/** What is learnt of how fast a deployment works, kept from one sweep of its evidence to the next. */
import { pace, type Pace } from './pace.js';
import { prefillPace, type PrefillPace } from './prefill-pace.js';
import { speed, type Speed } from './speed.js';
import { windowPace, type WindowPace } from './window-pace.js';

export interface Learnt {
  /** Of iterations. */
  readonly speed: Speed;
  /** Of requests: how long a prompt takes, and how decode goes on meanwhile. */
  readonly prefills: PrefillPace;
  readonly pace: Pace;
  /** Of windows of counts. */
  readonly windows: WindowPace;
}

export const learnt = (): Learnt => ({ speed: speed(), prefills: prefillPace(), pace: pace(), windows: windowPace() });
