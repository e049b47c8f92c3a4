import { expect, it } from 'vitest';
import { UsageError } from '@joulebook/shared/errors.js';
import { at, iso } from '../store/sample-facts.js';
import { parseCompare, parseShare } from './question.js';

function faults(said: Record<string, string[]>, prefix: '--' | '' = '--'): readonly string[] {
  try {
    parseCompare(said, {}, prefix);
  } catch (error) {
    if (error instanceof UsageError) return error.faults;
    throw error;
  }
  return [];
}

it('reads sides by labels and times, with what both share', () => {
  const { a, b, metric, precision, adjust } = parseCompare({ a: ['quantization=fp16,engine=vllm'], b: ['quantization=int8'], 'b-from': [iso(60)], from: [iso(0)], to: [iso(120)], where: ['deployment=chat'], precision: ['5%'] }, {}, '');
  expect(a).toEqual({
    name: 'quantization=fp16, engine=vllm', from: at(0), to: at(120),
    where: [{ key: { label: 'quantization' }, values: ['fp16'] }, { key: { label: 'engine' }, values: ['vllm'] }, { key: 'deployment', values: ['chat'] }],
  });
  expect(b).toMatchObject({ name: `quantization=int8, from ${iso(60)}`, from: at(60), to: at(120) });
  expect([metric.name, precision, adjust]).toEqual(['joulesPerToken', 0.05, undefined]);
});

it('keeps a comma inside a value, and either value of a key said twice', () => {
  expect(parseCompare({ a: ['gpus=0,1,node=n-1', 'node=n-2'], b: ['gpus=2,3'] }, {}, '').a.where).toEqual([{ key: { label: 'gpus' }, values: ['0,1'] }, { key: 'node', values: ['n-1', 'n-2'] }]);
});

it('needs no label where times part the sides', () => {
  expect(parseCompare({ 'a-to': [iso(60)], 'b-from': [iso(90)] }, {}, '')).toMatchObject({ a: { where: [], to: at(60), name: `before ${iso(60)}` }, b: { from: at(90) } });
});

it('reads several metrics, each once and each per what is asked', () => {
  const { metric, measures } = parseCompare({ a: ['x=1'], b: ['x=2'], metric: ['joulesPerToken, joulesPerUsefulToken', 'joulesPerRequest'], per: ['task'] }, {}, '');
  expect([metric.name, measures.map(({ name }) => name)]).toEqual(['joulesPerUsefulRequest', ['joulesPerUsefulRequest']]);
  expect(parseCompare({ a: ['x=1'], b: ['x=2'], metric: ['watts,joulesPerToken', 'ttft,watts'] }, {}, '').measures.map(({ name }) => name)).toEqual(['watts', 'joulesPerToken', 'ttft']);
  expect(faults({ a: ['x=1'], b: ['x=2'], metric: ['watts,tpott', 'ttfft'] })).toEqual(["--metric: 'tpott' is no metric; did you mean 'tpot'?", "--metric: 'ttfft' is no metric; did you mean 'ttft'?"]);
});

it('tells all faults at once, each with the option as it was said', () => {
  expect(faults({ b: ['x'], 'a-from': ['yesterday'], metric: ['joulesPerTokn'], step: ['0'], adjust: ['load,inputLenght'], precision: ['200%'], sequential: ['perhaps'], stop: ['1m'] })).toEqual([
    "--stop: unknown; did you mean 'step'?",
    "--a-from: 'yesterday' is not a time; write ISO 8601 with a zone (2026-01-31T08:00:00Z) or epoch seconds",
    "--b: 'x' is not key=value",
    "--metric: 'joulesPerTokn' is no metric; did you mean 'joulesPerToken'?",
    "--step: '0' is not a duration of at least 1 ms; write 30s, 1m or 15m",
    "--adjust: 'load,inputLenght' names what can't be adjusted for; did you mean 'inputLength'?; or write none",
    "--sequential: 'perhaps' is neither true nor false",
    "--precision: '200%' is no share above 0 and up to 1; write 2% or 0.02",
  ]);
});

it('takes a share up to all of it', () => {
  expect([parseShare('100%'), parseShare('1'), parseShare('2 %'), parseShare('0.02'), parseShare('100.1%'), parseShare('0')]).toEqual([1, 1, 0.02, 0.02, undefined, undefined]);
});

it('wants both sides to be said', () => {
  expect(faults({ b: ['x=1'] })).toEqual(['--a: say what side A is: key=value (a label, deployment, node …), or a time with --a-from and --a-to']);
});

it('refuses a side that some facts of the metric can not follow', () => {
  expect(faults({ a: ['device=GPU-0'], b: ['device=GPU-1'] }, '')).toEqual([
    "a: tokens can't be divided by device, and joulesPerToken needs them; choose by deployment, model, node, site, tenant or a label",
    "b: tokens can't be divided by device, and joulesPerToken needs them; choose by deployment, model, node, site, tenant or a label",
  ]);
  expect(faults({ a: ['device=GPU-0'], b: ['device=GPU-1'], metric: ['watts'] })).toEqual([]);
  expect(faults({ a: ['outcome=ok'], b: ['outcome=failed'] })[0]).toMatch(/^--a: energy can't be divided by outcome/);
  expect(faults({ a: ['x=1'], b: ['x=2'], where: ['phase=decode'] })).toEqual(['--where: tokens have no phase; compare joulesPerPromptToken or joulesPerOutputToken instead, which are of one phase each']);
});

it('wants a side to end after it begins, and nothing per request of what is not over tokens', () => {
  expect(faults({ a: ['x=1'], b: ['x=2'], 'a-from': [iso(10)], 'a-to': [iso(5)] })).toEqual(['--a-to: must be later than where the side begins']);
  expect(faults({ a: ['x=1'], b: ['x=2'], metric: ['watts'], per: ['request'] })).toEqual(['--per: watts is not over tokens or requests, so there is none of it per request']);
});
