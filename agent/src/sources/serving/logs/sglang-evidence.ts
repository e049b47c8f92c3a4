/** Stretches of a scheduler's time as evidence. */
import { instant, tokens } from '@joulebook/shared/units.js';
import type { HoleEvidence, IdleEvidence, StepsEvidence } from '../../source.js';
import type { Stretch } from './sglang-layout.js';
import type { PrefillLine } from './sglang-line.js';

export interface SglangEvidence {
  /** @param kvTokens in the cache at the end of the window that the stretch is of */
  of(stretch: Stretch, kvTokens: number | undefined): StepsEvidence | IdleEvidence | HoleEvidence;
}

type Common = Pick<StepsEvidence, 'kind' | 'from' | 'to' | 'timing'>;

export function sglangEvidence(rank: string | undefined, model: string | undefined): SglangEvidence {
  let output = 0;
  let outputTold = 0;

  function decodeSteps({ steps, running, acceptLength }: Extract<Stretch, { kind: 'decode' }>, kvTokens: number | undefined, common: Common): StepsEvidence {
    const decodes = steps * running;
    const decodeTokens = decodes * acceptLength;
    output += decodeTokens;
    // Whole tokens are booked; what rounding leaves comes with the next.
    const whole = Math.round(output) - outputTold;
    outputTold += whole;
    return { ...common, steps, prefillTokens: 0, prefills: 0, decodes, decodeTokens, ...(kvTokens !== undefined && { kvTokens }), tokens: { output: tokens(whole) } };
  }

  return {
    of(stretch, kvTokens) {
      const span = { from: instant(stretch.from), to: instant(stretch.to) };
      const of = rank === undefined ? {} : { rank };
      if (stretch.kind === 'idle') return { kind: 'idle', ...span, ...of };
      if (stretch.kind === 'stalled') return { kind: 'hole', ...span, reason: 'nothing was printed though requests waited' };
      if (stretch.kind === 'unknown') return { kind: 'hole', ...span, reason: 'when the last requests ended is not printed' };
      const common = { kind: 'steps' as const, ...span, ...of, timing: stretch.exact ? ('exact' as const) : ('inferred' as const), ...(model !== undefined && { model }) };
      return stretch.kind === 'prefill' ? prefillSteps(stretch.line, common) : decodeSteps(stretch, kvTokens, common);
    },
  };
}

function prefillSteps({ newTokens, sequences, cachedTokens, mixed }: PrefillLine, common: Common): StepsEvidence {
  return {
    ...common,
    steps: 1,
    prefillTokens: newTokens,
    prefills: sequences,
    decodes: mixed,
    decodeTokens: mixed,
    // The steps of a mixed batch are not among those that Decode lines count.
    tokens: { input: tokens(newTokens), ...(cachedTokens !== undefined && { cachedInput: tokens(cachedTokens) }), ...(mixed > 0 && { output: tokens(mixed) }) },
  };
}
