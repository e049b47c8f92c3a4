import { instant, tokens } from '@joulebook/shared/units.js';
import { expect, it } from 'vitest';
import { details, flags } from '../recorded-file.testing.js';
import type { ServingEvent } from '../source.js';
import { toldTwice } from './told-twice.js';

const window = (to: number, output: number, rank?: string): ServingEvent => ({ kind: 'window', from: instant(to - 10), to: instant(to), tokens: { output: tokens(output) }, ...(rank !== undefined && { rank }) });
/** An hour from its begin, a window each 10 s. */
const hour = (begin: number, faster = 0): ServingEvent[] => Array.from({ length: 360 }, (_, index) => window(begin + 10 * (index + 1), 1000 + index + faster));
function said(...events: readonly ServingEvent[]) {
  const twice = toldTwice('engine.log');
  for (const event of events) twice.see(event);
  return twice.flagged();
}

it('a log that is in the file twice is the same to the token, and its times are named', () => {
  const flagged = said(...hour(0), ...hour(0));
  expect(flags(flagged)).toEqual([['OVERLAPPING_LOGS', 356]]);
  expect(details(flagged)[0]).toMatch(/^engine.log tells 1970-01-01T00:00:00.000Z to 1970-01-01T00:59:20.000Z twice. .*one log put in twice/);
});

it('two servers one after the other in the file, at the same time', () => {
  expect(details(said(...hour(0), ...hour(1800, 5)))).toEqual([expect.stringMatching(/^engine.log tells 1970-01-01T00:30:00.000Z to 1970-01-01T00:59:20.000Z twice. Two servers at once are both counted/)]);
});

it.each([
  ['a restart', [...hour(0), ...hour(3600)]],
  ['ranks that interleave, one of which was held to the end', [...hour(0).flatMap((event, index) => (index < 100 ? [event, window(10 * (index + 1) - 5, 9, '1')] : [event])), window(1005, 9, '1')]],
  ['one line held back', [...hour(0), window(500, 7)]],
  ['two idle engines', [...hour(0), ...hour(0).map((_, index) => window(10 * index, 0))]],
])('%s is nothing to say', (_, events) => {
  expect(said(...events)).toEqual([]);
});
