/**
 * What the GPUs of this node drew lately, for whom and in which phase. A wider boundary (CPU, server, meter) has no phases
 * of its own: over its own interval its energy takes those of the GPUs inside it, in proportion to their energy.
 */
import type { Phase } from '@joulebook/shared/slice.js';
import type { Instant } from '@joulebook/shared/units.js';

/** A share of something measured: whose it is and in which phase it was drawn. */
export interface Part<Owner> {
  readonly owner: Owner | undefined;
  readonly phase: Phase;
  /** A rule, not an observation, gave it this share. */
  readonly modelled: boolean;
  readonly weight: number;
  /** By how much the weight may be off, since a model divided. */
  readonly division: number;
}

interface Piece<Owner> {
  readonly from: Instant;
  readonly to: Instant;
  readonly energy: number;
  /** Time observed, of the piece's length. */
  readonly seconds: number;
  readonly parts: readonly Part<Owner>[];
}

export interface GpuHistory<Owner> {
  record(piece: Piece<Owner>): void;
  /** Shares that add up to 1; undefined where no GPU was measured. What the GPUs were not seen in is unknown. */
  over(from: Instant, to: Instant): readonly Part<Owner>[] | undefined;
  forget(before: Instant): void;
}

export function gpuHistory<Owner extends { readonly name: string }>(): GpuHistory<Owner> {
  let pieces: Piece<Owner>[] = [];
  return {
    record(piece) {
      pieces.push(piece);
    },
    over(from, to) {
      const sums = new Map<string, { owner: Owner | undefined; phase: Phase; modelled: boolean; weight: number; division: number }>();
      let energy = 0;
      let asked = 0;
      let seen = 0;
      for (const piece of pieces) {
        const overlap = Math.min(piece.to, to) - Math.max(piece.from, from);
        if (overlap <= 0) continue;
        const share = overlap / (piece.to - piece.from);
        asked += overlap;
        seen += piece.seconds * share;
        energy += piece.energy * share;
        for (const { owner, phase, modelled, weight, division } of piece.parts) {
          const key = `${owner?.name ?? ''}\u0000${phase}\u0000${String(modelled)}`;
          const sum = sums.get(key) ?? { owner, phase, modelled, weight: 0, division: 0 };
          sums.set(key, sum);
          sum.weight += piece.energy * share * weight;
          sum.division += piece.energy * share * division;
        }
      }
      if (energy <= 0 || asked <= 0) return undefined;
      const coverage = Math.min(1, seen / asked);
      const divided = sums.size > 1;
      const parts: Part<Owner>[] = [...sums.values()].map((sum) => ({ ...sum, modelled: sum.modelled || divided, weight: (sum.weight / energy) * coverage, division: (sum.division / energy) * coverage }));
      if (coverage < 1 - 1e-9) parts.push({ owner: undefined, phase: 'unknown', modelled: false, weight: 1 - coverage, division: 0 });
      return parts;
    },
    forget(before) {
      pieces = pieces.filter((piece) => piece.to > before);
    },
  };
}
