/**
 * Facts as points of the line protocol, and back. One measurement per kind of fact: what is a number is a field, what
 * divides facts is a tag, labels are tags with a prefix.
 *
 *     joulebook_energy,boundary=gpu,device=GPU-1f,…,label_q=fp8,node=n1,stream=3f… microjoules=7000000i,seconds=10,sequence=12i <time>
 *
 * A server keeps one point per (tags, time), so that writing again changes nothing, and that must never be true of two
 * facts. The time of a point tells which batch it is of: it is the beginning of the fact's 10 s cell plus the batch's
 * sequence, counted in milliseconds (10,000 fit) or nanoseconds; `turn` counts on where sequences do not fit, and `part`
 * tells facts of one batch apart that are otherwise alike. So (stream, sequence) → points is one-to-one whatever an agent
 * sends, and a point is never further than 10 s from its fact.
 *
 * What goes without saying is left out, which is more than half: `from` where a fact begins with its cell, `to` where it is
 * 10 s long, `modelledMicrojoules` where it is 0, `askedSeconds` where it equals `seconds`.
 */
import { z } from 'zod';
import type { Batch } from '@joulebook/shared/batch.js';
import { energySlice, flagSlice, gaugeSlice, requestsSlice, tokensSlice, type Slice, type SliceKind } from '@joulebook/shared/slice.js';
import { microjoules } from '@joulebook/shared/units.js';
import { canonicalNodes } from '../series.js';
import { tagOf, textOf } from './tag.js';

export const FACT_KINDS = ['energy', 'tokens', 'requests', 'gauge', 'flag'] as const satisfies readonly SliceKind[];
export type Measurement = SliceKind | 'claim' | 'commit' | 'lost' | 'experiment' | 'probe';
export const measurementName = (measurement: Measurement): string => `joulebook_${measurement}`;

/** The slice grid: a fact lies inside one cell. */
export const CELL_MILLIS = 10_000;
export const cellOf = (micros: number): number => Math.floor(micros / 1000 / CELL_MILLIS) * CELL_MILLIS;

export interface Point {
  readonly measurement: Measurement;
  /** Names and values as stored, see tag.ts. */
  readonly tags: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, number>>;
  /** Milliseconds since 1970, whole cells. */
  readonly cell: number;
  readonly sequence: number;
}
/** A point as it is read back. */
export type Row = Pick<Point, 'tags' | 'fields' | 'cell'>;

/** Fields that may have fractions; all others are whole numbers. */
export const FRACTIONAL: ReadonlySet<string> = new Set(['seconds', 'askedSeconds', 'samplingVariance', 'valueSeconds', 'max']);
/** Numbers that divide facts. */
const BUCKETS = ['ttftBucket', 'tpotBucket', 'inputBand', 'concurrencyBand'] as const;
const isBucket = (name: string): boolean => BUCKETS.some((bucket) => bucket === name);
const LABEL = 'label_';
/** Tags that are no part of the fact. */
const ENVELOPE: ReadonlySet<string> = new Set(['stream', 'node', 'turn', 'part']);

export const labelTag = (name: string): string => `${LABEL}${tagOf(name)}`;
/** The label that a tag's name stands for; undefined for other tags. */
export const labelOf = (tag: string): string | undefined => (tag.startsWith(LABEL) ? textOf(tag.slice(LABEL.length)) : undefined);

const sorted = (tags: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(tags).toSorted(([a], [b]) => (a < b ? -1 : 1)));
/** Equal text for equal tags. */
export const identityOf = (tags: Readonly<Record<string, string>>): string => JSON.stringify(sorted(tags));

function pointOf(slice: Slice, batch: Batch): Point {
  const tags: Record<string, string> = { stream: batch.stream, node: tagOf(batch.node) };
  const fields: Record<string, number> = { sequence: batch.sequence };
  for (const [name, value] of Object.entries(slice)) {
    if (name === 'kind' || value === undefined) continue;
    if (name === 'labels') for (const [label, text] of Object.entries(slice.labels ?? {})) tags[labelTag(label)] = tagOf(text);
    else if (slice.kind === 'energy' && name === 'contains') tags[name] = tagOf(JSON.stringify(canonicalNodes(slice.contains ?? [])));
    else if (typeof value === 'string') tags[name] = tagOf(value);
    else if (typeof value === 'number' && isBucket(name)) tags[name] = String(value);
    else if (typeof value === 'number') fields[name] = value;
  }
  const cell = cellOf(slice.from);
  return { measurement: slice.kind, tags, fields: withoutTheUsual(fields, cell), cell, sequence: batch.sequence };
}

const usualEnd = (cell: number, from: number | undefined): number => (from ?? cell * 1000) + CELL_MILLIS * 1000;

function withoutTheUsual({ from, to, askedSeconds, modelledMicrojoules, ...fields }: Record<string, number>, cell: number): Record<string, number> {
  return {
    ...fields,
    ...(from !== undefined && from !== cell * 1000 && { from }),
    ...(to !== undefined && to !== usualEnd(cell, from) && { to }),
    ...(askedSeconds !== undefined && askedSeconds !== fields['seconds'] && { askedSeconds }),
    ...(modelledMicrojoules !== undefined && modelledMicrojoules !== 0 && { modelledMicrojoules }),
  };
}

const withTheUsual = (kind: SliceKind, { from, to, ...fields }: Readonly<Record<string, number>>, cell: number): Record<string, number | undefined> => ({
  ...(kind === 'energy' && { askedSeconds: fields['seconds'], modelledMicrojoules: 0 }), ...fields, from: from ?? cell * 1000, to: to ?? usualEnd(cell, from),
});

/** The facts of a batch, no two of them alike. */
export function pointsOf(batch: Batch): Point[] {
  const seen = new Map<string, number>();
  return batch.slices.map((slice) => {
    const point = pointOf(slice, batch);
    const identity = `${slice.kind} ${point.cell} ${identityOf(point.tags)}`;
    const part = seen.get(identity) ?? 0;
    seen.set(identity, part + 1);
    return part === 0 ? point : { ...point, tags: { ...point.tags, part: String(part) } };
  });
}

const whole = z.int().transform(microjoules);
const optional = whole.optional();
/** As the wire has them, but a store gives back what it was given: signs were checked on the way in. */
const storedSlice = z.discriminatedUnion('kind', [
  energySlice.extend({ microjoules: whole, modelledMicrojoules: whole, divisionMicrojoules: optional, contains: z.string().transform((text) => z.array(z.string()).parse(JSON.parse(text))).optional() }),
  tokensSlice,
  requestsSlice.extend({ prefillMicrojoules: optional, decodeMicrojoules: optional }),
  gaugeSlice,
  flagSlice.extend({ count: z.int(), of: z.int().optional() }),
]);

export interface StoredFact {
  readonly stream: string;
  readonly sequence: number;
  readonly node: string;
  readonly slice: Slice;
}

/** Undefined for a point that is no fact of ours: someone else may write to the same server. */
export function factOf(kind: SliceKind, { tags, cell, fields: { sequence, ...fields } }: Row): StoredFact | undefined {
  const said: Record<string, unknown> = { kind, ...withTheUsual(kind, fields, cell) };
  const labels: [string, string][] = [];
  for (const [name, tag] of Object.entries(tags)) {
    const label = labelOf(name);
    if (label !== undefined) labels.push([label, textOf(tag)]);
    else if (!ENVELOPE.has(name)) said[name] = isBucket(name) ? Number(tag) : textOf(tag);
  }
  const read = storedSlice.safeParse(labels.length === 0 ? said : { ...said, labels: Object.fromEntries(labels) });
  const { stream, node } = tags;
  return read.success && stream !== undefined && node !== undefined && sequence !== undefined ? { stream, sequence, node: textOf(node), slice: read.data } : undefined;
}
