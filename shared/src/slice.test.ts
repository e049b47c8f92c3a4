import { expect, it } from 'vitest';
import { latencyBucket, latencyBucketUpper } from '@joulebook/shared/slice.js';
import { seconds } from '@joulebook/shared/units.js';

it('puts every latency into the bucket whose bounds enclose it', () => {
  for (const latency of [0.001, 0.02, 0.5, 1, 1.0001, 2, 30, 1000]) {
    const bucket = latencyBucket(seconds(latency));
    expect(latency).toBeLessThanOrEqual(latencyBucketUpper(bucket) * (1 + 1e-9));
    expect(latency).toBeGreaterThan(latencyBucketUpper(bucket - 1));
  }
});
