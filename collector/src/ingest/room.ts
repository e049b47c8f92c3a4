/**
 * Memory for batches that were begun and not yet answered. A body has its room before it is read, and what it inflates to
 * before it is parsed; who finds none is told to come back, while others are served.
 */
export interface Lease {
  /** @returns false where there is no room: the lease is as it was */
  grow(bytes: number): boolean;
  release(): void;
}

export class Room {
  #taken = 0;
  #leases = 0;
  constructor(
    readonly mostBytes: number,
    readonly mostLeases: number,
  ) {}

  get taken(): { readonly bytes: number; readonly batches: number } {
    return { bytes: this.#taken, batches: this.#leases };
  }

  /** Undefined where there is no room. One that is larger than everything has it alone. */
  lease(bytes: number): Lease | undefined {
    if (this.#leases >= this.mostLeases || !this.#fits(bytes)) return undefined;
    this.#leases += 1;
    this.#taken += bytes;
    let mine = bytes;
    let released = false;
    return {
      grow: (more) => {
        if (released || (this.#leases > 1 && !this.#fits(more))) return false;
        this.#taken += more;
        mine += more;
        return true;
      },
      release: () => {
        if (released) return;
        released = true;
        this.#leases -= 1;
        this.#taken -= mine;
      },
    };
  }

  #fits(bytes: number): boolean {
    return this.#leases === 0 || this.#taken + bytes <= this.mostBytes;
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
