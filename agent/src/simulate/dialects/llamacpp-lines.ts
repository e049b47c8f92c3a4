/** Single lines of llama.cpp's server, with the widths of its formats. */

/** Minutes (without limit), seconds, milliseconds, microseconds since the process's start: `736.46.933.316`. */
export function stampOf(time: number): string {
  const micros = Math.round(time * 1e6);
  const part = (size: number, range: number, digits: number): string => String(Math.floor(micros / size) % range).padStart(digits, '0');
  return `${Math.floor(micros / 60e6)}.${part(1e6, 60, 2)}.${part(1e3, 1000, 3)}.${part(1, 1000, 3)}`;
}

/** Functions are cut to 12 characters and stand to the right. */
export const slotLine = (who: string, slot: number, task: number, words: string): string => `slot ${who.padStart(12)}: id ${String(slot).padStart(2)} | task ${task} | ${words}`;

export const promptTime = (seconds: number, tokens: number): string => `prompt eval time = ${took(seconds)} / ${counted(tokens)} tokens ${pace(seconds, tokens)}`;
export const decodeTime = (seconds: number, tokens: number): string => `       eval time = ${took(seconds)} / ${counted(tokens)} tokens ${pace(seconds, tokens)}`;
export const totalTime = (seconds: number, tokens: number): string => `      total time = ${took(seconds)} / ${counted(tokens)} tokens`;
/** @param part of the whole prompt, the cached part included */
export const progressLine = (tokens: number, part: number, seconds: number): string => `prompt processing, n_tokens = ${String(tokens).padStart(6)}, progress = ${part.toFixed(2)}, t = ${seconds.toFixed(2).padStart(6)} s / ${(tokens / seconds).toFixed(2)} tokens per second`;
export const rateLine = (tokens: number, rate: number, recent: number): string => `n_gen = ${String(tokens).padStart(6)}, tg = ${rate.toFixed(2).padStart(6)} t/s, tg_3s = ${recent.toFixed(2).padStart(6)} t/s`;

/** @param length tokens gained per iteration, in the mean */
export const draftLine = (accepted: number, drafted: number, length: number): string => `draft acceptance = ${(accepted / drafted).toFixed(5)} (${counted(accepted)} accepted / ${counted(drafted)} generated), mean len = ${length.toFixed(2).padStart(5)}`;

const took = (seconds: number): string => `${(seconds * 1000).toFixed(2).padStart(10)} ms`;
const counted = (tokens: number): string => String(tokens).padStart(5);
const pace = (seconds: number, tokens: number): string => `(${((seconds * 1000) / Math.max(1, tokens)).toFixed(2).padStart(8)} ms per token, ${(tokens / Math.max(seconds, 1e-6)).toFixed(2).padStart(8)} tokens per second)`;
