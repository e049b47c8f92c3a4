/**
 * Requests → when their prefill really ran. A request that waits in a queue has no phase of its own, and its first token
 * only says when its prefill was over:
 *
 *     arrival ····· queue ····· ├─prefill─┤ first token ─────── decode ─────── end
 *     arrival ·· queue ·· ├─prefill─┤ first token ──── decode ──── end
 *
 * How long prefill takes follows from requests that met no other prefill: their whole time to first token is theirs. The
 * prefills are laid back to back before their first tokens, the latest first, as an engine works them off one by one.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { RequestEvidence } from '../sources/source.js';
import { dot, regression } from './regression.js';

export interface Placed {
  readonly from: Instant;
  readonly firstToken: Instant;
}

export interface RequestsWork {
  add(request: RequestEvidence & { readonly firstToken: Instant }): void;
  /** When the prefill of each request that began before this moment ran; each request is handed out once. */
  place(before: Instant): Placed[];
  /** Prompt tokens per second of prefill, while it is known. */
  prefillSpeed(): number | undefined;
  /** Seconds of a decode step that is not held up by prefill, while it is known. */
  stepSeconds(): number | undefined;
}

const ENOUGH = 5;
const TOKENS = 1_000;
const PACES_KEPT = 512;

const columnsOf = (tokens: number): number[] => [1, tokens / TOKENS, (tokens / TOKENS) ** 2];

export function requestsWork(): RequestsWork {
  const undisturbed = regression(3);
  const any = regression(3);
  const paces: number[] = [];
  let waiting: (RequestEvidence & { readonly firstToken: Instant })[] = [];
  let lastFirstToken = -Infinity;

  const fit = (): readonly number[] | undefined => (undisturbed.weight() >= ENOUGH ? undisturbed : any.weight() >= ENOUGH ? any : undefined)?.solution()?.coefficients;
  const secondsOf = (tokens: number | undefined): number | undefined => {
    const coefficients = fit();
    return coefficients === undefined || tokens === undefined ? undefined : dot(columnsOf(tokens), coefficients);
  };
  const begin = ({ start, scheduled }: RequestEvidence): Instant => (scheduled !== undefined && scheduled > start ? scheduled : start);

  function learn(inOrder: readonly (RequestEvidence & { readonly firstToken: Instant })[]): void {
    for (const [index, request] of inOrder.entries()) {
      const from = begin(request);
      const computed = request.tokens.input;
      if (computed !== undefined && computed > 0) {
        const alone = from >= lastFirstToken && !inOrder.some((other, at) => at > index && begin(other) < request.firstToken);
        if (alone || request.scheduled !== undefined) undisturbed.add(columnsOf(computed), request.firstToken - from, 1);
        any.add(columnsOf(computed), request.firstToken - Math.max(from, Math.min(lastFirstToken, request.firstToken)), 1);
      }
      lastFirstToken = Math.max(lastFirstToken, request.firstToken);
      const { output } = request.tokens;
      if (output !== undefined && output > 8) paces.push((request.end - request.firstToken) / (output - 1));
      if (paces.length > PACES_KEPT) paces.shift();
    }
  }

  return {
    add: (request) => void waiting.push(request),
    place(before) {
      const known = waiting.toSorted((a, b) => a.firstToken - b.firstToken);
      const due = known.filter((request) => request.start < before);
      if (due.length === 0) return [];
      waiting = known.filter((request) => request.start >= before);
      learn(due);
      let until = Infinity;
      return known.toReversed().flatMap((request): Placed[] => {
        const from = begin(request);
        const end = Math.max(from, Math.min(until, request.firstToken));
        const takes = secondsOf(request.tokens.input);
        const began = takes === undefined ? from : Math.max(from, end - takes);
        until = began;
        return request.start < before ? [{ from: instant(Math.min(began, request.firstToken)), firstToken: request.firstToken }] : [];
      });
    },
    prefillSpeed() {
      const seconds = secondsOf(4 * TOKENS);
      return seconds === undefined || seconds <= 0 ? undefined : (4 * TOKENS) / seconds;
    },
    stepSeconds() {
      if (paces.length < ENOUGH) return undefined;
      return paces.toSorted((a, b) => a - b)[Math.floor(paces.length / 4)];
    },
  };
}
