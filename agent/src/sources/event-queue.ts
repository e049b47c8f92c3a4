/**
 * From a callback (a chunk has arrived now) to an async iterable that is read when there is time. Bounded: a reader that
 * has stopped reading loses the oldest and is told how many, instead of the process losing its memory.
 */
export interface EventQueue<T> extends AsyncIterable<T> {
  push(event: T): void;
  /** What is queued is still handed out; then the iterable ends, or throws. */
  end(error?: unknown): void;
}

export function eventQueue<T>(most: number, dropped: (count: number) => T): EventQueue<T> {
  let events: T[] = [];
  let lost = 0;
  let ended = false;
  let failure: { readonly error: unknown } | undefined;
  let wake: (() => void) | undefined;
  const rouse = (): void => {
    wake?.();
    wake = undefined;
  };
  return {
    push(event) {
      if (ended) return;
      events.push(event);
      if (events.length > most) {
        const half = Math.floor(most / 2);
        lost += events.length - half;
        events = events.slice(-half);
      }
      rouse();
    },
    end(error) {
      ended = true;
      if (error !== undefined) failure ??= { error };
      rouse();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        if (lost > 0) {
          const count = lost;
          lost = 0;
          yield dropped(count);
        }
        const batch = events;
        events = [];
        yield* batch;
        if (events.length > 0 || lost > 0) continue;
        if (failure) throw failure.error;
        if (ended) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
