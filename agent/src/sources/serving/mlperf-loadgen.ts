/**
 * MLPerf loadgen's mlperf_log_detail.txt: `:::MLLOG {"key": …, "value": …}` lines. It tells when the measured run
 * began and ended (power_begin, power_end, local time) and at what rate tokens were completed; nothing tells phases.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { elapsed, tokens, type Instant } from '@joulebook/shared/units.js';
import { notThisFormat } from '../dialects.js';
import { lineTally } from '../line-tally.js';
import { servingFormat, type RecordedServingEntry } from '../recorded.js';
import type { ServingEvent } from '../source.js';
import { textLines } from '../text-lines.js';
import { parseMonthFirst, zone, type Zone } from '../timestamps.js';

const NAME = 'mlperf-loadgen';
const MARK = ':::MLLOG ';

/** The key that holds output tokens per second. `result_inferred_tokens_per_second` is samples × a constant: no measurement. */
const RATE_KEY: Readonly<Record<string, string>> = { Server: 'result_completed_tokens_per_second', Offline: 'result_tokens_per_second' };

export const mlperfLoadgen = servingFormat({
  name: NAME,
  tokensFrom: 'requests',
  summary: 'mlperf_log_detail.txt of an MLPerf power run: one window, tokens = rate × time, no phases',
  options: {},
  open(entry) {
    const local = zone(entry.tz);
    return { description: `${entry.file.label} (${NAME})`, events: () => events(entry, local) };
  },
});

async function* events(entry: RecordedServingEntry, local: Zone): AsyncGenerator<ServingEvent, void> {
  const { file: { label }, model } = entry;
  const tally = lineTally(label);
  const values = await readValues(entry, tally);
  tally.judge(NAME);
  const need = (key: string, why: string): unknown => {
    if (values.has(key)) return values.get(key);
    throw new TelemetryError('FILE_FORMAT', `${label} has no ${key}${why}.`, 'abort');
  };
  const moment = (key: string): Instant => {
    const text = String(need(key, ': it is not of a power run, or was cut off before its end'));
    const at = parseMonthFirst(text, local);
    if (at === undefined) throw new TelemetryError('FILE_FORMAT', `${label}: ${key} is no time: ${text}.`, 'abort');
    return at;
  };
  const from = moment('power_begin');
  const to = moment('power_end');
  if (to <= from) throw new TelemetryError('FILE_FORMAT', `${label}: power_end is not after power_begin.`, 'abort');

  const scenario = String(values.get('effective_scenario'));
  const rateKey = RATE_KEY[scenario] ?? Object.values(RATE_KEY).find((key) => values.has(key)) ?? 'result_tokens_per_second';
  const rate = need(rateKey, values.has('result_inferred_tokens_per_second') ? ' (result_inferred_tokens_per_second is samples times a constant, not counted tokens): the tokens of this run are not known' : ': the tokens of this run are not known');
  if (typeof rate !== 'number' || !(rate > 0)) throw new TelemetryError('FILE_FORMAT', `${label}: ${rateKey} is not a positive number.`, 'abort');

  const output = tokens(Math.round(rate * elapsed(from, to)));
  yield { kind: 'window', from, to, tokens: { output }, saturated: true, ...(model !== undefined && { model }) };
  yield { kind: 'flagged', code: 'RATE_DERIVED', count: 1, detail: `${label}: ${output} output tokens are ${rateKey} ${rate} × ${elapsed(from, to).toFixed(3)} s, spread evenly` };
  if (values.has('result_validity') && values.get('result_validity') !== 'VALID') yield { kind: 'flagged', code: 'RUN_INVALID', count: 1, detail: `${label}: loadgen calls this run ${String(values.get('result_validity'))}` };
  yield* tally.flagged();
  yield { kind: 'watermark', at: to };
}

/** The last value of every key. */
async function readValues({ file }: RecordedServingEntry, tally: ReturnType<typeof lineTally>): Promise<Map<string, unknown>> {
  const values = new Map<string, unknown>();
  let first = true;
  for await (const { number, text, tooLong } of textLines(file)) {
    if (text.trim() === '' && !tooLong) continue;
    if (first && !text.startsWith(MARK)) throw new TelemetryError('FILE_FORMAT', notThisFormat(file.label, NAME, `line ${number} does not begin with ${MARK.trim()}`, text), 'abort');
    first = false;
    const entry = text.startsWith(MARK) ? keyAndValue(text.slice(MARK.length)) : undefined;
    if (entry) {
      tally.used();
      values.set(...entry);
    } else tally.skip(number, tooLong ? 'longer than 1 MiB' : 'not a log entry, or cut off', text);
  }
  return values;
}

function keyAndValue(json: string): [key: string, value: unknown] | undefined {
  try {
    const entry: unknown = JSON.parse(json);
    return typeof entry === 'object' && entry !== null && 'key' in entry && 'value' in entry && typeof entry.key === 'string' ? [entry.key, entry.value] : undefined;
  } catch {
    return undefined;
  }
}
