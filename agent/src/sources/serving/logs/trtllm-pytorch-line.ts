/**
 * A line of `print_iter_log: true` of the PyTorch backend. Releases order its fields differently and write `=` or `:`, so
 * each field is looked for by itself:
 *
 *     [01/02/2026-03:04:05] [TRT-LLM] [I] iter = 7, global_rank = 0, rank = 0, currank_total_requests = 0/0,
 *       host_step_time = 7.4ms, prev_device_step_time = 7.3ms, timestamp = 2026-01-02 03:04:05,
 *       num_scheduled_requests: 10, states = {'num_ctx_requests': 0, 'num_ctx_tokens': 0, 'num_generation_tokens': 16}
 */
import type { Stamp } from './dialect.js';
import type { Flaw, Report } from './trtllm-report.js';

const FIELD = /\b(iter|global_rank|rank|num_scheduled_requests|kv_cache_util|currank_total_requests|host_step_time|elapsed_time|prev_device_step_time)\s*[=:]\s*([^,\s]+)/g;
const STATES = /\bstates\s*[=:]\s*(\{[^}]*\})/;
/** Counts are printed as numbers or, when they come from the device, as `tensor(256)`. */
const STATE = /['"](\w+)['"]\s*:\s*(?:tensor\(\s*)?(\d+)/g;
const DURATION = /^(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(ms|s)$/;
const FETCHED = /^(\d+)\/(\d+)$/;
const YEAR_FIRST = /\btimestamp\s*[=:]\s*(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)/;
const MONTH_FIRST = /(?:\btimestamp\s*[=:]\s*|\[)(\d\d)[-/](\d\d)[-/](\d{4})[- ](\d\d):(\d\d):(\d\d)/;

/** Maybe cut off behind that. */
export const isPytorchLine = (text: string): boolean => text.includes('iter = ') && text.includes('global_rank');
export const isWholePytorchLine = (text: string): boolean => STATES.test(text);

/** @returns undefined for a line of something else */
export function readPytorchLine(text: string): Report | Flaw | undefined {
  if (!isPytorchLine(text)) return undefined;
  const literal = STATES.exec(text);
  if (!literal) return { flaw: 'an iteration without its states, or cut off' };
  const fields = new Map([...`${text.slice(0, literal.index)}${text.slice(literal.index + literal[0].length)}`.matchAll(FIELD)].map(([, name = '', value = '']) => [name, value]));
  const states = new Map([...(literal[1] ?? '').matchAll(STATE)].map(([, name = '', value = '']) => [name, Number(value)]));
  const number = count(fields.get('iter'));
  const contextRequests = states.get('num_ctx_requests');
  const contextTokens = states.get('num_ctx_tokens');
  if (number === undefined || contextRequests === undefined || contextTokens === undefined) return { flaw: 'an iteration without its number or its counts' };
  const scheduled = count(fields.get('num_scheduled_requests'));
  const generationTokens = states.get('num_generation_tokens');
  if (scheduled === undefined && generationTokens === undefined) return { flaw: 'an iteration that does not say what it generated' };
  const [, here, all] = FETCHED.exec(fields.get('currank_total_requests') ?? '') ?? [];
  return {
    number,
    rank: fields.get('global_rank') ?? fields.get('rank'),
    stamp: stampOf(text),
    hostStep: duration(fields.get('host_step_time') ?? fields.get('elapsed_time')),
    previousDevice: duration(fields.get('prev_device_step_time')),
    scheduled,
    context: { requests: contextRequests, tokens: contextTokens },
    generationTokens: generationTokens ?? 0,
    padded: scheduled === undefined,
    kvTokens: states.get('cached_kv_tokens'),
    kvUsage: fraction(fields.get('kv_cache_util')),
    running: scheduled,
    fetched: here === undefined || all === undefined ? undefined : { here: Number(here), all: Number(all) },
  };
}

const count = (text: string | undefined): number | undefined => (text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined);

/** `N/A` is not known. */
const fraction = (text: string | undefined): number | undefined => (text !== undefined && /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : undefined);

function duration(text: string | undefined): number | undefined {
  const [, amount, unit] = DURATION.exec(text ?? '') ?? [];
  return amount === undefined ? undefined : Number(amount) / (unit === 'ms' ? 1000 : 1);
}

/** The moment of printing is among the fields; the logger's own stamp in front may be missing. */
function stampOf(text: string): Stamp | undefined {
  const [, year, month, day, ...time] = YEAR_FIRST.exec(text) ?? [];
  if (year !== undefined) return { year: Number(year), month: Number(month), day: Number(day), hour: Number(time[0]), minute: Number(time[1]), second: Number(time[2]) };
  const [, monthFirst, date, lastYear, hour, minute, second] = MONTH_FIRST.exec(text) ?? [];
  if (monthFirst === undefined) return undefined;
  return { year: Number(lastYear), month: Number(monthFirst), day: Number(date), hour: Number(hour), minute: Number(minute), second: Number(second) };
}
