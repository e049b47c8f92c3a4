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
import { instant, type Instant } from '@joulebook/shared/units.js';
import TinyQueue from 'tinyqueue';
import type { EngineFacts, Evidence, Role, StepsEvidence, WindowEvidence } from '../sources/source.js';
import { learnt, type Learnt } from './learnt.js';
import type { Began } from './pace.js';
import { requestsWork } from './requests-work.js';
import { decodeOnly, DOUBT, NO_LOAD, plus, prefillOnly, type Counts, type Load, type Part, type RequestRef, type Stretch, type Who, type Work } from './work.js';

export interface Timeline {
  /** @returns for a request: what stretches call it */
  evidence(evidence: Evidence): RequestRef | undefined;
  engine(facts: EngineFacts): void;
  /** Requests are fully known here: nobody running means idle. */
  whole(from: Instant, to: Instant): void;
  /** Consecutive stretches from the last call's end (or from `begin`) to `to`. */
  advance(to: Instant): Stretch[];
}

/** How many of each are on at a moment of the sweep. */
type Counter = 'prefill' | 'decode' | 'waiting' | 'active' | 'whole' | 'hole' | 'windowBusy' | 'windowIdle' | 'windowUnknown';

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

/** Work of a window, laid out in it; undefined: how long it took is not known. */
interface WindowPart {
  readonly counts: Counts;
  readonly work: Work | undefined;
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
const RUN_SECONDS = 3;
const RUN_GAP_SECONDS = 0.1;
/** In a longer window somebody may come and go. */
const LONG_WINDOW_SECONDS = 3;
/** Most prompt tokens in an iteration where the engine does not say it. */
const USUAL_CHUNK_TOKENS = 4_096;
/** Fewer decode steps per iteration with prompts than this: the engine does not mix them. */
const LEAST_MIXING = 0.2;

export function timeline({ begin, role, roleOnly = false, knows = learnt(), tellWho = false }: TimelineOptions): Timeline {
  const count: Record<Counter, number> = { prefill: 0, decode: 0, waiting: 0, active: 0, whole: 0, hole: 0, windowBusy: 0, windowIdle: 0, windowUnknown: 0 };
  const iterations = new Set<Work>();
  const windows = new Set<WindowPart>();
  const resting = new Set<Resting>();
  const edges = new TinyQueue<Edge>([], (a, b) => a.at - b.at);
  const { speed: alone, pace: decodePace } = knows;
  const requests = requestsWork(knows);
  /** The last iterations of each rank, which what follows is held to. */
  const last = new Map<string, { readonly evidence: StepsEvidence; readonly work: Work }>();
  /** Iterations in order whose moments are still to be settled. */
  const runs = new Map<string | undefined, StepsEvidence[]>();
  const looks = new Map<string, WindowEvidence>();
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
    if (evidence.timing === 'exact' && alone.trustsMoments()) {
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
    const [begin, end] = [run?.[0]?.from, run?.at(-1)?.to];
    runs.delete(rank);
    if (!run || begin === undefined || end === undefined) return;
    const needs = run.map(secondsOf);
    const sum = needs.reduce<number>((total, each) => total + (each ?? Number.NaN), 0);
    if (!(sum > 0)) return run.forEach(iteration);
    let at: number = begin;
    for (const [index, evidence] of run.entries()) {
      const from = at;
      at += ((end - begin) * (needs[index] ?? 0)) / sum;
      iteration({ ...evidence, from: instant(from), to: instant(at) });
    }
  }

  /** What its work takes; undefined while that is not known. */
  function secondsOf({ steps: number, prefillTokens, prefills, decodes, kvTokens }: StepsEvidence): number | undefined {
    const decode = decodes > 0 ? alone.decode(decodes / number, kvTokens) : 0;
    if (prefillTokens <= 0) return decode === undefined ? undefined : decode * number;
    const least = alone.decode(0, 0) ?? 0;
    const prompting = Math.max(1, Math.min(number, prefills));
    const prefill = alone.prefill(prefillTokens / prompting);
    return prefill === undefined || decode === undefined ? undefined : prefill * prompting + Math.max(0, decode - least) * number;
  }

  function iteration(evidence: StepsEvidence): void {
    const rank = evidence.rank ?? '';
    const before = last.get(rank);
    const pause = before ? evidence.from - before.evidence.to : Infinity;
    if (before && pause > 0 && pause <= LONGEST_PAUSE_SECONDS) add(before.evidence.to, evidence.from, { ...before.work });
    const work = workOf(evidence);
    if (!work) return;
    last.set(rank, { evidence, work });
    add(evidence.from, evidence.to, work);
  }

  /** Undefined for iterations without work. */
  function workOf({ from, to, steps: number, prefillTokens, prefills, decodes, kvTokens }: StepsEvidence): Work | undefined {
    if (decodes <= 0 && prefillTokens <= 0 && prefills <= 0) return undefined;
    const time = to - from;
    const iterations = number / time;
    const prompt: Load = { ...NO_LOAD, iterations, promptTokens: prefillTokens / time };
    const answer: Load = { ...NO_LOAD, iterations, decoded: decodes / time, kvTokens: (kvTokens ?? 0) * iterations };
    if (decodes <= 0) return prefillOnly({ ...prompt, busy: 1 });
    if (prefillTokens <= 0) return decodeOnly({ ...answer, busy: 1 });
    const each = time / number;
    return {
      ran: { busy: 1, iterations, promptTokens: prompt.promptTokens, decoded: answer.decoded, kvTokens: answer.kvTokens },
      prefill: { ...prompt, busy: Math.min(each, alone.prefill(prefillTokens / number) ?? each) / each },
      decode: { ...answer, busy: Math.min(each, alone.decode(decodes / number, kvTokens) ?? each / 2) / each },
      mixing: 'iteration',
    };
  }

  function window(evidence: WindowEvidence): void {
    const key = `${evidence.rank ?? ''}\u0000${evidence.model ?? ''}`;
    const before = looks.get(key);
    looks.set(key, evidence);
    const { from, to, tokens, busy, saturated, credits, running, phaseSeconds } = evidence;
    const input = tokens.input === undefined && tokens.cachedInput === undefined ? undefined : (tokens.input ?? 0);
    const { output } = tokens;
    const prefillTokens = evidence.prefillTokens ?? input ?? 0;
    const sequenceSeconds = sequenceSecondsOf(evidence, before);
    const sequences = Math.max(1, evidence.decodeSteps !== undefined && evidence.decodeSteps > 0 ? (output ?? 0) / evidence.decodeSteps : sequenceSeconds / (to - from));
    if (prefillTokens > 0 || (output ?? 0) > 0) {
      // One that only knows its output can't tell what else ran.
      if (input === undefined && evidence.prefillTokens === undefined && phaseSeconds === undefined) return add(from, to, 'windowBusy');
      if (output === undefined) return add(from, to, 'windowBusy');
      const counts = { from, to, rank: evidence.rank, prefillTokens, decodeTokens: output, decodeSteps: evidence.decodeSteps ?? output / sequences, phaseSeconds, counted: phaseSeconds !== undefined || evidence.decodeSteps !== undefined || evidence.sequenceSeconds !== undefined };
      const atBothEnds = Math.min(running ?? 0, before?.to === from ? (before.running ?? 0) : 0);
      return layOut(counts, { sequences, prompts: promptsOf(evidence), kvUsage: ((evidence.kvUsage ?? 0) + (before?.kvUsage ?? evidence.kvUsage ?? 0)) / 2, counted: counts.counted, wholly: atBothEnds >= (to - from > LONG_WINDOW_SECONDS ? 2 : 1) });
    }
    if (saturated) return add(from, to, 'windowBusy');
    // A request runs and yields nothing: its prompt is being computed, and will be credited at its first token.
    if (credits === 'firstToken' && (running ?? 0) > 0 && output === 0) return add(from, to, { counts: { from, to, rank: evidence.rank, prefillTokens: 1, decodeTokens: 0, decodeSteps: 0, counted: false }, work: prefillOnly() });
    if (busy === undefined) return add(from, to, 'windowUnknown');
    return add(from, to, busy > 0 ? 'windowBusy' : 'windowIdle');
  }

  /** @param how `wholly`: somebody ran all the time */
  function layOut(counts: Counts, how: { readonly sequences: number; readonly prompts: number | undefined; readonly kvUsage: number; readonly counted: boolean; readonly wholly: boolean }): void {
    const { from, to, prefillTokens, decodeTokens, decodeSteps, phaseSeconds } = counts;
    if (phaseSeconds && phaseSeconds.prefill + phaseSeconds.decode > 0) return add(from, to, { counts, work: turnsOf(counts, phaseSeconds) });
    const told = { seconds: to - from, counted: how.counted, kvUsage: how.kvUsage, prompts: how.prompts, promptTokens: prefillTokens, decodedTokens: decodeTokens, sequences: how.sequences, decodeSteps };
    if (how.wholly) knows.windows.learn(told);
    const laid = knows.windows.layOut(told);
    if (!laid) return add(from, to, { counts, work: undefined });
    const time = to - from;
    const busy = laid.prefill.seconds + laid.decode.seconds;
    const scale = how.wholly || busy > time ? time / busy : 1;
    const prefillEnd = instant(from + laid.prefill.seconds * scale);
    const decodeEnd = how.wholly ? to : instant(Math.min(to, prefillEnd + laid.decode.seconds * scale));
    const prompting = prefillEnd - from;
    if (prompting > 0) {
      const iterations = laid.prefill.iterations / prompting;
      const prompt: Load = { ...NO_LOAD, busy: Math.min(1, (laid.prefill.alone * scale) / prompting), iterations, promptTokens: prefillTokens / prompting };
      const mixed: Load = { ...NO_LOAD, busy: Math.min(1, iterations * laid.mixing * laid.decode.step * scale), iterations: iterations * laid.mixing, decoded: iterations * laid.mixing * how.sequences };
      const work: Work = laid.mixing < LEAST_MIXING || decodeTokens === 0 ? prefillOnly({ ...prompt, busy: 1 }) : { ran: { ...plus(prompt, mixed), busy: 1, iterations }, prefill: prompt, decode: mixed, mixing: 'iteration' };
      add(from, prefillEnd, { counts, work });
    }
    if (decodeEnd > prefillEnd) add(prefillEnd, decodeEnd, { counts, work: decodeOnly({ ...NO_LOAD, busy: 1, iterations: 1 / (laid.decode.step * scale), decoded: how.sequences / (laid.decode.step * scale) }) });
    return add(decodeEnd, to, { counts, work: nobody });
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
    } else if ('counts' in what) {
      if (step > 0) windows.add(what);
      else windows.delete(what);
    } else if (step > 0) iterations.add(what);
    else iterations.delete(what);
  }

  const stretch = (from: Instant, to: Instant): Stretch => {
    const plain = (state: 'active' | 'idle' | 'unknown'): Stretch => ({ from, to, state, work: [], doubt: 0 });
    const working = (work: readonly Work[], doubt: number): Stretch => ({ from, to, state: 'work', work, doubt });
    const inRole = (): Stretch => working([ofRole(role)], 0);
    if (roleOnly && role) return inRole();
    if (iterations.size > 0) return role ? inRole() : working([...iterations], DOUBT.steps);
    if (count.active > 0 && !role) return plain('active');
    if (count.prefill + count.decode + count.waiting + count.active > 0) return role ? inRole() : working([workOfRequests()], DOUBT.requests);
    if (resting.size > 0 && count.hole === 0 && allRest()) return plain('idle');
    if (count.whole > 0) return plain(count.hole === 0 ? 'idle' : 'unknown');
    // An engine that tells its iterations did nothing where it tells none, as far as they are told.
    if (windows.size > 0 && [...windows].every(({ counts }) => last.has(counts.rank ?? ''))) return plain('unknown');
    if (windows.size > 0 && role) return inRole();
    if (windows.size > 0 && count.windowBusy === 0) return ofWindows(from, to);
    if (count.windowBusy > 0) return role ? inRole() : plain('active');
    return plain(count.windowIdle > 0 && count.windowUnknown === 0 && count.hole === 0 ? 'idle' : 'unknown');
  };

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
    if (ranks.has(undefined)) return windows.size === 0 && count.windowBusy === 0;
    const known = [...last.keys(), ...[...windows].flatMap(({ counts }) => counts.rank ?? [])];
    return known.every((rank) => ranks.has(rank)) && (count.windowBusy === 0 || known.length > 0);
  }

  function ofWindows(from: Instant, to: Instant): Stretch {
    const parts = [...windows];
    const groupEnd = instant(Math.max(...parts.map(({ counts }) => counts.to)));
    const work = parts.flatMap((part) => part.work ?? []);
    const doubt = parts.every(({ counts }) => counts.counted) ? DOUBT.windows : DOUBT.looks;
    if (work.length < parts.length) return { from, to, state: 'work', work: plainly(parts), doubt, groupEnd, window: sumOf(parts.map(({ counts }) => counts)) };
    const ran = work.filter((each) => each !== nobody);
    return ran.length > 0 ? { from, to, state: 'work', work: ran, doubt, groupEnd } : { from, to, state: 'idle', work: [], doubt, groupEnd };
  }

  function workOfRequests(): Work {
    const step = decodePace.step();
    const perSecond = (iterations: number): Load => ({ ...NO_LOAD, iterations, decoded: iterations * count.decode, kvTokens: iterations * context });
    if (count.prefill === 0 && count.decode > 0) return decodeOnly({ ...perSecond(step === undefined ? 0 : 1 / step), busy: 1 });
    const mixing = decodePace.mixing();
    const prompt: Load = { ...NO_LOAD, busy: 1, iterations: prompting.iterations * Math.max(1, mixing), promptTokens: prompting.prompted };
    if (count.decode === 0 || mixing < LEAST_MIXING) return prefillOnly(prompt);
    // Iterations that compute prompts take the sequences a step further too.
    const decode: Load = { ...perSecond(prompting.iterations * mixing), busy: Math.min(1, prompting.iterations * mixing * (step ?? 0)) };
    return { ran: { ...plus(prompt, decode), busy: 1, iterations: prompt.iterations }, prefill: prompt, decode, mixing: 'iteration' };
  }

  return {
    evidence(evidence) {
      switch (evidence.kind) {
        case 'steps':
          return void steps(evidence);
        case 'window':
          return void window(evidence);
        case 'idle':
          return void add(evidence.from, evidence.to, { resting: evidence.rank });
        case 'hole':
          return void add(evidence.from, evidence.to, 'hole');
        case 'request': {
          const { start, firstToken, end } = evidence;
          if (firstToken === undefined) return void add(start, end, 'active');
          const request: RequestRef = { id: evidence.id };
          const known = { ...evidence, firstToken };
          refs.set(known, request);
          requests.add(known);
          add(start, firstToken, { waits: request });
          const { input = 0, cachedInput = 0, output = 0 } = evidence.tokens;
          add(firstToken, end, { request, decoding: 1, outputTokens: output, kvTokens: input + cachedInput + output / 2 });
          return request;
        }
      }
    },
    engine({ chunkTokens: told }) {
      if (told !== undefined && told > 0) chunkTokens = told;
    },
    whole: (from, to) => add(from, to, 'whole'),
    advance(to) {
      place(to);
      for (const rank of [...runs.keys()]) if ((runs.get(rank)?.[0]?.from ?? to) < to) settle(rank);
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
        const piece = stretch(frontier, until);
        stretches.push(tellWho && piece.state === 'work' ? { ...piece, who: whoNow() } : piece);
        frontier = until;
      }
      return stretches;
    },
  };
}

const partOf = (request: RequestRef | undefined, weight: number): Part[] => (request ? [{ request, weight }] : []);

const ofRole = (role: Role | undefined): Work => (role === 'prefill' ? prefillOnly() : decodeOnly());

/** Of a window in which for a while nobody ran. */
const nobody: Work = { ran: NO_LOAD, prefill: undefined, decode: undefined, mixing: 'iteration' };

/** Which phases there were, where nothing is known of how long they took. */
function plainly(parts: readonly WindowPart[]): Work[] {
  const busy: Load = { ...NO_LOAD, busy: 1 };
  return [{ ran: busy, prefill: parts.some(({ counts }) => counts.prefillTokens > 0) ? busy : undefined, decode: parts.some(({ counts }) => counts.decodeTokens > 0) ? busy : undefined, mixing: 'turns' }];
}

function turnsOf({ from, to, prefillTokens, decodeTokens, decodeSteps }: Counts, phaseSeconds: { readonly prefill: number; readonly decode: number }): Work {
  const time = to - from;
  const scale = Math.min(1, time / (phaseSeconds.prefill + phaseSeconds.decode)) / time;
  const prefill: Load = { ...NO_LOAD, busy: phaseSeconds.prefill * scale, promptTokens: prefillTokens / time };
  const decode: Load = { ...NO_LOAD, busy: phaseSeconds.decode * scale, iterations: decodeSteps / time, decoded: decodeTokens / time };
  return { ran: plus(prefill, decode), prefill: prefill.busy > 0 ? prefill : undefined, decode: decode.busy > 0 ? decode : undefined, mixing: 'turns' };
}

/** How long sequences decoded: told, or by how many ran when somebody looked. */
function sequenceSecondsOf({ from, to, sequenceSeconds, running = 0 }: WindowEvidence, before: WindowEvidence | undefined): number {
  if (sequenceSeconds !== undefined) return sequenceSeconds;
  const earlier = before?.to === from ? (before.running ?? running) : running;
  return ((running + earlier) / 2) * (to - from);
}

/** Requests whose prompts were credited in the window, where its counters tell; those that ended are as many in the long run. */
const promptsOf = ({ prompts, requests }: WindowEvidence): number | undefined => prompts ?? (requests && Object.values(requests).reduce((sum, each) => sum + each, 0));

function sumOf(windows: readonly Counts[]): Counts {
  const [first, ...rest] = windows;
  if (!first) throw new Error('no window to sum');
  return rest.reduce((sum, each): Counts => {
    const share = (part: Counts): number => Math.min(1, (Math.min(sum.to, each.to) - Math.max(sum.from, each.from)) / (part.to - part.from));
    const from = instant(Math.max(sum.from, each.from));
    const to = instant(Math.min(sum.to, each.to));
    const of = (key: 'prefillTokens' | 'decodeTokens' | 'decodeSteps'): number => sum[key] * share(sum) + each[key] * share(each);
    return { from, to, prefillTokens: of('prefillTokens'), decodeTokens: of('decodeTokens'), decodeSteps: of('decodeSteps'), counted: sum.counted && each.counted };
  }, first);
}
