/** What no honest agent writes is refused by the name of its field, however it is written. */
import { describe, expect, it } from 'vitest';
import { decodeBatch, encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { epochMicros, microjoules, seconds } from '@joulebook/shared/units.js';

const span = { from: epochMicros(1e15), to: epochMicros(1e15 + 10e6) };
const energy = { kind: 'energy', ...span, device: 'GPU-0', boundary: 'gpu', phase: 'decode', microjoules: microjoules(9), modelledMicrojoules: microjoules(0), seconds: seconds(10), askedSeconds: seconds(10), source: 's', method: 'power' } as const;
const flag = { kind: 'flag', ...span, code: 'X', detail: '', count: 0 } as const;
const good = { schema: 1, stream: '0'.repeat(32), sequence: 0, node: 'n', slices: [energy, flag] } as const;
const host = { hostname: 'h', os: 'o', kernel: 'k', cpu: { model: 'm', sockets: 1, cores: 1 }, memoryBytes: 1, gpus: [{ model: 'g', vendor: 'v' }], agentVersion: '1' };
/** As another program may write it: `JSON.stringify` writes halves of pairs by their numbers. */
const withFact = (change: object): string => JSON.stringify({ ...good, slices: [{ ...energy, ...change }] });

const HALF = '\ud800';

describe('half of a surrogate pair is refused', () => {
  it.each([
    ['node', JSON.stringify({ ...good, node: `n${HALF}` })],
    ['host.hostname', JSON.stringify({ ...good, host: { ...host, hostname: HALF } })],
    ['host.cpu.model', JSON.stringify({ ...good, host: { ...host, cpu: { ...host.cpu, model: HALF } } })],
    ['host.gpus.0.bus', JSON.stringify({ ...good, host: { ...host, gpus: [{ model: 'g', vendor: 'v', bus: '\udfff' }] } })],
    ['slices.0.labels.q', withFact({ labels: { q: `a${HALF}` } })],
    ['slices.0.labels.q\ufffd', withFact({ labels: { [`q${HALF}`]: 'a' } })],
    ['slices.0.contains.1', withFact({ contains: ['n', HALF] })],
    ...['device', 'site', 'deployment', 'model', 'source'].map((field) => [`slices.0.${field}`, withFact({ [field]: HALF })]),
    ['slices.0.detail', JSON.stringify({ ...good, slices: [{ ...flag, detail: `${HALF}x` }] })],
    ['slices.0.tenant', JSON.stringify({ ...good, slices: [{ kind: 'tokens', ...span, token: 'output', count: 1, tenant: HALF }] })],
    ['slices.0.request', JSON.stringify({ ...good, slices: [{ kind: 'requests', ...span, outcome: 'ok', requests: 1, inputTokens: 1, cachedInputTokens: 0, outputTokens: 1, request: HALF }] })],
    ['slices.0.gauge', JSON.stringify({ ...good, slices: [{ kind: 'gauge', ...span, gauge: HALF, valueSeconds: 1, seconds: 1, max: 1 }] })],
  ])('in %s', (field, text) => {
    expect(() => decodeBatch(text)).toThrow(`${field}: is not well-formed Unicode`);
  });

  it('and whole pairs, and text about halves, are taken', () => {
    const batch = { ...good, slices: [{ ...energy, labels: { '🜁': '\ud83d\ude00', about: '\\ud800' } }] };
    expect(decodeBatch(JSON.stringify(batch).replace('🜁', String.raw`\ud83d\udf01`))).toEqual(batch);
  });

  it('is written as U+FFFD by our own programs, whatever the logs they read hold; text about it stays', () => {
    const torn: Batch = { ...good, slices: [{ ...energy, deployment: `chat${HALF}`, labels: { [`a${HALF}b`]: String.raw`\ud800 \\ud800`, pair: '😀', two: `${HALF}${HALF}` } }] };
    expect(decodeBatch(encodeBatch(torn)).slices).toEqual([{ ...energy, deployment: 'chat\ufffd', labels: { 'a\ufffdb': String.raw`\ud800 \\ud800`, pair: '😀', two: '\ufffd\ufffd' } }]);
    expect(encodeBatch({ ...good, slices: [{ ...energy, deployment: String.raw`\ud800` }] })).toBe(JSON.stringify({ ...good, slices: [{ ...energy, deployment: String.raw`\ud800` }] }));
  });
});

it.each(['"__proto__"', String.raw`"__pro\u0074o__"`, String.raw`"\u005f\u005Fproto\u005f_"`, String.raw`"__proto__" `])('refuses a label that is named %s', (name) => {
  expect(() => decodeBatch(withFact({ labels: { NAME: 'x' } }).replace('"NAME"', name))).toThrow('named __proto__');
});

it('takes values that look like that name', () => {
  const labels = { a: '__proto__', b: '"__proto__":', 'c__proto__': 'x', d: String.raw`\u005f_proto__` };
  expect(decodeBatch(withFact({ labels })).slices[0]?.labels).toEqual(labels);
});

describe('a batch is refused whose', () => {
  it.each([
    ['lowMicrojoules: must not be more than highMicrojoules', { lowMicrojoules: 9e15, highMicrojoules: -9e15 }],
    ['modelledMicrojoules: is a part of microjoules', { modelledMicrojoules: 10 }],
  ])('slices.0.%s', (fault, change) => {
    expect(() => decodeBatch(withFact(change))).toThrow(`slices.0.${fault}`);
  });

  it('sequence is no number of a batch', () => {
    expect(() => decodeBatch(JSON.stringify({ ...good, sequence: Number.MAX_SAFE_INTEGER }))).toThrow('sequence: must be at most 2^40');
    expect(decodeBatch(JSON.stringify({ ...good, sequence: 2 ** 40 })).sequence).toBe(2 ** 40);
  });

  it('but not where both ends of an error are one, or energy came after its time was swept', () => {
    expect(decodeBatch(withFact({ seconds: 4, askedSeconds: 0, lowMicrojoules: 10, highMicrojoules: 9 })).slices).toHaveLength(1);
  });
});
