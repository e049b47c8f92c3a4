/**
 * Do the books close? Conservation, completeness and duplicates of a store, found out from its sums and its ledger: the same
 * for a file of batches, a store that nobody holds, and a running collector.
 */
import { instant, toEpochMicros, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { formatTime } from '../join/times.js';
import type { Scope, Store } from '../store/store.js';
import { coverageEnough, gapsOf, nothingLost, nothingTwice, sequencesWhole, tokensAgree } from './completeness.js';
import { boundariesContain, phasesAddUp, requestsWithinEnergy } from './energy-books.js';
import type { Question } from './question.js';
import { toldOf, type Verification } from './verification.js';

const MOST_NOTES = 20;

/** Batches overtake each other on their way to a running collector. */
export interface OnTheWay {
  readonly now: Instant;
  readonly grace: Seconds;
}

/** @param onTheWay absent where nothing is on its way any more */
export async function verify(store: Store, { from, to, leastCoverage }: Question, onTheWay?: OnTheWay): Promise<Verification> {
  const scope: Scope = { where: [], from, to };
  const extent = await store.extent();
  const gaps = await gapsOf(store, onTheWay && toEpochMicros(instant(onTheWay.now - onTheWay.grace)));
  const findings = [
    await phasesAddUp(store, scope),
    await boundariesContain(store, scope),
    await requestsWithinEnergy(store, scope),
    await tokensAgree(store, scope),
    sequencesWhole(gaps),
    await nothingLost(store, scope),
    await coverageEnough(store, gaps, scope, leastCoverage),
    await nothingTwice(store, scope),
  ];
  const reasons = findings.flatMap(toldOf);
  return {
    closed: reasons.length === 0,
    from: extent === null ? null : formatTime(from ?? extent.from),
    to: extent === null ? null : formatTime(to ?? extent.to),
    checks: findings.map(({ check, looked, nothing = false, reasons: found }) => ({ check, closed: found.length > 0 ? false : nothing ? null : true, looked })),
    reasons,
    notes: findings.flatMap(({ check, notes = [] }) => notes.slice(0, MOST_NOTES).map((note) => ({ check, ...note }))),
  };
}
