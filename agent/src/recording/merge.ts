import type { PowerEvent } from '../sources/source.js';

interface Head {
  readonly iterator: AsyncIterator<PowerEvent>;
  event: PowerEvent;
}

/** Several recorded streams as one, oldest first; each is in its own order. */
export async function* inTimeOrder(streams: readonly AsyncIterable<PowerEvent>[]): AsyncGenerator<PowerEvent> {
  const heads: Head[] = [];
  try {
    for (const stream of streams) {
      const iterator = stream[Symbol.asyncIterator]();
      const first = await iterator.next();
      if (!first.done) heads.push({ iterator, event: first.value });
    }
    while (heads.length > 0) {
      let oldest = 0;
      for (let index = 1; index < heads.length; index += 1) if (timeOf(heads[index]) < timeOf(heads[oldest])) oldest = index;
      const head = heads[oldest];
      if (!head) return;
      yield head.event;
      const next = await head.iterator.next();
      if (next.done) heads.splice(oldest, 1);
      else head.event = next.value;
    }
  } finally {
    // Who has heard enough leaves no file open.
    for (const { iterator } of heads) await iterator.return?.();
  }
}

/** What has no time of its own goes first. */
const timeOf = (head: Head | undefined): number => (head && 'at' in head.event ? head.event.at : -Infinity);
