/**
 * Evidence → what ran over time, for one deployment. The most precise evidence that speaks about a moment wins:
 *
 *   steps      ├p┤├d┤├d┤├d┤├p+d┤├d┤├d┤          iterations: what ran in each
 *   requests   ──┤prefill├──────decode──────┤   arrivals, first tokens, ends
 *   windows    ├─────┼─────┼─────┼─────┼─────┤  counts between two looks
 *   role       ─────────── decode ───────────   a pool of disaggregated serving: the phase of whatever runs
 *   idle, holes      ├────┤                     nobody ran; nobody knows
 *
 * The timeline is swept once: `advance(to)` hands out everything before `to` and forgets it. Evidence that comes later
 * about a time already swept no longer tells a phase (its tokens are counted all the same); the sweep waits for it within bounds.
 */
import { tokens, type Instant } from '@joulebook/shared/units.js';
import TinyQueue from 'tinyqueue';
import type { EngineFacts, Evidence, Role, WindowEvidence } from '../sources/source.js';
import { iterationsWork } from './iterations-work.js';
import { learnt, type Learnt } from './learnt.js';
import { runningRequests, type RequestSpan } from './requests-running.js';
import { stretchOf, windowsWork, type WindowPart } from './windows-work.js';
import { decodeOnly, DOUBT, prefillOnly, type Load, type RequestRef, type Stretch, type Work } from './work.js';

export interface Timeline {
  /**
   * @param counting it is of the source that counts the deployment's tokens
   * @returns for a request: what stretches call it
   */
  evidence(evidence: Evidence, counting?: boolean): RequestRef | undefined;
  engine(facts: EngineFacts): void;
  /** Requests are fully known here: nobody running means idle. */
  whole(from: Instant, to: Instant): void;
  /** Consecutive stretches from the last call's end (or from `begin`) to `to`. */
  advance(to: Instant): Stretch[];
}

/** How many of each are on at a moment of the sweep. */
type Counter = 'active' | 'whole' | 'hole';

interface Edge {
  readonly at: Instant;
  readonly step: 1 | -1;
  /** A counter, requests on their way, iterations, or a window. */
  readonly what: Counter | RequestSpan | Work | WindowPart | Resting;
}

/** Nobody runs on an engine or rank; without one: on none. */
interface Resting {
  readonly resting: string | undefined;
}

export interface TimelineOptions {
  readonly begin: Instant;
  readonly role?: Role | undefined;
  /** No serving source says anything but the role. */
  readonly roleOnly?: boolean;
  /** What is known already of how fast it works; it is learnt on. */
  readonly knows?: Learnt;
  /** Stretches tell whose work it was. */
  readonly tellWho?: boolean;
}

export function timeline({ begin, role, roleOnly = false, knows = learnt(), tellWho = false }: TimelineOptions): Timeline {
  const count: Record<Counter, number> = { active: 0, whole: 0, hole: 0 };
  const iterations = new Set<Work>();
  const windows = new Set<WindowPart>();
  const resting = new Set<Resting>();
  const edges = new TinyQueue<Edge>([], (a, b) => a.at - b.at);
  const windowParts = windowsWork(knows.windows);
  let frontier = begin;

  const add = (from: Instant, to: Instant, what: Edge['what']): void => {
    if (to <= from || to <= frontier) return;
    edges.push({ at: from, step: 1, what });
    edges.push({ at: to, step: -1, what });
  };

  const steps = iterationsWork(knows.speed, add, () => frontier);
  const requests = runningRequests({ knows, tellWho, add });

  function take({ what, step }: Edge): void {
    if (typeof what === 'string') count[what] += step;
    else if ('resting' in what) {
      if (step > 0) resting.add(what);
      else resting.delete(what);
    } else if ('prompted' in what || 'waits' in what || 'decoding' in what) requests.take(what, step, frontier);
    else if ('counting' in what) {
      if (step > 0) windows.add(what);
      else windows.delete(what);
    } else if (step > 0) iterations.add(what);
    else iterations.delete(what);
  }

  const stretch = (from: Instant, to: Instant): Stretch => {
    const plain = (state: 'active' | 'idle' | 'unknown'): Stretch => ({ from, to, state, work: [], doubt: 0 });
    const working = (work: readonly Work[], doubt: number): Stretch => ({ from, to, state: 'work', work, doubt });
    if (roleOnly && role) return working([phaseOf(role)(undefined)], 0);
    if (iterations.size > 0) return working([...iterations], DOUBT.steps);
    if (count.active > 0) return plain('active');
    if (requests.any()) return working([requests.work()], DOUBT.requests);
    if (resting.size > 0 && count.hole === 0 && allRest()) return plain('idle');
    const counted = stretchOf(from, to, [...windows]);
    const nobody = counted === undefined || counted.state === 'idle' || counted.state === 'unknown';
    if (count.whole > 0 && nobody) return plain(count.hole === 0 ? 'idle' : 'unknown');
    // An engine that tells its iterations did nothing where it tells none, as far as they are told.
    if (windows.size > 0 && counted?.state !== 'idle' && [...windows].every(({ rank }) => steps.tellsAt(rank, from))) return plain('unknown');
    if (!counted) return plain('unknown');
    return counted.state === 'idle' && count.hole > 0 ? plain('unknown') : counted;
  };

  /** In a pool whatever runs is in the pool's phase. */
  function inRole(piece: Stretch): Stretch {
    if (!role || piece.state === 'idle' || piece.state === 'unknown') return piece;
    const { work } = piece;
    return { ...piece, state: 'work', work: work.length > 0 ? work.map(({ ran }) => phaseOf(role)(ran)) : [phaseOf(role)(undefined)], doubt: 0 };
  }

  /** Every rank that is known to run iterations, and every one that a window is about, says that nobody runs there. */
  function allRest(): boolean {
    const ranks = new Set([...resting].map((each) => each.resting));
    if (ranks.has(undefined)) return windows.size === 0;
    const known = [...steps.ranks(), ...[...windows].flatMap(({ rank }) => rank ?? [])];
    return (known.length > 0 || windows.size === 0) && known.every((rank) => ranks.has(rank));
  }

  return {
    evidence(evidence, counting = true) {
      switch (evidence.kind) {
        case 'steps':
          steps.take(evidence);
          break;
        case 'window':
          for (const part of windowParts.parts(role ? countedBy(role, evidence) : evidence, counting)) add(part.from, part.to, role ? leftWhole(part) : part);
          break;
        case 'idle':
          steps.rests(evidence);
          add(evidence.from, evidence.to, { resting: evidence.rank });
          break;
        case 'hole':
          add(evidence.from, evidence.to, 'hole');
          break;
        case 'request':
          return requests.follow(evidence);
      }
      return undefined;
    },
    engine({ chunkTokens: most }) {
      if (most !== undefined && most > 0) requests.chunked(most);
    },
    whole: (from, to) => add(from, to, 'whole'),
    advance(to) {
      requests.place(to);
      steps.settle(to);
      const stretches: Stretch[] = [];
      while (frontier < to) {
        for (let edge = edges.peek(); edge && edge.at <= frontier; edge = edges.peek()) {
          edges.pop();
          take(edge);
        }
        const next = edges.peek();
        const until = next && next.at < to ? next.at : to;
        requests.pass(until - frontier);
        const piece = inRole(stretch(frontier, until));
        stretches.push(tellWho && piece.state === 'work' ? { ...piece, who: requests.who() } : piece);
        frontier = until;
      }
      return stretches;
    },
  };
}

/** The first tokens of a prefill pool are no decode, and the prompts that a decode pool is given were computed elsewhere. */
function countedBy(role: Role, evidence: WindowEvidence): WindowEvidence {
  if (role === 'prefill') return { ...evidence, tokens: { ...evidence.tokens, output: tokens(0) }, decodeSteps: 0, sequenceSeconds: 0 };
  const { credits: _, prompts: __, ...rest } = evidence;
  return { ...rest, tokens: { ...evidence.tokens, input: tokens(0) }, prefillTokens: 0 };
}

/** How much of a window a pool ran is told by its power: there is no other phase to learn the idle level beside. */
function leftWhole(part: WindowPart): WindowPart {
  if (part.work?.mixing !== 'turns') return part;
  const { work: _, ...whole } = part;
  return whole;
}

const phaseOf = (role: Role): ((load: Load | undefined) => Work) => (role === 'prefill' ? prefillOnly : decodeOnly);
