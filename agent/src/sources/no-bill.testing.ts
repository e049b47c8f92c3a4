import type { LiveContext } from './source.js';

/** For tests that do not ask what reading costs. */
export const NO_BILL: LiveContext['bill'] = { read: () => undefined, missed: () => undefined };
