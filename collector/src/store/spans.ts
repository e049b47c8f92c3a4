/** Stretches of time as sorted, disjoint, immutable lists: what one stream has written of one series. Whole microseconds. */
export interface Span {
  readonly from: number;
  readonly to: number;
}
export type Spans = readonly Span[];

/** Facts come nearly in order, so what is looked for stands at the end. */
export function overlaps(spans: Spans, { from, to }: Span): boolean {
  for (let index = spans.length - 1; index >= 0; index -= 1) {
    const span = spans[index];
    if (!span || span.to <= from) return false;
    if (span.from < to) return true;
  }
  return false;
}

/** Stretches that touch become one. */
export function joined(spans: Spans, span: Span): Spans {
  const last = spans.at(-1);
  if (!last || span.from > last.to) return [...spans, span];
  if (span.from >= last.from) return span.to <= last.to ? spans : [...spans.slice(0, -1), { from: last.from, to: span.to }];
  const apart = spans.filter(({ from, to }) => to < span.from || from > span.to);
  const touched = spans.filter(({ from, to }) => to >= span.from && from <= span.to);
  const all = touched.reduce((hull, { from, to }) => ({ from: Math.min(hull.from, from), to: Math.max(hull.to, to) }), span);
  return [...apart, all].toSorted((a, b) => a.from - b.from);
}
