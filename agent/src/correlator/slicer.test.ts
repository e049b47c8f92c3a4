/** What slices must be, whatever is told: a collector refuses a batch for one of them, with all the joules that are in it. */
import { isSlice } from '@joulebook/shared/slice.js';
import { instant, seconds } from '@joulebook/shared/units.js';
import { expect, it } from 'vitest';
import { slicer } from './slicer.js';

it('flags have no more cases than can be told, and no half of a character where their words were cut', () => {
  const slices = slicer({ length: seconds(10), window: { from: instant(1000) } });
  const words = `${'x'.repeat(1999)}😀`;
  for (let time = 0; time < 3; time += 1) slices.flag(instant(1001), { code: 'UNUSABLE_LINES', detail: words, count: 6e11, of: 9e11 });
  const [flag] = slices.finish(instant(1010));
  expect(flag).toMatchObject({ kind: 'flag', count: 1e12, of: 1e12, detail: `${'x'.repeat(1999)}\uFFFD` });
  expect(isSlice(flag)).toBe(true);
});
