import { expect, it } from 'vitest';
import { UsageError } from '@joulebook/shared/errors.js';
import { parseRequest, type Said } from './request.js';

const faultsOf = (said: Said): readonly string[] => {
  try {
    parseRequest(said, {}, '--');
    return [];
  } catch (error) {
    return error instanceof UsageError ? error.faults : [String(error)];
  }
};

it('reads a whole question', () => {
  expect(parseRequest({ from: ['1000'], to: ['1970-01-01T00:20:00Z'], by: ['deployment,quantization', 'phase'], step: ['1m'], boundary: ['server'], where: ['a=b=c', 'a=', 'node=n'], basis: ['serving'], price: ['.17'] }, { pue: 1.3, price: 9 }, '--')).toEqual({
    from: 1e9, to: 1.2e9, by: ['deployment', { label: 'quantization' }, 'phase'], step: 60e6, boundary: 'server', basis: 'serving', price: 0.17, pue: 1.3, carbon: null,
    where: [{ key: { label: 'a' }, values: ['b=c', ''] }, { key: 'node', values: ['n'] }],
  });
});

it('tells every fault at once, each naming its option', () => {
  expect(faultsOf({ from: ['yesterday'], step: ['0s'], boundary: ['gpus'], basis: ['some'], price: [''], pue: ['0.9'], where: ['x'], slo: ['ttft=2s'], form: ['1'] }).map((fault) => fault.split(':')[0])).toEqual([
    '--form', '--slo', '--from', '--boundary', '--basis', '--price', '--step', '--where', '--pue',
  ]);
  expect(faultsOf({ boundary: ['gpus'] })).toEqual([`--boundary: 'gpus' is no boundary; did you mean 'gpu'?`]);
});

it('says of keys that are not built yet that they are not available yet', () => {
  expect(faultsOf({ by: ['inputBand,concurrencyBand,cached,tariffPeriod,request'], slo: ['ttft=2s'] })).toEqual([
    '--slo: not available yet', ...['inputBand', 'concurrencyBand', 'cached', 'tariffPeriod', 'request'].map((key) => `--by: '${key}' is not available yet`),
  ]);
});

it('refuses a window that ends before it begins, and grouping by overlapping boundaries', () => {
  expect(faultsOf({ from: ['10'], to: ['10'] })).toEqual(['--to: must be later than --from']);
  expect(faultsOf({ by: ['boundary'] })[0]).toContain('choose one with --boundary');
  expect(faultsOf({ to: ['1', '2'] })).toEqual(['--to: said more than once']);
});
