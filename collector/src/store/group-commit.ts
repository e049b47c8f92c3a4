/**
 * Group commit: batches that arrive while a transaction is under way go together into the next one. A transaction costs
 * 3-5 ms however small it is, and a fleet of agents sends many small batches.
 */
import type { Batch } from '@joulebook/shared/batch.js';
import type { Appended } from './store.js';

const MOST_BATCHES = 64;
const MOST_SLICES = 50_000;

interface Waiting {
  readonly batch: Batch;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: unknown) => void;
}

function nextGroup(waiting: Waiting[]): Waiting[] {
  let slices = 0;
  let size = 0;
  for (const { batch } of waiting) {
    slices += batch.slices.length;
    if (size === MOST_BATCHES || (size > 0 && slices > MOST_SLICES)) break;
    size += 1;
  }
  return waiting.splice(0, size);
}

/** @param commit stores all of a group or none, and answers in its order */
export function inGroups(commit: (batches: readonly Batch[]) => Promise<Appended[]>): (batch: Batch) => Promise<Appended> {
  const waiting: Waiting[] = [];
  let working = false;

  async function settle(group: readonly Waiting[]): Promise<void> {
    try {
      const answers = await commit(group.map(({ batch }) => batch));
      for (const [index, { resolve, reject }] of group.entries()) {
        const answer = answers[index];
        if (answer === undefined) reject(new Error('a batch of the group was not answered'));
        else resolve(answer);
      }
    } catch (error) {
      // One bad batch must not refuse its neighbours: each gets a transaction of its own.
      if (group.length > 1) for (const one of group) await settle([one]);
      else group[0]?.reject(error);
    }
  }

  async function work(): Promise<void> {
    working = true;
    while (waiting.length > 0) await settle(nextGroup(waiting));
    working = false;
  }

  return (batch) =>
    new Promise((resolve, reject) => {
      waiting.push({ batch, resolve, reject });
      if (!working) void work();
    });
}
