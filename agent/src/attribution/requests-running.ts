/**
 * The requests that are on at the moment of a sweep, and what they make an engine do:
 *
 *     waits      ├───────┤                arrival to first token
 *     prompting      ├───┤                its prefill, placed by requests-work.ts; of several requests together
 *     decoding           ├────────────┤   first token to end
 *
 * Beside it, it is learnt how fast decode goes on (pace.ts), and counted how many requests ran beside each.
 */
import type { Instant } from '@joulebook/shared/units.js';
import type { RequestEvidence } from '../sources/source.js';
import type { Learnt } from './learnt.js';
import type { Began } from './pace.js';
import { requestsWork } from './requests-work.js';
import { LEAST_MIXING } from './windows-work.js';
import { decodeOnly, NO_LOAD, plus, prefillOnly, type Load, type Part, type RequestRef, type Who, type Work } from './work.js';

/** A request from its arrival to its first token. */
interface Waiting {
  readonly waits: RequestRef;
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

export type RequestSpan = Waiting | Prompting | Decoding;

export interface RunningRequests {
  /** @returns what stretches call it; undefined where it does not tell its first token: then it is only active */
  follow(request: RequestEvidence): RequestRef | undefined;
  /** Adds the prefills of the requests that began before. */
  place(before: Instant): void;
  /** A span begins or ends, at this moment of the sweep. */
  take(span: RequestSpan, step: 1 | -1, at: Instant): void;
  /** Time passes in which nothing begins or ends. */
  pass(seconds: number): void;
  any(): boolean;
  /** What runs now. */
  work(): Work;
  who(): Who;
  /** Most prompt tokens in an iteration. */
  chunked(tokens: number): void;
}

export interface RunningRequestsOptions {
  readonly knows: Learnt;
  /** Stretches tell whose work it was. */
  readonly tellWho: boolean;
  readonly add: (from: Instant, to: Instant, what: RequestSpan | 'active') => void;
}

/** Most prompt tokens in an iteration where the engine does not say it. */
const USUAL_CHUNK_TOKENS = 4_096;

export function runningRequests({ knows, tellWho, add }: RunningRequestsOptions): RunningRequests {
  const { pace } = knows;
  const placing = requestsWork(knows);
  const refs = new WeakMap<RequestEvidence, RequestRef>();
  /** How many of each are on. */
  let prefills = 0;
  let decodes = 0;
  /** Of all requests in their prefill. */
  let prompting = { prompted: 0, iterations: 0 };
  const prompts = new Set<Prompting>();
  const waiting = new Set<Waiting>();
  const began = new Map<Decoding, Began>();
  /** KV tokens of all that decode. */
  let context = 0;
  const present = new Map<RequestRef, { readonly at: Instant; readonly passed: number }>();
  /** Requests × seconds so far. */
  let passed = 0;
  let who: Who | undefined;
  let chunkTokens = USUAL_CHUNK_TOKENS;

  /** A request comes or goes: how many ran beside it is known when it goes. */
  function come(request: RequestRef, step: 1 | -1, at: Instant): void {
    if (!tellWho) return;
    const before = present.get(request);
    if (step > 0) present.set(request, before ?? { at, passed });
    else if (before && at > before.at) request.concurrency = (passed - before.passed) / (at - before.at);
  }

  function takePrompting(span: Prompting, step: 1 | -1): void {
    prefills += step;
    if (step > 0) prompts.add(span);
    else prompts.delete(span);
    prompting = prefills === 0 ? { prompted: 0, iterations: 0 } : { prompted: prompting.prompted + step * span.prompted, iterations: prompting.iterations + step * span.iterations };
  }

  function takeDecoding(span: Decoding, step: 1 | -1): void {
    decodes += step;
    context = decodes === 0 ? 0 : context + step * span.kvTokens;
    if (step > 0) return void began.set(span, pace.began());
    const before = began.get(span);
    if (before) pace.ended(before, span.outputTokens);
    began.delete(span);
  }

  return {
    follow(evidence) {
      const { start, firstToken, end } = evidence;
      if (firstToken === undefined) {
        add(start, end, 'active');
        return undefined;
      }
      const ref: RequestRef = { id: evidence.id };
      const known = { ...evidence, firstToken };
      refs.set(known, ref);
      placing.add(known);
      add(start, firstToken, { waits: ref });
      const { input = 0, cachedInput = 0, output = 0 } = evidence.tokens;
      add(firstToken, end, { request: ref, decoding: 1, outputTokens: output, kvTokens: input + cachedInput + output / 2 });
      return ref;
    },
    place(before) {
      for (const { from, firstToken, promptTokens, requests: batch } of placing.place(before)) {
        const time = Math.max(1e-6, firstToken - from);
        // Each prompt takes an iteration at least, and one for each chunk.
        add(from, firstToken, { who: batch.flatMap((request) => partOf(refs.get(request), request.tokens.input ?? 1)), prompted: (promptTokens ?? 0) / time, iterations: Math.ceil((promptTokens ?? 1) / chunkTokens) / time });
      }
    },
    take(span, step, at) {
      who = undefined;
      if ('prompted' in span) takePrompting(span, step);
      else if ('waits' in span) {
        come(span.waits, step, at);
        if (step > 0) waiting.add(span);
        else waiting.delete(span);
      } else {
        come(span.request, step, at);
        takeDecoding(span, step);
      }
    },
    pass(seconds) {
      passed += (waiting.size + decodes) * seconds;
      pace.pass(seconds, decodes > 0, prompting.iterations);
    },
    any: () => prefills + decodes + waiting.size > 0,
    work() {
      const step = pace.step();
      const stepsOf = (rate: number): Load => ({ ...NO_LOAD, iterations: rate, decoded: rate * decodes, kvTokens: rate * context });
      if (prefills === 0 && decodes > 0) return decodeOnly({ ...stepsOf(step === undefined ? 0 : 1 / step), busy: 1 });
      const mixing = pace.mixing();
      const prompt: Load = { ...NO_LOAD, busy: 1, iterations: prompting.iterations * Math.max(1, mixing), promptTokens: prompting.prompted };
      if (decodes === 0 || mixing < LEAST_MIXING) return prefillOnly(prompt);
      // Iterations that compute prompts take the sequences a step further too.
      const decode: Load = { ...stepsOf(prompting.iterations * mixing), busy: Math.min(1, prompting.iterations * mixing * (step ?? 0)) };
      return { ran: { ...plus(prompt, decode), busy: 1, iterations: prompt.iterations }, prefill: prompt, decode, mixing: 'iteration' };
    },
    who() {
      who ??= {
        prefill: prompts.size > 0 ? [...prompts].flatMap((each) => each.who) : [...waiting].map(({ waits }) => ({ request: waits, weight: 1 })),
        decode: [...began.keys()].map(({ request }) => ({ request, weight: 1 })),
      };
      return who;
    },
    chunked(most) {
      chunkTokens = most;
    },
  };
}

const partOf = (request: RequestRef | undefined, weight: number): Part[] => (request ? [{ request, weight }] : []);
