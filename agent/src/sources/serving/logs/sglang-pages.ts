/**
 * Some versions print prompt tokens rounded up to the page of the KV cache: 64000 as 64128 with pages of 128. Nothing in
 * the line says so; all figures of a log being multiples of one page does.
 */
import type { Flagged } from '../../source.js';

export interface PageRounding {
  saw(newTokens: number): Flagged[];
  end(): Flagged[];
}

/** Pages are powers of two; smaller ones round by little. */
const SMALLEST_PAGE = 64;
/** So many lines are no accident, and so many are enough at the end of a short log. */
const SURE_LINES = 20;
const ENOUGH_LINES = 3;

export function pageRounding(label: string): PageRounding {
  let divisor = 0;
  let lines = 0;
  let sizes = new Set<number>();
  let said = false;

  function flag(): Flagged[] {
    const page = evenPart(divisor);
    // One size alone is a chunk or a fixed prompt.
    if (said || page < SMALLEST_PAGE || sizes.size < 2) return [];
    said = true;
    return [{ kind: 'flagged', code: 'PAGE_ROUNDED', count: 1, detail: `${label}: prompt tokens are printed in whole KV cache pages of ${page}: input is over-counted by up to ${page - 1} tokens per request; take the input of short prompts from the metrics page or a gateway` }];
  }

  return {
    saw(newTokens) {
      if (said || newTokens === 0 || (lines > 0 && evenPart(divisor) < SMALLEST_PAGE)) return [];
      divisor = greatestDivisor(divisor, newTokens);
      lines += 1;
      if (sizes.size < 2) sizes = sizes.add(newTokens);
      return lines >= SURE_LINES ? flag() : [];
    },
    end: () => (lines >= ENOUGH_LINES ? flag() : []),
  };
}

const greatestDivisor = (one: number, other: number): number => (other === 0 ? one : greatestDivisor(other, one % other));
/** Its largest divisor that is a power of two. */
const evenPart = (value: number): number => (value > 0 && value % 2 === 0 ? 2 * evenPart(value / 2) : 1);
