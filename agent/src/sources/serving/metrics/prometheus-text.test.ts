import { existsSync, readdirSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePrometheusText, parseSample } from './prometheus-text.js';

const escaped = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');

describe('the text exposition format', () => {
  it.each([
    ['a 1', { name: 'a', labels: {}, value: 1 }],
    ['vllm:x_total{engine="0",model_name="m"} 1.5e+06', { name: 'vllm:x_total', labels: { engine: '0', model_name: 'm' }, value: 1.5e6 }],
    ['a{b="c",} 1', { name: 'a', labels: { b: 'c' }, value: 1 }],
    ['a{ b = "c" , d="e" }  1  ', { name: 'a', labels: { b: 'c', d: 'e' }, value: 1 }],
    ['a{} 1', { name: 'a', labels: {}, value: 1 }],
    ['a{b="}{,=\\"\\\\\\n"} 1', { name: 'a', labels: { b: '}{,="\\\n' }, value: 1 }],
    ['a{b=""} +Inf', { name: 'a', labels: { b: '' }, value: Infinity }],
    ['a -Inf', { name: 'a', labels: {}, value: -Infinity }],
    ['a NaN', { name: 'a', labels: {}, value: Number.NaN }],
    ['a .5', { name: 'a', labels: {}, value: 0.5 }],
    ['a 1 1700000000123', { name: 'a', labels: {}, value: 1, at: 1_700_000_000.123 }],
    ['a_total 7 1700000000.5 # {trace_id="x"} 1 1700000000', { name: 'a_total', labels: {}, value: 7, at: 1_700_000_000.5 }],
    ['a_bucket{le="0.1"} 7 # {trace_id="x"} 0.05', { name: 'a_bucket', labels: { le: '0.1' }, value: 7 }],
    ['a{constructor="c"} 1', { name: 'a', labels: { constructor: 'c' }, value: 1 }],
  ])('reads %s', (line, sample) => {
    const found = parseSample(line);
    expect(found && { ...found, labels: Object.fromEntries(found.labels) }).toEqual(sample);
  });

  it.each(['', '# a 1', 'a', 'a{b="c} 1', 'a{b=c} 1', 'a{b="c"', 'a 1 2 3', 'a 0x10', 'a one', '1a 1', 'a{1b="c"} 1', '<html>', 'a{b="c" d="e"} 1'])('does not take %j for a sample', (line) => {
    expect(parseSample(line)).toBeUndefined();
  });

  it('counts bad lines and reads the rest, with either line end, up to # EOF', () => {
    const page = parsePrometheusText('# HELP a b\r\n# TYPE a counter\r\na 1\r\nrubbish\r\nb{} 2\n# EOF\n');
    expect(page.samples.map(({ name, value }) => [name, value])).toEqual([['a', 1], ['b', 2]]);
    expect(page.badLines).toBe(1);
  });

  it.each([
    ['<!DOCTYPE html><html></html>', 'HTML'],
    ['{"detail":"Not Found"}', 'JSON'],
    ['', 'empty'],
    ['Not Found', 'no sample'],
  ])('says that %j is not a metrics page', (text, why) => {
    expect(() => parsePrometheusText(text)).toThrow(expect.objectContaining({ code: 'NOT_METRICS' }));
    expect(() => parsePrometheusText(text)).toThrow(why);
  });

  it('refuses more than 32 MiB', () => {
    expect(() => parsePrometheusText('a 1\n'.repeat(9 * 2 ** 20))).toThrow(expect.objectContaining({ code: 'METRICS_TOO_LONG' }));
  });

  it('reads back every label value and number that was written', () => {
    // Lines are cut before they are read, so a value may hold anything but a bare line end.
    const value = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z_]\w{0,8}$/), value), fc.double({ noNaN: true }).filter((number) => !Object.is(number, -0)), (labels, number) => {
        const body = Object.entries(labels).map(([name, text]) => `${name}="${escaped(text)}"`);
        const text = number === Infinity ? '+Inf' : number === -Infinity ? '-Inf' : String(number);
        const { samples } = parsePrometheusText(`m{${body.join(',')}} ${text}`);
        expect(Object.fromEntries(samples[0]?.labels ?? [])).toEqual({ ...labels });
        expect(samples[0]?.value).toBe(number);
      }),
    );
  });
});

const logs = new URL('../../../../../shared/logs/', import.meta.url);
const pages = existsSync(logs) ? readdirSync(logs).filter((file) => file.endsWith('prometheus.log')) : [];

it.skipIf(pages.length === 0).each(pages)('reads all of the real page %s', (file) => {
  const text = readFileSync(new URL(file, logs), 'utf8');
  const { samples, badLines } = parsePrometheusText(text);
  const said = /(\d+) (?:gauge )?samples/.exec(readFileSync(new URL(file.replace('.log', '.src'), logs), 'utf8'))?.[1];
  expect(badLines).toBe(0);
  expect(samples).toHaveLength(Number(said));
});
