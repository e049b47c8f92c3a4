/**
 * How long an iteration takes and what it draws, from the work in it. On purpose no sum of tokens and steps:
 *
 *   waste   = (saturation ÷ tokens)^0.6                         small batches fill the compute units badly
 *   compute = flops × (1 + waste) ÷ rate
 *   memory  = (weights once + KV of all sequences) ÷ bandwidth
 *   time    = fixed + communication + (compute⁴ + memory⁴)^¼    a soft maximum: the two overlap
 *   energy  = active × time + bytes + flops^0.95 × (1 + waste ÷ 2)   above loaded idle
 *
 * Attention makes flops grow with the square of a prompt. A board adds losses that grow with the square of power, and at its
 * limit draws exactly the limit for longer (power-board.ts).
 */
import type { Hardware } from './scenario-hardware.js';

/** What one iteration has to do, over all GPUs that share the copy of the model. */
export interface Work {
  /** Tokens that go through the model: the batch. */
  readonly tokens: number;
  readonly flops: number;
  /** KV cache read and written. */
  readonly kvBytes: number;
  /** How often the weights are read: 1, and a part more for drafting. */
  readonly passes: number;
}

/** What one GPU of the copy goes through for it, before its power limit and its own differences. */
export interface Demand {
  readonly seconds: number;
  /** Above loaded idle, before regulator losses. */
  readonly joules: number;
  /** Of the time, the part that gets longer when the clocks go down. */
  readonly computeShare: number;
}

export const NO_WORK: Work = { tokens: 0, flops: 0, kvBytes: 0, passes: 0 };

export const together = (a: Work, b: Work): Work => ({ tokens: a.tokens + b.tokens, flops: a.flops + b.flops, kvBytes: a.kvBytes + b.kvBytes, passes: Math.max(a.passes, b.passes) });

/** Multiply and add for every parameter, and attention of every new token to what stands before it. */
export const chunkFlops = ({ model }: Hardware, tokens: number, contextBefore: number): number =>
  2 * model.parameters * tokens + model.attentionFlopsPerPair * tokens * (contextBefore + tokens / 2);

export function prefillWork(hardware: Hardware, chunks: readonly { readonly tokens: number; readonly contextBefore: number }[]): Work {
  let tokens = 0;
  let flops = 0;
  let kv = 0;
  for (const chunk of chunks) {
    tokens += chunk.tokens;
    flops += chunkFlops(hardware, chunk.tokens, chunk.contextBefore);
    kv += chunk.contextBefore + 2 * chunk.tokens;
  }
  return tokens === 0 ? NO_WORK : { tokens, flops, kvBytes: kv * hardware.model.kvBytesPerToken, passes: 1 };
}

/** What is drafted per sequence and verified with its next token, and what drafting one costs relative to a pass of the model. */
export interface Drafting {
  readonly tokens: number;
  readonly cost: number;
}

/** @param context KV tokens of all of them together; 0 tells what the step would take if no sequence had a past */
export function decodeWork({ model }: Hardware, sequences: number, context: number, drafting: Drafting): Work {
  if (sequences === 0) return NO_WORK;
  const each = 1 + drafting.tokens;
  const passes = 1 + drafting.tokens * drafting.cost;
  return {
    tokens: sequences * each,
    flops: 2 * model.parameters * sequences * each * passes + model.attentionFlopsPerPair * context * each,
    kvBytes: (context + sequences * each) * model.kvBytesPerToken,
    passes,
  };
}

const OVERLAP = 4;
const WASTE_EXPONENT = 0.6;
/** A unit that waits draws about half of one that computes. */
const WASTE_ENERGY = 0.5;
/** Energy per flop is `joulesPerFlop` for an iteration with so many seconds' worth of flops. */
const REFERENCE_SECONDS = 0.02;
const FLOP_EXPONENT = 0.95;

export function demandOf({ board, model }: Hardware, work: Work): Demand {
  const flops = work.flops / model.tensorParallel;
  const bytes = (model.parameters * model.bytesPerParameter * work.passes + work.kvBytes) / model.tensorParallel;
  const waste = (board.saturationTokens / work.tokens) ** WASTE_EXPONENT;
  const compute = ((flops * (1 + waste)) / board.flopsPerSecond) ** OVERLAP;
  const memory = (bytes / board.bytesPerSecond) ** OVERLAP;
  const busy = (compute + memory) ** (1 / OVERLAP);
  const seconds = model.stepSeconds + work.tokens * model.secondsPerToken + busy;
  const reference = board.flopsPerSecond * REFERENCE_SECONDS;
  const computing = board.joulesPerFlop * reference * (flops / reference) ** FLOP_EXPONENT * (1 + WASTE_ENERGY * waste);
  const joules = board.activeWatts * seconds + board.joulesPerByte * bytes + computing;
  return { seconds, joules, computeShare: ((compute / (compute + memory)) * busy) / seconds };
}
