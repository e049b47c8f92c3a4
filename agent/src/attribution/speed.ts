/**
 * How long an engine's work takes alone: an iteration with so many prompt tokens, a decode step of so many sequences.
 * Learnt from the iterations that the engine tells, so that a mixed iteration can be divided:
 *
 *     prefill  c₀ + c₁·tokens + c₂·tokens²        from iterations without decode
 *     decode   d₀ + d₁·sequences + d₂·KV tokens   from iterations without prefill
 *
 * An engine under load mixes all its prefill with decode. Both read the weights once, so what the sequences add to a decode
 * step is taken off such an iteration, and what is left is taken for its prefill alone; and no iteration is shorter than a
 * step without sequences. Where only the order of iterations is known and not their moments, runs of them that last seconds
 * are fitted as a whole.
 */
import type { StepsEvidence } from '../sources/source.js';
import { dot, regression } from './regression.js';

export interface Speed {
  learn(steps: StepsEvidence): void;
  /** Most moments of iterations are told, so that each can be believed. */
  trustsMoments(): boolean;
  /** Seconds that one iteration with this prompt work would take alone; undefined while it is not known. */
  prefill(tokens: number): number | undefined;
  decode(sequences: number, kvTokens: number | undefined): number | undefined;
}

/** Units that keep the columns of a fit of like size. */
const TOKENS = 1_000;
const SEQUENCES = 64;
const KV_TOKENS = 100_000;

/** A fit says something once it has seen so many iterations. */
const ENOUGH_ITERATIONS = 5;
/** A run of iterations whose moments are not known is fitted as a whole once it lasts so long: its ends are known to a second. */
const RUN_SECONDS = 20;
const ENOUGH_RUNS = 8;
/** Where so many times as much time is told exactly as not, moments are believed. */
const MOSTLY = 3;
/** Old iterations fade to half in about so many of them. */
const FADE = 0.5 ** (1 / 20_000);

const noColumns = (): number[] => [0, 0, 0, 0, 0, 0];
const prefillColumns = (tokens: number): number[] => [1, tokens / TOKENS, (tokens / TOKENS) ** 2];
const decodeColumns = (sequences: number, kvTokens: number | undefined): number[] => [1, sequences / SEQUENCES, (kvTokens ?? 0) / KV_TOKENS];

export function speed(): Speed {
  const pure = { prefill: regression(3), decode: regression(3) };
  /** Prefill as what decode leaves of mixed iterations. */
  const rest = regression(3);
  /** Both at once, from runs. */
  const joint = regression(6);
  const told = { exact: 0, placed: 0, inferred: 0 };
  let run = { columns: noColumns(), seconds: 0, to: Number.NEGATIVE_INFINITY };

  function addToRun({ from, to, steps, prefillTokens, prefills, decodes, kvTokens }: StepsEvidence): void {
    if (Math.abs(from - run.to) > 0.5) run = { columns: noColumns(), seconds: 0, to: from };
    const withPrefill = prefillTokens > 0 ? Math.max(1, Math.min(steps, prefills)) : 0;
    const tokens = withPrefill > 0 ? prefillTokens / withPrefill : 0;
    const each = [...(withPrefill > 0 ? prefillColumns(tokens).map((value) => value * withPrefill) : [0, 0, 0]), ...(decodes > 0 ? decodeColumns(decodes / steps, kvTokens).map((value) => value * steps) : [0, 0, 0])];
    run = { columns: run.columns.map((value, index) => value + (each[index] ?? 0)), seconds: run.seconds + (to - from), to };
    if (run.seconds < RUN_SECONDS) return;
    joint.add(run.columns, run.seconds, 1);
    run = { columns: noColumns(), seconds: 0, to };
  }

  const trustsMoments = (): boolean => told.exact + told.placed >= MOSTLY * told.inferred;

  const decode = (sequences: number, kvTokens: number | undefined): number | undefined => {
    const columns = decodeColumns(sequences, kvTokens);
    if (trustsMoments() && pure.decode.weight() >= ENOUGH_ITERATIONS) return dot(columns, pure.decode.solution()?.coefficients ?? []);
    return joint.weight() >= ENOUGH_RUNS ? dot(columns, joint.solution()?.coefficients.slice(3) ?? []) : undefined;
  };

  return {
    learn(evidence) {
      const { from, to, steps, prefillTokens, decodes, kvTokens, timing } = evidence;
      if (!(to > from) || !(steps > 0)) return;
      told[timing] = told[timing] * FADE + (to - from);
      addToRun(evidence);
      if (timing === 'inferred') return;
      const each = (to - from) / steps;
      if (prefillTokens > 0 && decodes === 0) pure.prefill.add(prefillColumns(prefillTokens / steps), each, steps);
      else if (decodes > 0 && prefillTokens === 0) pure.decode.add(decodeColumns(decodes / steps, kvTokens), each, steps);
      else if (prefillTokens > 0) {
        const [alone, least] = [decode(decodes / steps, kvTokens), decode(0, 0)];
        if (alone !== undefined && least !== undefined) rest.add(prefillColumns(prefillTokens / steps), Math.max(0, each - (alone - least)), steps);
      }
      for (const fit of [pure.prefill, pure.decode, rest]) fit.fade(FADE);
    },
    prefill(tokens) {
      const columns = prefillColumns(tokens);
      const least = decode(0, 0) ?? 0;
      if (trustsMoments() && pure.prefill.weight() >= ENOUGH_ITERATIONS) return Math.max(least, dot(columns, pure.prefill.solution()?.coefficients ?? []));
      if (trustsMoments() && rest.weight() >= ENOUGH_ITERATIONS) return Math.max(least, dot(columns, rest.solution()?.coefficients ?? []));
      return joint.weight() >= ENOUGH_RUNS ? Math.max(least, dot(columns, joint.solution()?.coefficients ?? [])) : undefined;
    },
    decode,
    trustsMoments,
  };
}
