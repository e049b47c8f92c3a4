/**
 * The batch lines of one scheduler (a data-parallel rank) in their order → what it did, as evidence:
 *
 *     lines ─▶ moments (when each was written) ─▶ windows (Decode line to Decode line) ─▶ steps, idle, hole
 *
 * Tokens: input and cached input as the Prefill lines say them; output by counting steps, which needs no clock: a Decode
 * line is 40 steps of each running sequence, times the tokens accepted per step. The first token of a request comes from
 * its prefill and is not in it; one that overruns its end is: they cancel. What was decoded since the last Decode line is
 * never printed when the log ends.
 *
 * Windows are held until the speed of a decode step is known from one in which nothing else ran.
 */
import type { ServingEvent } from '../../source.js';
import type { DecodeLine, PrefillLine } from './sglang-line.js';
import { moments, TICK, type Distance, type Held, type Placed } from './sglang-moments.js';
import type { Pace } from './sglang-pace.js';
import { promptRates } from './sglang-prompt-rates.js';
import { sglangEvidence } from './sglang-evidence.js';
import { layOut } from './sglang-layout.js';
import { learnFromWindow } from './sglang-learning.js';
import { tokenCounter, type Stamped } from './sglang-tokens.js';
import { mostAfter, type Mark, type Window } from './sglang-window.js';

/** When a line was written, as far as its stamp tells. */
export interface Written {
  readonly earliest: number;
  readonly latest: number;
  readonly fine: boolean;
  /** Read as it was written: what is known must be told soon. */
  readonly live: boolean;
}

export type StreamLine = PrefillLine | DecodeLine | 'ready';

export interface Stream {
  line(line: StreamLine, written: Written): ServingEvent[];
  /** Nothing more was printed up to this moment. */
  quiet(at: number): ServingEvent[];
  /** The log or the server ended. */
  end(): ServingEvent[];
  /** Everything before this moment has been told; undefined: nothing was yet. */
  readonly told: number | undefined;
}

export interface StreamOptions {
  readonly pace: Pace;
  /** Names the file in messages. */
  readonly label: string;
  readonly rank: string | undefined;
  readonly model: string | undefined;
  /** Prompt tokens of a full chunk, once the log has said it. */
  readonly chunkTokens: () => number | undefined;
}

/** Work is told without waiting longer for the Decode line that closes it: in a recording when it is much, live when it is old. */
const MARKS_HELD = 200;
const LIVE_SECONDS = 5;
const WINDOWS_HELD = 2;
/** So many times longer than any work could last in silence. */
const SURELY_SILENT = 3;
const SILENT_SECONDS = 2;
/** Pages of the KV cache are powers of two from 16 on, where it has pages. */
const PAGE = 16;
/** Prompt tokens of an iteration at most, where nothing says it. */
const USUAL_CHUNK = 8192;
/** Than others of its size. */
const LONGER_PREFILL = 1.5;
/** Rounding of the printed figures. */
const ROUNDING = 0.005;

/** Less of the output is not worth a word. */
const UNTOLD_SHARE = 0.005;
const NOT_PRINTED = 'a Decode line stands for the steps before it: up to so many output tokens came after the last one and are not counted; start the server with --decode-log-interval 1 to have them, or count tokens by its metrics page';

export function stream({ pace, label, rank, model, chunkTokens }: StreamOptions): Stream {
  const written = moments<StreamLine>();
  const rates = promptRates();
  const evidence = sglangEvidence(rank, model);
  let heldWindows: Window[] = [];
  let from: number | undefined;
  let fine = false;
  let live = false;
  let idle = false;
  /** The pace is known, or will not be soon. */
  let settled = false;
  let stalled = false;
  let running = 0;
  let most = 0;
  let acceptLength = 1;
  let marks: Mark[] = [];
  let stepsTold = 0;
  const counter = tokenCounter();
  let lastAt: number | undefined;
  let lastQueue = 0;
  let lastDecode: { readonly line: DecodeLine; readonly held: Held<StreamLine> } | undefined;
  let since: PrefillLine[] = [];
  let chunkBefore: PrefillLine | undefined;
  let pages = true;
  let kvBefore: number | undefined;
  let everPrefilled = false;
  let endPrinted = false;
  let largest = 0;

  function distancesOf(line: StreamLine): Distance<StreamLine>[] {
    if (line === 'ready') return [];
    if (line.kind === 'prefill') return rates.distances(line);
    return sinceLastDecode(line);
  }

  function sinceLastDecode(line: DecodeLine): Distance<StreamLine>[] {
    if (lastDecode === undefined || line.rate === undefined) return [];
    // Running changed in between: the tokens of the window lie between what the fewest and the most would have made.
    const counts = [lastDecode.line.running, line.running, ...since.flatMap(({ running: decoding, sequences }) => [decoding + sequences, ...(decoding > 0 ? [decoding] : [])])];
    const made = pace.interval * line.acceptLength;
    const slack = line.speculative ? 2 * ROUNDING : ROUNDING;
    const least = (made * Math.min(...counts) * (1 - slack)) / (line.rate + ROUNDING);
    return [{ from: lastDecode.held, least, most: line.rate <= ROUNDING ? Infinity : (made * Math.max(...counts) * (1 + slack)) / (line.rate - ROUNDING) }];
  }

  function take({ item: line, at: placedAt, fine: placedFine, notBefore, notAfter }: Placed<StreamLine>): ServingEvent[] {
    // Silence up to here was told before.
    const at = from === undefined ? placedAt : Math.max(placedAt, from + TICK);
    lastAt = at;
    lastQueue = line === 'ready' ? 0 : line.queued;
    if (line === 'ready') {
      marks.push({ at, fine: placedFine, notBefore, notAfter, line });
      return [];
    }
    if (line.kind === 'prefill') return takePrefill({ at, fine: placedFine, notBefore, notAfter, line: withoutOwnChunks(line) }, line);
    return takeDecode(line, at, { fine: placedFine, notBefore, notAfter });
  }

  function takePrefill(mark: Mark, line: PrefillLine): ServingEvent[] {
    const { at, fine: markFine } = mark;
    everPrefilled = true;
    endPrinted = line.printedAt === 'end';
    largest = Math.max(largest, line.newTokens);
    const began = marks[0]?.at ?? at;
    marks.push(mark);
    if (marks.length < 2 || !(line.neverDecodes || marks.length > MARKS_HELD || (live && at - began > LIVE_SECONDS))) return [];
    const events = tellHeld();
    if (line.printedAt === 'end') {
      events.push(...tell({ ...open(marks), end: undefined }));
      begin(at, markFine, line.neverDecodes ? 0 : line.running + line.sequences, []);
      return events;
    }
    events.push(...tell({ ...open(marks.slice(0, -1)), end: { kind: 'prefill', at, fine: markFine, line } }));
    begin(at, markFine, line.running, [mark]);
    return events;
  }

  /** 0.4.0 prints what earlier chunks of a prompt computed as cached when it goes on with it. */
  function withoutOwnChunks(line: PrefillLine): PrefillLine {
    const before = chunkBefore;
    chunkBefore = line;
    const full = before !== undefined && before.newTokens > 0 && before.newTokens === chunkTokens();
    if (!line.chunksCountAsCached || !full || line.cachedTokens === undefined || line.cachedTokens < before.newTokens) return line;
    return { ...line, cachedTokens: Math.max(0, line.cachedTokens - before.newTokens - (before.cachedTokens ?? 0)) };
  }

  function takeDecode(line: DecodeLine, at: number, stamp: Stamped): ServingEvent[] {
    if (line.kvTokens !== undefined && line.kvTokens % PAGE !== 0) pages = false;
    const window: Window = { ...open(marks), end: { kind: 'decode', at, fine: stamp.fine, line, counted: counter.line(line, stamp) } };
    learnFromWindow(window, line, pages ? undefined : kvBefore, pace);
    kvBefore = line.kvTokens;
    stepsTold = 0;
    begin(at, stamp.fine, line.running, []);
    acceptLength = line.acceptLength;
    heldWindows.push(window);
    return settled || (pace.knowsStep && pace.knowsInterval) || heldWindows.length > WINDOWS_HELD ? tellHeld() : [];
  }

  const open = (upTo: readonly Mark[]): Omit<Window, 'end'> => ({ from, fine, running, most, acceptLength, idle, marks: upTo, told: stepsTold, pages, decodesAlone: !everPrefilled });

  function begin(at: number, atFine: boolean, nowRunning: number, rest: Mark[]): void {
    from = at;
    fine = atFine;
    running = nowRunning;
    most = nowRunning === 0 ? 0 : Math.max(nowRunning, marks.slice(0, marks.length - rest.length).reduce((before, { line }) => mostAfter(before, line), most));
    idle = false;
    stalled = false;
    marks = rest;
  }

  function tellHeld(): ServingEvent[] {
    const windows = heldWindows;
    heldWindows = [];
    settled = true;
    return windows.flatMap(tell);
  }

  function tell(window: Window): ServingEvent[] {
    const laid = layOut(window, pace);
    if (window.end?.kind !== 'decode') {
      stepsTold += laid.reduce((sum, stretch) => sum + (stretch.kind === 'decode' ? stretch.steps : 0), 0);
      counter.early(laid);
    }
    const stretches = window.end?.kind === 'decode' ? counter.correct(laid, window.end.counted) : laid;
    const kvTokens = window.end?.kind === 'decode' ? window.end.line.kvTokens : undefined;
    return stretches.map((stretch) => evidence.of(stretch, kvTokens));
  }

  /** A line printed at the end of work tells of time that seemed silent: how much at most. */
  function untoldWork(): number {
    const steps = everPrefilled ? 0 : pace.interval * pace.stepSeconds(running);
    return Math.max(steps, endPrinted ? LONGER_PREFILL * pace.prefillSeconds(chunkTokens() ?? Math.max(largest, USUAL_CHUNK)) : 0);
  }

  /** Decoded since the last Decode line, at most. */
  function tokensUntold(): number {
    const sequences = marks.reduce((sum, { line }) => (line === 'ready' || line.neverDecodes ? sum : Math.max(sum, line.running + line.sequences)), running);
    return Math.ceil(Math.max(0, pace.interval - 1 - stepsTold) * sequences * acceptLength);
  }

  function quiet(now: number): ServingEvent[] {
    const events = written.flush().flatMap(take);
    const at = now - untoldWork();
    if (lastAt === undefined || at <= (from ?? -Infinity)) return events;
    if (idle && marks.length === 0) {
      events.push(evidence.of({ kind: stalled ? 'stalled' : 'idle', from: from ?? at, to: at }, undefined));
      from = at;
      return events;
    }
    const last = marks.at(-1)?.line;
    const prefill = last !== undefined && last !== 'ready' && last.printedAt === 'start' ? pace.prefillSeconds(last.newTokens) : 0;
    const decode = last === 'ready' || (last !== undefined && last.neverDecodes) ? 0 : pace.interval * pace.stepSeconds(running);
    if (at - lastAt < Math.max(SURELY_SILENT * (prefill + decode), SILENT_SECONDS)) return events;
    const waits = lastQueue > 0;
    events.push(...tellHeld(), ...tell({ ...open(marks), end: { kind: 'silence', at, fine: true, stalled: waits } }));
    begin(at, true, 0, []);
    idle = true;
    stalled = waits;
    return events;
  }

  return {
    line(line, { earliest, latest, fine: stampFine, live: readLive }) {
      live = readLive;
      // Until then it was silent.
      const soonest = idle ? Math.min(Math.max(earliest, from ?? earliest), latest) : earliest;
      const { held, placed } = written.add({ item: line, earliest: soonest, latest, fine: stampFine }, distancesOf(line));
      if (line !== 'ready' && line.kind === 'decode') {
        lastDecode = { line, held };
        since = [];
      } else if (line !== 'ready') {
        since.push(line);
        rates.saw(line, held, earliest);
      }
      return placed.flatMap(take);
    },
    quiet,
    end() {
      const events = [...written.flush().flatMap(take), ...tellHeld(), ...tell({ ...open(marks), end: undefined })];
      const untold = tokensUntold();
      marks = [];
      return untold > UNTOLD_SHARE * counter.told ? [...events, { kind: 'flagged', code: 'OUTPUT_NOT_PRINTED', count: untold, detail: `${label}${rank === undefined ? '' : `, ${rank}`}: ${NOT_PRINTED}` }] : events;
    },
    get told() {
      return heldWindows.length > 0 ? heldWindows[0]?.from : from;
    },
  };
}
