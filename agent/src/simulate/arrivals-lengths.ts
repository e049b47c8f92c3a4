/** How long a prompt and its answer are, what of it the prefix cache has, and whether the client leaves early. */
import type { Random } from './random.js';
import { type Length, type Stream, WORK } from './scenario.js';

/** What is decided about a request when it comes; the engine cuts it to what it can hold. */
export interface Drawn {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Part of the prompt that the prefix cache has, 0 to 1. */
  readonly cachedPart: number;
  /** The client leaves: so long after arrival, or when it has seen so much of the answer (0 to 1). Absent: it stays. */
  readonly leaves?: { readonly after: 'seconds' | 'part'; readonly value: number };
}

/** Of a prompt at least a little is new. */
const MOST_CACHED = 0.98;
/** Of the clients that leave, these do not wait for the first token, if it takes long. */
const LEAVE_EARLY = 0.25;
const MEAN_PATIENCE_SECONDS = 0.3;

const drawLeaving = (random: Random): NonNullable<Drawn['leaves']> =>
  random.chance(LEAVE_EARLY) ? { after: 'seconds', value: random.exponential(MEAN_PATIENCE_SECONDS) } : { after: 'part', value: random.next() };

function drawTokens(length: Length, random: Random): number {
  if (length.kind === 'fixed') return length.tokens;
  if (length.kind === 'lognormal') return Math.max(1, Math.round(random.lognormal(length.median, length.sigma)));
  let left = random.next() * length.of.reduce((sum, { weight }) => sum + weight, 0);
  const chosen = length.of.find(({ weight }) => (left -= weight) < 0) ?? length.of.at(-1);
  return chosen ? drawTokens(chosen.length, random) : 1;
}

export function drawRequest(stream: Stream, random: Random): Drawn {
  const usual = WORK[stream.work];
  const inputTokens = drawTokens(stream.prompt ?? usual.prompt, random);
  const outputTokens = drawTokens(stream.output ?? usual.output, random);
  const cache = stream.cache ?? usual.cache;
  const cachedPart = random.chance(cache.share) ? Math.min(MOST_CACHED, cache.part * random.between(0.5, 1.5)) : 0;
  return { inputTokens, outputTokens, cachedPart, ...(random.chance(stream.aborts) ? { leaves: drawLeaving(random) } : {}) };
}
