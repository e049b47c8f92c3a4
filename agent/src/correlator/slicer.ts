/**
 * Facts → slices. Amounts land in the cells of the UTC-aligned grid that they fall into; a cell is handed out once.
 * What comes after its cell was closed goes into the oldest open one: late, but never lost and never twice.
 * Whole numbers (tokens) that stretch over cells are divided by rounding their running sum, so they add up.
 */
import { MOST_CASES, type Boundary, type EnergySlice, type FlagSlice, type GaugeSlice, type Outcome, type Phase, type RequestsSlice, type Slice, type TokenKind, type TokensSlice } from '@joulebook/shared/slice.js';
import { epochMicros, fromEpochMicros, instant, microjoules, seconds, toEpochMicros, type EpochMicros, type Instant, type Seconds } from '@joulebook/shared/units.js';

/** Who and what a fact is about, besides its time. */
export interface Subject {
  readonly deployment?: string | undefined;
  readonly model?: string | undefined;
  readonly tenant?: string | undefined;
}

export interface EnergyFact extends Subject {
  readonly device: string;
  readonly boundary: Boundary;
  readonly phase: Phase;
  readonly source: string;
  readonly method: 'counter' | 'power';
  readonly contains?: readonly string[] | undefined;
  /** Whole µJ. */
  readonly microjoules: number;
  readonly modelledMicrojoules: number;
  readonly divisionMicrojoules: number;
  readonly seconds: number;
  readonly askedSeconds: number;
  /** Whole µJ at the ends of the sensor's stated error. */
  readonly lowMicrojoules: number;
  readonly highMicrojoules: number;
  /** J². */
  readonly samplingVariance: number;
}

export interface RequestFact extends Subject {
  readonly outcome: Outcome;
  readonly ttftBucket?: number | undefined;
  readonly tpotBucket?: number | undefined;
  readonly requests: number;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  /** Of single requests, where they are told apart. */
  readonly request?: string | undefined;
  readonly inputBand?: number | undefined;
  readonly concurrencyBand?: number | undefined;
  /** Whole µJ. */
  readonly prefillMicrojoules?: number | undefined;
  readonly decodeMicrojoules?: number | undefined;
}

export interface FlagFact extends Subject {
  readonly code: string;
  readonly detail: string;
  readonly count: number;
  readonly of?: number | undefined;
  readonly device?: string | undefined;
  readonly phase?: Phase | undefined;
}

export interface Slicer {
  /** The edges of the grid strictly between two moments. */
  edgesWithin(from: Instant, to: Instant): Instant[];
  /** The number of the cell that a moment lies in. */
  cellAt(at: Instant): number;
  energy(at: Instant, fact: EnergyFact): void;
  tokens(from: Instant, to: Instant, token: TokenKind, count: number, subject: Subject): void;
  requests(at: Instant, fact: RequestFact): void;
  /** Requests that ended some time between two moments. */
  ended(from: Instant, to: Instant, outcome: Outcome, count: number, subject: Subject): void;
  gauge(from: Instant, to: Instant, gauge: string, value: number, subject: Subject & { device?: string | undefined }): void;
  flag(at: Instant, fact: FlagFact): void;
  /** Every slice of the cells that end at or before `until`, oldest first. */
  close(until: Instant): Slice[];
  /** What is left, the last cell cut at `until`; cells beyond it are dropped. */
  finish(until: Instant): Slice[];
}

export interface SlicerOptions {
  readonly length: Seconds;
  /** Cells are cut to it; a live agent knows only where it began. */
  readonly window: { readonly from: Instant; readonly to?: Instant };
  readonly site?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

type Cell = Map<string, Slice>;

export function slicer(options: SlicerOptions): Slicer {
  const { length, window } = options;
  const cells = new Map<number, Cell>();
  const cellOf = (at: Instant): number => Math.floor(at / length + 1e-9);
  const first = cellOf(window.from);
  const last = window.to === undefined ? Infinity : Math.max(first, Math.ceil(window.to / length - 1e-9) - 1);
  let open = first;

  const bounds = (cell: number): { from: EpochMicros; to: EpochMicros } => {
    const from = Math.max(Math.round(cell * length * 1e6), toEpochMicros(window.from));
    const to = Math.round((cell + 1) * length * 1e6);
    return { from: epochMicros(from), to: epochMicros(window.to === undefined ? to : Math.min(to, toEpochMicros(window.to))) };
  };
  const dimensions = (cell: number, { deployment, model }: Subject) => ({
    ...bounds(cell),
    ...(options.site !== undefined && { site: options.site }),
    ...(deployment !== undefined && { deployment }),
    ...(model !== undefined && { model }),
    ...(options.labels && Object.keys(options.labels).length > 0 && { labels: { ...options.labels } }),
  });
  const place = (at: Instant): number => Math.min(last, Math.max(open, cellOf(at)));

  /** Finds the fact of this key in the cell, or makes it; the caller adds to it. */
  function fact<T extends Slice>(cell: number, key: readonly unknown[], make: () => T, is: (slice: Slice) => slice is T): T {
    let facts = cells.get(cell);
    if (!facts) cells.set(cell, (facts = new Map()));
    const name = key.join('\u0000');
    const found = facts.get(name);
    if (found && is(found)) return found;
    const made = make();
    facts.set(name, made);
    return made;
  }

  /** The cells between two moments, each with the part of the stretch that lies in it. */
  function* parts(from: Instant, to: Instant): Generator<{ cell: number; from: Instant; to: Instant }> {
    let at: number = from;
    for (let cell = cellOf(from); at < to; cell += 1) {
      const end = Math.min(to, (cell + 1) * length);
      if (end > at) yield { cell: Math.min(last, Math.max(open, cell)), from: instant(at), to: instant(end) };
      at = Math.max(at, end);
    }
  }

  /** Cells with their part of a whole count that is spread evenly between two moments. */
  function* shares(from: Instant, to: Instant, count: number): Generator<{ cell: number; share: number }> {
    if (to <= from || count === 0) {
      yield { cell: place(from), share: count };
      return;
    }
    let booked = 0;
    for (const part of parts(from, to)) {
      const upToHere = part.to >= to ? count : Math.round((count * (part.to - from)) / (to - from));
      if (upToHere > booked) yield { cell: part.cell, share: upToHere - booked };
      booked = upToHere;
    }
  }

  /** The cells up to here that hold something, in order. A table of requests fills those of its whole day before the first is closed. */
  function filled(upTo: number): number[] {
    if (upTo - open >= cells.size) return [...cells.keys()].filter((cell) => cell <= upTo).toSorted((a, b) => a - b);
    return Array.from({ length: Math.max(0, upTo - open + 1) }, (_, index) => open + index).filter((cell) => cells.has(cell));
  }

  function take(upTo: number): Slice[] {
    const slices: Slice[] = [];
    for (const cell of filled(upTo)) {
      for (const slice of cells.get(cell)?.values() ?? []) slices.push(slice);
      cells.delete(cell);
    }
    open = Math.max(open, upTo + 1);
    return slices;
  }

  function addRequests(cell: number, { outcome, ttftBucket, tpotBucket, tenant, request, inputBand, concurrencyBand, prefillMicrojoules, decodeMicrojoules, ...amounts }: RequestFact): void {
    const slice = fact<RequestsSlice>(
      cell,
      ['requests', outcome, ttftBucket, tpotBucket, amounts.deployment, amounts.model, tenant, request, inputBand, concurrencyBand],
      () => ({
        kind: 'requests',
        ...dimensions(cell, amounts),
        ...(tenant !== undefined && { tenant }),
        outcome,
        ...(ttftBucket !== undefined && { ttftBucket }),
        ...(tpotBucket !== undefined && { tpotBucket }),
        ...(request !== undefined && { request }),
        ...(inputBand !== undefined && { inputBand }),
        ...(concurrencyBand !== undefined && { concurrencyBand }),
        requests: 0,
        inputTokens: 0,
        cachedInputTokens: 0,
        outputTokens: 0,
      }),
      (candidate) => candidate.kind === 'requests',
    );
    slice.requests += amounts.requests;
    slice.inputTokens += amounts.inputTokens;
    slice.cachedInputTokens += amounts.cachedInputTokens;
    slice.outputTokens += amounts.outputTokens;
    if (prefillMicrojoules !== undefined) slice.prefillMicrojoules = microjoules((slice.prefillMicrojoules ?? 0) + prefillMicrojoules);
    if (decodeMicrojoules !== undefined) slice.decodeMicrojoules = microjoules((slice.decodeMicrojoules ?? 0) + decodeMicrojoules);
  }

  return {
    edgesWithin(from, to) {
      const edges: Instant[] = [];
      for (let cell = cellOf(from) + 1; cell * length < to; cell += 1) if (cell * length > from) edges.push(instant(cell * length));
      return edges;
    },
    cellAt: cellOf,
    energy(at, amounts) {
      const cell = place(at);
      const { deployment, model, device, boundary, phase, source, method, contains } = amounts;
      const slice = fact<EnergySlice>(
        cell,
        ['energy', device, boundary, phase, deployment, model],
        () => ({ kind: 'energy', ...dimensions(cell, amounts), device, boundary, phase, source, method, ...(contains && { contains: [...contains] }), microjoules: microjoules(0), modelledMicrojoules: microjoules(0), divisionMicrojoules: microjoules(0), seconds: seconds(0), askedSeconds: seconds(0), lowMicrojoules: microjoules(0), highMicrojoules: microjoules(0), samplingVariance: 0 }),
        (candidate) => candidate.kind === 'energy',
      );
      slice.microjoules = microjoules(slice.microjoules + amounts.microjoules);
      slice.modelledMicrojoules = microjoules(slice.modelledMicrojoules + amounts.modelledMicrojoules);
      slice.divisionMicrojoules = microjoules((slice.divisionMicrojoules ?? 0) + amounts.divisionMicrojoules);
      slice.seconds = seconds(slice.seconds + amounts.seconds);
      slice.askedSeconds = seconds(slice.askedSeconds + amounts.askedSeconds);
      slice.lowMicrojoules = microjoules((slice.lowMicrojoules ?? 0) + amounts.lowMicrojoules);
      slice.highMicrojoules = microjoules((slice.highMicrojoules ?? 0) + amounts.highMicrojoules);
      slice.samplingVariance = (slice.samplingVariance ?? 0) + amounts.samplingVariance;
    },
    tokens(from, to, token, count, subject) {
      for (const { cell, share } of shares(from, to, count)) {
        const slice = fact<TokensSlice>(
          cell,
          ['tokens', token, subject.deployment, subject.model, subject.tenant],
          () => ({ kind: 'tokens', ...dimensions(cell, subject), ...(subject.tenant !== undefined && { tenant: subject.tenant }), token, count: 0 }),
          (candidate) => candidate.kind === 'tokens',
        );
        slice.count += share;
      }
    },
    requests: (at, ended) => addRequests(place(at), ended),
    ended(from, to, outcome, count, subject) {
      for (const { cell, share } of shares(from, to, count)) addRequests(cell, { ...subject, outcome, requests: share, inputTokens: 0, cachedInputTokens: 0, outputTokens: 0 });
    },
    gauge(from, to, gauge, value, subject) {
      for (const part of parts(from, to)) {
        const slice = fact<GaugeSlice>(
          part.cell,
          ['gauge', gauge, subject.device, subject.deployment, subject.model],
          () => ({ kind: 'gauge', ...dimensions(part.cell, subject), ...(subject.device !== undefined && { device: subject.device }), gauge, valueSeconds: 0, seconds: seconds(0), max: value }),
          (candidate) => candidate.kind === 'gauge',
        );
        slice.valueSeconds += value * (part.to - part.from);
        slice.seconds = seconds(slice.seconds + (part.to - part.from));
        slice.max = Math.max(slice.max, value);
      }
    },
    flag(at, { code, detail, count, of, device, phase, ...subject }) {
      const cell = place(at);
      const slice = fact<FlagSlice>(
        cell,
        ['flag', code, detail, device, phase, subject.deployment],
        () => ({ kind: 'flag', ...dimensions(cell, subject), ...(device !== undefined && { device }), ...(phase && { phase }), code, detail: detail.slice(0, 2000).toWellFormed(), count: 0, ...(of !== undefined && { of: 0 }) }),
        (candidate) => candidate.kind === 'flag',
      );
      // A collector refuses more, and with it all else that is in the batch.
      slice.count = Math.min(MOST_CASES, slice.count + count);
      if (of !== undefined) slice.of = Math.min(MOST_CASES, (slice.of ?? 0) + of);
    },
    // The last cell stays open to the end: what comes late has no later one to go to.
    close: (until) => take(Math.min(last - 1, Math.floor(until / length + 1e-9) - 1)),
    finish(until) {
      const end = Math.min(last, Math.max(first, Math.ceil(until / length - 1e-9) - 1));
      const slices = take(end);
      const cut = toEpochMicros(until);
      // A cell that is cut short says so, so that a later run in the same cell is another slice.
      return slices.map((slice) => (slice.to > cut && fromEpochMicros(slice.from) < until ? { ...slice, to: cut } : slice));
    },
  };
}
