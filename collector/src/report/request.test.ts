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
    from: 1e9, to: 1.2e9, by: ['deployment', { label: 'quantization' }, 'phase'], step: 60e6, boundary: 'server', basis: 'serving', price: 0.17, pue: 1.3, carbon: null, slo: undefined,
    where: [{ key: { label: 'a' }, values: ['b=c', ''] }, { key: 'node', values: ['n'] }],
  });
});

it('tells every fault at once, each naming its option', () => {
  expect(faultsOf({ from: ['yesterday'], step: ['0s'], boundary: ['gpus'], basis: ['some'], price: [''], pue: ['0.9'], where: ['x'], slo: ['ttft<2s'], form: ['1'] }).map((fault) => fault.split(':')[0])).toEqual([
    '--form', '--from', '--boundary', '--basis', '--price', '--step', '--where', '--pue', '--slo',
  ]);
  expect(faultsOf({ boundary: ['gpus'] })).toEqual([`--boundary: 'gpus' is no boundary; did you mean 'gpu'?`]);
});

it('reads latency targets, one or both', () => {
  expect(parseRequest({ slo: ['ttft=2s, tpot=50ms'] }, {}, '--').slo).toEqual({ ttft: 2, tpot: 0.05 });
  expect(parseRequest({ slo: ['tpot=50ms'] }, {}, '--').slo).toEqual({ ttft: undefined, tpot: 0.05 });
  expect(parseRequest({}, {}, '--').slo).toBeUndefined();
  for (const text of ['', '2s', 'ttft=', 'ttft=0s', 'ttft=2s,ttft=3s', 'itl=50ms', 'ttft=2s=3s']) expect(faultsOf({ slo: [text] }), text).toEqual([`--slo: '${text}' names no targets; write ttft=2s,tpot=50ms, or one of them`]);
});

it('reads bands as a report shows them, or by a number in them', () => {
  const { by, where } = parseRequest({ by: ['request,inputBand'], where: ['inputBand=512–1023', 'inputBand=512-1023', 'inputBand=700', 'inputBand=0', 'concurrencyBand=1', 'concurrencyBand=4–7', 'request=a'] }, {}, '--');
  expect(by).toEqual(['request', 'inputBand']);
  expect(where).toEqual([{ key: 'inputBand', values: ['9', '9', '9', '0'] }, { key: 'concurrencyBand', values: ['0', '2'] }, { key: 'request', values: ['a'] }]);
  expect(faultsOf({ where: ['inputBand=512–1024', 'inputBand=few', 'concurrencyBand=', 'inputBand=9999999999999999999'] }).map((fault) => fault.split(';')[0])).toEqual([
    `--where: '512–1024' is no inputBand`, `--where: 'few' is no inputBand`, `--where: '9999999999999999999' is no inputBand`, `--where: '' is no concurrencyBand`,
  ]);
});

it('refuses requests by device, said either way', () => {
  expect(faultsOf({ by: ['request,device'] })).toEqual([`--by: 'device' does not go with 'request': what a request drew is told of all its GPUs together`]);
  expect(faultsOf({ by: ['inputBand'], where: ['device=GPU-0'] })).toEqual([expect.stringMatching(/^--where: 'device' does not go with 'inputBand'/)]);
});

it('refuses a window that ends before it begins, and grouping by overlapping boundaries', () => {
  expect(faultsOf({ from: ['10'], to: ['10'] })).toEqual(['--to: must be later than --from']);
  expect(faultsOf({ by: ['boundary'] })[0]).toContain('choose one with --boundary');
  expect(faultsOf({ to: ['1', '2'] })).toEqual(['--to: said more than once']);
});
