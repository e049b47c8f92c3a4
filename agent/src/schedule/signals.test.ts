import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { seconds } from '@joulebook/shared/units.js';
import { deadline, either, unlessAborted } from './signals.js';

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

it('aborts with the first of several and leaves nothing on those that live on', () => {
  const stop = new AbortController();
  for (let life = 0; life < 3; life += 1) {
    const changed = new AbortController();
    const signal = either(stop.signal, changed.signal);
    expect([signal.aborted, listeners(stop.signal)]).toEqual([false, 1]);
    changed.abort();
    expect([signal.aborted, listeners(stop.signal)]).toEqual([true, 0]);
  }
  stop.abort();
  const late = new AbortController();
  expect([either(late.signal, stop.signal).aborted, listeners(late.signal)]).toEqual([true, 0]);
});

it('gives what a work gives, its fault too, or nothing when it is stopped, and is gone then', async () => {
  const stop = new AbortController();
  expect(await unlessAborted(Promise.resolve(7), stop.signal)).toBe(7);
  await expect(unlessAborted(Promise.reject(new Error('no')), stop.signal)).rejects.toThrow('no');
  expect(listeners(stop.signal)).toBe(0);
  const waiting = unlessAborted(new Promise(() => undefined), stop.signal);
  stop.abort();
  expect(await waiting).toBeUndefined();
  expect(await unlessAborted(new Promise(() => undefined), stop.signal)).toBeUndefined();
});

it('aborts after a time where the signal does not come first', async () => {
  const signal = deadline(new AbortController().signal, seconds(0.01));
  await new Promise((resolve) => {
    signal.addEventListener('abort', resolve);
  });
  expect(signal.aborted).toBe(true);
});
