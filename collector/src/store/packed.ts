/**
 * A batch on its way to the thread of the embedded store: each fact a row of numbers, as wide as its table, in which a text is its place in
 * a list. Packed where the batch was read and checked, so that the other thread neither reads it a second time nor handles cells one by one.
 *
 *     { kind: 'tokens', from: 10, to: 20, deployment: 'chat', token: 'output', count: 748 }
 *
 *     texts          0 '3f…'   1 'gpu-01'   2 'chat'   3 'output'
 *     rows.tokens    0 612 1 10 20 NaN 2 NaN NaN NaN 3 748       stream, sequence, node, from, to, site …; NaN where there is nothing
 */
import { z } from 'zod';
import type { Batch, HostFacts } from '@joulebook/shared/batch.js';
import type { EnergySlice, Slice, SliceKind } from '@joulebook/shared/slice.js';
import { KINDS } from './rollup-schema.js';
import { canonicalNodes, seriesOf, UNTIMED_BEFORE_MICROS } from './series.js';
import type { Span } from './spans.js';
import { spanOf } from './writers.js';

export type ColumnType = 'text' | 'whole' | 'number';
const [T, W, N] = ['text', 'whole', 'number'] as const;
const SHARED = [T, W, T, W, W, T, T, T, T] as const;

/** Of each table, in the order of the schema. */
export const COLUMNS: Readonly<Record<SliceKind, readonly ColumnType[]>> = {
  energy: [...SHARED, T, T, T, W, W, N, N, T, T, W, W, N, T, W],
  tokens: [...SHARED, T, T, W],
  requests: [...SHARED, T, T, W, W, W, W, W, W, T, W, W, W, W],
  gauge: [...SHARED, T, T, N, N, N],
  flag: [...SHARED, T, T, T, T, W, W],
};
/** Where a row says when its fact begins. */
export const FROM_COLUMN = 3;

export interface Packed {
  readonly stream: string;
  readonly sequence: number;
  readonly node: string;
  readonly host: HostFacts | undefined;
  /** As its sender wrote it. */
  readonly text: string;
  readonly slices: number;
  readonly from: number | null;
  readonly to: number | null;
  readonly texts: readonly string[];
  readonly rows: Readonly<Partial<Record<SliceKind, Float64Array>>>;
  /** What it says to have measured: series, from, to. One for all the facts of a series that stand on the same time. */
  readonly claims: Float64Array;
}

/** Sorted keys, so that equal labels are equal text. */
function canonicalLabels(labels: Readonly<Record<string, string>> | undefined): string | undefined {
  const entries = Object.entries(labels ?? {});
  return entries.length === 0 ? undefined : JSON.stringify(Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

type Labels = Slice['labels'];

function isSameLabels(a: Labels, b: Labels): boolean {
  if (a === undefined || b === undefined) return a === b;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** Nearly all facts of a batch have the labels of the one before. */
function labelTexts(): (labels: Labels) => string | undefined {
  let [last, said]: [Labels, string | undefined] = [undefined, undefined];
  return (labels) => {
    if (!isSameLabels(labels, last)) [last, said] = [labels, canonicalLabels(labels)];
    return said;
  };
}

/** Facts of one device and time come one after the other, phase by phase: one claim. */
function claimed(node: string, slices: readonly Slice[], place: (text: string) => number): number[] {
  const claims: number[] = [];
  let last: EnergySlice | undefined;
  for (const slice of slices) {
    if (slice.kind !== 'energy') continue;
    const isKnown = last !== undefined && last.from === slice.from && last.to === slice.to && last.device === slice.device && last.boundary === slice.boundary
      && last.contains === undefined && slice.contains === undefined && slice.from >= UNTIMED_BEFORE_MICROS;
    last = slice;
    if (isKnown) continue;
    const { from, to } = spanOf(slice);
    claims.push(place(seriesOf(node, slice)), from, to);
  }
  return claims;
}

/** The cells of the slice's table after the ones that every fact has. */
function ownCells(slice: Slice, place: (text: string | undefined) => number): number[] {
  switch (slice.kind) {
    case 'energy':
      return [
        place(slice.device), place(slice.boundary), place(slice.phase), slice.microjoules, slice.modelledMicrojoules, slice.seconds, slice.askedSeconds, place(slice.source), place(slice.method),
        slice.lowMicrojoules ?? NaN, slice.highMicrojoules ?? NaN, slice.samplingVariance ?? NaN, place(slice.contains && JSON.stringify(canonicalNodes(slice.contains))), slice.divisionMicrojoules ?? NaN,
      ];
    case 'tokens':
      return [place(slice.tenant), place(slice.token), slice.count];
    case 'requests':
      return [
        place(slice.tenant), place(slice.outcome), slice.ttftBucket ?? NaN, slice.tpotBucket ?? NaN, slice.requests, slice.inputTokens, slice.cachedInputTokens, slice.outputTokens,
        place(slice.request), slice.inputBand ?? NaN, slice.concurrencyBand ?? NaN, slice.prefillMicrojoules ?? NaN, slice.decodeMicrojoules ?? NaN,
      ];
    case 'gauge':
      return [place(slice.device), place(slice.gauge), slice.valueSeconds, slice.seconds, slice.max];
    case 'flag':
      return [place(slice.device), place(slice.phase), place(slice.code), place(slice.detail), slice.count, slice.of ?? NaN];
    default:
      return slice satisfies never;
  }
}

/** The time that facts span; null without any. */
export function extentOf(slices: readonly Slice[]): { readonly from: number | null; readonly to: number | null } {
  let [from, to] = [Infinity, -Infinity];
  for (const slice of slices) [from, to] = [Math.min(from, slice.from), Math.max(to, slice.to)];
  return slices.length === 0 ? { from: null, to: null } : { from, to };
}

export function pack({ stream, sequence, node, host, slices }: Batch, text: string): Packed {
  const texts: string[] = [];
  const places = new Map<string, number>();
  const place = (said: string | undefined): number => {
    if (said === undefined) return NaN;
    const known = places.get(said);
    if (known !== undefined) return known;
    places.set(said, texts.length);
    return texts.push(said) - 1;
  };
  const shared = { stream: place(stream), sequence, node: place(node) };
  const labelsOf = labelTexts();
  const rows: Partial<Record<SliceKind, Float64Array>> = {};
  for (const kind of KINDS) {
    const some = slices.filter((slice) => slice.kind === kind);
    if (some.length === 0) continue;
    const cells = new Float64Array(some.length * COLUMNS[kind].length);
    rows[kind] = cells;
    let at = 0;
    for (const slice of some) {
      cells[at] = shared.stream;
      cells[at + 1] = shared.sequence;
      cells[at + 2] = shared.node;
      cells[at + 3] = slice.from;
      cells[at + 4] = slice.to;
      cells[at + 5] = place(slice.site);
      cells[at + 6] = place(slice.deployment);
      cells[at + 7] = place(slice.model);
      cells[at + 8] = place(labelsOf(slice.labels));
      at += SHARED.length;
      for (const cell of ownCells(slice, place)) {
        cells[at] = cell;
        at += 1;
      }
    }
  }
  const claims = Float64Array.from(claimed(node, slices, place));
  return { stream, sequence, node, host, text, slices: slices.length, ...extentOf(slices), texts, rows, claims };
}

export function claimsOf({ claims, texts }: Pick<Packed, 'claims' | 'texts'>): [series: string, span: Span][] {
  const all: [string, Span][] = [];
  for (let at = 0; at < claims.length; at += 3) all.push([texts[claims[at] ?? 0] ?? '', { from: claims[at + 1] ?? 0, to: claims[at + 2] ?? 0 }]);
  return all;
}

const asWritten = z.custom<Batch>();
/** The text of a batch that was checked. */
export const batchIn = (text: string): Batch => asWritten.parse(JSON.parse(text));
