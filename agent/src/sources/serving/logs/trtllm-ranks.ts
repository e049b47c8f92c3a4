/**
 * Which ranks of one engine count. All ranks of a tensor- or pipeline-parallel group run the same iterations: one of them
 * stands for all. With attention data parallelism each rank runs requests of its own, and all count.
 *
 *     rank 0  iter = 5, 3 scheduled, 512 context tokens         the same: copies, rank 0 stands for both
 *     rank 1  iter = 5, 3 scheduled, 512 context tokens
 *     rank 0  iter = 5, currank_total_requests = 2/4            a rank that fetched a part of the requests: each counts
 *
 * The first iteration with work in it decides; until then lines of further ranks wait.
 */
import type { TimedReport } from './trtllm-report.js';

const MOST_WAITING = 256;
/** Ranks print within a few iterations of each other. */
const REMEMBERED = 64;

export interface Ranks {
  /** The reports to be counted now: this one, none, or some that waited. */
  choose(report: TimedReport): readonly TimedReport[];
}

export function ranksOfOneEngine(): Ranks {
  let lead: string | undefined;
  let each = false;
  let copies = false;
  const ofLead = new Map<number, string>();
  let waiting: TimedReport[] = [];

  const release = (): TimedReport[] => {
    const released = waiting;
    waiting = [];
    return released;
  };
  function compare(report: TimedReport): void {
    const leads = ofLead.get(report.number);
    if (leads === undefined || each) return;
    if (leads !== sign(report)) each = true;
    else if (worked(report)) copies = true;
  }

  return {
    choose(report) {
      const rank = report.rank ?? '';
      lead ??= rank;
      if (report.fetched && report.fetched.here > 0 && report.fetched.here < report.fetched.all) each = true;
      if (each) return [...release(), report];
      if (rank === lead) {
        ofLead.set(report.number, sign(report));
        if (ofLead.size > REMEMBERED) for (const number of [...ofLead.keys()].slice(0, 1)) ofLead.delete(number);
        for (const other of waiting.filter(({ number }) => number === report.number)) compare(other);
      } else {
        compare(report);
        waiting.push(report);
      }
      if (each) return rank === lead ? [...release(), report] : release();
      if (copies || waiting.length > MOST_WAITING) waiting = [];
      return rank === lead ? [report] : [];
    },
  };
}

/** What a rank says of an iteration, to be compared with another's. */
const sign = ({ scheduled, context, fetched }: TimedReport): string => JSON.stringify([scheduled, context.requests, context.tokens, fetched?.here]);
const worked = ({ scheduled, generationTokens, context }: TimedReport): boolean => (scheduled ?? generationTokens + context.requests) > 0;
