import { describe, expect, it } from 'vitest';
import { all, details, flags, ifAbsent, isPresent, recordedFile, refusal, sharedFile } from '../recorded-file.testing.js';
import type { ServingEvent } from '../source.js';
import { mlperfLoadgen } from './mlperf-loadgen.js';

const entry = (values: Readonly<Record<string, unknown>>): string => Object.entries(values).map(([key, value]) => `:::MLLOG ${JSON.stringify({ key, value, time_ms: 1 })}\n`).join('');
const read = (content: string): Promise<ServingEvent[]> => all(mlperfLoadgen.open({ file: recordedFile(content, 'mlperf_log_detail.txt'), tz: '-07:00', deployment: 'offline', model: 'llama' }, {}).events());
const published = (path: string): Promise<ServingEvent[]> => all(mlperfLoadgen.open({ file: sharedFile(`recordings/mlperf-v41-nvidia-h200/${path}/mlperf_log_detail.txt`), tz: '-07:00', deployment: 'd' }, {}).events());

const RUN = { effective_scenario: 'Offline', power_begin: '07-17-2024 09:52:23.554', power_end: '07-17-2024 09:52:33.554', result_tokens_per_second: 100.26, result_validity: 'VALID' };

describe('mlperf-loadgen', () => {
  it('is one saturated window with rate × time tokens, and says that they are derived', async () => {
    const from = Date.parse('2024-07-17T16:52:23.554Z') / 1000;
    const list = await read(entry(RUN));
    expect(list[0]).toEqual({ kind: 'window', from, to: from + 10, tokens: { output: 1003 }, saturated: true, model: 'llama' });
    expect(flags(list)).toEqual([['RATE_DERIVED', 1]]);
    expect(list.at(-1)).toEqual({ kind: 'watermark', at: from + 10 });
  });

  it('counts completed tokens in the Server scenario', async () => {
    const [window] = await read(entry({ ...RUN, effective_scenario: 'Server', result_completed_tokens_per_second: 50 }));
    expect(window).toMatchObject({ tokens: { output: 500 } });
  });

  it.each([
    ['power_begin', /^FILE_FORMAT: .* has no power_begin: it is not of a power run/],
    ['power_end', /has no power_end/],
    ['result_tokens_per_second', /mlperf_log_detail\.txt has no result_tokens_per_second/],
  ])('names %s when it is missing', async (key, message) => {
    const rest = Object.fromEntries(Object.entries(RUN).filter(([each]) => each !== key));
    expect(await refusal(read(entry(rest)))).toMatch(message);
  });

  it('skips entries that were cut off, and tells an invalid run', async () => {
    const list = await read(`${entry({ ...RUN, result_validity: 'INVALID' })}:::MLLOG {"key": "x", "val`);
    expect(flags(list)).toEqual([['RATE_DERIVED', 1], ['RUN_INVALID', 1], ['SKIPPED_LINES', 1]]);
    expect(details(list).at(-1)).toContain('line 6: not a log entry, or cut off');
  });

  it.each(['', 'start,end\n1,2\n', ':::MLLOG {"key"\n'])('refuses %j', async (content) => {
    expect(await refusal(read(content))).toMatch(/^FILE_(?:EMPTY|FORMAT): mlperf_log_detail\.txt /);
  });
});

describe.skipIf(!isPresent)(`MLPerf runs${ifAbsent}`, () => {
  it.each([
    ['llama2-70b-99/Offline', 3116.735, 25262.1],
    ['llama2-70b-99/Server', 2500.052, 23113.1],
    ['mixtral-8x7b/Server', 2423.788, 45497],
  ])('%s: the published window and rate', async (path, length, rate) => {
    const [window] = await published(path);
    if (window?.kind !== 'window') throw new Error('no window');
    expect(window.to - window.from).toBeCloseTo(length, 3);
    expect(window.tokens.output).toBe(Math.round(rate * length));
  });

  it('gptj Offline has no tokens per second and says so', async () => {
    await expect(published('gptj-99/Offline')).rejects.toThrow(/has no result_tokens_per_second \(result_inferred_tokens_per_second is samples times a constant/);
  });
});
