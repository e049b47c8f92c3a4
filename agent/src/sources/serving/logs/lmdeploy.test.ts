import { instant, toIso, type Instant } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, details, flags, recordedFile } from '../../recorded-file.testing.js';
import type { ServingEvent, WindowEvidence } from '../../source.js';
import { zone } from '../../timestamps.js';
import { recordedClock } from './clock.js';
import type { LogParser } from './dialect.js';
import { lmdeploy } from './lmdeploy.js';
import { recordedLog } from './recorded-log.js';

const DAY = '2026-02-05';
/** Statistics of the generation of 2026-03. */
const line = (time: string, rates: string, engine = '1 / 0', rank = 'DP0'): string => `[${DAY} ${time} ${rank}] Avg thr (in/out): ${rates} tokens/s, Server (succeeded/failed/routed/waiting): 9 / 1 / 1 / 0, Engine (running/waiting): ${engine}, KV cache: 12.5%, \n`;
const started = (time: string, session: number): string => `${DAY} ${time} - lmdeploy - INFO - async_engine.py:700 - session=${session}, adapter_name=None, input_tokens=40, max_new_tokens=64\n`;
const finished = (time: string, session: number, reason = 'stop'): string => `${DAY} ${time} - lmdeploy - INFO - async_engine.py:900 - session ${session} finished, reason "${reason}", input_tokens 40, output_tokens 30\n`;

const read = (text: string): Promise<ServingEvent[]> => all(recordedLog(lmdeploy, []).open({ file: recordedFile(text, 'lmdeploy.log'), tz: 'UTC', deployment: 'chat' }, {}).events());
const time = (moment: Instant): string => toIso(moment).slice(11, 21);
const windowsOf = (events: readonly ServingEvent[]): WindowEvidence[] => events.filter((event): event is WindowEvidence => event.kind === 'window');
/** `from–to rank in/out busy`. */
const seen = (events: readonly ServingEvent[]): string[] => windowsOf(events).map(({ from, to, rank, tokens, busy }) => `${time(from)}–${time(to)} ${rank} ${tokens.input}/${tokens.output} ${busy}`);

describe('statistics of LMDeploy', () => {
  it('are windows that credit prompts at their first token', async () => {
    const events = await read(line('10:00:10', '12.5 / 30.1', '3 / 2'));
    expect(events.filter((event) => event.kind !== 'watermark')).toEqual([
      { kind: 'window', from: at('10:00:00.5'), to: at('10:00:10.5'), tokens: { input: 125, output: 301 }, credits: 'firstToken', busy: 5, running: 3, kvUsage: 0.125, rank: '0' },
      { kind: 'gauge', gauge: 'serving.requests.running', value: 3, at: at('10:00:10.5') },
      { kind: 'gauge', gauge: 'serving.requests.waiting', value: 2, at: at('10:00:10.5') },
      { kind: 'gauge', gauge: 'serving.kv_cache.usage', value: 0.125, at: at('10:00:10.5') },
    ]);
  });

  it.each([
    ['of 2026-02', `[${DAY} 10:00:10 DP0] Avg thr (in/out): 1.0 / 2.0 tokens/s, API server (completed/routed/waiting): 1 / 50 / 50, Engine (running/waiting): 45 / 5, KV cache: 21.6%, \n`, 50],
    ['with a prefix cache and drafts', `[${DAY} 10:00:10 Engine 000] Avg thr (in/out): 1.0 / 2.0 tokens/s, Server (succeeded/failed/routed/waiting): 1 / 0 / 0 / 0, Engine (running/waiting): 4 / 5, KV cache: 2.6%, Prefix cache hit rate: 1.0%, SpecDecoding metrics: Draft acceptance rate: 50.00%\n`, 9],
    ['without anything of the engine', `[${DAY} 10:00:10] Avg thr (in/out): 1.0 / 2.0 tokens/s, KV cache: 2.6%, \n`, undefined],
  ])('are read in the form %s', async (_, text, busy) => {
    expect(seen(await read(text))).toEqual([`10:00:00.5–10:00:10.5 0 10/20 ${busy}`]);
  });

  it('follow each other without a gap, as their stamps allow', async () => {
    expect(seen(await read(line('10:00:10', '1.0 / 0.0') + line('10:00:21', '0.0 / 1.0', '0 / 0') + line('10:00:30', '0.0 / 2.0', '0 / 0')))).toEqual([
      '10:00:00.5–10:00:10.5 0 10/0 1', '10:00:10.5–10:00:21.5 0 0/10 1', '10:00:21.5–10:00:30.5 0 0/20 0',
    ]);
  });

  it('are of each engine by itself; gauges are of all', async () => {
    const events = await read(line('10:00:10', '1.0 / 2.0', '1 / 0', 'DP0') + line('10:00:10', '3.0 / 4.0', '2 / 3', 'DP1') + line('10:00:20', '5.0 / 6.0', '1 / 0', 'DP0'));
    expect(seen(events)).toEqual(['10:00:00.5–10:00:10.5 0 10/20 1', '10:00:00.5–10:00:10.5 1 30/40 5', '10:00:10.5–10:00:20.5 0 50/60 1']);
    expect(events.flatMap((event) => (event.kind === 'gauge' ? [event.value] : []))).toEqual([1, 0, 0.125, 3, 3, 0.125, 3, 3, 0.125]);
  });

  it('take silence for intervals without a token, with who ran before', async () => {
    const events = await read(line('10:00:10', '1.0 / 2.0', '1 / 1') + line('10:01:13', '3.0 / 4.0'));
    expect(seen(events)).toEqual(['10:00:00.5–10:00:10.5 0 10/20 2', '10:00:10.5–10:01:03.5 0 0/0 2', '10:01:03.5–10:01:13.5 0 30/40 1']);
  });

  it('take silence for idle however long nobody ran, and for a hole when somebody ran for ever', async () => {
    const idle = await read(line('10:00:10', '1.0 / 2.0', '0 / 0') + line('12:00:10', '3.0 / 4.0'));
    expect(seen(idle)[1]).toBe('10:00:10.5–12:00:00.5 0 0/0 0');
    const gone = await read(line('10:00:10', '1.0 / 2.0', '1 / 0') + line('12:00:10', '3.0 / 4.0'));
    expect(seen(gone)[1]).toBe('10:00:10.5–10:10:10.5 0 0/0 1');
    expect(gone.find((event) => event.kind === 'hole')).toMatchObject({ from: at('10:10:10.5'), to: at('12:00:00.5') });
  });

  it('lose no token when a clock goes back, or two servers share a file', async () => {
    const events = await read(line('10:00:10', '1.0 / 2.0') + line('10:00:13', '1.0 / 2.0') + line('10:00:13', '1.0 / 2.0') + line('09:00:00', '1.0 / 2.0'));
    expect(windowsOf(events).reduce((sum, { tokens }) => sum + (tokens.output ?? 0), 0)).toBe(80);
    for (const { from, to } of windowsOf(events)) expect(to).toBeGreaterThan(from);
  });

  it('that no engine can reach, or that are cut or changed, are skipped and counted', async () => {
    const events = await read(line('10:00:10', '1.0 / 2.0') + line('10:00:20', '9000000.0 / 2.0') + `[${DAY} 10:00:30 DP0] Avg thr (in/out): 1.0\n`);
    expect(seen(events)).toHaveLength(1);
    expect(details(events)).toEqual(['lmdeploy.log: 1 line skipped: line 2: more tokens per second than any engine moves', 'lmdeploy.log: 1 line skipped: line 3: statistics in a form that is not known']);
  });

  it('are whole where they were torn, wrapped or glued to a progress bar', async () => {
    const [start, end] = [line('10:00:10', '1.0 / 2.0').slice(0, 60), line('10:00:10', '1.0 / 2.0').slice(60)];
    expect(seen(await read(`0: ${start}\n0: ${end}`))).toEqual(['10:00:00.5–10:00:10.5 0 10/20 1']);
    expect(seen(await read(`2026-02-05T11:00:10.250000000Z Loading:  50%|##| 1/2 [00:01<00:01,  1.0it/s]${line('10:00:10', '1.0 / 2.0')}`))).toEqual(['11:00:00.2–11:00:10.2 0 10/20 1']);
  });
});

describe('requests of LMDeploy', () => {
  it('are evidence where there are no statistics', async () => {
    const events = await read(started('10:00:00,250', 1) + started('10:00:01,000', 2) + finished('10:00:02,500', 1) + finished('10:00:30,000', 2, 'abort'));
    expect(events).toMatchObject([
      { kind: 'request', id: 'lmdeploy.log:3', start: at('10:00:00.25'), end: at('10:00:02.5'), tokens: { input: 40, output: 30 }, outcome: 'ok' },
      { kind: 'request', start: at('10:00:01'), end: at('10:00:30'), outcome: 'aborted' },
    ]);
  });

  it('are not, where statistics count their tokens: before the first and after it', async () => {
    const events = await read(started('10:00:00,250', 1) + finished('10:00:02,500', 1) + line('10:00:10', '4.0 / 3.0') + started('10:00:11,000', 2) + finished('10:00:12,000', 2));
    expect(events.filter((event) => event.kind === 'request')).toEqual([]);
    expect(seen(events)).toHaveLength(1);
    expect(flags(events)).toEqual([]);
  });

  it('are not read from behind a prompt', async () => {
    const prompt = started('10:00:00,250', 3).replace('adapter_name=None', "prompt='hello, you'");
    expect(flags(await read(started('10:00:00,000', 1) + finished('10:00:01,000', 1) + prompt + finished('10:00:02,000', 3)))).toEqual([['SKIPPED_LINES', 1], ['SKIPPED_LINES', 1]]);
  });

  it('without a start are skipped, and words of a prompt are none', async () => {
    const events = await read(`${started('10:00:00,250', 1)}${finished('10:00:01,000', 1)}${finished('10:00:02,500', 7)}${DAY} 10:00:03,000 - lmdeploy - INFO - logger.py:9 - prompt='session 1 finished, reason "stop", input_tokens 1, output_tokens 1'\n`);
    expect(events.filter((event) => event.kind === 'request')).toHaveLength(1);
    expect(details(events)).toEqual(['lmdeploy.log: 1 line skipped: line 3: a request whose start is not in the log']);
  });
});

const parser = (): LogParser => lmdeploy.parser({ label: 'live', clock: recordedClock({ zone: zone('UTC') }), skip: () => undefined, used: () => undefined }, {});
const tell = (of: LogParser, text: string): readonly ServingEvent[] => of.line({ number: 1, text: text.trimEnd() });
const marks = (events: readonly ServingEvent[]): string[] => events.flatMap((event) => (event.kind === 'watermark' ? [time(event.at)] : []));

describe('live', () => {
  it('tells an interval without a line when its line would have come, and says up to where all is said', () => {
    const live = parser();
    expect(marks(tell(live, line('10:00:10', '1.0 / 2.0')))).toEqual(['09:59:59.0']);
    expect(marks(live.quiet(at('10:00:15')))).toEqual(['10:00:03.5']);
    expect(seen(live.quiet(at('10:00:21.9')))).toEqual([]);
    const quiet = live.quiet(at('10:00:22'));
    expect(seen(quiet)).toEqual(['10:00:10.5–10:00:20.5 0 0/0 1']);
    expect(marks(quiet)).toEqual(['10:00:10.5']);
    expect(seen(tell(live, line('10:00:30', '1.0 / 2.0')))).toEqual(['10:00:20.5–10:00:30.5 0 10/20 1']);
  });

  it('does not say that all is said of a request that is open, where requests are told', () => {
    const live = parser();
    tell(live, started('10:00:00,000', 1));
    tell(live, started('10:00:20,000', 2));
    expect(marks(live.quiet(at('10:01:00')))).toEqual(['10:00:00.0']);
    expect(tell(live, finished('10:01:01,000', 1))).toEqual([]);
    const later = live.quiet(at('10:02:00'));
    expect(later.map((event) => event.kind)).toEqual(['request', 'watermark']);
    expect(marks(later)).toEqual(['10:00:20.0']);
  });
});

function at(clock: string): Instant {
  return instant(Date.parse(`${DAY}T${clock}Z`) / 1000);
}
