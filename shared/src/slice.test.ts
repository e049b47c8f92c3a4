import { expect, it } from 'vitest';
import { decodeBatch, encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { bandOf, latencyBucket, latencyBucketUpper, type Slice } from '@joulebook/shared/slice.js';
import { epochMicros, microjoules, seconds } from '@joulebook/shared/units.js';

it('puts every latency into the bucket whose bounds enclose it', () => {
  for (const latency of [0.001, 0.02, 0.5, 1, 1.0001, 2, 30, 1000]) {
    const bucket = latencyBucket(seconds(latency));
    expect(latency).toBeLessThanOrEqual(latencyBucketUpper(bucket) * (1 + 1e-9));
    expect(latency).toBeGreaterThan(latencyBucketUpper(bucket - 1));
  }
});

it('puts a count into the band that holds it', () => {
  expect([0, 1, 2, 3, 4, 511, 512, 1023, 1024].map(bandOf)).toEqual([0, 0, 1, 1, 2, 8, 9, 9, 10]);
});

it('carries what a request drew, and the error of a division, over the wire', () => {
  const span = { from: epochMicros(1e15), to: epochMicros(1e15 + 1) };
  const slices: Slice[] = [
    { kind: 'requests', ...span, outcome: 'ok', requests: 1, inputTokens: 5, cachedInputTokens: 3, outputTokens: 2, request: 'r-1', inputBand: 3, concurrencyBand: 0, prefillMicrojoules: microjoules(7), decodeMicrojoules: microjoules(0) },
    { kind: 'energy', ...span, device: 'd', boundary: 'gpu', phase: 'prefill', microjoules: microjoules(9), modelledMicrojoules: microjoules(9), divisionMicrojoules: microjoules(2), seconds: seconds(1), askedSeconds: seconds(1), source: 's', method: 'power' },
  ];
  const batch: Batch = { schema: 1, stream: '0'.repeat(32), sequence: 0, node: 'n', slices };
  expect(decodeBatch(encodeBatch(batch))).toEqual(batch);
  for (const wrong of [{ inputBand: -1 }, { concurrencyBand: 1.5 }, { prefillMicrojoules: -1 }, { request: '' }]) {
    expect(() => decodeBatch(JSON.stringify({ ...batch, slices: [{ ...slices[0], ...wrong }] }))).toThrow(Object.keys(wrong)[0]);
  }
});
