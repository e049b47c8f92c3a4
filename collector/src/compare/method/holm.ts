/**
 * Several comparisons at once: that none of those without a difference is called different holds for all of them together.
 * Holm 1979, Scand. J. Stat. 6:65. In order of size p₍ₖ₎ becomes the largest of (m − j + 1)·p₍ⱼ₎ over j ≤ k; it needs no
 * independence, and never finds less than Bonferroni does.
 */
export function holm(pValues: readonly number[]): number[] {
  const order = pValues.map((p, index) => ({ p, index })).toSorted((one, other) => one.p - other.p);
  const adjusted = pValues.map(() => 1);
  let largest = 0;
  for (const [rank, { p, index }] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (pValues.length - rank) * p));
    adjusted[index] = largest;
  }
  return adjusted;
}
