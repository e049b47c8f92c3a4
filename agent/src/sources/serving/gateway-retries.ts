/**
 * Attempts of one call at a gateway. A record does not say that there will be another attempt: a failed one is held until
 * the next of its call has come, or would have.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { RequestEvidence } from '../source.js';

/** The next attempt begins at once, or after a wait of some seconds; a session's next request, which has the same trace, seldom so soon. */
const LONGEST_WAIT_SECONDS = 10;
/** The attempts are timed one by one, by more than one process. */
const ROUNDING_SECONDS = 0.1;
/** So long after it ended a failed attempt is told; the next one may run for longer, but energy waits for what is held. */
const HELD_SECONDS = 120;

export function gatewayRetries() {
  /** By call; in the order in which they were told. */
  const held = new Map<string, RequestEvidence>();

  return {
    *next(request: RequestEvidence, call: string | undefined): Generator<RequestEvidence> {
      const before = call === undefined ? undefined : held.get(call);
      if (call !== undefined && before) {
        held.delete(call);
        const wait = request.start - before.end;
        yield wait >= -ROUNDING_SECONDS && wait <= LONGEST_WAIT_SECONDS ? { ...before, outcome: 'superseded' } : before;
      }
      if (call !== undefined && request.outcome !== 'ok' && request.outcome !== 'aborted') held.set(call, request);
      else yield request;
    },
    /** Of which no other attempt is to be expected. */
    *until(at: Instant): Generator<RequestEvidence> {
      for (const [call, request] of held) {
        if (instant(request.end + HELD_SECONDS) > at) return;
        held.delete(call);
        yield request;
      }
    },
    *rest(): Generator<RequestEvidence> {
      yield* held.values();
      held.clear();
    },
  };
}
