/**
 * How fast an SGLang engine works, learnt from the stretches of its log where only one thing ran: seconds per decode step,
 * prompt tokens per second, and steps per Decode line.
 */
export interface Pace {
  /** Seconds of one decode iteration; undefined until one was seen. */
  readonly step: number | undefined;
  /** The same, or a guess. */
  readonly likelyStep: number;
  /** Decode iterations per Decode line. */
  readonly interval: number;
  /** How long so many prompt tokens take in one iteration. */
  prefillSeconds(tokens: number): number;
  readonly knowsPrefill: boolean;
  learnStep(seconds: number): void;
  learnPrefill(tokens: number, seconds: number): void;
  /** KV tokens that each of a number of unchanged sequences gained from one Decode line to the next. */
  learnInterval(steps: number): void;
}

/** Slow, so that an idle claim made before anything is known comes late rather than early. */
const GUESSED_STEP = 0.05;
/** An iteration reads all weights whatever it computes: a short prompt takes as long as a decode step. About where computing takes over. */
const TOKENS_OF_A_STEP = 512;
/** Shorter batches tell of overheads, not of speed. */
const TELLING_TOKENS = 256;
/** Of what was seen last in the running mean. */
const NEW_SHARE = 0.3;
/** `--decode-log-interval` of nobody is longer. */
const MAX_INTERVAL = 10_000;
/** So many lines in a row must say so before a known interval is given up. */
const SURE = 3;

/** @param configured steps per Decode line, where the configuration or the log says so */
export function pace(configured: number | undefined): Pace {
  let step: number | undefined;
  let speed: number | undefined;
  let interval = configured ?? 40;
  let candidate: { readonly steps: number; readonly seen: number } | undefined;
  let intervalKnown = configured !== undefined;
  const likelyStep = (): number => step ?? GUESSED_STEP;

  return {
    get step() {
      return step;
    },
    get likelyStep() {
      return likelyStep();
    },
    get interval() {
      return interval;
    },
    prefillSeconds: (tokens) => likelyStep() * Math.max(1, tokens / (speed === undefined ? TOKENS_OF_A_STEP : Math.max(1, speed * likelyStep()))),
    get knowsPrefill() {
      return speed !== undefined;
    },
    learnStep(seconds) {
      if (seconds > 0) step = step === undefined ? seconds : (1 - NEW_SHARE) * step + NEW_SHARE * seconds;
    },
    learnPrefill(tokens, seconds) {
      if (tokens < TELLING_TOKENS || seconds <= 0) return;
      const seen = tokens / seconds;
      speed = speed === undefined ? seen : (1 - NEW_SHARE) * speed + NEW_SHARE * seen;
    },
    learnInterval(steps) {
      if (configured !== undefined || !Number.isInteger(steps) || steps < 1 || steps > MAX_INTERVAL) return;
      candidate = candidate?.steps === steps ? { steps, seen: candidate.seen + 1 } : { steps, seen: 1 };
      if (intervalKnown && candidate.seen < SURE) return;
      interval = steps;
      intervalKnown = true;
    },
  };
}
