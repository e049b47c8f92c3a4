/** A log that nobody named, as it is written: lines are held until they tell whose it is, then read from the first on. */
import type { ServingEvent } from '../../source.js';
import type { LogContext, LogDialect, LogLine, LogParser } from './dialect.js';
import { readerOptions } from './reader-options.js';
import { which } from './which.js';

/** So many lines of one dialect, or a second without another line after the first: then it is decided. */
const SURE = 20;
/** Engines print thousands of lines while they load a model; more are forgotten, oldest first. */
const MOST_HELD = 5000;

/** With the defaults of its dialect's options. */
export const autoDialect = (dialects: readonly LogDialect[]): LogDialect => ({
  name: 'log',
  summary: `an engine's log; of which engine follows from its lines (${dialects.map(({ name }) => name).join(', ')})`,
  options: {},
  isOf: (text) => dialects.some((dialect) => dialect.isOf(text)),
  isCut: (text) => dialects.every((dialect) => !dialect.isOf(text) || (dialect.isCut?.(text) ?? false)),
  parser: (context) => undecided(dialects, context),
});

function undecided(dialects: readonly LogDialect[], context: LogContext): LogParser {
  const asked = which(dialects);
  let held: LogLine[] = [];
  let decided: LogParser | undefined;
  let ofDialect = 0;

  function decide(): readonly ServingEvent[] {
    const { dialect } = asked;
    if (!dialect) return [];
    const parser = dialect.parser(context, readerOptions({}, dialect.options, {}, `${context.label} (${dialect.name})`).own);
    decided = parser;
    const lines = held;
    held = [];
    return lines.flatMap((line) => parser.line(line));
  }

  return {
    line(line) {
      if (decided) return decided.line(line);
      held.push(line);
      if (held.length > MOST_HELD) held = held.slice(-MOST_HELD / 2);
      asked.see(line.text);
      if (dialects.some((dialect) => dialect.isOf(line.text))) ofDialect += 1;
      return ofDialect >= SURE ? decide() : [];
    },
    quiet(at) {
      const events = decided ? [] : decide();
      return decided ? [...events, ...decided.quiet(at)] : [];
    },
    end() {
      const events = decided ? [] : decide();
      return decided ? [...events, ...decided.end()] : [];
    },
  };
}
