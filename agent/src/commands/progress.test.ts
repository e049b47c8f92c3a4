import { describe, expect, it } from 'vitest';
import { progressOn } from './progress.js';

/** What is written when something is told at these moments, in s. */
function written(isTTY: boolean, moments: readonly number[]): string {
  let at = 0;
  let text = '';
  const progress = progressOn({ isTTY, write: (more) => void (text += more) }, () => at * 1000);
  for (const moment of moments) {
    at = moment;
    progress.tell(() => `at ${moment}`);
  }
  progress.done();
  return text;
}

describe('progress', () => {
  it('of short work says nothing', () => {
    expect([written(true, [0, 0.2, 0.4]), written(false, [0, 3, 9])]).toEqual(['', '']);
  });

  it('is told in place on a terminal, and leaves its line empty', () => {
    expect(written(true, [0, 0.5, 0.6, 1.1])).toBe('\r\u001b[Kat 0.5\r\u001b[Kat 1.1\r\u001b[K');
  });

  it('is a line now and then elsewhere', () => {
    expect(written(false, [1, 11, 12, 20.9, 21])).toBe('at 11\nat 21\n');
  });
});
