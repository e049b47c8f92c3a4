/** What may be asked of an evidence bundle, from a command line or a query string: unknown text in, a question or every fault at once out. */
import { UsageError } from '@joulebook/shared/errors.js';
import { nearest } from '@joulebook/shared/settings.js';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { formatTime, parseTime } from '../join/times.js';
import type { Defaults, Said } from '../report/request.js';
import type { Manifest } from './manifest.js';

export const EVIDENCE_OPTIONS = ['from', 'to', 'boundary'] as const;

/** @throws UsageError with every fault */
export function parseEvidence(said: Said, { price, pue, carbon }: Defaults, prefix: '--' | ''): Manifest['question'] {
  const faults: string[] = [];
  for (const [option, texts] of Object.entries(said)) {
    const known: readonly string[] = EVIDENCE_OPTIONS;
    const guess = nearest(option, EVIDENCE_OPTIONS);
    if (!known.includes(option)) faults.push(`${prefix}${option}: unknown; ${guess === undefined ? `known are ${EVIDENCE_OPTIONS.join(', ')}` : `did you mean '${guess}'?`}`);
    else if (texts.length > 1) faults.push(`${prefix}${option}: said more than once`);
  }
  const time = (name: 'from' | 'to') => {
    const text = said[name]?.at(-1);
    const parsed = text === undefined ? undefined : parseTime(text);
    if (parsed === undefined) faults.push(text === undefined ? `${prefix}${name}: say the range that the evidence is of` : `${prefix}${name}: '${text}' is not a time; write ISO 8601 with a zone (2026-01-31T08:00:00Z) or epoch seconds`);
    return parsed;
  };
  const [from, to] = [time('from'), time('to')];
  if (from !== undefined && to !== undefined && from >= to) faults.push(`${prefix}to: must be later than ${prefix}from`);
  const text = said['boundary']?.at(-1);
  const boundary = BOUNDARIES.find((known) => known === text);
  if (text !== undefined && boundary === undefined) faults.push(`${prefix}boundary: '${text}' is no boundary; write one of ${BOUNDARIES.join(', ')}`);
  if (faults.length > 0 || from === undefined || to === undefined) throw new UsageError(faults);
  return { from: formatTime(from), to: formatTime(to), boundary: boundary ?? null, price: price ?? null, pue: pue ?? null, carbon: carbon ?? null };
}
