import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { isGzip, readBody } from './body.js';

const MIB = 1024 * 1024;
/** Zeros: some kilobytes that inflate to a thousand times as much. */
const zeros = (bytes: number): Buffer => gzipSync(Buffer.alloc(bytes, '0'));

describe('a small body', () => {
  it('is inflated to its text, also where that is no longer small', async () => {
    expect(await readBody(gzipSync('{"ä":1}'), MIB)).toBe('{"ä":1}');
    expect(await readBody(zeros(4 * MIB), 8 * MIB)).toBe('0'.repeat(4 * MIB));
  });

  it('that inflates to more than is taken is refused, whether the limit is small or large', async () => {
    for (const limit of [1000, 300_000, 2 * MIB]) await expect(readBody(zeros(limit + 1), limit)).rejects.toMatchObject({ code: 'BODY_TOO_LARGE', remedy: 'discard' });
    for (const limit of [1000, 300_000, 2 * MIB]) expect((await readBody(zeros(limit), limit)).length).toBe(limit);
  });

  it('that is cut short or damaged is refused', async () => {
    const whole = gzipSync('{"slices":[]}'.repeat(100));
    expect(isGzip(whole)).toBe(true);
    for (const damaged of [whole.subarray(0, whole.length - 9), Buffer.concat([whole.subarray(0, 20), Buffer.alloc(40, 0xff)])]) await expect(readBody(damaged, MIB)).rejects.toMatchObject({ code: 'BODY_NOT_GZIP', remedy: 'discard' });
  });
});
