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
import { instant, tokens, type Instant } from '@joulebook/shared/units.js';
import TinyQueue from 'tinyqueue';
import type { EngineFacts, Evidence, RequestEvidence, Role, StepsEvidence, WindowEvidence } from '../sources/source.js';
import { learnt, type Learnt } from './learnt.js';
import type { Began } from './pace.js';
import { requestsWork } from './requests-work.js';
import { LEAST_MIXING, stretchOf, windowsWork, type WindowPart } from './windows-work.js';
import { decodeOnly, DOUBT, NO_LOAD, plus, prefillOnly, type Load, type Part, type RequestRef, type Stretch, type Who, type Work } from './work.js';

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
type Counter = 'prefill' | 'decode' | 'waiting' | 'active' | 'whole' | 'hole';

interface Edge {
  readonly at: Instant;
  readonly step: 1 | -1;
  /** A counter, requests in their prefill or decode, iterations, or a window. */
  readonly what: Counter | Prompting | Decoding | Waiting | Work | WindowPart | Resting;
}

/** A request from its arrival to its first token. */
interface Waiting {
  readonly waits: RequestRef;
}

/** Nobody runs on an engine or rank; without one: on none. */
interface Resting {
  readonly resting: string | undefined;
}

/** Requests in their prefill; per second. */
interface Prompting {
  readonly who: readonly Part[];
  readonly prompted: number;
  readonly iterations: number;
}

/** A request in its decode. */
interface Decoding {
  readonly request: RequestRef;
  readonly decoding: number;
  readonly outputTokens: number;
  readonly kvTokens: number;
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

/** Between two iterations of an engine that has requests lies no more than this; it belongs to the iteration before it. */
const LONGEST_PAUSE_SECONDS = 0.5;
/** Iterations of unknown moments are settled in runs of about so long, without pauses longer than that in them. */
const RUN_SECONDS = 6;
const RUN_GAP_SECONDS = 0.1;
/** An engine that told iterations so lately still tells them. */
const SILENCE_SECONDS = 30;
/** Most prompt tokens in an iteration where the engine does not say it. */
const USUAL_CHUNK_TOKENS = 4_096;

export function timeline({ begin, role, roleOnly = false, knows = learnt(), tellWho = false }: TimelineOptions): Timeline {
  const count: Record<Counter, number> = { prefill: 0, decode: 0, waiting: 0, active: 0, whole: 0, hole: 0 };
  const iterations = new Set<Work>();
  const windows = new Set<WindowPart>();
  const resting = new Set<Resting>();
  const edges = new TinyQueue<Edge>([], (a, b) => a.at - b.at);
  const { speed: alone, pace: decodePace } = knows;
  const requests = requestsWork(knows);
  /** The last iterations of each rank, which what follows is held to. */
  const last = new Map<string, { readonly evidence: StepsEvidence; readonly work: Work }>();
  /** When each rank was last said to rest. */
  const rested = new Map<string, { readonly from: Instant; readonly to: Instant }>();
  /** Iterations in order whose moments are still to be settled. */
  const runs = new Map<string | undefined, StepsEvidence[]>();
  const windowParts = windowsWork(knows.windows);
  const told = new Map<string, { from: number; to: number }[]>();
  let frontier = begin;
  let chunkTokens = USUAL_CHUNK_TOKENS;
  /** Of all requests in their prefill at the moment of the sweep. */
  let prompting = { prompted: 0, iterations: 0 };
  const refs = new WeakMap<Evidence, RequestRef>();
  const prompts = new Set<Prompting>();
  const waiting = new Set<Waiting>();
  const present = new Map<RequestRef, { readonly at: Instant; readonly passed: number }>();
  /** Requests × seconds so far. */
  let passed = 0;
  let who: Who | undefined;
  /** KV tokens of all that decode. */
  let context = 0;
  const began = new Map<Decoding, Began>();

  const add = (from: Instant, to: Instant, what: Edge['what']): void => {
    if (to <= from || to <= frontier) return;
    edges.push({ at: from, step: 1, what });
    edges.push({ at: to, step: -1, what });
  };

  function steps(evidence: StepsEvidence): void {
    alone.learn(evidence);
    if (evidence.timing !== 'inferred' && alone.trustsMoments()) {
      settle(evidence.rank);
      return iteration(evidence);
    }
    const run = runs.get(evidence.rank) ?? [];
    const [first] = run;
    const before = run.at(-1);
    if (first && before && (evidence.from - before.to > RUN_GAP_SECONDS || before.to - first.from > RUN_SECONDS)) {
      settle(evidence.rank);
      return void runs.set(evidence.rank, [evidence]);
    }
    run.push(evidence);
    return void runs.set(evidence.rank, run);
  }

  /** Iterations of which only the order is known: between the run's ends, which are known, each gets the time that its work takes. */
  function settle(rank: string | undefined): void {
    const run = runs.get(rank);
    const [from, to] = [run?.[0]?.from, run?.at(-1)?.to];
    runs.delete(rank);
    if (!run || from === undefined || to === undefined) return;
    const needs = run.map(secondsOf);
    const sum = needs.reduce<number>((total, each) => total + (each ?? Number.NaN), 0);
    if (!(sum > 0)) return run.forEach(iteration);
    let at: number = from;
    for (const [index, evidence] of run.entries()) {
      const start = at;
      at += ((to - from) * (needs[index] ?? 0)) / sum;
      iteration({ ...evidence, from: instant(start), to: instant(at) });
    }
  }

  /** What its work takes; undefined while that is not known. */
  function secondsOf({ steps: number, prefillTokens, prefills, decodes, kvTokens }: StepsEvidence): number | undefined {
    const decode = decodes > 0 ? alone.decode(decodes / number, kvTokens) : 0;
    if (prefillTokens <= 0) return decode === undefined ? undefined : decode * number;
    const least = alone.decode(0, 0) ?? 0;
    const withPrompts = Math.max(1, Math.min(number, prefills));
    const prefill = alone.prefill(prefillTokens / withPrompts);
    return prefill === undefined || decode === undefined ? undefined : prefill * withPrompts + Math.max(0, decode - least) * number;
  }

  function iteration(evidence: StepsEvidence): void {
    const rank = evidence.rank ?? '';
    const before = last.get(rank);
    const pause = before ? evidence.from - before.evidence.to : Infinity;
    const rest = rested.get(rank);
    const restsBetween = before && rest && rest.from < evidence.from && rest.to > before.evidence.to;
    if (before && pause > 0 && pause <= LONGEST_PAUSE_SECONDS && !restsBetween) add(before.evidence.to, evidence.from, { ...before.work });
    tells(rank, evidence);
    const work = workOf(evidence);
    if (!work) return;
    last.set(rank, { evidence, work });
    add(evidence.from, evidence.to, work);
  }

  /** Undefined for iterations without work. */
  function workOf({ from, to, steps: number, prefillTokens, prefills, decodes, kvTokens }: StepsEvidence): Work | undefined {
    if (decodes <= 0 && prefillTokens <= 0 && prefills <= 0) return undefined;
    const time = to - from;
    const perSecond = number / time;
    const prompt: Load = { ...NO_LOAD, iterations: perSecond, promptTokens: prefillTokens / time };
    const answer: Load = { ...NO_LOAD, iterations: perSecond, decoded: decodes / time, kvTokens: (kvTokens ?? 0) * perSecond };
    if (decodes <= 0) return prefillOnly({ ...prompt, busy: 1 });
    if (prefillTokens <= 0) return decodeOnly({ ...answer, busy: 1 });
    const each = time / number;
    return {
      ran: { busy: 1, iterations: perSecond, promptTokens: prompt.promptTokens, decoded: answer.decoded, kvTokens: answer.kvTokens },
      prefill: { ...prompt, busy: Math.min(each, alone.prefill(prefillTokens / number) ?? each) / each },
      decode: { ...answer, busy: Math.min(each, alone.decode(decodes / number, kvTokens) ?? each / 2) / each },
      mixing: 'iteration',
    };
  }

  function follow(evidence: RequestEvidence): RequestRef | undefined {
    const { start, firstToken, end } = evidence;
    if (firstToken === undefined) {
      add(start, end, 'active');
      return undefined;
    }
    const ref: RequestRef = { id: evidence.id };
    const known = { ...evidence, firstToken };
    refs.set(known, ref);
    requests.add(known);
    add(start, firstToken, { waits: ref });
    const { input = 0, cachedInput = 0, output = 0 } = evidence.tokens;
    add(firstToken, end, { request: ref, decoding: 1, outputTokens: output, kvTokens: input + cachedInput + output / 2 });
    return ref;
  }

  function place(before: Instant): void {
    for (const { from, firstToken, promptTokens, requests: batch } of requests.place(before)) {
      const time = Math.max(1e-6, firstToken - from);
      // Each prompt takes an iteration at least, and one for each chunk.
      add(from, firstToken, { who: batch.flatMap((request) => partOf(refs.get(request), request.tokens.input ?? 1)), prompted: (promptTokens ?? 0) / time, iterations: Math.ceil((promptTokens ?? 1) / chunkTokens) / time });
    }
  }

  function take({ what, step }: Edge): void {
    if (typeof what === 'string') count[what] += step;
    else if ('resting' in what) {
      if (step > 0) resting.add(what);
      else resting.delete(what);
    } else if ('prompted' in what) {
      count.prefill += step;
      if (step > 0) prompts.add(what);
      else prompts.delete(what);
      who = undefined;
      prompting = count.prefill === 0 ? { prompted: 0, iterations: 0 } : { prompted: prompting.prompted + step * what.prompted, iterations: prompting.iterations + step * what.iterations };
    } else if ('waits' in what) {
      count.waiting += step;
      come(what.waits, step);
      if (step > 0) waiting.add(what);
      else waiting.delete(what);
      who = undefined;
    } else if ('decoding' in what) {
      count.decode += step;
      come(what.request, step);
      who = undefined;
      context = count.decode === 0 ? 0 : context + step * what.kvTokens;
      if (step > 0) began.set(what, decodePace.began());
      else {
        const before = began.get(what);
        if (before) decodePace.ended(before, what.outputTokens);
        began.delete(what);
      }
    } else if ('counting' in what) {
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
    if (count.prefill + count.decode + count.waiting > 0) return working([workOfRequests()], DOUBT.requests);
    if (resting.size > 0 && count.hole === 0 && allRest()) return plain('idle');
    const counted = stretchOf(from, to, [...windows]);
    const nobody = counted === undefined || counted.state === 'idle' || counted.state === 'unknown';
    if (count.whole > 0 && nobody) return plain(count.hole === 0 ? 'idle' : 'unknown');
    // An engine that tells its iterations did nothing where it tells none, as far as they are told.
    if (windows.size > 0 && counted?.state !== 'idle' && [...windows].every(({ rank }) => (rank === undefined ? [...told.keys()] : [rank]).some((each) => tellsIterations(each, from)))) return plain('unknown');
    if (!counted) return plain('unknown');
    return counted.state === 'idle' && count.hole > 0 ? plain('unknown') : counted;
  };

  /** In a pool whatever runs is in the pool's phase. */
  function inRole(piece: Stretch): Stretch {
    if (!role || piece.state === 'idle' || piece.state === 'unknown') return piece;
    const { work } = piece;
    return { ...piece, state: 'work', work: work.length > 0 ? work.map(({ ran }) => phaseOf(role)(ran)) : [phaseOf(role)(undefined)], doubt: 0 };
  }

  const tellsIterations = (rank: string, at: Instant): boolean => (told.get(rank) ?? []).some(({ from, to }) => at >= from - SILENCE_SECONDS && at < to + SILENCE_SECONDS);

  /** Where a rank told iterations, silences aside. */
  function tells(rank: string, { from, to }: StepsEvidence): void {
    const ranges = told.get(rank) ?? [];
    told.set(rank, ranges);
    const before = ranges.at(-1);
    if (before && from <= before.to + SILENCE_SECONDS) before.to = Math.max(before.to, to);
    else ranges.push({ from, to });
    while (ranges[0] && ranges[0].to < frontier - 2 * SILENCE_SECONDS) ranges.shift();
  }

  /** A request comes or goes: how many ran beside it is known when it goes. */
  function come(request: RequestRef, step: 1 | -1): void {
    if (!tellWho) return;
    const before = present.get(request);
    if (step > 0) present.set(request, before ?? { at: frontier, passed });
    else if (before && frontier > before.at) request.concurrency = (passed - before.passed) / (frontier - before.at);
  }

  function whoNow(): Who {
    who ??= {
      prefill: prompts.size > 0 ? [...prompts].flatMap((each) => each.who) : [...waiting].map(({ waits }) => ({ request: waits, weight: 1 })),
      decode: [...began.keys()].map(({ request }) => ({ request, weight: 1 })),
    };
    return who;
  }

  /** Every rank that is known to run iterations, and every one that a window is about, says that nobody runs there. */
  function allRest(): boolean {
    const ranks = new Set([...resting].map((each) => each.resting));
    if (ranks.has(undefined)) return windows.size === 0;
    const known = [...last.keys(), ...[...windows].flatMap(({ rank }) => rank ?? [])];
    return (known.length > 0 || windows.size === 0) && known.every((rank) => ranks.has(rank));
  }

  function workOfRequests(): Work {
    const step = decodePace.step();
    const stepsOf = (rate: number): Load => ({ ...NO_LOAD, iterations: rate, decoded: rate * count.decode, kvTokens: rate * context });
    if (count.prefill === 0 && count.decode > 0) return decodeOnly({ ...stepsOf(step === undefined ? 0 : 1 / step), busy: 1 });
    const mixing = decodePace.mixing();
    const prompt: Load = { ...NO_LOAD, busy: 1, iterations: prompting.iterations * Math.max(1, mixing), promptTokens: prompting.prompted };
    if (count.decode === 0 || mixing < LEAST_MIXING) return prefillOnly(prompt);
    // Iterations that compute prompts take the sequences a step further too.
    const decode: Load = { ...stepsOf(prompting.iterations * mixing), busy: Math.min(1, prompting.iterations * mixing * (step ?? 0)) };
    return { ran: { ...plus(prompt, decode), busy: 1, iterations: prompt.iterations }, prefill: prompt, decode, mixing: 'iteration' };
  }

  return {
    evidence(evidence, counting = true) {
      switch (evidence.kind) {
        case 'steps':
          steps(evidence);
          break;
        case 'window':
          for (const part of windowParts.parts(role ? countedBy(role, evidence) : evidence, counting)) add(part.from, part.to, role ? leftWhole(part) : part);
          break;
        case 'idle':
          rested.set(evidence.rank ?? '', evidence);
          add(evidence.from, evidence.to, { resting: evidence.rank });
          break;
        case 'hole':
          add(evidence.from, evidence.to, 'hole');
          break;
        case 'request':
          return follow(evidence);
      }
      return undefined;
    },
    engine({ chunkTokens: most }) {
      if (most !== undefined && most > 0) chunkTokens = most;
    },
    whole: (from, to) => add(from, to, 'whole'),
    advance(to) {
      place(to);
      for (const rank of runs.keys()) if ((runs.get(rank)?.[0]?.from ?? to) < to) settle(rank);
      const stretches: Stretch[] = [];
      while (frontier < to) {
        for (let edge = edges.peek(); edge && edge.at <= frontier; edge = edges.peek()) {
          edges.pop();
          take(edge);
        }
        const next = edges.peek();
        const until = next && next.at < to ? next.at : to;
        passed += (count.waiting + count.decode) * (until - frontier);
        decodePace.pass(until - frontier, count.decode > 0, prompting.iterations);
        const piece = inRole(stretch(frontier, until));
        stretches.push(tellWho && piece.state === 'work' ? { ...piece, who: whoNow() } : piece);
        frontier = until;
      }
      return stretches;
    },
  };
}

const partOf = (request: RequestRef | undefined, weight: number): Part[] => (request ? [{ request, weight }] : []);

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
