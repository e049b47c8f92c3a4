/** What a serving source said, summed: the totals that `test/logs/*.yaml` speak of. */
import type { ServingEvent } from '@joulebook/agent/sources/source.js';
export declare const NUMBERS: readonly ["input", "cachedInput", "output", "requests", "steps", "iterations", "windows", "ok", "aborted", "failed", "superseded", "fallback", "rejected", "prefillTokens", "decodeTokens", "prefillSeconds", "decodeSeconds", "idleSeconds", "holeSeconds", "running", "waiting", "kvUsage", "chunkTokens", "kvCacheTokens", "skipped"];
export declare const TIMES: readonly ['first', 'last'];
export declare const TEXTS: readonly ['flags', 'version'];
export declare const TOTALS: readonly ["input", "cachedInput", "output", "requests", "steps", "iterations", "windows", "ok", "aborted", "failed", "superseded", "fallback", "rejected", "prefillTokens", "decodeTokens", "prefillSeconds", "decodeSeconds", "idleSeconds", "holeSeconds", "running", "waiting", "kvUsage", "chunkTokens", "kvCacheTokens", "skipped", "first", "last", "flags", "version"];
export type Total = (typeof TOTALS)[number];
export declare function totalsOf(events: AsyncIterable<ServingEvent>): Promise<Partial<Record<Total, number | string>>>;
