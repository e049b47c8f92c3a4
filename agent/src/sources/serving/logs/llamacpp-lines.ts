/**
 * What one line of a llama.cpp server says, in any of the ways that it was printed over the years:
 *
 *     INFO [           print_timings] prompt eval time     =     20.50 ms /    10 tokens (…) | tid="1" timestamp=1720000000 id_slot=0 id_task=7 …
 *     {"timestamp":1720000000,"level":"INFO","function":"print_timings","msg":"prompt eval time = …","id_slot":0,"id_task":7,…}
 *     slot print_timing: id  0 | task 7 | ⏎ prompt eval time = … ⏎ eval time = …                 a block of several lines
 *     3.05.120.400 I slot print_timing: id  0 | task 7 | prompt eval time = …                    minutes.seconds.ms.µs since the start
 *     llama_perf_context_print: prompt eval time = …                                             llama-cli and its kin, once at their end
 *
 * Function names are cut to twelve characters and differ between versions: what a line says is known by its message.
 */
import { z } from 'zod';

export type Said =
  | { readonly say: 'launch'; readonly slot: number; readonly task: number; readonly child: boolean }
  /** All prompt tokens of the task, cached ones included. */
  | { readonly say: 'prompt'; readonly slot: number; readonly task: number; readonly tokens: number }
  /** A chunk begins behind so many tokens of the prompt; before the first chunk that is what came from the cache. */
  | { readonly say: 'chunk'; readonly slot: number; readonly task: number; readonly behind: number }
  /** So many prompt tokens are in: counted with the cached ones (`context`) or without them (`computed`, with the time it took). */
  | { readonly say: 'prefilled'; readonly slot: number; readonly task: number; readonly context: number }
  | { readonly say: 'prefilled'; readonly slot: number; readonly task: number; readonly computed: number; readonly took: number }
  /** Tokens given so far, and the seconds since the first of them. */
  | { readonly say: 'generated'; readonly slot: number; readonly task: number; readonly tokens: number; readonly took: number }
  /** Timings of this task follow on lines that do not name it. */
  | { readonly say: 'block'; readonly slot: number; readonly task: number }
  /** Without slot and task: of the block that is open. `tool`: of a program that is no server, or of a server's own end. */
  | { readonly say: 'timing'; readonly part: 'prompt' | 'eval' | 'total'; readonly took: number; readonly tokens: number | undefined; readonly slot?: number | undefined; readonly task?: number | undefined; readonly tool: boolean }
  | { readonly say: 'cancel'; readonly task: number }
  | { readonly say: 'error'; readonly task: number }
  /** Its context then held so many tokens; absent after it had to drop some. `silent`: a version that says nothing of a task that is broken off. */
  | { readonly say: 'release'; readonly slot: number; readonly task: number; readonly context: number | undefined; readonly silent: boolean }
  | { readonly say: 'idle' }
  /** A process has loaded its model: whatever ran before in this writer ran in another process. */
  | { readonly say: 'loaded' }
  | { readonly say: 'fact'; readonly fact: 'version' | 'kvCacheTokens' | 'chunkTokens'; readonly value: string };

export interface ReadLine {
  /** Seconds since the start of the process. */
  readonly uptime?: number | undefined;
  /** Seconds since 1970, whole. */
  readonly epoch?: number | undefined;
  readonly said?: Said | undefined;
}

/** A message may begin behind a clock, a level, an address: it is looked for. */
const UPTIME = /^(\d+)\.(\d{2})\.(\d{3})\.(\d{3})\s/;
const SLOT = /(?:^|\s)slot\s+\S+:\s+id\s+(\d+)\s+\|\s+task\s+(-?\d+)\s+\|\s?(.*)$/s;
const SERVER = /(?:^|\s)(?:srv|que|main|main_loop)\s+\S+:\s(.*)$/s;
const TEXT_2024 = /^[A-Z]+\s+\[\s*\w+\]\s+(.*?)\s+\|\s+(tid=.*)$/s;
const TOOL = /llama_(?:print_timings|perf_context_print|perf_print):\s/;
const TIMING = /(?:^|\s)(prompt eval|generation eval|eval|total) time\s*=\s*(-?[\d.]+|-?nan\S*|-?inf) ms(?:\s*\/\s*(-?\d+) (?:tokens|runs))?/;
const FACTS = [
  { fact: 'version', shape: /(?:^|\s)build(?:_info)?: (b?\d+(?:-[0-9a-f]+)?)\b/ },
  { fact: 'kvCacheTokens', shape: /llama_(?:context|new_context_with_model|init_from_model): n_ctx\s+=\s+(\d+)\s*$/ },
  { fact: 'chunkTokens', shape: /llama_(?:context|new_context_with_model|init_from_model): n_batch\s+=\s+(\d+)\s*$/ },
] as const;

/** Whether only a llama.cpp server or tool writes such a line. */
export const isLlamacpp = (text: string): boolean => OWN.some((shape) => shape.test(text)) || (TOOL.test(text) && TIMING.test(text));
const OWN = [/slot\s+\S+:\s+id\s+\d+\s+\|\s+task\s+-?\d+\s+\|/, /srv\s+update_slots: all slots are idle/, /^[A-Z]+\s+\[\s*\w+\].*\|\s+tid="/, /^\{"(?:tid|timestamp|level)":.*"function":"/] as const;

export function readLine(text: string): ReadLine {
  if (text.startsWith('{')) return readJson(text);
  const old = TEXT_2024.exec(text);
  if (old) return readOld(old[1] ?? '', fieldsOf(old[2] ?? ''));
  return { uptime: uptimeOf(text), said: slotLine(text) ?? serverLine(text) ?? timingIn(text) ?? factIn(text) };
}

function uptimeOf(text: string): number | undefined {
  const [, minutes, seconds, millis, micros] = (UPTIME.exec(text) ?? []).map(Number);
  if (minutes === undefined || seconds === undefined || millis === undefined || micros === undefined || seconds > 59) return undefined;
  return ((minutes * 60 + seconds) * 1e6 + millis * 1e3 + micros) / 1e6;
}

function slotLine(text: string): Said | undefined {
  const [, slotText, taskText, message] = SLOT.exec(text) ?? [];
  if (slotText === undefined || message === undefined) return undefined;
  const slot = Number(slotText);
  const task = Number(taskText);
  const at = { slot, task };
  if (task < 0) return undefined;
  if (message.trim() === '' && text.includes('print_timing')) return { say: 'block', ...at };
  if (message.startsWith('processing task')) return { say: 'launch', ...at, child: /is_child = 1/.test(message) };

  const prompt = numberAfter(message, /^new prompt, .*task\.n_tokens = (\d+)/) ?? numberAfter(message, /^new prompt, .*n_prompt_tokens = (\d+)/);
  if (prompt !== undefined) return { say: 'prompt', ...at, tokens: prompt };
  const behind = numberAfter(message, /memory_seq_rm \[(\d+), end\)/) ?? numberAfter(message, /kv cache rm \[(\d+), end\)/);
  if (behind !== undefined) return { say: 'chunk', ...at, behind };
  const [, computed, took] = /^prompt processing, n_tokens =\s+(\d+), progress = [\d.]+, t =\s+([\d.]+) s/.exec(message) ?? [];
  if (computed !== undefined) return { say: 'prefilled', ...at, computed: Number(computed), took: Number(took) };
  const context = numberAfter(message, /^prompt (?:processing )?(?:progress|done), n_(?:tokens|past) = (\d+)/);
  if (context !== undefined) return { say: 'prefilled', ...at, context };
  const [, generated, rate] = /^n_(?:gen|decoded) =\s+(\d+), tg =\s+([\d.]+) t\/s/.exec(message) ?? [];
  if (generated !== undefined) return Number(rate) > 0 ? { say: 'generated', ...at, tokens: Number(generated), took: Number(generated) / Number(rate) } : undefined;
  const [, released, truncated] = /^stop processing: n_(?:tokens|past) = (\d+), truncated = (\d)/.exec(message) ?? [];
  if (released !== undefined) return { say: 'release', ...at, context: truncated === '0' ? Number(released) : undefined, silent: false };
  return timingIn(message, at);
}

function serverLine(text: string): Said | undefined {
  const [, message] = SERVER.exec(text) ?? [];
  if (message === undefined) return undefined;
  if (message.startsWith('all slots are idle')) return { say: 'idle' };
  if (message.startsWith('model loaded')) return { say: 'loaded' };
  const cancelled = numberAfter(message, /^cancel task, id_task = (\d+)/);
  if (cancelled !== undefined) return { say: 'cancel', task: cancelled };
  const failed = numberAfter(message, /^task id = (\d+), error: /);
  return failed === undefined ? undefined : { say: 'error', task: failed };
}

function timingIn(text: string, at?: { readonly slot: number; readonly task: number }): Said | undefined {
  const [, name, took, tokens] = TIMING.exec(text) ?? [];
  if (name === undefined) return undefined;
  const part = name === 'prompt eval' ? 'prompt' : name === 'total' ? 'total' : 'eval';
  return { say: 'timing', part, took: Number(took) / 1e3, tokens: tokens === undefined ? undefined : Number(tokens), ...at, tool: at === undefined && TOOL.test(text) };
}

function factIn(text: string): Said | undefined {
  if (/(?:^|\s)main: model loaded\s*$/.test(text)) return { say: 'loaded' };
  for (const { fact, shape } of FACTS) {
    const value = shape.exec(text)?.[1];
    if (value !== undefined) return { say: 'fact', fact, value };
  }
  return undefined;
}

type Fields = ReadonlyMap<string, number>;
/** Numbers behind the message of a line of 2024; a quoted value may hold anything, a prompt template too, and is skipped. */
const FIELD = /\b(\w+)=(?:"(?:[^"\\]|\\.)*"|(-?\d+(?:\.\d+)?)(?=\s|$)|\S*)/g;
const fieldsOf = (text: string): Fields => new Map([...text.matchAll(FIELD)].flatMap(([, name = '', value]) => (value === undefined ? [] : [[name, Number(value)]])));

const jsonLine = z.looseObject({ timestamp: z.number(), msg: z.string() });
const json2024 = z.union([jsonLine, z.looseObject({ timestamp: z.number(), message: z.string() }).transform(({ message, ...rest }) => ({ ...rest, msg: message }))]);

function readJson(text: string): ReadLine {
  const parsed = json2024.safeParse(jsonOf(text));
  if (!parsed.success) return {};
  const { msg, ...rest } = parsed.data;
  return readOld(msg, new Map(Object.entries(rest).flatMap(([name, value]) => (typeof value === 'number' ? [[name, value]] : []))));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const readOld = (message: string, fields: Fields): ReadLine => ({ epoch: fields.get('timestamp'), said: oldMessage(message, fields) });

function oldMessage(message: string, fields: Fields): Said | undefined {
  if (message.startsWith('all slots are idle')) return { say: 'idle' };
  if (message === 'model loaded') return { say: 'loaded' };
  const build = fields.get('build');
  if (message === 'build info' && build !== undefined) return { say: 'fact', fact: 'version', value: String(build) };
  const slot = fields.get('id_slot') ?? fields.get('slot_id');
  const task = fields.get('id_task') ?? fields.get('task_id');
  if (slot === undefined || task === undefined) return undefined;
  const at = { slot, task };
  if (message === 'slot is processing task') return { say: 'launch', ...at, child: false };
  if (message === 'slot released') return { say: 'release', ...at, context: undefined, silent: true };
  const behind = fields.get('p0');
  if (message.startsWith('kv cache rm') && behind !== undefined) return { say: 'chunk', ...at, behind };
  return timingIn(message, at);
}

function numberAfter(text: string, shape: RegExp): number | undefined {
  const found = shape.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}
