/**
 * What came of requests, where it differs between the sides: no condition, and in every figure per request.
 *
 *   A   100 answered                   20 000 J   200 J/request
 *   B   100 answered, 25 refused       20 000 J   160 J/request: a fifth less, and nothing was saved
 */
import { percent } from '../report/columns.js';
import type { Reason } from './answer.js';
import type { CellSums } from './cells.js';
import type { Measured, Pair } from './found.js';
import type { Metric } from './metrics.js';

/** Points by which the shares may differ without a word. */
const NOTEWORTHY = 0.01;

const unansweredOf = ({ answeredRequests = 0, unansweredRequests = 0 }: CellSums): number => (unansweredRequests > 0 ? unansweredRequests / (answeredRequests + unansweredRequests) : 0);

/** No refusal. */
export function outcomesApart([a, b]: Pair<Pick<Measured, 'sums'>>, told: readonly Metric[]): Reason[] {
  const [ofA, ofB] = [unansweredOf(a.sums), unansweredOf(b.sums)];
  const isPerRequest = told.some(({ numerator, denominator }) => numerator === 'requests' || denominator === 'requests');
  if (!isPerRequest || Math.abs(ofA - ofB) <= NOTEWORTHY) return [];
  return [{ code: 'OUTCOMES_DIFFER', detail: `${percent(ofA)} of the requests of A and ${percent(ofB)} of those of B ended without an answer (failed, aborted, refused, tried again), and each of them is a request in figures per request: the side with more of them looks better there than it is. Figures per task leave them out.` }];
}
