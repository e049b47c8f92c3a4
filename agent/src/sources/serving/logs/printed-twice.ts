/**
 * Lines that a logger printed twice: one that passes its lines on to its parent prints each with its own handler and with
 * the parent's.
 *
 *     [08:01:39] Prefill batch, #new-seq: 1, #new-token: 412 …   ┐ one batch: the second line is a copy
 *     [08:01:39] Prefill batch, #new-seq: 1, #new-token: 412 …   ┘
 *
 * Equal lines alone say nothing: two prompts of a length in one second give two equal lines too. So it is the pattern that
 * decides: where nearly every line of the engine comes in runs of 2, 4 … equal ones, every second of a run is a copy. Lines
 * of others (of the web server, say) may stand between them once.
 */
import { lineGroups } from '../../text-lines.js';
import type { RecordedFile } from '../../recorded.js';
import type { LogDialect, LogLine } from './dialect.js';
import { peel } from './peel.js';

type Line = Pick<LogLine, 'text' | 'writer'>;

export interface PrintedTwice {
  /** Whether it is the copy of the line before it. Lines must come in their order. */
  isCopy(line: Line): boolean;
  /** The next line is not the one after the last. */
  apart(): void;
  /** Runs that were seen. */
  readonly runs: number;
}

/** So many runs of equal lines are looked back on, and so few of them are too few to say anything. */
const RUNS = 32;
const LEAST_RUNS = 4;
/** One in so many may be odd for another reason: a line of another process came between. */
const ONE_ODD_IN = 8;
/** Of a finished file so much is looked at beforehand. */
const HEAD_LINES = 5_000;

export function printedTwice(isOf: (text: string) => boolean): PrintedTwice {
  /** Of the engine's last runs, the newest last: whether each held an odd number of lines. */
  const odd: boolean[] = [];
  let doubled = false;
  let last: Line | undefined;
  let length = 0;

  function judge(): void {
    const singles = odd.filter((each) => each).length;
    if (odd.length >= LEAST_RUNS && singles <= Math.floor(odd.length / ONE_ODD_IN)) doubled = true;
    else if (singles > odd.length / 2) doubled = false;
  }

  function endRun(): void {
    if (last && isOf(last.text)) {
      odd.push(length % 2 === 1);
      if (odd.length > RUNS) odd.shift();
      judge();
    }
    last = undefined;
    length = 0;
  }

  return {
    isCopy({ text, writer }) {
      if (last && last.text === text && last.writer === writer) {
        length += 1;
        return doubled && length % 2 === 0;
      }
      endRun();
      last = { text, ...(writer !== undefined && { writer }) };
      length = 1;
      return false;
    },
    apart: endRun,
    get runs() {
      return odd.length;
    },
  };
}

/** Of a finished file: its beginning tells, before its first line is used. */
export async function printedTwiceIn(file: RecordedFile, dialect: Pick<LogDialect, 'isOf'>): Promise<PrintedTwice> {
  const twice = printedTwice((text) => dialect.isOf(text));
  for await (const lines of lineGroups(file)) {
    for (const { text } of lines) twice.isCopy(peel(text));
    if (twice.runs >= RUNS || (lines.at(-1)?.number ?? 0) >= HEAD_LINES) break;
  }
  twice.apart();
  return twice;
}

export const COPY = 'printed twice';
