/**
 * How long the work in a window of counts took, told by windows in which somebody ran all the time:
 *
 *     seconds = c₀·prompts + c₁·prompt tokens + (d₀ + d₂·KV cache in use)·decode steps + d₁·decoded tokens
 *
 * A window is laid out as if it had come in order: iterations with prompts, then decode alone, then nobody. What it drew is
 * measured as a whole; the order inside is nobody's claim. The steps must have been counted: of how many requests ran when
 * somebody looked a single window tells too little (window-model.ts).
 */
import { regression } from './regression.js';

export interface WindowCounts {
  readonly seconds: number;
  /** Requests whose prompts were computed; undefined: not told. */
  readonly prompts: number | undefined;
  readonly promptTokens: number;
  readonly decodedTokens: number;
  /** Mean number of sequences that decode, where anything does. */
  readonly sequences: number;
  readonly decodeSteps: number;
  /** Mean use of the KV cache, 0 to 1; 0 where it is not told. */
  readonly kvUsage: number;
}

export interface Laid {
  /** Seconds of iterations with prompts, how many they are, and how long their prompts would have taken alone. */
  readonly prefill: { readonly seconds: number; readonly iterations: number; readonly alone: number };
  /** Seconds of decode alone, and of one step. */
  readonly decode: { readonly seconds: number; readonly step: number };
  /** Decode steps per iteration with prompts, 0 to 1. */
  readonly mixing: number;
}

export interface WindowPace {
  /** Of a window in which somebody ran all the time. */
  learn(counts: WindowCounts): void;
  layOut(counts: WindowCounts): Laid | undefined;
}

const PROMPTS = 10;
const TOKENS = 10_000;
const STEPS = 100;
const DECODED = 1_000;
const ENOUGH_WINDOWS = 10;
/** Short windows are put together: prompts are credited late. */
const LEAST_SECONDS = 5;
const NOTHING: { readonly columns: readonly number[]; readonly seconds: number } = { columns: [0, 0, 0, 0, 0], seconds: 0 };
const FADE = 0.5 ** (1 / 2_000);
/** Prompt tokens of an iteration where nobody tells how many prompts there were. */
const USUAL_PROMPT_TOKENS = 1_000;

const promptsOf = ({ prompts, promptTokens }: WindowCounts): number => prompts ?? promptTokens / USUAL_PROMPT_TOKENS;

const columns = (counts: WindowCounts): number[] => [(counts.prompts ?? 0) / PROMPTS, counts.promptTokens / TOKENS, counts.decodeSteps / STEPS, counts.decodedTokens / DECODED, (counts.decodeSteps * counts.kvUsage) / STEPS];

export function windowPace(): WindowPace {
  const fit = regression(5);
  let mixed = 0;
  let open = NOTHING;
  return {
    learn(counts) {
      mixed = mixed * FADE + (counts.promptTokens > 0 && counts.decodedTokens > 0 ? 1 : 0);
      open = { columns: columns(counts).map((value, index) => value + (open.columns[index] ?? 0)), seconds: open.seconds + counts.seconds };
      if (open.seconds < LEAST_SECONDS) return;
      fit.fade(FADE);
      fit.add(open.columns.map((value) => value / open.seconds), 1, open.seconds);
      open = NOTHING;
    },
    layOut(counts) {
      const solution = fit.solution();
      if (!solution || mixed < ENOUGH_WINDOWS) return undefined;
      const [perPrompt = 0, perPromptToken = 0, perStep = 0, perDecoded = 0, perKvStep = 0] = solution.coefficients;
      const [ofPrompt, ofPromptToken, ofStep, ofDecoded] = [perPrompt / PROMPTS, perPromptToken / TOKENS, perStep / STEPS, perDecoded / DECODED];
      const step = ofStep + ofDecoded * counts.sequences + (perKvStep / STEPS) * counts.kvUsage;
      if (ofPromptToken <= 0 || step <= 0) return undefined;
      const iterations = counts.promptTokens > 0 ? promptsOf(counts) : 0;
      // An iteration with prompts reads the weights as a step does: where that is not seen as time of its own, it was in the steps.
      const mixing = ofStep > 0 ? Math.max(0, 1 - ofPrompt / ofStep) : 0;
      const alone = ofPromptToken * counts.promptTokens + Math.max(ofPrompt, ofStep) * iterations;
      const together = ofPromptToken * counts.promptTokens + ofPrompt * iterations + Math.min(mixing * iterations, counts.decodeSteps) * step;
      return {
        prefill: { seconds: together, iterations, alone },
        decode: { seconds: Math.max(0, counts.decodeSteps - mixing * iterations) * step, step },
        mixing,
      };
    },
  };
}
