/** Evidence that can't belong to the power log, because it lies more than a day away from it. */
import { toIso } from '@joulebook/shared/units.js';
import type { Window } from '../sampler/integrator.js';
import type { Evidence, Flagged, RequestEvidence } from '../sources/source.js';
import { holesOfUnusable } from '../sources/serving/holes.js';
import { evidenceFrom, evidenceTo } from './extent.js';

/** Evidence further away from the power log than this can't belong to it. */
export const FAR_SECONDS = 86_400;

/**
 * Leaves out far-away evidence, says so, and makes holes where a left-out request may really have run: there the
 * evidence is not whole, so idle can't be claimed. It moves no window.
 */
export function usableEvidence(evidence: readonly Evidence[], power: Window | undefined, file: string): { evidence: Evidence[]; flagged: Flagged[] } {
  const isFar = (each: Evidence): boolean => power !== undefined && (evidenceTo(each) < power.from - FAR_SECONDS || evidenceFrom(each) > power.to + FAR_SECONDS);
  const far = evidence.filter((each) => each.kind !== 'hole' && isFar(each));
  // Where everything is far away the two sides do not overlap at all, which is said elsewhere.
  if (far.length === 0 || far.length === evidence.filter((each) => each.kind !== 'hole').length) return { evidence: [...evidence], flagged: [] };
  // Holes and far-away requests together say where the file can't be used; its order tells what lay around them.
  const farRequests = far.some((each) => each.kind === 'request');
  const holes = farRequests ? holesOfUnusable(evidence.flatMap((each) => (each.kind !== 'request' && each.kind !== 'hole' ? [] : [each.kind === 'hole' || isFar(each) ? 'unusable' : each]))) : [];
  return {
    evidence: [...evidence.filter((each) => !isFar(each) && !(farRequests && each.kind === 'hole')), ...holes],
    flagged: far.map((each) => ({ kind: 'flagged', code: 'UNUSABLE_EVIDENCE', count: 1, detail: describe(each, file) })),
  };
}

function describe(evidence: Evidence, file: string): string {
  const name = evidence.kind === 'request' ? evidence.id : file;
  const counts = evidence.kind === 'hole' || evidence.kind === 'idle' ? undefined : evidence.tokens;
  return `${name}: its time ${toIso(evidenceFrom(evidence))} is more than a day away from the power log; not used (${tokenText(counts)})`;
}

function tokenText(tokens: RequestEvidence['tokens'] | undefined): string {
  const input = tokens?.input === undefined ? 'unknown' : tokens.input + (tokens.cachedInput ?? 0);
  return `${input} input and ${tokens?.output ?? 'unknown'} output tokens are left out`;
}
