/**
 * How long a prompt takes to compute, told by requests alone: c₀ + c₁·tokens + c₂·tokens². Requests that met no other prefill
 * tell it best, their whole time to first token is theirs; of the others only what came after the first token before theirs.
 */
import type { Instant } from '@joulebook/shared/units.js';
import { dot, regression } from './regression.js';

export interface PrefillPace {
  /** Requests in the order of their first tokens. @param step seconds of a decode step, where known */
  learn(inOrder: readonly Prefilled[], step: number | undefined): void;
  seconds(promptTokens: number | undefined): number | undefined;
}

export interface Prefilled {
  /** Arrival, or when the engine took it up. */
  readonly from: Instant;
  readonly tookUp: boolean;
  readonly firstToken: Instant;
  readonly end: Instant;
  /** Computed. */
  readonly promptTokens: number | undefined;
}

const ENOUGH = 5;
const TOKENS = 1_000;
const FADE = 0.5 ** (1 / 5_000);

const columnsOf = (tokens: number): number[] => [1, tokens / TOKENS, (tokens / TOKENS) ** 2];

export function prefillPace(): PrefillPace {
  const undisturbed = regression(3);
  const any = regression(3);
  let lastFirstToken = -Infinity;
  let lastEnd = -Infinity;

  return {
    learn(inOrder, step) {
      for (const [index, { from, tookUp, firstToken, end, promptTokens }] of inOrder.entries()) {
        if (promptTokens !== undefined && promptTokens > 0) {
          const next = inOrder[index + 1];
          const alone = tookUp || (from >= lastFirstToken && !(next && next.from < firstToken));
          // It waits for the iteration under way, of which half is left in the mean.
          const wait = !tookUp && from < lastEnd ? (step ?? 0) / 2 : 0;
          if (alone) undisturbed.add(columnsOf(promptTokens), Math.max(0, firstToken - from - wait), 1);
          any.add(columnsOf(promptTokens), firstToken - Math.max(from, Math.min(lastFirstToken, firstToken)), 1);
          for (const fit of [undisturbed, any]) fit.fade(FADE);
        }
        lastFirstToken = Math.max(lastFirstToken, firstToken);
        lastEnd = Math.max(lastEnd, end);
      }
    },
    seconds(promptTokens) {
      const fit = undisturbed.weight() >= ENOUGH ? undisturbed : any.weight() >= ENOUGH ? any : undefined;
      const coefficients = fit?.solution()?.coefficients;
      return coefficients === undefined || promptTokens === undefined ? undefined : dot(columnsOf(promptTokens), coefficients);
    },
  };
}
