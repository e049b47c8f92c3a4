/**
 * Physical lines → the lines of an engine: peeled, dated by their wrapper, and made whole where they were torn.
 *
 *   0: iter = 7, host_step_ti            ┐ broken by a launcher or by another writer of the same pipe:
 *   1: iter = 7, host_step_time = 9 ms…  │ what has no header of its own goes on where the line of its
 *   0: me = 8.1ms, states = {…}          ┘ writer stopped, without anything between
 *
 * Unrelated lines without a header (tables, tracebacks, blocks of several lines) are common: a line is joined only where
 * that makes one of the dialect out of pieces that are none, or where the dialect says that its line lacks the end.
 */
import type { Instant } from '@joulebook/shared/units.js';
import type { LineClock } from './clock.js';
import type { LogLine } from './dialect.js';
import { peel } from './peel.js';

export interface RawLine {
  readonly number: number;
  readonly text: string;
  readonly arrived?: Instant | undefined;
}

export interface LineAssembler {
  push(raw: RawLine): readonly LogLine[];
  /** Nothing follows for now: what waited for its end is handed out as it is. */
  flush(): readonly LogLine[];
}

interface Rules {
  isOf(text: string): boolean;
  isCut?(text: string): boolean;
}

/** A stamp, a level, a bracket: what a continuation does not begin with. */
const HEADER = /^(?:[[({]|\d{2,4}[-/]\d\d[-/ ]|\d\d:\d\d:\d\d|(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL)\b|[IWEF]\d{4} |time=|slot |srv )/;
/** Longer beginnings are not of statistics. */
const LONGEST_PIECE = 16 * 1024;
const LONGEST_JOINED = 1024 * 1024;
const MOST_WRITERS = 256;

/** Keeps the latest writers: a file may have as many as it has lines. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= MOST_WRITERS) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}

export function lineAssembler(rules: Rules, clock: LineClock): LineAssembler {
  /** By writer: the beginning of a line that a container runtime cut. */
  const parts = new Map<string, LogLine>();
  /** By writer: a line of the dialect that lacks its end. */
  const held = new Map<string, LogLine>();
  /** By writer, and of all together: the last line, which may be the first half of one. */
  const before = new Map<string, string>();
  let beforeOfAll = '';

  const take = (writer: string): LogLine[] => {
    const line = held.get(writer);
    held.delete(writer);
    return line ? [line] : [];
  };

  function lineOf({ number, text: raw, arrived }: RawLine): { readonly line: LogLine; readonly partial: boolean } {
    const { text, wrapper, writer, partial = false } = peel(raw);
    const wrapped = wrapper && clock.wrapped(wrapper.stamp, arrived);
    const line: LogLine = {
      number,
      text,
      ...(wrapped !== undefined && { wrapped }),
      ...(wrapper?.rough && { wrappedRoughly: true }),
      ...(arrived !== undefined && { arrived }),
      ...(writer !== undefined && { writer }),
    };
    return { line, partial };
  }

  /** Whole, as far as the container runtime is concerned; undefined while it is not. */
  function unbroken(line: LogLine, partial: boolean): LogLine | undefined {
    const key = line.writer ?? '';
    const first = parts.get(key);
    const whole = first ? { ...first, text: first.text.length + line.text.length > LONGEST_JOINED ? first.text : first.text + line.text } : line;
    if (!partial) {
      parts.delete(key);
      return whole;
    }
    remember(parts, key, whole);
    return undefined;
  }

  /** Most dialects have no lines that are cut: theirs need not be looked at. */
  const lacksEnd = (text: string): boolean => rules.isCut !== undefined && text.length <= LONGEST_PIECE && rules.isOf(text) && rules.isCut(text);

  function mended(line: LogLine): readonly LogLine[] {
    const key = line.writer ?? '';
    if (HEADER.test(line.text)) return [...take(key), line];
    // A piece without a wrapper belongs to the line above it, whoever wrote that.
    const owner = held.has(key) || line.writer !== undefined ? key : ([...held.keys()].at(-1) ?? key);
    const [start] = take(owner);
    if (start) return [{ ...start, text: start.text + line.text }];
    const half = line.writer === undefined ? beforeOfAll : (before.get(key) ?? '');
    const joined = half === '' || rules.isOf(line.text) || rules.isOf(half) ? undefined : half + line.text;
    return [joined !== undefined && rules.isOf(joined) ? { ...line, text: joined } : line];
  }

  return {
    push(raw) {
      const { line: piece, partial } = lineOf(raw);
      const line = unbroken(piece, partial);
      if (!line) return [];
      const key = line.writer ?? '';
      const lines = mended(line);
      beforeOfAll = line.text.length > LONGEST_PIECE ? '' : line.text;
      remember(before, key, beforeOfAll);
      const last = lines.at(-1);
      if (!last || !lacksEnd(last.text)) return lines;
      remember(held, key, last);
      return lines.slice(0, -1);
    },
    flush() {
      const lines = [...parts.values(), ...held.values()];
      parts.clear();
      held.clear();
      return lines;
    },
  };
}
