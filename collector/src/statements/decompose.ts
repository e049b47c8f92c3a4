/**
 * What moved a ratio of sums between two periods. With a the amount (J, money), t the tokens, T all tokens, s = t/T a group's share
 * of the tokens and f = a/t its own ratio, the whole is F = Σ s f. Of the change each group has
 *
 *     rate      s̄ × Δf              it costs more or less for each token
 *     mix       Δs × (f̄ − F̄)        it has more or less of the tokens, and is dearer or cheaper than the whole
 *     unused    Δ(a/T)              amounts of a time in which it made no token at all
 *
 * with means of both periods (midpoints, so that neither period is the base and nothing is left over): the effects add up to ΔF. A group
 * that comes or goes has no ratio in one of the periods; it takes its other one, so all of its effect is mix.
 */
export interface Amounts {
  readonly amount: number;
  readonly tokens: number;
}
export interface Compared<K> {
  readonly key: K;
  readonly before: Amounts;
  readonly after: Amounts;
}
export interface Moved<K> {
  readonly key: K;
  /** a/t of each period; null without tokens. */
  readonly ratio: readonly [number | null, number | null];
  /** Of all tokens of each period. */
  readonly share: readonly [number, number];
  readonly rate: number;
  readonly mix: number;
  readonly unused: number;
  /** The three of them. */
  readonly effect: number;
}

const ratioOf = ({ amount, tokens }: Amounts): number | null => (tokens > 0 ? amount / tokens : null);

/**
 * Largest effect first.
 * @param whole all of each period; has tokens in both
 */
export function decompose<K>(groups: readonly Compared<K>[], whole: { readonly before: Amounts; readonly after: Amounts }): Moved<K>[] {
  const [tokensBefore, tokensAfter] = [whole.before.tokens, whole.after.tokens];
  const mean = (whole.before.amount / tokensBefore + whole.after.amount / tokensAfter) / 2;
  const moved = groups.map(({ key, before, after }): Moved<K> => {
    const ratio = [ratioOf(before), ratioOf(after)] as const;
    const share = [Math.max(0, before.tokens) / tokensBefore, Math.max(0, after.tokens) / tokensAfter] as const;
    const [first, last] = [ratio[0] ?? ratio[1], ratio[1] ?? ratio[0]];
    const unused = (ratio[1] === null ? after.amount / tokensAfter : 0) - (ratio[0] === null ? before.amount / tokensBefore : 0);
    if (first === null || last === null) return { key, ratio, share, rate: 0, mix: 0, unused, effect: unused };
    const rate = ((share[0] + share[1]) / 2) * (last - first);
    const mix = (share[1] - share[0]) * ((first + last) / 2 - mean);
    return { key, ratio, share, rate, mix, unused, effect: rate + mix + unused };
  });
  return moved.toSorted((a, b) => Math.abs(b.effect) - Math.abs(a.effect));
}
