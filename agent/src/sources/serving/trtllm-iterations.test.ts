import { createServer, type Server } from 'node:http';
import { instant, seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NO_BILL } from '../no-bill.testing.js';
import { all, flags, recordedFile, refusal } from '../recorded-file.testing.js';
import type { LiveContext, ServingEvent, StepsEvidence } from '../source.js';
import { iterationsAt, liveTrtllmIterations, trtllmIterations } from './trtllm-iterations.js';

const NOON = Date.UTC(2026, 2, 4, 12) / 1000;
const timestamp = (at: number): string => {
  const iso = new Date(Math.floor(at) * 1000).toISOString();
  return `${iso.slice(5, 7)}-${iso.slice(8, 10)}-${iso.slice(0, 4)} ${iso.slice(11, 19)}.${String(Math.round((at % 1) * 1e6)).padStart(6, '0')}`;
};
interface Counts {
  readonly context?: number;
  readonly tokens?: number;
  readonly generating?: number;
}
/** At so many milliseconds after noon. */
const record = (iter: number, ms: number, { context = 0, tokens = 0, generating = 0 }: Counts = {}, more: object = {}) => ({
  iter,
  timestamp: timestamp(NOON + ms / 1000),
  iterLatencyMS: 10,
  numActiveRequests: 3,
  numNewActiveRequests: 0,
  numQueuedRequests: 1,
  attentionDpRank: 0,
  kvCacheStats: { maxNumBlocks: 100, usedNumBlocks: 25, tokensPerBlock: 32 },
  inflightBatchingStats: { numScheduledRequests: context + generating, numContextRequests: context, numGenRequests: generating, numCtxTokens: tokens, microBatchId: 0, avgNumDecodedTokensPerIter: 0 },
  ...more,
});
const events = (content: string, tz = 'UTC'): Promise<ServingEvent[]> => all(trtllmIterations.open({ file: recordedFile(content, 'iterations.json'), tz, deployment: 'd' }, {}).events());
const perLine = (...records: readonly object[]): Promise<ServingEvent[]> => events(records.map((each) => `${JSON.stringify(each)}\n`).join(''));
const stepsIn = (found: readonly ServingEvent[]): StepsEvidence[] => found.filter((event) => event.kind === 'steps');
/** In milliseconds after noon. */
const spans = (found: readonly ServingEvent[], kind: 'steps' | 'idle' | 'hole'): number[][] => found.flatMap((event) => (event.kind === kind ? [[event.from, event.to].map((at) => Math.round((at - NOON) * 1000))] : []));
const outputs = (found: readonly ServingEvent[]): (number | undefined)[] => stepsIn(found).map(({ tokens }) => tokens.output);

const marks = (found: readonly ServingEvent[]): number[] => found.flatMap((event) => (event.kind === 'watermark' ? [event.at] : []));
const ofRank = (rank: number) => ({ attentionDpRank: rank });
const list = (...records: readonly object[]): string => JSON.stringify(records);

describe('recorded iteration statistics', () => {
  const three = [record(7, 0, { context: 2, tokens: 900 }), record(8, 12, { generating: 2 }), record(9, 20, { generating: 2 })];
  it.each([
    ['a record per line', three.map((each) => JSON.stringify(each)).join('\n')],
    ['an answer per line', `${JSON.stringify(three.slice(0, 2))}\r\n[]\r\n${JSON.stringify(three.slice(2))}\r\n`],
    ['one array', JSON.stringify(three)],
    ['one array, indented', JSON.stringify(three, undefined, 2)],
  ])('are read from %s', async (_, content) => {
    const found = await events(content);
    expect(stepsIn(found).map(({ prefills, prefillTokens, decodes, decodeTokens }) => [prefills, prefillTokens, decodes, decodeTokens])).toEqual([[2, 900, 0, 0], [0, 0, 2, 2], [0, 0, 2, 2]]);
    expect(stepsIn(found)[0]).toMatchObject({ tokens: { input: 900 }, kvTokens: 800, rank: '0', timing: 'exact', steps: 1 });
    expect(found).toContainEqual(expect.objectContaining({ kind: 'engine', kvCacheTokens: 3200 }));
    expect(found.flatMap((event) => (event.kind === 'gauge' ? [[event.gauge, event.value]] : []))).toEqual([['serving.requests.running', 3], ['serving.requests.waiting', 1], ['serving.kv_cache.usage', 0.25]]);
  });

  it('follow on each other: a gap belongs to the one before, an overlapping pass to the one that is on the device', async () => {
    expect(spans(await perLine(record(1, 0, { generating: 1 }), record(2, 12, { generating: 1 }), record(3, 20, { generating: 1 }), record(4, 40, { generating: 1 })), 'steps')).toEqual([[0, 12], [12, 22], [22, 40], [40, 50]]);
  });

  it('are idle where every request of an iteration has just come', async () => {
    const found = await perLine(record(1, 0, { generating: 1 }), record(2, 5000, { context: 2, tokens: 64 }, { numActiveRequests: 2, numNewActiveRequests: 2 }));
    expect([spans(found, 'steps'), spans(found, 'idle')]).toEqual([[[0, 10], [5000, 5010]], [[10, 5000]]]);
  });

  it('are idle where nothing was scheduled', async () => {
    expect(spans(await perLine(record(1, 0, { generating: 1 }), record(2, 10), record(3, 20, { generating: 1 })), 'idle')).toEqual([[10, 20]]);
  });

  it('count the first token of each request once, whatever chunks its prompt came in', async () => {
    const found = await perLine(record(1, 0, { context: 1, tokens: 512 }, { numNewActiveRequests: 1 }), record(2, 10, { context: 1, tokens: 512 }), record(3, 20, { generating: 1 }), record(4, 30, { generating: 1 }));
    expect(outputs(found)).toEqual([1, 0, 1, 1]);
    expect(stepsIn(found).map(({ decodeTokens }) => decodeTokens)).toEqual([0, 0, 1, 1]);
  });

  it.each([
    ['the average per request', { inflightBatchingStats: { numContextRequests: 0, numGenRequests: 4, numCtxTokens: 0, avgNumDecodedTokensPerIter: 2.5 } }, 10],
    ['accepted drafts, where there is no average', { inflightBatchingStats: { numContextRequests: 0, numGenRequests: 4, numCtxTokens: 0, avgNumDecodedTokensPerIter: 0 }, specDecodingStats: { numDraftTokens: 12, numAcceptedTokens: 7 } }, 11],
    ['one per request, where there is neither', { inflightBatchingStats: { numContextRequests: 0, numGenRequests: 4, numCtxTokens: 0, avgNumDecodedTokensPerIter: 0 } }, 4],
  ])('count decoded tokens by %s', async (_, more, expected) => {
    expect(outputs(await perLine(record(1, 0, {}, more)))).toEqual([expected]);
  });

  it('take KV tokens as counted per request', async () => {
    const more = { inflightBatchingStats: { numContextRequests: 1, numGenRequests: 1, numCtxTokens: 9, numCtxKvTokens: 100, numGenKvTokens: 400 } };
    expect(stepsIn(await perLine(record(1, 0, {}, more)))[0]?.kvTokens).toBe(500);
  });

  it('of several attention ranks are kept apart', async () => {
    const found = await perLine(record(1, 0, { generating: 1 }, ofRank(0)), record(1, 1, { generating: 5 }, ofRank(1)), record(2, 10, { generating: 1 }, ofRank(0)), record(2, 11, { generating: 5 }, ofRank(1)));
    expect(stepsIn(found).map(({ rank, decodes }) => [rank, decodes])).toEqual([['0', 1], ['1', 5], ['0', 1], ['1', 5]]);
    expect(flags(found)).toEqual([]);
  });

  it('say which iterations are missing, and that nothing is known of their time', async () => {
    const found = await perLine(record(1, 0, { generating: 1 }), record(5, 300, { generating: 1 }));
    expect(spans(found, 'hole')).toEqual([[10, 300]]);
    expect(flags(found)).toEqual([['ITERATIONS_MISSING', 3]]);
  });

  it('begin anew with the engine, and come once when they are repeated', async () => {
    const again = record(1, 9000, { generating: 1 });
    const found = await perLine(record(500, 0, { generating: 1 }), again, again);
    expect([spans(found, 'steps'), spans(found, 'hole')]).toEqual([[[0, 10], [9000, 9010]], [[10, 9000]]]);
    expect(flags(found)).toEqual([]);
  });

  it('of a new life owe no first tokens of the old', async () => {
    expect(outputs(await perLine(record(500, 0, { generating: 1 }, { numNewActiveRequests: 2 }), record(1, 9000, { context: 1, tokens: 5 })))).toEqual([1, 0]);
  });

  it('are in the zone of the entry', async () => {
    expect(stepsIn(await events(JSON.stringify(three), '+02:00'))[0]?.from).toBe(NOON - 7200);
  });

  it('that can not be read are counted and never quoted', async () => {
    const found = await events(`${three.map((each) => JSON.stringify(each)).join('\n')}\n{"prompt": "secret"}\n${JSON.stringify(record(10, 30)).slice(0, 80)}`);
    expect(stepsIn(found)).toHaveLength(3);
    expect(flags(found)).toEqual([['SKIPPED_LINES', 1], ['SKIPPED_LINES', 1]]);
    expect(JSON.stringify(found)).not.toContain('secret');
  });

  it.each([['words', 'hello\n'], ['an object of something else', '{"a": 1}\n'], ['an array that is cut off', '[\n {"iter": 1,\n'], ['nothing', '']])('are not %s', async (_, content) => {
    expect(await refusal(events(content))).toMatch(/^FILE_/);
  });
});

describe('a server that is asked for its iterations', () => {
  let server: Server;
  let url: string;
  let answer: () => { readonly status?: number; readonly body: string };
  let logged: string[];
  beforeEach(async () => {
    logged = [];
    await new Promise<void>((resolve) => {
      server = createServer((_, response) => {
        const { status = 200, body } = answer();
        response.writeHead(status).end(body);
      }).listen(0, '127.0.0.1', () => {
        const address = server.address();
        url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/metrics`;
        resolve();
      });
    });
  });
  afterEach(() => void server.close());

  /** Time goes on by a second with each question. */
  async function ask(questions: number): Promise<ServingEvent[]> {
    const stop = new AbortController();
    let asked = 0;
    const log = { info: (message: string) => logged.push(`info ${message}`), warn: (message: string) => logged.push(`warn ${message}`) };
    const context: LiveContext = { now: () => instant(NOON + asked), environment: {}, signal: stop.signal, log, bill: NO_BILL };
    const answered = answer;
    answer = () => {
      asked += 1;
      if (asked >= questions) setTimeout(() => stop.abort(), 20);
      return answered();
    };
    return all(iterationsAt({ url, interval: seconds(0.1), timeout: seconds(2) }).events(context));
  }
  /** The answer to the nth question, from 1. */
  const answers = (...bodies: readonly (string | number)[]): void => {
    let index = 0;
    answer = () => {
      const body = bodies[Math.min(index, bodies.length - 1)] ?? '[]';
      index += 1;
      return typeof body === 'number' ? { status: body, body: '' } : { body };
    };
  };
  it('leaves out what was recorded before, and is never behind its watermark', async () => {
    answers(list(record(1, 100, { generating: 9 })), list(record(2, 1100, { generating: 1 }), record(3, 1150, { generating: 2 })), list(record(4, 2100, { generating: 3 })), '[]');
    const found = await ask(4);
    expect(stepsIn(found).map(({ decodes }) => decodes)).toEqual([1, 2, 3]);
    expect(found.filter((event, index) => event.kind === 'steps' && event.from < Math.max(...marks(found.slice(0, index)), 0))).toEqual([]);
    expect(marks(found).at(-1)).toBeCloseTo(NOON + 2.1, 5);
  });

  it('in another zone is understood by when its records arrive', async () => {
    const elsewhere = { ...record(2, 1100, { generating: 1 }), timestamp: timestamp(NOON + 1.1 + 5.5 * 3600) };
    answers('[]', list(elsewhere), '[]');
    expect(stepsIn(await ask(3))[0]?.from).toBeCloseTo(NOON + 1.1, 3);
  });

  it('without requests is idle after a while', async () => {
    answers('[]', list(record(2, 1100, { generating: 1 })), '[]');
    const found = await ask(16);
    const idle = found.filter((event) => event.kind === 'idle');
    expect(Math.max(...idle.map(({ to }) => to - NOON))).toBe(6);
    expect(found.filter((event) => event.kind === 'watermark').at(-1)?.at).toBe(NOON + 6);
  });

  it('that fails for a while or answers something else loses nothing', async () => {
    answers('[]', list(record(2, 1100, { generating: 1 })), 503, '# HELP x\nx 1\n', '[]', list({ iter: 'three' }, record(3, 5100, { generating: 1 })), '[]');
    const found = await ask(7);
    expect(stepsIn(found)).toHaveLength(2);
    expect(flags(found)).toEqual(expect.arrayContaining([['SCRAPES_FAILED', 2], ['SKIPPED_RECORDS', 1]]));
    expect(logged.map((message) => message.slice(0, 4))).toEqual(['warn', 'info']);
  });

  it('is not looked for, since looking takes what is there', async () => {
    expect(await liveTrtllmIterations.detect({})).toMatchObject({ found: false });
  });
});
