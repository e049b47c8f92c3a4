/**
 * Group commit: batches that arrive while a transaction is under way go together into the next one. A transaction costs
 * 10 ms of processor however small it is, and a fleet of agents sends many small batches. While several senders are about and
 * few of them go together, the next transaction begins a moment later; a sender that is alone never waits.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Appended } from './store.js';

const MOST_BATCHES = 256;
/** In the last transaction and waiting for the next; one agent has two lanes. */
const SEVERAL = 3;
/** What a transaction costs is little for each of so many. */
const ENOUGH_BATCHES = 32;
const ENOUGH_SLICES = 2000;
const REST_MS = 50;
const MOST_SLICES = 50_000;

interface Waiting<T> {
  readonly one: T;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: unknown) => void;
}

function nextGroup<T>(waiting: Waiting<T>[], slicesOf: (one: T) => number): Waiting<T>[] {
  let slices = 0;
  let size = 0;
  for (const { one } of waiting) {
    slices += slicesOf(one);
    if (size === MOST_BATCHES || (size > 0 && slices > MOST_SLICES)) break;
    size += 1;
  }
  return waiting.splice(0, size);
}

/**
 * @param commit stores all of a group of batches or none, and answers in its order
 * @param rest before the next transaction, where several send and few go together
 */
export function inGroups<T>(commit: (group: readonly T[]) => Promise<Appended[]>, slicesOf: (one: T) => number, rest: () => Promise<unknown> = () => sleep(REST_MS)): (one: T) => Promise<Appended> {
  const waiting: Waiting<T>[] = [];
  let working = false;

  async function settle(group: readonly Waiting<T>[]): Promise<void> {
    try {
      const answers = await commit(group.map(({ one }) => one));
      for (const [index, { resolve, reject }] of group.entries()) {
        const answer = answers[index];
        if (answer === undefined) reject(new Error('a batch of the group was not answered'));
        else resolve(answer);
      }
    } catch (error) {
      // One bad batch must not refuse its neighbours: each gets a transaction of its own.
      if (group.length > 1) for (const each of group) await settle([each]);
      else group[0]?.reject(error);
    }
  }

  async function work(): Promise<void> {
    working = true;
    while (waiting.length > 0) {
      const group = nextGroup(waiting, slicesOf);
      await settle(group);
      const isSmall = group.length < ENOUGH_BATCHES && group.reduce((sum, { one }) => sum + slicesOf(one), 0) < ENOUGH_SLICES;
      if (isSmall && group.length + waiting.length >= SEVERAL) await rest();
    }
    working = false;
  }

  return (one) =>
    new Promise((resolve, reject) => {
      waiting.push({ one, resolve, reject });
      if (!working) void work();
    });
}
