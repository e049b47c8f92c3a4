import { instant, seconds } from '@joulebook/shared/units.js';
import { describe, expect, it } from 'vitest';
import { counterWindows } from './counter-windows.js';
import type { Page, Pages } from './dialect.js';
import { parsePrometheusText } from './prometheus-text.js';
import { tgi } from './tgi.js';

const at = (text: string, time = 1, pages: Pages = tgi.pages()): Page => pages.read(parsePrometheusText(text).samples.filter(tgi.isOf), instant(time));
const counted = (page: Page): (string | number)[][] => [...page.look.counters.values()].map(({ counts, value }) => [counts, value]).toSorted((a, b) => (String(a) < String(b) ? -1 : 1));

interface State {
  readonly input: number;
  readonly output: number;
  readonly ok: number;
  readonly prefill: number;
  readonly decode: number;
  readonly steps: number;
  readonly batch: number;
  readonly queue: number;
}
const page = ({ input, output, ok, prefill, decode, steps, batch, queue }: State): string =>
  [
    '# TYPE tgi_request_input_length histogram',
    `tgi_request_input_length_bucket{le="100"} 1`,
    `tgi_request_input_length_sum ${input}`,
    `tgi_request_generated_tokens_sum ${output}`,
    `tgi_request_success{method="single"} ${ok}`,
    `tgi_batch_forward_duration_sum{method="prefill"} ${prefill}`,
    `tgi_batch_forward_duration_sum{method="decode"} ${decode}`,
    `tgi_batch_inference_duration_sum{method="prefill"} 99`,
    `tgi_batch_inference_count{method="prefill"} ${ok}`,
    `tgi_batch_inference_success{method="prefill"} ${ok}`,
    `tgi_batch_inference_count{method="decode"} ${steps}`,
    `tgi_batch_inference_success{method="decode"} ${steps}`,
    `tgi_batch_current_size ${batch}`,
    `tgi_queue_size ${queue}`,
    '',
  ].join('\n');
const FIRST: State = { input: 1000, output: 100, ok: 1, prefill: 1, decode: 2, steps: 100, batch: 0, queue: 0 };

describe('the metrics page of TGI', () => {
  it('tells tokens, outcomes, decoding steps, seconds of each phase, who runs and who waits', () => {
    const found = at(page({ ...FIRST, batch: 3, queue: 1 }));
    expect(counted(found)).toEqual([['decodeSeconds', 2], ['decodeSteps', 100], ['ok', 1], ['output', 100], ['prefillSeconds', 1], ['prompt', 1000]]);
    expect([[...found.look.busy], [...(found.look.running ?? [])]]).toEqual([[[undefined, 4]], [[undefined, 3]]]);
    expect(found.gauges.map(({ gauge, value }) => [gauge, value])).toEqual([['serving.requests.running', 3], ['serving.requests.waiting', 1]]);
  });

  it('has windows with the time that the model ran in each phase', () => {
    const windows = counterWindows({ label: 'x', period: seconds(1) });
    const pages = tgi.pages();
    windows.since(at(page(FIRST), 1, pages).look);
    expect(windows.since(at(page({ input: 1500, output: 130, ok: 2, prefill: 1.25, decode: 2.5, steps: 130, batch: 1, queue: 0 }), 2, pages).look)).toEqual([
      { kind: 'window', from: 1, to: 2, tokens: { input: 500, output: 30 }, busy: 1, running: 1, decodeSteps: 30, phaseSeconds: { prefill: 0.25, decode: 0.5 }, requests: { ok: 1 } },
    ]);
    windows.since(at(page({ ...FIRST, output: 7 }), 3, pages).look);
    expect(windows.end()[0]).toMatchObject({ kind: 'flagged', code: 'COUNTER_RESET' });
  });

  it('sees the first prefill of a batch, of which no gauge tells yet', () => {
    const found = at(page(FIRST).replace('tgi_batch_inference_count{method="prefill"} 1', 'tgi_batch_inference_count{method="prefill"} 2'));
    expect([...found.look.busy]).toEqual([[undefined, 1]]);
    const failed = at(`${page(FIRST).replace('tgi_batch_inference_count{method="prefill"} 1', 'tgi_batch_inference_count{method="prefill"} 2')}tgi_batch_inference_failure{method="prefill"} 1\n`);
    expect([...failed.look.busy]).toEqual([[undefined, 0]]);
  });

  it.each([
    ['overloaded', 'rejected'],
    ['validation', 'rejected'],
    ['dropped', 'aborted'],
    ['generation', 'failed'],
    ['incomplete', 'failed'],
  ])('a failure by %s is %s', (error, outcome) => {
    expect(counted(at(`tgi_request_failure{err="${error}"} 3`))).toEqual([[outcome, 3]]);
  });

  it('takes the duration of whole calls where the model’s own is not told, and keeps to its choice', () => {
    const old = 'tgi_batch_inference_duration_sum{method="prefill"} 3\ntgi_batch_inference_duration_sum{method="decode"} 4';
    expect(counted(at(old))).toEqual([['decodeSeconds', 4], ['prefillSeconds', 3]]);
    const pages = tgi.pages();
    at(old, 1, pages);
    expect(counted(at(`${old}\ntgi_batch_forward_duration_sum{method="prefill"} 1`, 2, pages))).toEqual([['decodeSeconds', 4], ['prefillSeconds', 3]]);
  });

  it('is the same with the endings of OpenMetrics', () => {
    expect(counted(at('tgi_request_success_total 3'))).toEqual([['ok', 3]]);
  });

  it('knows nothing of who is busy without gauges', () => {
    const found = at('tgi_request_generated_tokens_sum 5');
    expect([[...found.look.busy], found.gauges]).toEqual([[], []]);
  });

  it('is not that of another program', () => {
    expect(() => tgi.pages().read(parsePrometheusText('te_queue_size 1').samples, instant(1))).toThrow('no tgi_ samples');
  });
});
