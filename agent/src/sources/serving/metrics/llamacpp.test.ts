import { instant, seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { all, recordedFile } from '../../recorded-file.testing.js';
import type { ServingEvent } from '../../source.js';
import { counterWindows } from './counter-windows.js';
import type { Page } from './dialect.js';
import { llamacpp } from './llamacpp.js';
import { parsePrometheusText } from './prometheus-text.js';
import { recordedMetrics } from './source.js';

const page = (values: Readonly<Record<string, number>>, labels = '', prefix = 'llamacpp:'): string => Object.entries(values).map(([name, value]) => `# TYPE ${prefix}${name} counter\n${prefix}${name}${labels} ${value}`).join('\n');
const look = (text: string, at = 1): Page => llamacpp.pages().read(parsePrometheusText(text).samples, instant(at));
const windows = (...pages: readonly string[]): ServingEvent[] => {
  const counted = counterWindows({ label: 'llama', period: seconds(1) });
  return [...pages.flatMap((text, index) => counted.since(look(text, index).look)), ...counted.end()];
};

/** Two servers of a model, and one of another. */
const both = (first: number, second: number): string => `${page({ tokens_predicted_total: first, requests_processing: 1, kv_cache_usage_ratio: 0.5 }, '{model="a",port="1"}')}\n${page({ tokens_predicted_total: second, requests_processing: 1, kv_cache_usage_ratio: 0.75 }, '{model="a",port="2"}')}\n${page({ tokens_predicted_total: second, requests_processing: 0 }, '{model="b"}')}`;

const OF_2026 = { prompt_tokens_total: 1938, prompt_tokens_cached_total: 100, tokens_predicted_total: 61, n_decode_total: 70, requests_processing: 2, requests_deferred: 1, prompt_seconds_total: 8.5, tokens_predicted_seconds_total: 300 };

describe('a metrics page of llama.cpp', () => {
  it('tells computed and cached input, output, batches and who waits', () => {
    const after = { ...OF_2026, prompt_tokens_total: 2000, prompt_tokens_cached_total: 150, tokens_predicted_total: 91, n_decode_total: 101, requests_processing: 1, requests_deferred: 0 };
    expect(windows(page(OF_2026), page(after))).toEqual([{ kind: 'window', from: 0, to: 1, tokens: { input: 62, cachedInput: 50, output: 30 }, busy: 3, running: 1, decodeSteps: 31 }]);
    expect(look(page(OF_2026)).gauges).toEqual([
      { kind: 'gauge', gauge: 'serving.requests.running', value: 2, at: 1 },
      { kind: 'gauge', gauge: 'serving.requests.waiting', value: 1, at: 1 },
    ]);
  });

  it('never gives a window seconds of a phase that lie before it', () => {
    const after = { ...OF_2026, tokens_predicted_total: 9061, tokens_predicted_seconds_total: 600 };
    expect(windows(page(OF_2026), page(after))[0]).not.toHaveProperty('phaseSeconds');
  });

  it('of a server that does not count cached tokens credits prompts at their first token', () => {
    const old = { prompt_tokens_total: 10, tokens_predicted_total: 5, requests_processing: 0, kv_cache_usage_ratio: 0.25 };
    expect(windows(page(old), page({ ...old, prompt_tokens_total: 30 }))).toEqual([{ kind: 'window', from: 0, to: 1, tokens: { input: 20, output: 0 }, credits: 'firstToken', busy: 0, running: 0, kvUsage: 0.25 }]);
    expect(look(page(OF_2026)).look.credits).toBeUndefined();
  });

  it('of several servers is kept apart by model in its counters, and added up within one', () => {
    expect(look(both(1, 2)).gauges.map(({ gauge, value, model }) => [gauge.split('.').at(-1), value, model])).toEqual([['running', 2, 'a'], ['running', 0, 'b'], ['usage', 0.75, 'a']]);
    expect(windows(both(10, 20), both(15, 2))).toMatchObject([{ kind: 'flagged', code: 'COUNTER_RESET', count: 2 }, { model: 'a', tokens: { output: 7 } }, { model: 'b', tokens: { output: 2 } }]);
  });

  it('is known with either spelling of its names, and that of another program is refused', () => {
    expect(look(page(OF_2026, '', 'llamacpp_')).look.counters.size).toBe(4);
    expect(parsePrometheusText('llamacpp:x 1\nllamacpp_y 2\nvllm:x 1').samples.filter(llamacpp.isOf)).toHaveLength(2);
    expect(() => look('node_load1 0.5')).toThrow('no llamacpp: counters');
  });

  it('is a recorded format', async () => {
    const file = recordedFile(`# scrape 2026-01-01T00:00:00Z\n${page(OF_2026)}\n# scrape 2026-01-01T00:00:01Z\n${page({ ...OF_2026, tokens_predicted_total: 62 })}\n`, 'scrapes.txt');
    const events = await all(recordedMetrics(llamacpp).open({ file, tz: 'UTC', deployment: 'd' }, {}).events());
    expect(events.filter((event) => event.kind === 'window')).toMatchObject([{ tokens: { input: 0, cachedInput: 0, output: 1 } }]);
  });
});
