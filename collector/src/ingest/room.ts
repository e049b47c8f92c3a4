/**
 * Memory for batches that were begun and not yet answered. A body has its room before it is read, and what it inflates to
 * before it is parsed; who finds none is told to come back, while others are served. No sender takes more than a part of it:
 * whoever begins bodies that never arrive, or sends more than is stored, is in nobody's way but its own.
 */
export interface Lease {
  /** @returns false where there is no room: the lease is as it was */
  grow(bytes: number): boolean;
  release(): void;
}

/** Of all room, for one sender. Four that are up to no good would be needed to keep the others out. */
const PART = 1 / 4;

interface Held {
  bytes: number;
  leases: number;
}

export class Room {
  readonly #all: Held = { bytes: 0, leases: 0 };
  /** Only those who hold something. */
  readonly #senders = new Map<string, Held>();
  constructor(
    readonly mostBytes: number,
    readonly mostLeases: number,
  ) {}

  get taken(): { readonly bytes: number; readonly batches: number } {
    return { bytes: this.#all.bytes, batches: this.#all.leases };
  }

  /** Undefined where there is no room. One that is larger than everything has it alone, and one that is larger than its sender's part has that alone. */
  lease(bytes: number, sender: string): Lease | undefined {
    const held = this.#senders.get(sender) ?? { bytes: 0, leases: 0 };
    if (this.#all.leases >= this.mostLeases || held.leases >= this.mostLeases * PART || !this.#fits(held, bytes, 0)) return undefined;
    this.#senders.set(sender, held);
    const parts = [this.#all, held] as const;
    let mine = 0;
    const take = (more: number, leases: number): void => {
      mine += more;
      for (const part of parts) {
        part.bytes += more;
        part.leases += leases;
      }
    };
    take(bytes, 1);
    let released = false;
    return {
      grow: (more) => {
        if (released || !this.#fits(held, more, 1)) return false;
        take(more, 0);
        return true;
      },
      release: () => {
        if (released) return;
        released = true;
        take(-mine, -1);
        if (held.leases === 0) this.#senders.delete(sender);
      },
    };
  }

  /** @param own leases of who asks, which leave it alone all the same */
  #fits(held: Held, bytes: number, own: number): boolean {
    const fits = (part: Held, most: number): boolean => part.leases === own || part.bytes + bytes <= most;
    return fits(this.#all, this.mostBytes) && fits(held, this.mostBytes * PART);
  }
}

/** At most so many works at a time, in the order in which they came: each holds memory that nobody can tell beforehand. */
export function inLanes(lanes: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let free = lanes;
  return async (work) => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free -= 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  };
}
