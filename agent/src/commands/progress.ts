/**
 * How far long work is, on stderr: in place on a terminal, else a line every ten seconds, so that a log of a job shows that it
 * goes on and short work says nothing. There is no timer: who works tells, as often as he likes.
 */
export interface Progress {
  /** @param text is asked for only when it is shown */
  tell(text: () => string): void;
  /** The work is over, or something else is to be written. */
  done(): void;
}

interface Output {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

const EVERY_MS = { terminal: 500, log: 10_000 };
const CLEAR_LINE = '\r\u001b[K';

export function progressOn(output: Output, now: () => number = () => performance.now()): Progress {
  const terminal = output.isTTY === true;
  const every = terminal ? EVERY_MS.terminal : EVERY_MS.log;
  let due = now() + every;
  let shown = false;
  return {
    tell(text) {
      const at = now();
      if (at < due) return;
      due = at + every;
      shown = terminal;
      output.write(terminal ? `${CLEAR_LINE}${text()}` : `${text()}\n`);
    },
    done() {
      if (shown) output.write(CLEAR_LINE);
      shown = false;
    },
  };
}
