/**
 * The log of llama.cpp's server (one line per fact, as since 2026-06). Stamps are minutes.seconds.ms.µs since its start.
 *
 *   0.12.345.678 I slot launch_slot_: id  0 | task 41 | processing task, is_child = 0
 *   0.13.001.204 I slot print_timing: id  0 | task 41 | prompt eval time =     655.53 ms /   812 tokens (…)
 *
 * Some lines say how long a prompt is in all, which is known here only when it has been computed: what follows waits for it.
 */
import { z } from 'zod';
import { UsageError } from '@joulebook/shared/errors.js';
import type { Iteration, SimulatedRequest } from '../trace.js';
import { engineState } from './engine-state.js';
import { dialect, type EngineParts } from './format.js';
import { decodeTime, draftLine, progressLine, promptTime, rateLine, slotLine, stampOf, totalTime } from './llamacpp-lines.js';

/** How long before the simulation the server was started. */
const STARTED_BEFORE = 42;
/** A prompt tells of its progress, and an answer of its rate, only when they take so long; an answer, when it is so long. */
const TALKS_AFTER_SECONDS = 3;
const TALKS_AFTER_TOKENS = 100;

/** A request in a slot. */
interface Task {
  readonly slot: number;
  readonly task: number;
  readonly from: number;
  readonly cached: number;
  processed: number;
  firstToken?: number;
  output: number;
  /** Iterations that decoded. */
  steps: number;
  /** Last line about its rate. */
  told: { at: number; output: number };
  /** Of the whole prompt. */
  total?: number;
}

/** A line; undefined while it waits for the length of a prompt. */
type Line = () => string | undefined;

export const llamacppLog = dialect({
  name: 'llamacpp-log',
  summary: "lines of llama.cpp's server with stamps since its start; verbosity: 4 tells the prompt's length and what the cache had",
  file: 'llamacpp.log',
  speaks: 'engine',
  options: { verbosity: z.literal([3, 4]).default(3) },
  write(parts, { verbosity }) {
    if (parts.ranks > 1 || parts.pool !== 'serve') throw new UsageError(['llamacpp-log: llama.cpp has neither ranks nor pools; leave out engine.ranks and engine.disaggregated']);
    const state = engineState(parts.pool);
    const tasks = new Map<number, Task>();
    const slots: boolean[] = [];
    const waiting: Line[] = [];
    let next = 0;

    const say = (at: number, words: string): void => void waiting.push(() => `${stampOf(at + STARTED_BEFORE)} I ${words}\n`);
    const sayOf = (at: number, who: string, { slot, task }: Task, words: () => string | undefined): void =>
      void waiting.push(() => {
        const said = words();
        return said === undefined ? undefined : `${stampOf(at + STARTED_BEFORE)} I ${slotLine(who, slot, task, said)}\n`;
      });

    function launch(id: number, from: number, cached: number): Task {
      const free = slots.indexOf(false);
      const slot = free < 0 ? slots.length : free;
      slots[slot] = true;
      const task: Task = { slot, task: next++, from, cached, processed: 0, output: 0, steps: 0, told: { at: from, output: 0 } };
      tasks.set(id, task);
      say(from, slotLine('get_availabl', slot, -1, 'selected slot by LRU, t_last = -1'));
      sayOf(from, 'launch_slot_', task, () => 'processing task, is_child = 0');
      if (verbosity === 4) {
        sayOf(from, 'operator()', task, () => (task.total === undefined ? undefined : `new prompt, n_ctx_slot = 131072, n_keep = 0, task.n_tokens = ${task.total}`));
        sayOf(from, 'operator()', task, () => `cached n_tokens = ${cached}, memory_seq_rm [${cached}, end)`);
      }
      return task;
    }

    function computed({ to }: Iteration, task: Task, tokens: number, last: boolean): void {
      task.processed += tokens;
      const { processed } = task;
      const took = to - task.from;
      if (last) task.total ??= task.cached + processed;
      if (took >= TALKS_AFTER_SECONDS) sayOf(to, 'print_timing', task, () => (task.total === undefined ? undefined : progressLine(processed, (task.cached + processed) / task.total, took)));
      if (!last) return;
      task.output += 1;
      if (task.firstToken !== undefined) return;
      task.firstToken = to;
      task.told = { at: to, output: 1 };
    }

    function decoded({ to }: Iteration, task: Task, tokens: number): void {
      task.output += tokens;
      task.steps += 1;
      const since = to - task.told.at;
      if (since < TALKS_AFTER_SECONDS || task.output < TALKS_AFTER_TOKENS) return;
      const { output } = task;
      const rate = (output - 1) / (to - (task.firstToken ?? to));
      const recent = (output - task.told.output) / since;
      task.told = { at: to, output };
      sayOf(to, 'print_timing', task, () => rateLine(output, rate, recent));
    }

    /** Up to the first line that waits. */
    function flush(): string {
      let text = '';
      for (let said = waiting[0]?.(); said !== undefined; said = waiting[0]?.()) {
        text += said;
        waiting.shift();
      }
      return text;
    }

    function over({ end, inputTokens, outcome }: SimulatedRequest, task: Task): void {
      task.total ??= inputTokens;
      slots[task.slot] = false;
      const prompt = (task.firstToken ?? end) - task.from;
      const decode = end - (task.firstToken ?? end);
      if (outcome === 'aborted') say(end, `srv          stop: cancel task, id_task = ${task.task}`);
      else {
        sayOf(end, 'print_timing', task, () => promptTime(prompt, task.processed));
        sayOf(end, 'print_timing', task, () => decodeTime(decode, task.output));
        sayOf(end, 'print_timing', task, () => totalTime(prompt + decode, task.processed + task.output));
        sayOf(end, 'print_timing', task, () => '   graphs reused =          0');
        const drafted = task.steps * parts.draftTokens;
        if (drafted > 0) sayOf(end, 'print_timing', task, () => draftLine(task.output - 1 - task.steps, drafted, (task.output - 1) / task.steps));
      }
      // The last token is never put into the cache.
      sayOf(end, 'release', task, () => `stop processing: n_tokens = ${task.cached + task.processed + Math.max(0, task.output - 1)}, truncated = 0`);
      say(end, 'srv  log_server_r: done request: POST /v1/chat/completions 127.0.0.1 200');
      if (tasks.size === 0) say(end, 'srv  update_slots: all slots are idle');
    }

    return {
      // Its stamps count from then.
      entry: { started: Math.round(parts.clock.at(-STARTED_BEFORE) * 1e6) / 1e6 },
      start: () => banner(parts),
      iteration(iteration) {
        const { begun } = state.step(iteration);
        for (const { id } of begun) launch(id, iteration.from, iteration.prefill.find((chunk) => chunk.request === id)?.cached ?? 0);
        for (const { request, tokens, recomputed, last } of iteration.prefill) {
          const task = tasks.get(request);
          if (task) computed(iteration, task, tokens - recomputed, last);
        }
        for (const { request, tokens } of iteration.decode) {
          const task = tasks.get(request);
          if (task) decoded(iteration, task, tokens);
        }
        return flush();
      },
      request(request) {
        state.over(request);
        const task = tasks.get(request.id);
        tasks.delete(request.id);
        if (task) over(request, task);
        return flush();
      },
    };
  },
});

function banner({ seats, model }: EngineParts): string {
  return [
    `${stampOf(0.012)} I build: 10573 (simulated) with GNU 13.3.0 for Linux x86_64`,
    `${stampOf(0.31)} I srv    load_model: loading model '${model}.gguf'`,
    `${stampOf(18.4)} I srv    load_model: initializing slots, n_slots = ${seats}`,
    `${stampOf(19.2)} I main: model loaded`,
    `${stampOf(19.3)} I main: server is listening on http://0.0.0.0:8080`,
    `${stampOf(19.3)} I srv  update_slots: all slots are idle`,
    '',
  ].join('\n');
}
