/**
 * A tiny engine that is known to the last iteration, for tests of what can be told from outside. A step of decode takes 20 ms
 * however many sequences there are; a prompt takes 0.1 ms per token besides, and 5 ms of its own where its iteration does nothing else:
 *
 *   chunked        ├d┤├─p+d─┤├d┤├d┤         prompts are computed in the iterations that decode
 *   prompts first  ├d┤├──p──┤├d┤├d┤         prompts hold decode up
 */
import { Random } from '../simulate/random.js';

export const STEP_SECONDS = 0.02;
const TOKEN_SECONDS = 1e-4;
const PROMPT_SECONDS = 0.005;

export interface Served {
  readonly start: number;
  readonly firstToken: number;
  readonly end: number;
  readonly input: number;
  readonly output: number;
}

export interface Iteration {
  readonly from: number;
  readonly to: number;
  readonly promptTokens: number;
  readonly sequences: number;
}

export interface Run {
  readonly served: readonly Served[];
  readonly iterations: readonly Iteration[];
}

/** @param load requests per second, over time */
export function tinyEngine(kind: 'chunked' | 'prompts first', seconds: number, load: (at: number) => number): Run {
  const dice = new Random(7, kind);
  const arrivals: { start: number; input: number; output: number }[] = [];
  for (let at = 0; at < seconds; at -= Math.log(1 - dice.next()) / load(at)) arrivals.push({ start: at, input: Math.round(dice.between(200, 3_000)), output: Math.round(dice.between(30, 250)) });
  const served: Served[] = [];
  const iterations: Iteration[] = [];
  let running: { start: number; input: number; output: number; firstToken: number; left: number }[] = [];
  let at = 0;
  while (arrivals.length > 0 || running.length > 0) {
    const [next] = arrivals;
    if (running.length === 0 && next) at = Math.max(at, next.start);
    const prompt = next && next.start <= at ? arrivals.shift() : undefined;
    const decodes = prompt && kind === 'prompts first' ? [] : running;
    const takes = (decodes.length > 0 ? STEP_SECONDS : PROMPT_SECONDS) + (prompt?.input ?? 0) * TOKEN_SECONDS;
    iterations.push({ from: at, to: at + takes, promptTokens: prompt?.input ?? 0, sequences: decodes.length });
    at += takes;
    for (const each of decodes) each.left -= 1;
    const end = at;
    for (const { start, firstToken, input, output, left } of running) if (left === 0) served.push({ start, firstToken, end, input, output });
    running = running.filter(({ left }) => left > 0);
    if (prompt) running.push({ ...prompt, firstToken: at, left: prompt.output - 1 });
  }
  return { served, iterations };
}
