/** The quick yes of compiled code is never a yes that zod would not give, nor the other way round, of any fact with one thing wrong in it. */
import { assert, constantFrom, property, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { batch, decodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { isSlice, slice } from '@joulebook/shared/slice.js';

const span = { from: 1e15, to: 1e15 + 10e6, site: 's', deployment: 'd', model: 'm', labels: { q: 'fp8', empty: '' } };
const FACTS: readonly Record<string, unknown>[] = [
  { kind: 'energy', ...span, device: 'GPU-0', boundary: 'gpu', phase: 'decode', microjoules: 9, modelledMicrojoules: 3, seconds: 10, askedSeconds: 10, source: 'x', method: 'power', lowMicrojoules: 8, highMicrojoules: 10, divisionMicrojoules: 1, samplingVariance: 0.5, contains: ['n'] },
  { kind: 'tokens', ...span, tenant: 't', token: 'output', count: -3 },
  { kind: 'requests', ...span, tenant: 't', outcome: 'ok', ttftBucket: -4, tpotBucket: 2, requests: 1, inputTokens: 5, cachedInputTokens: 0, outputTokens: 7, request: 'r', inputBand: 3, concurrencyBand: 0, prefillMicrojoules: 1, decodeMicrojoules: 2 },
  { kind: 'gauge', ...span, device: 'GPU-0', gauge: 'queue', valueSeconds: -2.5, seconds: 10, max: 4 },
  { kind: 'flag', ...span, device: 'GPU-0', phase: 'idle', code: 'X_1', detail: '', count: 1, of: 2 },
];
const FIELDS = [...new Set(FACTS.flatMap((fact) => Object.keys(fact))), 'unknown', 'constructor', 'toString'];
const VALUES: readonly unknown[] = [
  undefined, null, true, '', 'x', 'x'.repeat(512), 'x'.repeat(513), '😀'.repeat(256), '😀'.repeat(257), 'x'.repeat(2001), 'ok', 'gpu', 'idle', 'X', 'energy', 'output', 'power',
  0, -0, 1, -1, 0.5, -120, 121, 60, 61, 1e12, 1e12 + 1, -1e12, -1e12 - 1, 864_000, 864_000.5, 1e15, 1e15 + 864_000e6, 1e15 + 864_000e6 + 1, 9007199254740991, 9007199254740992, 1e24, 1.1e24, -1e24, 1e308, Infinity, NaN,
  [], ['n'], [''], [1], Array.from({ length: 4097 }, () => 'n'), {}, { a: 1 }, { '': 'x' }, { a: 'x'.repeat(1024) }, { a: 'x'.repeat(1025) }, { ['a'.repeat(513)]: 'x' }, { constructor: 'x' },
];
const changes = tuple(constantFrom(...FACTS), constantFrom(...FIELDS), constantFrom(...VALUES));

function decoded(text: string): Batch | undefined {
  try {
    return decodeBatch(text);
  } catch (error) {
    if (error instanceof TelemetryError && error.code === 'BATCH_INVALID') return undefined;
    throw error;
  }
}

describe('what compiled code takes is what the schema takes', () => {
  it('of facts', () => {
    for (const fact of FACTS) expect(isSlice(fact)).toBe(true);
    const sameAnswer = property(changes, ([fact, field, value]) => {
      const { [field]: _before, ...rest } = fact;
      const other = value === undefined ? rest : { ...rest, [field]: value };
      expect(isSlice(other), JSON.stringify(other)).toBe(slice.safeParse(other).success);
    });
    assert(sameAnswer, { numRuns: 5000 });
  });

  const good = { schema: 1, stream: 'a'.repeat(32), sequence: 3, node: 'n', slices: FACTS };
  const cpu = { model: 'm', sockets: 1, cores: 8 };
  const host = { hostname: 'h', os: 'o', kernel: 'k', cpu, memoryBytes: 1, gpus: [{ model: 'g', vendor: 'v', bus: 'b', memoryMiB: 1.5 }], virtualised: false, agentVersion: '1' };
  it.each<[string, object]>([
    ['as it is', {}], ['with a host', { host }], ['empty', { slices: [] }], ['of a stream that is none', { stream: 'A'.repeat(32) }], ['of half a sequence', { sequence: 0.5 }], ['of a sequence too large', { sequence: 2 ** 40 + 1 }],
    ['of no node', { node: '' }], ['with more fields', { more: 1 }], ['without slices', { slices: null }], ['with a slice that is none', { slices: [...FACTS, 7] }], ['with a slice of no kind', { slices: [{}] }],
    ['with a host of more fields', { host: { ...host, more: 1 } }], ['with a host of no GPUs', { host: { ...host, gpus: null } }], ['with half a core', { host: { ...host, cpu: { ...cpu, cores: 0.5 } } }],
  ])('of a batch %s', (_how, change) => {
    const text = JSON.stringify({ ...good, ...change });
    const { data } = batch.safeParse(JSON.parse(text));
    expect(decoded(text)).toEqual(data);
  });
});
