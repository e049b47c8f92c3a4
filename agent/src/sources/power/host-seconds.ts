import { seconds, type Seconds } from '@joulebook/shared/units.js';

/** The host's monotonic clock: the same in every thread, unlike `performance.now()`, which counts from each thread's start. */
export const hostSeconds = (): Seconds => seconds(Number(process.hrtime.bigint()) / 1e9);
