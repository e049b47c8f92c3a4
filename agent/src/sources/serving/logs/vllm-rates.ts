/** Rates of vLLM's lines of statistics: which of them can be, and the whole numbers of tokens that they stand for. */
import { tokens, type Tokens } from '@joulebook/shared/units.js';
import type { StatsLine } from './vllm-line.js';

/** No engine gives so many tokens per second, nor so many per sequence. */
const MOST_TOKENS = 5e6;
const MOST_TOKENS_PER_SEQUENCE = 2000;

/** V0 writes while steps run, so those that run at either end are those that gave the tokens; V1 may look between two bursts. */
export function implausible(stats: StatsLine, before: StatsLine | undefined): boolean {
  if (stats.promptRate > MOST_TOKENS || stats.generationRate > MOST_TOKENS) return true;
  return stats.generation === 'V0' && stats.generationRate > MOST_TOKENS_PER_SEQUENCE * Math.max(1, stats.running, before?.running ?? 0);
}

/** Parts of a sum → whole numbers whose sum is never off by more than half a token. */
export function wholeTokens(): (part: number) => Tokens {
  let exact = 0;
  let whole = 0;
  return (part) => {
    exact += part;
    const more = Math.round(exact) - whole;
    whole += more;
    return tokens(more);
  };
}
