import { instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, flags, recordedFile } from '../../recorded-file.testing.js';
import type { ServingEvent } from '../../source.js';
import { recordedLog } from './recorded-log.js';
import { sglang } from './sglang.js';
import { booked, codesIn, DAY, decode, holesIn, idleIn, oneRequest, prefill, read, readWhole, sglangParser, stamp, stepsIn, told } from './sglang.testing.js';

/** Between one and the next; and how long the shortest is. */
function seams(events: readonly ServingEvent[]): { readonly widest: number; readonly shortest: number } {
  const spans = events.filter((event) => event.kind === 'steps' || event.kind === 'idle');
  const gaps = spans.slice(1).map(({ from }, index) => Math.abs(from - (spans[index]?.to ?? Infinity)));
  return { widest: Math.max(...gaps), shortest: Math.min(...spans.map(({ from, to }) => to - from)) };
}

const onlyDecodes = (at: number): string => decode(stamp(at), { running: 1, more: 'pre-allocated usage: 0.10, #prealloc-req: 0, #transfer-req: 0, #retracted-req: 0, ' });
const onlyPrefills = (at: number, queue: number): string => prefill(stamp(at), { tokens: 8000, queue, atEnd: false, more: ', #prealloc-req: 0, #inflight-req: 1' });
const engine = (at: number): string => `${stamp(at)} max_total_num_tokens=1000, chunked_prefill_size=64, max_prefill_tokens=16384, context_len=32768`;
/** Two tokens in 0.2 s each. */
const slow = (from: number): string[] => [prefill(stamp(from), { tokens: 100 }), ...[1, 2, 3].map((line) => decode(stamp(from + 8 * line), { running: 1, accept: 2, rate: 10 }))];
const of040 = (at: number, tokens: number, cached: number): string => `${stamp(at)} Prefill batch. #new-seq: 1, #new-token: ${tokens}, #cached-token: ${cached}, cache hit rate: 1.00%, token usage: 0.10, #running-req: 0, #queue-req: 0`;
const paged = (events: readonly ServingEvent[]): string[] => codesIn(events).filter((code) => code === 'PAGE_ROUNDED');
const prompts = (unit: number): string[] => Array.from({ length: 30 }, (_, index) => prefill(stamp(10 + index), { tokens: unit * (1 + (index % 3)) }));

describe('the log of an SGLang server', () => {
  it('tells prefill and decode from line to line', () => {
    const { events, used, skipped } = read(...oneRequest(10));
    expect(told(events)).toEqual(['9.990–10.000 prefill 100', '10.000–10.400 40.0 steps of 1', '10.400–10.800 40.0 steps of 1', '10.800–11.200 40.0 steps of 1', '11.200–11.600 40.0 steps of 1']);
    expect(booked(events)).toEqual({ input: 100, cachedInput: 0, output: 160, steps: 161 });
    expect([used, skipped]).toEqual([5, []]);
  });

  it('calls moments exact that are printed, and only those', () => {
    const fine = stepsIn(read(...oneRequest(10)).events).map(({ timing }) => timing);
    expect(fine).toEqual(['inferred', 'exact', 'exact', 'exact', 'exact']);
    expect(new Set(stepsIn(read(...oneRequest(10, '', true)).events).map(({ timing }) => timing))).toEqual(new Set(['inferred']));
  });

  it('puts a prefill behind its line where that is printed when it is scheduled', () => {
    const lines = [
      prefill(stamp(10), { tokens: 4096, running: 0, queue: 3, atEnd: false }),
      prefill(stamp(10.5), { tokens: 4096, running: 1, queue: 2, atEnd: false }),
      prefill(stamp(11), { tokens: 4096, running: 2, queue: 0, atEnd: false }),
      decode(stamp(11.9), { running: 3, rate: 300 }),
      decode(stamp(12.3), { running: 3, rate: 300 }),
    ];
    expect(told(read(...lines).events)).toEqual(['10.000–10.500 prefill 4096', '10.500–11.000 prefill 4096', '11.000–11.492 prefill 4096', '11.492–11.900 40.0 steps of 3', '11.900–12.300 40.0 steps of 3']);
  });

  it.each([true, false])('leaves no gap and no overlap; stamps cut to seconds: %s', (cut) => {
    const { widest, shortest } = seams(read(...[0, 2.3, 4.1, 9.7].flatMap((from) => oneRequest(20 + from, '', cut))).events);
    expect(widest).toBeLessThan(1e-5);
    expect(shortest).toBeGreaterThan(0);
  });

  it('takes what prefills took out of a window of decoding', () => {
    const { events } = read(...oneRequest(10), prefill(stamp(11.9), { tokens: 5000, running: 1 }), decode(stamp(12.2), { running: 2, rate: 100 }));
    // 40 steps of 10 ms leave 0.2 of the 0.6 s; how long the prompt took is learnt from this window too.
    expect(stepsIn(events).slice(-3).map(({ from, prefillTokens, decodes }) => [from - DAY, prefillTokens, decodes > 0])).toEqual([[expect.closeTo(11.6, 2), 0, true], [expect.closeTo(11.7, 2), 5000, false], [expect.closeTo(11.9, 2), 0, true]]);
  });

  it('counts no more than 40 steps per Decode line, however long it decoded', () => {
    const { events } = read(...oneRequest(10), prefill(stamp(14), { tokens: 50, running: 1 }), prefill(stamp(20), { tokens: 50 }), decode(stamp(20.1), { running: 1, kv: 60 }));
    expect(booked(events)).toMatchObject({ steps: 203, output: 200 });
  });

  it('begins a busy time as long before its Decode line as the cache tells', () => {
    // 30 steps of 10 ms before 20.1 is in the second that both stamps allow, not in the middle of it.
    const { events } = read(...oneRequest(10, '', true), prefill(stamp(20, '', true), { tokens: 100 }), decode(stamp(20, '', true), { running: 1, kv: 130 }), decode(stamp(20.5, '', true), { running: 1, kv: 170 }));
    const after = stepsIn(events).at(-2);
    expect(after?.steps).toBeCloseTo(30, 6);
    expect((after?.to ?? 0) - (after?.from ?? 0)).toBeCloseTo(0.3, 3);
  });

  it.each([
    ['its own', [500, 1500, 900, 2000]],
    ['the one before', [2000, 500, 1500, 900]],
  ])('places prefills by the rate of their tokens, those of %s', (_, counted) => {
    // The first of the distances tells whose tokens they are.
    const apart = [8, 3.2, 3.4, 4.5];
    let at = 10.2;
    const lines = [2000, 500, 1500, 900, 2000].map((tokens, index) => {
      at += apart[index - 1] ?? 0;
      const rate = index === 0 ? 0 : (counted[index - 1] ?? 0) / (apart[index - 1] ?? 1);
      return prefill(stamp(at, '', true), { tokens, queue: 1, more: ', #inflight-req: 0' }).replace('(token/s): 1.00', `(token/s): ${rate.toFixed(2)}`);
    });
    const moments = stepsIn(read(...lines).events).map(({ to }) => to);
    expect(moments.slice(2).map((moment, index) => moment - (moments[index + 1] ?? 0))).toEqual([3.2, 3.4, 4.5].map((seconds) => expect.closeTo(seconds, 1) as unknown));
  });

  it('counts 40 steps per Decode line, times what each yields', () => {
    const { events } = read(decode(stamp(10), { running: 7, accept: 1.5, rate: 1050 }), decode(stamp(10.4), { running: 7, accept: 1.5, rate: 1050 }));
    expect(booked(events)).toMatchObject({ output: 2 * 40 * 7 * 1.5, steps: 80 });
    expect(stepsIn(events)[1]).toMatchObject({ decodes: 280, decodeTokens: 420, kvTokens: 101, prefills: 0, prefillTokens: 0 });
  });

  it('books whole tokens and loses no part of one', () => {
    const { events } = read(...Array.from({ length: 30 }, (_, index) => decode(stamp(10 + 0.4 * index), { running: 1, accept: 1.01, rate: 101 })));
    for (const { tokens } of stepsIn(events)) expect(Number.isInteger(tokens.output)).toBe(true);
    expect(booked(events).output).toBe(Math.round(30 * 40 * 1.01));
  });

  it('learns how many steps a Decode line stands for from the growth of the cache', () => {
    const lines = [prefill(stamp(10), { tokens: 101 }), ...[1, 2, 3, 4].map((line) => decode(stamp(10 + 0.1 * line), { running: 1, kv: 101 + 10 * line }))];
    expect(booked(read(...lines).events).output).toBe(40);
  });

  it('is told how many by its option, or by the server', () => {
    const lines = [decode(stamp(10), { running: 1 }), decode(stamp(11), { running: 1 })];
    expect(booked(readWhole(lines.join('\n'), 100).events).output).toBe(200);
    expect(booked(read(`${stamp(9)} server_args=ServerArgs(decode_log_interval=5)`, ...lines).events).output).toBe(10);
  });

  it('is not misled by a cache that is counted in pages', () => {
    const lines = [prefill(stamp(10), { tokens: 128 }), ...[1, 2, 3, 4].map((line) => decode(stamp(10 + 0.4 * line), { running: 1, kv: 128 * line }))];
    expect(booked(read(...lines).events).output).toBe(160);
  });

  it('counts prompts by chunk, and what of them was cached once', () => {
    const lines = [prefill(stamp(10), { tokens: 4096, cached: 512 }), prefill(stamp(10.5), { tokens: 900, running: 0 }), decode(stamp(10.9), { running: 1 })];
    expect(booked(read(...lines).events)).toMatchObject({ input: 4996, cachedInput: 512, output: 40 });
  });

  it('does not take the chunks before for cached where 0.4.0 prints them so', () => {
    expect(booked(read(engine(9), of040(10, 64, 100), of040(10.5, 64, 164), of040(11, 30, 228), of040(12, 5, 20)).events)).toMatchObject({ input: 163, cachedInput: 120 });
  });

  it('counts the decoding of mixed iterations beside their prompts', () => {
    const { events } = read(`${stamp(10)} Prefill batch(mixed #running-req: 5). #new-seq: 1, #new-token: 70, #cached-token: 0, cache hit rate: 0.00%, #queue-req: 0`);
    expect(stepsIn(events)[0]).toMatchObject({ steps: 1, prefillTokens: 70, prefills: 1, decodes: 5, decodeTokens: 5, tokens: { input: 70, output: 5 } });
  });

  describe('idle time', () => {
    it('is where a prefill finds nobody running, after as many steps as the cache tells', () => {
      // 10 steps after the second prefill leave 30 of the Decode line for the end of the first request.
      const { events } = read(...oneRequest(10), prefill(stamp(30), { tokens: 100 }), decode(stamp(30.1), { running: 1, kv: 110 }));
      expect(told(events).slice(-4)).toEqual(['11.600–11.900 30.0 steps of 1', '11.900–29.990 idle', '29.990–30.000 prefill 100', '30.000–30.100 10.0 steps of 1']);
      expect(booked(events).output).toBe(200);
    });

    it('is left open where the end of work is not known to two seconds', () => {
      const { events } = read(...slow(100), prefill(stamp(200), { tokens: 100 }), prefill(stamp(300), { tokens: 100 }), decode(stamp(304), { running: 1, accept: 2, rate: 10 }));
      expect(holesIn(events).length).toBeGreaterThan(0);
      for (const { from } of idleIn(events)) for (const line of [124, 200]) expect(from - DAY < line || from - DAY > line + 7.9 || from - DAY >= 300).toBe(true);
    });

    it('is not claimed while requests run, however slow they are', () => {
      const { events } = read(...oneRequest(10), decode(stamp(40), { running: 1, kv: 301, rate: 1.4 }));
      expect(idleIn(events)).toEqual([]);
      expect(told(events).at(-1)).toBe('11.600–40.000 40.0 steps of 1');
    });

    it('is between two Decode lines of a node that only decodes', () => {
      expect(told(read(...[10, 10.4, 60, 60.4].map(onlyDecodes)).events).slice(2)).toEqual(['10.400–10.600 20.0 steps of 1', '10.600–59.800 idle', '59.800–60.000 20.0 steps of 1', '60.000–60.400 40.0 steps of 1']);
    });

    it('is between the prefills of a node that only prefills, where they did not follow each other', () => {
      const { events } = read(onlyPrefills(10, 2), onlyPrefills(11, 1), onlyPrefills(12, 0), onlyPrefills(30, 0));
      expect(told(events)).toEqual(['10.000–11.000 prefill 8000', '11.000–12.000 prefill 8000', '12.000–13.000 prefill 8000', '13.000–30.000 idle', '30.000–31.000 prefill 8000']);
      expect(booked(events)).toMatchObject({ input: 32_000, output: 0 });
    });

    it('is from the moment that the server is ready', () => {
      const { events } = read(prefill(stamp(10), { tokens: 7 }), `${stamp(11)} The server is fired up and ready to roll!`, ...oneRequest(20));
      expect(idleIn(events).map(({ from, to }) => [from - DAY, to - DAY].map((at) => Math.round(at * 100) / 100))).toContainEqual([11, 19.99]);
    });
  });

  describe('ranks', () => {
    it('are kept apart and summed', () => {
      const { events } = read(...[0, 1].flatMap((dp) => oneRequest(10, `DP${dp} TP${4 * dp} EP${4 * dp}`)));
      expect(booked(events)).toMatchObject({ input: 200, output: 320 });
      expect(new Set(stepsIn(events).map(({ rank }) => rank))).toEqual(new Set(['DP0', 'DP1']));
      expect(events.findLast((event) => event.kind === 'gauge' && event.gauge === 'serving.requests.running')).toMatchObject({ value: 2 });
    });

    it('of one pipeline are counted once, the first stage', () => {
      const stages = [1, 0, 2].map((pp) => oneRequest(10, `PP${pp} TP0`));
      const lines = stages[0]?.flatMap((_, index) => stages.flatMap((stage) => stage[index] ?? [])) ?? [];
      expect(booked(read(...lines).events)).toMatchObject({ input: 100, output: 160 });
    });

    it('of one pipeline on several nodes are counted once', () => {
      const { parser } = sglangParser();
      const events = oneRequest(10).flatMap((text, index) => [0, 1].flatMap((pp) => parser.line({ number: index, text: text.replace(']', ` PP${pp} TP0]`), writer: `node${pp}` })));
      expect(booked([...events, ...parser.end()])).toMatchObject({ input: 100, output: 160 });
    });

    it('of a later stage alone are counted, on a node that has no first', () => {
      expect(booked(read(...oneRequest(10, 'PP1 TP4')).events)).toMatchObject({ input: 100, output: 160 });
    });

    it('of one tensor-parallel group are counted once', () => {
      expect(booked(read(...oneRequest(10, 'TP0').flatMap((line) => [line, line.replace('TP0', 'TP3')])).events)).toMatchObject({ input: 100, output: 160 });
    });

    it('of two servers in one file are told apart by who wrote', () => {
      const { parser } = sglangParser();
      const events = oneRequest(10).flatMap((text, index) => ['a', 'b'].flatMap((writer) => parser.line({ number: index, text, writer })));
      expect(booked([...events, ...parser.end()])).toMatchObject({ input: 200, output: 320 });
    });

    it('that are silent are idle while others print', () => {
      const { events } = read(...oneRequest(10, 'DP0'), ...[0, 10, 20].flatMap((from) => oneRequest(11 + from, 'DP1')));
      const idle = idleIn(events).filter(({ rank }) => rank === 'DP0');
      expect(idle.length).toBeGreaterThan(0);
      expect(idle[0]?.from).toBeCloseTo(DAY + 11.6 + 0.2, 3);
      expect(idle.at(-1)?.to).toBeGreaterThan(DAY + 31);
    });
  });

  it('reads a log whose stamps are cut to seconds by the speed that its lines tell', () => {
    const lines = [prefill(stamp(10, '', true), { tokens: 100 }), ...Array.from({ length: 12 }, (_, index) => decode(stamp(10.35 + 0.09 * index, '', true), { running: 1, kv: 141 + 40 * index, rate: 444.44 }))];
    const steps = stepsIn(read(...lines).events).slice(2);
    for (const { from, to } of steps) expect(to - from).toBeCloseTo(0.09, 2);
    expect(steps.at(-1)?.to).toBeGreaterThan(DAY + 11);
  });

  it('starts anew with the server, and does not call the time in between idle', () => {
    const { events } = read(engine(5), engine(5), ...oneRequest(10), engine(60), ...oneRequest(70));
    expect(events.filter((event) => event.kind === 'engine')).toEqual([{ kind: 'engine', at: instant(DAY + 5), chunkTokens: 64, kvCacheTokens: 1000 }]);
    expect(told(holesIn(events))).toEqual(['11.600–60.000 hole']);
    expect(idleIn(events)).toEqual([]);
    expect(booked(events)).toMatchObject({ input: 200, output: 320 });
  });

  it('goes on after stamps that jump back, and says so', () => {
    const { events } = read(...oneRequest(3610), ...oneRequest(10));
    expect(codesIn(events)).toContain('CLOCK_STEPPED');
    expect(booked(events)).toMatchObject({ input: 200, output: 320 });
  });

  it('says that prompts are counted in pages, once', () => {
    expect(paged(read(...prompts(128)).events)).toEqual(['PAGE_ROUNDED']);
    expect(paged(read(...prompts(127)).events)).toEqual([]);
    expect(paged(read(...prompts(128).filter((_, index) => index % 3 === 0)).events)).toEqual([]);
    expect(paged(read(...prompts(64).slice(0, 2)).events)).toEqual([]);
    expect(paged(read(...prompts(64).slice(0, 5)).events)).toEqual(['PAGE_ROUNDED']);
  });

  it('says how many tokens may have come after the last Decode line, where that is much', () => {
    const few = Array.from({ length: 300 }, (_, index) => decode(stamp(10 + 0.4 * index), { running: 1 }));
    expect(flags(read(...oneRequest(10)).events)).toEqual([['OUTPUT_NOT_PRINTED', 39]]);
    // 9 of the 39 steps that are left are told before the prompt; after it three decode.
    expect(flags(read(...oneRequest(10), prefill(stamp(11.7), { sequences: 2, tokens: 9, running: 1 })).events)).toEqual([['OUTPUT_NOT_PRINTED', 90]]);
    expect(flags(read(...few).events)).toEqual([]);
    expect(flags(read(onlyPrefills(10, 2), onlyPrefills(11, 0)).events)).toEqual([]);
  });

  it('counts those that ended on the way for the time that they ran', () => {
    // From 10 to 4 before the prompt: 7 on average, a little less as the first of the steps has fewer than 10.
    const { events } = read(...oneRequest(10, '', true), decode(stamp(13.2, '', true), { running: 10, rate: 1000 }), prefill(stamp(13.5, '', true), { tokens: 60, running: 4 }), decode(stamp(13.6, '', true), { running: 5, rate: 700 }));
    const last = stepsIn(events).slice(-3).filter(({ decodes }) => decodes > 0).map(({ decodes, steps }) => decodes / steps);
    expect(last[0]).toBeGreaterThan(6.5);
    expect(last[0]).toBeLessThan(7.1);
    expect(last[1]).toBeCloseTo(5, 6);
  });

  it('counts the tokens that the rate tells where stamps are fine, whatever ran between the lines', () => {
    const gap = 0.5;
    const lines = [...oneRequest(10), ...Array.from({ length: 20 }, (_, index) => decode(stamp(12 + gap * index), { running: 3 + 4 * (index % 2), rate: index === 0 ? 20 : 411.3 }))];
    const after = stepsIn(read(...lines).events).filter(({ from }) => from - DAY >= 11.999);
    expect(booked(after).output).toBeCloseTo(19 * gap * 411.3, -1.5);
  });

  it('says that requests were put back', () => {
    const { events } = read(`${stamp(10)} KV cache pool is full. Retract requests. #retracted_reqs: 4, #new_tokens_gained: 9, #new_token_ratio: 0.1 -> 0.2`);
    expect(flags(events)).toEqual([['REQUESTS_RETRACTED', 4]]);
  });

  it('shows running and waiting requests and the cache', () => {
    const { events } = read(prefill(stamp(10), { sequences: 2, tokens: 9, running: 3, queue: 4 }));
    expect(events.flatMap((event) => (event.kind === 'gauge' ? [[event.gauge, event.value, event.at - DAY]] : []))).toEqual([['serving.requests.running', 5, 10], ['serving.requests.waiting', 4, 10], ['serving.kv_cache.usage', 0.1, 10]]);
  });

  it('reads lines that Dynamo re-emits, by their own time in UTC', () => {
    const { events } = read(...oneRequest(10).map((line) => line.replace(/^\[(\S+) (\S+)\]/, '$1T$2Z  INFO scheduler_metrics_mixin.log_stats:')));
    expect(booked(events)).toMatchObject({ input: 100, output: 160 });
    expect(stepsIn(events)[1]?.from).toBeCloseTo(DAY + 10, 5);
  });

  it('takes the time of a wrapper where that is all there is', () => {
    const { parser } = sglangParser();
    const events = oneRequest(10).flatMap((text, index): readonly ServingEvent[] => parser.line({ number: index, text: text.replace(/^\[[^\]]*\] /, ''), wrapped: instant(DAY + 10.001 + 0.4 * index) }));
    expect(told([...events, ...parser.end()])[1]).toBe('10.001–10.401 40.0 steps of 1');
  });

  it('skips lines without any time, and lines that are cut', () => {
    const { events, skipped, used } = read(decode('', { running: 1 }).trim(), decode(stamp(10), { running: 1 }).slice(0, 80), decode(stamp(10), { running: 1 }));
    expect(skipped).toEqual([expect.stringContaining('no time'), expect.stringContaining('cut off')]);
    expect([used, booked(events).output]).toEqual([1, 40]);
    expect(skipped.join()).not.toContain('#running');
  });

  it('reads what others wrote around it: CRLF, rubbish, colours, containers, a last line that was cut', async () => {
    const [first = '', ...rest] = oneRequest(10);
    const lines = [
      `2026-02-03T00:00:10.000000000Z stderr F ${first}`,
      '\u0000\u0001\u0002 binary',
      ...rest.map((line, index) => `2026-02-03T00:00:${(10.4 + 0.4 * index).toFixed(9).padStart(12, '0')}Z stderr F \u001b[32m${line}\u001b[0m`),
    ];
    const cut = `2026-02-03T00:00:12.000000000Z stderr F ${decode(stamp(12), { running: 1 })}`.slice(0, 110);
    const content = Buffer.concat([Buffer.from(lines.join('\r\n')), Buffer.from([0x0d, 0x0a, 0xff, 0xfe, 0xc3, 0x0d, 0x0a]), Buffer.from(cut)]);
    const source = recordedLog(sglang, [sglang]).open({ file: recordedFile(content, 'server.log'), tz: 'UTC', deployment: 'main' }, {});
    const events = await all(source.events());
    expect(booked(events)).toMatchObject({ input: 100, output: 160 });
    expect(flags(events)).toContainEqual(['SKIPPED_LINES', 1]);
  });

  it('is known by its lines, and not by those of others', () => {
    for (const line of oneRequest(10)) expect(sglang.isOf(line)).toBe(true);
    expect(sglang.isOf('ReqTimeStats(rid=1, input_len=4')).toBe(true);
    expect(sglang.isOf('INFO 02-03 04:05:06 [loggers.py:236] Engine 000: Avg prompt throughput: 1.0 tokens/s')).toBe(false);
    expect(sglang.isOf('[2026-02-03 04:05:06] INFO:     127.0.0.1:5 - "GET /health HTTP/1.1" 200 OK')).toBe(false);
  });
});
