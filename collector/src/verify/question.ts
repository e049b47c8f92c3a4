/** What may be asked of `verify`, from a command line or a query string: unknown text in, a question or every fault at once out. */
import { UsageError } from '@joulebook/shared/errors.js';
import { nearest } from '@joulebook/shared/settings.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import { parseTime } from '../join/times.js';
import type { Said } from '../report/request.js';

export const VERIFY_OPTIONS = ['from', 'to', 'coverage'] as const;
const LEAST_COVERAGE = 0.95;

export interface Question {
  readonly from: EpochMicros | undefined;
  readonly to: EpochMicros | undefined;
  /** Of the time asked, 0 to 1. */
  readonly leastCoverage: number;
}

/**
 * @param prefix what stands before an option's name in faults
 * @throws UsageError with every fault
 */
export function parseQuestion(said: Said, prefix: '--' | ''): Question {
  const faults: string[] = [];
  for (const [option, texts] of Object.entries(said)) {
    const known: readonly string[] = VERIFY_OPTIONS;
    const guess = nearest(option, VERIFY_OPTIONS);
    if (!known.includes(option)) faults.push(`${prefix}${option}: unknown; ${guess === undefined ? `known are ${VERIFY_OPTIONS.join(', ')}` : `did you mean '${guess}'?`}`);
    else if (texts.length > 1) faults.push(`${prefix}${option}: said more than once`);
  }
  const read = <T>(option: (typeof VERIFY_OPTIONS)[number], parse: (text: string) => T | undefined, fault: string): T | undefined => {
    const text = said[option]?.at(-1);
    if (text === undefined) return undefined;
    const value = parse(text);
    if (value === undefined) faults.push(`${prefix}${option}: '${text}' ${fault}`);
    return value;
  };
  const time = 'is not a time; write ISO 8601 with a zone (2026-01-31T08:00:00Z) or epoch seconds';
  const from = read('from', parseTime, time);
  const to = read('to', parseTime, time);
  if (from !== undefined && to !== undefined && from >= to) faults.push(`${prefix}to: must be later than ${prefix}from`);
  const leastCoverage = read('coverage', (text) => (/^(?:0|1|0?\.\d+|[01]\.0+|0\.\d+)$/.test(text.trim()) ? Number(text) : undefined), 'is not a share between 0 and 1; write 0.95');
  if (faults.length > 0) throw new UsageError(faults);
  return { from, to, leastCoverage: leastCoverage ?? LEAST_COVERAGE };
}
