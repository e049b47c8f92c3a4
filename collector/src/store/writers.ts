/**
 * One writer per series and moment. The first stream that wrote a stretch of a series has it; what another stream says of
 * the same stretch is kept apart: stored, flagged, and in no sum.
 *
 *   another node    two agents read one device (a PDU, a GPU passed through): its energy is kept apart, their tokens are two
 *   the same node   a recording imported again with other options, or a second agent: where all its energy is known
 *                   already, its tokens, requests and gauges are a second account of the same work and are kept apart too
 *
 * Streams that follow each other (an agent that lost its spool) never meet: the last slice of a run is cut where it ended.
 */
import type { Batch } from '@joulebook/shared/batch.js';
import type { FlagSlice, Slice } from '@joulebook/shared/slice.js';
import { epochMicros } from '@joulebook/shared/units.js';
import { seriesOf } from './series.js';
import { joined, overlaps, type Span, type Spans } from './spans.js';

/** Tokens of a cell may come a batch before its energy. */
export const CELL_MICROS = 10_000_000;

export interface Writer {
  readonly stream: string;
  readonly node: string;
}
interface Claim extends Writer {
  readonly spans: Spans;
}
export interface KeptApart {
  readonly slice: Slice;
  /** Of energy; null for facts that are kept apart with it. */
  readonly series: string | null;
  /** Who came first. */
  readonly rival: Writer;
}
export interface Verdict {
  /** With the flags that say what is kept apart. */
  readonly booked: readonly Slice[];
  readonly apart: readonly KeptApart[];
}

/** An instant takes a microsecond of its series. */
export const spanOf = ({ from, to }: Slice): Span => ({ from, to: Math.max(to, from + 1) });

export class Writers {
  readonly #claims = new Map<string, Map<string, Claim>>();
  readonly #seriesOfStream = new Map<string, Set<string>>();
  /** Series in which another stream of the same node came first, by stream. */
  readonly #contested = new Map<string, Set<string>>();
  #undo: (() => void)[] = [];

  /** This stream has written this stretch of the series. */
  claim(series: string, { stream, node }: Writer, span: Span): void {
    const claims = this.#claims.get(series) ?? new Map<string, Claim>();
    this.#claims.set(series, claims);
    const before = claims.get(stream);
    const spans = joined(before?.spans ?? [], span);
    if (before && spans === before.spans) return;
    claims.set(stream, { stream, node, spans });
    this.#undo.push(() => (before ? claims.set(stream, before) : claims.delete(stream)));
    if (!before) remember(this.#seriesOfStream, stream, series);
  }

  contest(stream: string, series: string): void {
    remember(this.#contested, stream, series);
  }

  /**
   * What nearly all batches are: nobody else has written any of it, and nothing that this stream ever wrote was told before. All of it is booked and claimed.
   * @returns whether it is so; if not, nothing is claimed, and `judge` says what is booked
   */
  claimAll(writer: Writer, claims: readonly (readonly [series: string, span: Span])[]): boolean {
    if (this.#contested.has(writer.stream) || claims.some(([series, span]) => this.#rivalIn(series, writer.stream, span))) return false;
    for (const [series, span] of claims) this.claim(series, writer, span);
    return true;
  }

  /** What of the batch is booked, given all that was judged before. Claims stand once `keep` was called; `forget` takes them back. */
  judge(batch: Batch): Verdict {
    const rivals = new Map<Slice, { series: string | null; rival: Writer }>();
    // Energy first: it decides about the rest of its moment.
    for (const slice of batch.slices) {
      if (slice.kind !== 'energy') continue;
      const series = seriesOf(batch.node, slice);
      const rival = this.#rivalIn(series, batch.stream, spanOf(slice));
      if (!rival) this.claim(series, batch, spanOf(slice));
      else {
        rivals.set(slice, { series, rival });
        if (rival.node === batch.node) this.contest(batch.stream, series);
      }
    }
    for (const slice of batch.slices) {
      const rival = slice.kind === 'energy' ? undefined : this.#firstAccount(batch, spanOf(slice));
      if (rival) rivals.set(slice, { series: null, rival });
    }
    const apart = [...rivals].map(([slice, why]) => ({ slice, ...why }));
    return { booked: apart.length === 0 ? batch.slices : [...batch.slices.filter((slice) => !rivals.has(slice)), ...flagsOf(batch, apart)], apart };
  }

  keep(): void {
    this.#undo = [];
  }

  /** Storing failed: nobody has written what was judged since the last `keep`. */
  forget(): void {
    for (const undo of this.#undo.toReversed()) undo();
    this.#undo = [];
  }

  #rivalIn(series: string, stream: string, span: Span): Claim | undefined {
    for (const claim of this.#claims.get(series)?.values() ?? []) if (claim.stream !== stream && overlaps(claim.spans, span)) return claim;
    return undefined;
  }

  /** Whose account of this moment came first, if `writer` only tells again what another stream of its node has told. */
  #firstAccount({ stream, node }: Writer, span: Span): Claim | undefined {
    for (const series of this.#contested.get(stream) ?? []) {
      const rival = this.#rivalIn(series, stream, span);
      if (rival?.node === node) return this.#hasEnergyOfItsOwn(stream, { from: span.from - CELL_MICROS, to: span.to }) ? undefined : rival;
    }
    return undefined;
  }

  #hasEnergyOfItsOwn(stream: string, span: Span): boolean {
    for (const series of this.#seriesOfStream.get(stream) ?? []) if (overlaps(this.#claims.get(series)?.get(stream)?.spans ?? [], span)) return true;
    return false;
  }
}

function remember(index: Map<string, Set<string>>, key: string, value: string): void {
  const known = index.get(key);
  if (known) known.add(value);
  else index.set(key, new Set([value]));
}

function sentence({ stream, node }: Batch, { slice, rival }: KeptApart): string {
  const first = `stream ${rival.stream} of node ${rival.node}`;
  const second = `stream ${stream} of node ${node}`;
  if (slice.kind !== 'energy') return `All that ${second} says of this time is a second account of what ${first} told before; its tokens, requests and gauges are kept apart and in no total.`;
  const way = rival.node === node ? 'Import a recording once, and run one agent on a node.' : 'Let one agent read it; if these are two devices, give them two names.';
  return `${slice.device} at boundary ${slice.boundary} has two writers for the same time: ${first} came first; what ${second} says of it is kept apart and in no total. ${way}`;
}

/** One flag per sentence, over the time that it is about. */
function flagsOf(batch: Batch, apart: readonly KeptApart[]): FlagSlice[] {
  const flags = new Map<string, FlagSlice>();
  for (const each of apart) {
    const detail = sentence(batch, each);
    const { slice } = each;
    const known = flags.get(detail);
    flags.set(detail, {
      kind: 'flag',
      from: epochMicros(Math.min(slice.from, known?.from ?? slice.from)),
      to: epochMicros(Math.max(slice.to, known?.to ?? slice.to)),
      ...(slice.kind === 'energy' && { device: slice.device }),
      code: 'DUPLICATE_DEVICE',
      detail,
      count: (known?.count ?? 0) + 1,
    });
  }
  return [...flags.values()];
}
