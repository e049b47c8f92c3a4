/**
 * Which positions need no more sending. Live batches overtake a backlog, so it is a low-water mark and ranges above it:
 *
 *     0 … 41 settled │ 42, 43 not │ 44 … 612 settled │ 613 … not        as text: "41 44-612"
 *
 * A backlog that is worked off from its old end while live batches are taken at the new one makes one range.
 */
export const NOTHING_SETTLED = -1;

/** First and last, both settled. */
export type Range = readonly [first: number, last: number];

const TEXT = /^(-1|\d{1,15})((?: \d{1,15}-\d{1,15})*)$/;

export class Settled {
  #low: number;
  /** In order, none touching another or the low-water mark. */
  #ranges: Range[] = [];

  constructor(low: number = NOTHING_SETTLED) {
    this.#low = low;
  }

  /** Undefined when the text is not one of ours. */
  static parse(text: string): Settled | undefined {
    const [, low, ranges] = TEXT.exec(text) ?? [];
    if (low === undefined || ranges === undefined) return undefined;
    const settled = new Settled(Number(low));
    for (const [, first, last] of ranges.matchAll(/(\d+)-(\d+)/g)) settled.add(Number(first), Number(last));
    return settled;
  }

  get text(): string {
    return [this.#low, ...this.#ranges.map(([first, last]) => `${first}-${last}`)].join(' ');
  }

  /** Everything up to and with this position is settled. */
  get low(): number {
    return this.#low;
  }

  get highest(): number {
    return this.#ranges.at(-1)?.[1] ?? this.#low;
  }

  has(position: number): boolean {
    return position <= this.#low || this.#ranges.some(([first, last]) => first <= position && position <= last);
  }

  add(first: number, last: number = first): void {
    if (last < first || last <= this.#low) return;
    const touching = (range: Range): boolean => range[0] <= last + 1 && range[1] >= first - 1;
    const merged = this.#ranges.filter(touching);
    const from = Math.min(first, ...merged.map((range) => range[0]));
    const to = Math.max(last, ...merged.map((range) => range[1]));
    const rest = this.#ranges.filter((range) => !touching(range));
    if (from <= this.#low + 1) this.#low = to;
    this.#ranges = from <= this.#low + 1 ? rest : [...rest, [from, to] as const].toSorted((a, b) => a[0] - b[0]);
  }

  addAll(other: Settled): void {
    this.add(0, other.#low);
    for (const [first, last] of other.#ranges) this.add(first, last);
  }

  /** The first position from here on that is not settled. */
  nextOpen(from: number): number {
    let position = Math.max(from, this.#low + 1);
    for (const [first, last] of this.#ranges) if (first <= position && position <= last) position = last + 1;
    return position;
  }

  /** How many positions of [first, end) are not settled. */
  countOpen(first: number, end: number): number {
    const begin = Math.max(first, this.#low + 1);
    const settled = this.#ranges.reduce((sum, range) => sum + Math.max(0, Math.min(end, range[1] + 1) - Math.max(begin, range[0])), 0);
    return Math.max(0, end - begin - settled);
  }
}
