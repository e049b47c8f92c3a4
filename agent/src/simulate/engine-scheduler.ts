/**
 * Continuous batching on one rank: who works in the next iteration.
 *
 *   chunked        every running sequence first, in the order in which they began; what the token budget leaves goes to prompts
 *   prefillFirst   a batch of prompts whenever there is one that fits, else one decode step for all
 *
 * When the KV cache is full the youngest running sequence is preempted: it lets its blocks go, waits at the front of the queue and
 * computes prompt and output again.
 */
import { hasLeft, type Job, KvCache } from './engine-job.js';
import type { Random } from './random.js';
import type { EngineOptions } from './scenario.js';
import type { Chunk, DecodeStep } from './trace.js';

/** Left free for each running sequence when prompts come first: without it the next decode step would push the newcomer out again. */
const HEADROOM_TOKENS = 32;

/** The work of one iteration. */
export interface Plan {
  readonly prefill: readonly Chunk[];
  readonly decode: readonly DecodeStep[];
  readonly running: number;
  readonly waiting: number;
}

/** What came of it. */
export interface Outcome {
  readonly finished: readonly Job[];
  /** Prompts complete whose answer is another pool's work. */
  readonly handedOver: readonly Job[];
  readonly kvTokens: number;
}

export class Scheduler {
  readonly #engine: EngineOptions;
  readonly #random: Random;
  readonly #handsOver: boolean;
  readonly #kv: KvCache;
  #waiting: Job[] = [];
  #running: Job[] = [];
  #plan: Plan = { prefill: [], decode: [], running: 0, waiting: 0 };
  /** The requests of `#plan`, in its order. */
  #prefilling: Job[] = [];
  #decoding: Job[] = [];

  /** @param handsOver a prefill pool: after its first token a request goes on elsewhere */
  constructor(engine: EngineOptions, kvTokens: number, random: Random, handsOver: boolean) {
    this.#engine = engine;
    this.#random = random;
    this.#handsOver = handsOver;
    this.#kv = new KvCache(kvTokens, engine.blockTokens);
  }

  get jobs(): number {
    return this.#running.length + this.#waiting.length;
  }

  add(job: Job): void {
    this.#waiting.push(job);
  }

  /** Drops the requests whose clients have left. */
  leave(at: number): Job[] {
    const left = (job: Job): boolean => hasLeft(job, at);
    if (!this.#running.some(left) && !this.#waiting.some(left)) return [];
    const gone = [...this.#running, ...this.#waiting].filter(left);
    for (const job of gone) this.#kv.release(job);
    this.#running = this.#running.filter((job) => !left(job));
    this.#waiting = this.#waiting.filter((job) => !left(job));
    return gone;
  }

  /** @throws Error when requests wait and nothing can run: the engine would stand still for ever */
  plan(at: number): Plan {
    const prefill: Chunk[] = [];
    const decode: DecodeStep[] = [];
    this.#prefilling = [];
    this.#decoding = [];
    let budget = this.#engine.maxBatchedTokens;
    const chunk = (job: Job): void => {
      const tokens = Math.min(job.needed - job.computed, budget);
      budget -= tokens;
      prefill.push(this.#chunk(job, tokens));
    };
    const step = (job: Job): void => {
      budget -= this.#verified;
      decode.push(this.#decode(job));
    };

    const mixed = this.#engine.batching === 'chunked';
    if (mixed) {
      const before = this.#waiting.length;
      this.#serveRunning(() => budget, chunk, step);
      if (this.#waiting.length === before) this.#admit(at, () => budget, chunk, step);
    } else {
      for (const job of this.#running) if (budget > 0 && job.computed < job.needed) chunk(job);
      this.#admit(at, () => budget, chunk, () => undefined);
      if (prefill.length === 0) this.#serveRunning(() => Infinity, chunk, step);
    }
    if (prefill.length + decode.length === 0 && this.jobs > 0) throw new Error(`at ${at} s requests wait and none can run`);
    this.#plan = { prefill, decode, running: this.#running.length, waiting: this.#waiting.length };
    return this.#plan;
  }

  /** The iteration has ended: tokens are there, and who is done goes. */
  finish(to: number): Outcome {
    const finished: Job[] = [];
    const handedOver: Job[] = [];
    const gain = (job: Job, computed: number, tokens: number): void => {
      job.computed += computed;
      job.generated += tokens;
      if (tokens > 0) job.firstToken ??= to;
      if (job.generated >= job.outputTokens) finished.push(job);
      else if (this.#handsOver && tokens > 0) handedOver.push(job);
    };
    for (const [index, job] of this.#prefilling.entries()) {
      const chunk = this.#plan.prefill[index];
      if (!chunk) continue;
      gain(job, chunk.tokens, chunk.last ? 1 : 0);
      job.reached = Math.max(job.reached, Math.min(job.computed, job.inputTokens));
    }
    for (const [index, job] of this.#decoding.entries()) {
      const tokens = this.#plan.decode[index]?.tokens ?? 0;
      gain(job, tokens, tokens);
    }
    const kvTokens = this.#running.reduce((sum, job) => sum + job.computed, 0);
    if (finished.length + handedOver.length > 0) {
      const gone = new Set([...finished, ...handedOver]);
      for (const job of gone) this.#kv.release(job);
      this.#running = this.#running.filter((job) => !gone.has(job));
    }
    return { finished, handedOver, kvTokens };
  }

  /** Tokens that a decode step puts through the model for one sequence. */
  get #verified(): number {
    return 1 + (this.#engine.speculative?.tokens ?? 0);
  }

  /** In order; a sequence that finds no room pushes out the youngest, in the end itself. */
  #serveRunning(budget: () => number, chunk: (job: Job) => void, step: (job: Job) => void): void {
    for (let index = 0; index < this.#running.length; index += 1) {
      const job = this.#running[index];
      if (!job) return;
      const left = job.needed - job.computed;
      const tokens = left > 0 ? Math.min(left, budget()) : this.#verified;
      if (tokens === 0 || tokens > budget()) return;
      while (!this.#kv.grow(job, job.computed + tokens)) if (this.#preemptYoungest() === job) return;
      if (left > 0) chunk(job);
      else step(job);
    }
  }

  #admit(at: number, budget: () => number, chunk: (job: Job) => void, step: (job: Job) => void): void {
    while (this.#running.length < this.#engine.maxSequences) {
      const job = this.#waiting[0];
      if (!job) return;
      // A request from a prefill pool brings its context along; all others start from what the prefix cache has.
      const start = Math.max(job.computed, job.cachedTokens);
      const left = job.needed - start;
      const tokens = left > 0 ? Math.min(left, budget()) : this.#verified;
      if (tokens === 0 || tokens > budget()) return;
      // A pure batch takes a prompt only when all of it fits, a mixed one as soon as its chunk does.
      const mixed = this.#engine.batching === 'chunked';
      const room = mixed ? start + tokens : Math.max(job.needed, start + tokens);
      if (!this.#kv.grow(job, room, mixed ? 0 : this.#running.length * HEADROOM_TOKENS)) return;
      this.#waiting.shift();
      job.computed = start;
      job.reached = Math.max(job.reached, Math.min(start, job.inputTokens));
      job.scheduled ??= at;
      this.#running.push(job);
      if (left > 0) chunk(job);
      else step(job);
    }
  }

  #chunk(job: Job, tokens: number): Chunk {
    const contextBefore = job.computed;
    const last = contextBefore + tokens === job.needed;
    const fresh = Math.max(0, Math.min(contextBefore + tokens, job.inputTokens) - Math.max(contextBefore, job.reached));
    job.recomputed += tokens - fresh;
    this.#prefilling.push(job);
    return { request: job.id, tokens, contextBefore, cached: job.preempted === 0 && contextBefore === job.cachedTokens ? job.cachedTokens : 0, recomputed: tokens - fresh, last };
  }

  #decode(job: Job): DecodeStep {
    const tokens = Math.min(this.#accepted(), job.outputTokens - job.generated);
    this.#decoding.push(job);
    return { request: job.id, tokens, context: job.computed + 1 };
  }

  /** One token, and as many drafted ones as are accepted before the first that is not. */
  #accepted(): number {
    const drafting = this.#engine.speculative;
    let tokens = 1;
    if (drafting) while (tokens <= drafting.tokens && this.#random.chance(drafting.acceptance)) tokens += 1;
    return tokens;
  }

  #preemptYoungest(): Job | undefined {
    const job = this.#running.pop();
    if (!job) return undefined;
    this.#kv.release(job);
    job.preempted += 1;
    job.needed = job.inputTokens + job.generated;
    job.computed = 0;
    this.#waiting.unshift(job);
    return job;
  }
}
