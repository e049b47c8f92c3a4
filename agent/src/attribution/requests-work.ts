/**
 * Requests → when their prefill really ran. A request that waits in a queue has no phase of its own, and its first token
 * only says when its prefill was over:
 *
 *     arrival ····· queue ····· ├─prefill─┤ first token ─────── decode ─────── end
 *     arrival ·· queue ·· ├─prefill─┤ first token ──── decode ──── end
 *
 * The prefills are laid back to back before their first tokens, the latest first, as an engine works them off one by one;
 * first tokens that came together are of one prefill.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import type { RequestEvidence } from '../sources/source.js';
import type { Learnt } from './learnt.js';

export type RequestWithFirstToken = RequestEvidence & { readonly firstToken: Instant };

/** A prefill of one request, or of several that got their first tokens together. */
export interface Placed {
  readonly from: Instant;
  readonly firstToken: Instant;
  /** Computed; undefined where a request does not say. */
  readonly promptTokens: number | undefined;
  readonly requests: readonly RequestWithFirstToken[];
}

export interface RequestsWork {
  add(request: RequestWithFirstToken): void;
  /** When the prefills of the requests that began before this moment ran; each request is handed out once. */
  place(before: Instant): Placed[];
}

/** First tokens of one iteration are written this close to each other. */
const TOGETHER_SECONDS = 0.002;
/** Prefills that begin later than this behind the moment asked for can't push others back any more. */
const BACKLOG_SECONDS = 60;

const begin = ({ start, scheduled }: RequestEvidence): Instant => (scheduled !== undefined && scheduled > start ? scheduled : start);

export function requestsWork({ prefills, pace }: Learnt): RequestsWork {
  /** By start from `next` on, once sorted; those before it were handed out. */
  let waiting: RequestWithFirstToken[] = [];
  let next = 0;
  let sorted = true;

  function batchesOf(requests: readonly RequestWithFirstToken[]): RequestWithFirstToken[][] {
    const batches: RequestWithFirstToken[][] = [];
    for (const request of requests.toSorted((a, b) => b.firstToken - a.firstToken)) {
      const batch = batches.at(-1);
      if (batch?.[0] && batch[0].firstToken - request.firstToken <= TOGETHER_SECONDS) batch.push(request);
      else batches.push([request]);
    }
    return batches;
  }

  return {
    add(request) {
      waiting.push(request);
      sorted = false;
    },
    place(before) {
      // Taking them off the front one by one would cost the length of the list each time: it is cut when half of it is gone.
      if (!sorted || next > waiting.length / 2) {
        waiting = waiting.slice(next);
        next = 0;
      }
      if (!sorted) waiting.sort((a, b) => a.start - b.start);
      sorted = true;
      const placeOf = (at: number): number => {
        let place = next;
        for (let request = waiting[place]; request && request.start < at; request = waiting[place]) place += 1;
        return place;
      };
      const end = placeOf(before);
      const due = waiting.slice(next, end);
      next = end;
      if (due.length === 0) return [];
      const inOrder = due.toSorted((a, b) => a.firstToken - b.firstToken);
      prefills.learn(inOrder.map((request) => ({ from: begin(request), tookUp: request.scheduled !== undefined, firstToken: request.firstToken, end: request.end, promptTokens: request.tokens.input })), pace.step());
      const behind = waiting.slice(next, placeOf(before + BACKLOG_SECONDS));
      let until = Infinity;
      return batchesOf([...due, ...behind]).flatMap((batch): Placed[] => {
        const firstToken = batch[0]?.firstToken ?? before;
        const from = batch.reduce((least, request) => Math.min(least, begin(request)), Infinity);
        const promptTokens = batch.reduce<number | undefined>((sum, { tokens }) => (sum === undefined || tokens.input === undefined ? undefined : sum + tokens.input), 0);
        const takes = prefills.seconds(promptTokens);
        until = takes === undefined ? from : Math.max(from, Math.min(until, firstToken) - takes);
        return batch.some(({ start }) => start < before) ? [{ from: instant(Math.min(until, firstToken)), firstToken, promptTokens, requests: batch }] : [];
      });
    },
  };
}
