/** A side by itself: its pooled ratio of sums, with the same error as the effect's, but without the other side and without conditions. */
import type { Block, Side } from './block.js';
import { reachOf } from './power.js';
import type { Pieces } from './pieces.js';
import { moments, regress, regressors } from './regression.js';
import { errorOf, influences } from './robust-error.js';

const sum = (blocks: readonly Block[], of: 'numerator' | 'denominator'): number => blocks.reduce((whole, block) => whole + block[of], 0);

export const estimateOf = (blocks: readonly Block[]): number | null => (sum(blocks, 'denominator') > 0 ? sum(blocks, 'numerator') / sum(blocks, 'denominator') : null);

export const withoutInterval = (blocks: readonly Block[]): Side => ({ estimate: estimateOf(blocks), ci95: null, blocks: blocks.length });

/** @param offset of the side's first block among those of both */
export function sideOf(blocks: readonly Block[], { pieceOf, memory }: Pieces, offset: number, alpha: number): Side {
  const estimate = estimateOf(blocks);
  const numbers = new Map<number, number>();
  const own = Int32Array.from(blocks, (_, index) => {
    const piece = pieceOf[offset + index] ?? 0;
    if (!numbers.has(piece)) numbers.set(piece, numbers.size);
    return numbers.get(piece) ?? 0;
  });
  const data = regressors(blocks, []);
  const fit = regress(data);
  const influence = fit && influences(moments(data, fit.fitted, numbers.size, own), 0);
  if (!influence || estimate === null) return withoutInterval(blocks);
  // What is paired within a piece is so with the other side; by themselves a side's pieces drift.
  const error = errorOf(influence, [{ first: 0, count: numbers.size }], memory === 'none' ? 'none' : 'drift');
  const reach = reachOf({ ...error, alpha, sequential: false });
  return { estimate, ci95: [estimate * Math.exp(-reach), estimate * Math.exp(reach)], blocks: blocks.length };
}
