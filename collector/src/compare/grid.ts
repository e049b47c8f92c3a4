/** In how long blocks, and in whose, a comparison is told. */
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { isUntimed } from './design.js';
import type { Pair } from './found.js';
import { nodesOf, type Told } from './sides.js';

/** µs: a minute, unless a side is so short that there would be few blocks, or so long that there would be very many. */
const MINUTE = 60e6;
const FINER = [MINUTE, 10e6, 1e6] as const;
const COARSER = [300e6, 900e6, 3600e6, 86_400e6] as const;
const FEW = 20;
const MANY = 50_000;
/** Blocks of a side, where it was said how long one is. */
const MOST = 200_000;

/** @param units of a side that have blocks of their own */
export function stepFor(shortest: number, units = 1): EpochMicros {
  if ((shortest * units) / MINUTE > MANY) return epochMicros(COARSER.find((step) => (shortest * units) / step <= MANY) ?? 86_400e6);
  return epochMicros(FINER.find((step) => shortest / step >= FEW) ?? 1e6);
}

export interface Grid {
  /** `mixed`: some of it has times and some has none. */
  readonly kind: 'time' | 'runs' | 'mixed';
  readonly step: EpochMicros;
  readonly byNode: boolean;
}

/** Each fact of a table of runs begins where no other does. */
const EACH_FACT = epochMicros(1);

const areApart = (a: readonly string[], b: readonly string[]): boolean => a.length > 1 && b.length > 1 && !a.some((node) => b.includes(node));

/** @param said how long a block is to be */
export function gridOf([a, b]: Pair<Told>, said: EpochMicros | undefined): Grid {
  const extents = [a, b].flatMap(({ extent }) => extent ?? []);
  const untimed = new Set(extents.flatMap(({ from, to }) => [isUntimed(from), isUntimed(to)]));
  if (untimed.size === 1 && untimed.has(true)) return { kind: 'runs', step: EACH_FACT, byNode: false };
  const shortest = Math.min(...extents.map(({ from, to }) => to - from));
  const units = Math.max(nodesOf(a).length, nodesOf(b).length);
  // Nodes differ among themselves, and so do sides that share none: what each node says tells by how much.
  const byNode = areApart(nodesOf(a), nodesOf(b)) && (said === undefined || (shortest / said) * units <= MOST);
  return { kind: untimed.size === 1 ? 'time' : 'mixed', step: said ?? stepFor(shortest, byNode ? units : 1), byNode };
}
