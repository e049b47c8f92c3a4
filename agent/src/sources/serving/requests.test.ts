import { toIso } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, details, flags, ifAbsent, isPresent, recordedFile, refusal, sharedFile } from '../recorded-file.testing.js';
import type { RecordedFile } from '../recorded.js';
import type { HoleEvidence, RequestEvidence, ServingEvent } from '../source.js';
import { requests } from './requests.js';

const open = (file: RecordedFile, options: unknown = {}, tz = 'UTC'): Promise<ServingEvent[]> => all(requests.open({ file, tz, deployment: 'chat' }, options).events());
const read = (content: string, options: unknown = {}): Promise<ServingEvent[]> => open(recordedFile(content, 'requests.csv'), options);
const requestsOf = (list: readonly ServingEvent[]): RequestEvidence[] => list.filter((event): event is RequestEvidence => event.kind === 'request');
const holesOf = (list: readonly ServingEvent[]): HoleEvidence[] => list.filter((event): event is HoleEvidence => event.kind === 'hole');
const sum = (list: readonly ServingEvent[], kind: 'input' | 'cachedInput' | 'output'): number => requestsOf(list).reduce((total, request) => total + (request.tokens[kind] ?? 0), 0);

const T = 1_713_452_957;
const HEADER = 'start,firstToken,end,inputTokens,outputTokens';
const plainRow = (start: number, output = 7): string => `${start},${start + 1},${start + 3},100,${output}`;

describe('requests', () => {
  it('goes by the names of the contract', async () => {
    const list = await read(`${HEADER},cachedInputTokens,status,tenant,model\n${T},${T + 1},${T + 3},100,20,60,success,a,m\n`);
    expect(list).toEqual([
      { kind: 'request', id: 'requests.csv:2', start: T, firstToken: T + 1, end: T + 3, tokens: { input: 40, cachedInput: 60, output: 20 }, outcome: 'ok', tenant: 'a', model: 'm' },
      { kind: 'watermark', at: T + 3 },
    ]);
  });

  it('counts equal rows without ids, and says how many there are where their times are equal to a part of a second', async () => {
    const of = (...rows: readonly string[]): Promise<ServingEvent[]> => read(`${HEADER}\n${rows.join('\n')}\n`);
    const doubled = await of(plainRow(T + 0.125), plainRow(T + 0.125), plainRow(T + 0.25), plainRow(T + 0.125), plainRow(T + 0.25, 8), plainRow(T), plainRow(T));
    expect([sum(doubled, 'output'), flags(doubled)]).toEqual([50, [['DUPLICATE_ROWS', 2]]]);
    expect(details(doubled)[0]).toMatch(/^requests\.csv: 2 rows, the first in line 3, are equal .* ids/);
    const named = await read(`${HEADER},id,note\n${plainRow(T + 0.5)},a,x\n${plainRow(T + 0.5)},b,x\n${plainRow(T + 0.5)},,x\n${plainRow(T + 0.5)},,y\n`);
    expect([sum(named, 'output'), flags(named)]).toEqual([28, []]);
  });

  it('derives first token, end and output from what there is', async () => {
    const times = async (columns: string, values: string, options: unknown = {}): Promise<unknown> => {
      const [request] = requestsOf(await read(`start,${columns}\n${T},${values}\n`, options));
      return request && [request.firstToken === undefined ? undefined : request.firstToken - T, request.end - T, request.tokens.output];
    };
    expect(await times('ttft,duration,inputTokens,totalTokens', '0.5,2,10,31')).toEqual([0.5, 2, 21]);
    expect(await times('ttft,itl,outputTokens', '0.5,0.25,5')).toEqual([0.5, 1.5, 5]);
    expect(await times('ttft,tpot,outputTokens', '500,250,5', { latencyUnit: 'ms' })).toEqual([0.5, 1.5, 5]);
    expect(await times('ttft,tpot,outputTokens', '0.5,0.25,0')).toEqual([0.5, 0.5, 0]);
    expect(await times('end,duration', `${T + 4},9`)).toEqual([undefined, 4, undefined]);
  });

  it('adds up the steps between tokens where each is kept', async () => {
    const [request] = requestsOf(await read(`{"start": [${T}, ${T}], "ttft": [0.5, 1], "itl": [[0.25, 0.5], []], "outputTokens": [3, 1]}`));
    expect(request).toMatchObject({ firstToken: T + 0.5, end: T + 1.25 });
  });

  it('takes a request without any duration for an instant, and says how many', async () => {
    const list = await read(`start,inputTokens,outputTokens\n${T},10,5\n${T + 1},10,5\n`);
    expect(requestsOf(list).map(({ start, end }) => end - start)).toEqual([0, 0]);
    expect(flags(list)).toEqual([['NO_DURATION', 2]]);
  });

  it('does not make 0 tokens of an empty cell', async () => {
    const list = await read(`${HEADER}\n${T},,${T + 1},,\n${T + 2},,${T + 3},5,nan\n`);
    expect(requestsOf(list).map(({ tokens }) => tokens)).toEqual([{}, { input: 5 }]);
    expect(flags(list)).toEqual([['NO_TOKENS', 1]]);
  });

  it.each([
    ['start is missing', `,,${T + 1},1,1`],
    ['start is not a time (125)', `125,,${T + 1},1,1`],
    ['firstToken is before start', `${T},${T - 1},${T + 1},1,1`],
    ['end is before firstToken', `${T},${T + 2},${T + 1},1,1`],
    ['end is before start', `${T},,${T - 1},1,1`],
    ['inputTokens is negative (-5)', `${T},,${T + 1},-5,1`],
    ['outputTokens is not a whole number (1.5)', `${T},,${T + 1},5,1.5`],
    ['outputTokens is not a number', `${T},,${T + 1},5,secret words`],
    ['cut off', `${T},,${T + 1}`],
  ])('skips a row because %s, and never quotes its text', async (reason, row) => {
    const list = await read(`${HEADER}\n${T - 10},,${T - 9},1,1\n${row}\n${T + 10},,${T + 11},1,1\n`);
    expect(requestsOf(list)).toHaveLength(2);
    expect(details(list)).toEqual([`requests.csv: 1 line skipped: line 3: ${reason}`]);
    expect(holesOf(list)).toEqual([{ kind: 'hole', from: T - 9, to: T + 10, reason: 'requests.csv: a request here could not be used' }]);
  });

  it('skips a row with more cached than input tokens, or fewer tokens in all than input', async () => {
    expect(details(await read(`start,inputTokens,cachedInputTokens,end\n${T},5,6,${T}\n${T},5,5,${T}\n`))[0]).toContain('cachedInputTokens is more than inputTokens');
    expect(details(await read(`start,inputTokens,totalTokens,end\n${T},5,4,${T}\n${T},5,5,${T}\n`))[0]).toContain('totalTokens is less than inputTokens');
  });

  it('forgives a first token that was rounded past the end', async () => {
    const [request] = requestsOf(await read(`${HEADER}\n${T},${T + 1.0004},${T + 1},1,1\n`));
    expect(request?.end).toBe(request?.firstToken);
  });

  it('says rows and holes in the order of the file', async () => {
    const list = await read(`${HEADER}\nx,,,,\n${T},,${T + 1},1,1\n${T + 2},,${T + 3},1,1\nx,,,,\nx,,,,\n${T + 5},,${T + 6},1,1\n`);
    expect(list.map((event) => event.kind)).toEqual(['hole', 'request', 'request', 'hole', 'request', 'flagged', 'watermark']);
    expect(holesOf(list).map(({ from, to }) => [from - T, to - T])).toEqual([[0, 0], [3, 5]]);
  });

  it('says a hole over everything for each place, where the file is in no order', async () => {
    const list = await read(`${HEADER}\n${T + 5},,${T + 6},1,1\nx,,,,\n${T},,${T + 1},1,1\nx,,,,\n${T + 2},,${T + 3},1,1\n`);
    expect(holesOf(list).map(({ from, to }) => [from - T, to - T])).toEqual([[0, 6], [0, 6]]);
  });

  it.each([
    ['ok', ['', 'ok', 'Success', 'TRUE', '200', '204', 'stop', 'length', 'completed']],
    ['aborted', ['aborted', 'cancelled', 'canceled', 'abort', '499']],
    ['failed', ['failed', 'error', '500', '503', '404', 'false', 'quux']],
    ['rejected', ['429', 'rejected']],
    ['superseded', ['superseded']],
  ])('knows a status as %s', async (outcome, words) => {
    const list = await read(`start,end,status\n${words.map((word) => `${T},${T},${word}`).join('\n')}\n`);
    expect(requestsOf(list).map((request) => request.outcome)).toEqual(words.map(() => outcome));
    expect(flags(list).filter(([code]) => code === 'UNKNOWN_STATUS')).toEqual(words.includes('quux') ? [['UNKNOWN_STATUS', 1]] : []);
  });

  it('counts only the last attempt of a request; the others are superseded', async () => {
    const list = await read(`start,end,id,attempt\n${T},${T + 1},a,1\n${T},${T + 1},b,1\n${T + 2},${T + 3},a,2\n`);
    expect(requestsOf(list).map((request) => request.outcome)).toEqual(['superseded', 'ok', 'ok']);
  });

  it('leaves out rows that are not asked for, without a flag or a hole', async () => {
    const content = `start,end,Phase\n${T},${T + 1},start-inference-1\nx,,model load\n${T + 2},${T + 3},start-inference-2\n`;
    const list = await read(content, { where: { Phase: 'start-inference*' } });
    expect(list.map((event) => event.kind).filter((kind) => kind !== 'flagged')).toEqual(['request', 'request', 'watermark']);
    expect(flags(list)).toEqual([['NO_TOKENS', 2]]);
    await expect(read(content, { where: { Phase: 'start.inference*' } })).rejects.toThrow("none of its 3 rows is as 'where' asks (Phase: start.inference*)");
    await expect(read(content, { where: { phase: '*' } })).rejects.toThrow("no column 'phase' (where); did you mean 'Phase'?");
  });

  it.each([
    [{ columns: { start: 'Start' } }, "no column 'Start' (columns.start); did you mean 'start'?"],
    [{ columns: { inputTokens: 'promptTokens' } }, "no column 'promptTokens' (columns.inputTokens)"],
  ])('refuses %j', async (options, message) => {
    expect(await refusal(read(`${HEADER}\n${T},,,,\n`, options))).toContain(`FILE_FORMAT: requests.csv has ${message}`);
  });

  it('refuses a table that has no start, and options it does not know', async () => {
    await expect(read('TIMESTAMP,ContextTokens\n1,2\n')).rejects.toThrow('no column \'start\': say which one it is with columns: { start: … }; it has TIMESTAMP, ContextTokens');
    expect(() => requests.open({ file: recordedFile('', 'r.csv'), tz: 'UTC', deployment: 'chat' }, { colums: {}, columns: { inputToken: 'x' } })).toThrow(/'inputToken' is not a setting here; did you mean 'inputTokens'\?[^]*'colums' is not a setting here; did you mean 'columns'\?/);
  });

  it.each([['nothing', ''], ['an empty array', '[]'], ['a header alone', `${HEADER}\n`]])('of an idle server holds %s: no request, which is said, and nothing is idle by it', async (_, content) => {
    const list = await read(content);
    expect(list).toEqual([expect.objectContaining({ kind: 'flagged', code: 'NO_REQUESTS' })]);
  });

  it('holds as many requests as may begin at one moment, and attempts of one', async () => {
    const list = await read(`${HEADER},id,attempt\n${`${T},${T + 1},${T + 2},1,1,a,0\n`.repeat(2)}broken\n${Array.from({ length: 200_000 }, (__, attempt) => `${T},${T + 1},${T + 3 + attempt / 1e6},1,1,a,${attempt}\n`).join('')}`);
    expect([requestsOf(list).length, requestsOf(list).filter(({ outcome }) => outcome === 'ok').length, holesOf(list).length]).toEqual([200_001, 1, 1]);
  });

  it('refuses a file of which fewer than half of the rows can be used', async () => {
    await expect(read(`${HEADER}\n${T},,${T + 1},1,1\na,,,,\nb,,,,\n`)).rejects.toThrow(/only 1 of 3 data lines can be used/);
  });
});

describe.skipIf(!isPresent)(`recorded requests${ifAbsent}`, () => {
  it.each([
    ['code', 8819, 18_059_974, 245_896, '2023-11-16T18:17:03.980Z', 3435.948056],
    ['conv', 19_366, 22_361_870, 4_088_665, '2023-11-16T18:15:46.681Z', 3501.721937],
  ])('azure %s: every request and token', async (name, count, input, output, first, span) => {
    const list = await open(sharedFile(`recordings/azure-llm-2023/AzureLLMInferenceTrace_${name}.csv`), { columns: { start: 'TIMESTAMP', inputTokens: 'ContextTokens', outputTokens: 'GeneratedTokens' } });
    const found = requestsOf(list);
    expect([found.length, sum(list, 'input'), sum(list, 'output')]).toEqual([count, input, output]);
    expect(found[0] && toIso(found[0].start)).toBe(first);
    expect((found.at(-1)?.start ?? 0) - (found[0]?.start ?? 0)).toBeCloseTo(span, 5);
    expect(flags(list)).toEqual([['NO_DURATION', count]]);
  });

  it.each([
    ['llama2-13b', 63, [[713453089.5967484, 541, 32]]],
    ['llama2-70b', 64, []],
  ])('wilkins %s: its calls, prompts over several lines and all', async (name, count, far) => {
    const list = await open(sharedFile(`recordings/wilkins-a100-swing/${name}/inferences.csv`), {
      columns: { start: 'Timestamp', duration: 'Runtime (s)', inputTokens: 'Number of Input Tokens', totalTokens: 'Total Number of Tokens' },
      where: { Phase: 'start-inference*' },
    });
    expect(requestsOf(list)).toHaveLength(count);
    expect(flags(list)).toEqual([]);
    // The leading digit of one start is lost: still a time, of 1992, and for the power log to tell.
    const odd = requestsOf(list).filter((request) => request.start < 1e9);
    expect(odd.map(({ start, tokens }) => [start, tokens.input, tokens.output])).toEqual(far);
  });

  it.each([
    ['run1_cache_off', 0, 6.481597],
    ['run2_cache_on', 11_264, 5.831464],
  ])('powertrace %s: four requests in an object of arrays', async (name, cached, span) => {
    const list = await open(sharedFile(`recordings/powertrace-smoke/${name}/requests.json`), {
      columns: { start: 'request_timestamps', ttft: 'ttfts', itl: 'itls', inputTokens: 'input_lens', outputTokens: 'output_lens', cachedInputTokens: 'cached_prompt_tokens' },
    });
    const found = requestsOf(list);
    expect([found.length, sum(list, 'input') + sum(list, 'cachedInput'), sum(list, 'cachedInput'), sum(list, 'output')]).toEqual([4, 18_421, cached, 397]);
    expect((found.at(-1)?.end ?? 0) - (found[0]?.start ?? 0)).toBeCloseTo(span, 5);
    expect(flags(list)).toEqual([]);
  });

  it('inferencex: 29 requests by their own start, first token and end', async () => {
    const list = await open(sharedFile('recordings/inferencex-b200-agentic/conc12/detailed_results_no_token_ts.csv'), {
      columns: { start: 'request_start_time', firstToken: 'prefill_complete_time', end: 'request_complete_time', inputTokens: 'input_tokens', outputTokens: 'output_tokens_actual', status: 'success' },
    });
    expect([requestsOf(list).length, sum(list, 'input'), sum(list, 'output')]).toEqual([29, 2_710_090, 76_377]);
    expect(flags(list)).toEqual([]);
  });
});
