/**
 * What a program prints for ever: `journalctl -f`, `docker logs -f`, or one that is configured. It is started again when
 * it ends (docker logs ends with its container), later each time; one that stamps its lines goes on after the last.
 *
 *   lines … ─▶ end ─▶ 1 s, 2 s, 4 s … 60 s ─▶ started with --since the last stamp ─▶ lines it has said before are left out
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { StringDecoder } from 'node:string_decoder';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { instant } from '@joulebook/shared/units.js';
import { execa } from 'execa';
import { lineBuffer } from '../../line-buffer.js';
import { isAbsent, killGroup, plainEnvironment } from '../../program.js';
import type { LiveContext } from '../../source.js';
import { MAX_LINE_CHARACTERS } from '../../text-lines.js';
import type { Batch } from './tail.js';

export interface Printer {
  /** For people: `docker logs`. */
  readonly name: string;
  readonly command: string;
  /** @param after the stamp of the last line that was read: only what is newer is needed */
  args(after: string | undefined): readonly string[];
  /** In front of each line, in an order that texts have too. A line without one is the program's own word. Absent: it stamps nothing. */
  readonly stamp?: RegExp;
}

const TICK_MS = 250;
/** A line reaches us through other programs; nothing was printed up to so long ago. */
const UNDER_WAY = 0.25;
const FIRST_WAIT = 1;
const LONGEST_WAIT = 60;
/** Who has run for so long and ends is not broken: the next wait is the first again. */
const HEALTHY = 60;
const LONGEST_WORDS = 200;
const GONE_MS = 1000;

/** Ends when the signal aborts. @throws TelemetryError (`disable`) when there is no such program */
export async function* childLines(printer: Printer, context: LiveContext, firstWait = FIRST_WAIT): AsyncGenerator<Batch> {
  const { signal, log, now } = context;
  const position = positionOf(printer.stamp);
  let wait = firstWait;
  let failing = false;
  while (!signal.aborted) {
    const started = now();
    const words = yield* run(printer, context, position, () => {
      if (failing) log.info(`${printer.name}: lines again.`);
      failing = false;
    });
    if (signal.aborted) return;
    const ended = now();
    if (!failing) log.warn(`${printer.name} ended${words === '' ? '' : `: ${words}`}; it is started again.`);
    failing = true;
    if (ended - started >= HEALTHY) wait = firstWait;
    await sleep(wait * 1000, undefined, { signal }).catch(() => undefined);
    wait = Math.min(LONGEST_WAIT, wait * 2);
    // What it printed meanwhile, one that stamps its lines says again.
    yield { lines: [], at: now(), caughtUp: false, ...(!printer.stamp && { missedSince: ended }) };
  }
}

/** @returns what the program last said of itself */
async function* run(printer: Printer, { signal, environment, now }: LiveContext, position: Position, spoke: () => void): AsyncGenerator<Batch, string> {
  const child = execa(printer.command, [...printer.args(position.after)], { stdin: 'ignore', buffer: false, reject: false, all: true, env: plainEnvironment(environment), extendEnv: false, detached: true });
  const lines = lineBuffer(MAX_LINE_CHARACTERS);
  const decoder = new StringDecoder('utf8');
  let words = '';
  let absent = false;
  position.again();
  try {
    for await (const chunk of withTicks(child.all)) {
      if (signal.aborted) break;
      if (chunk === undefined) {
        yield { lines: [], at: instant(now() - UNDER_WAY), caughtUp: true };
        continue;
      }
      const at = now();
      const printed = lines.push(decoder.write(chunk)).map((line) => ({ line, is: position.of(line) }));
      const news = printed.flatMap(({ line, is }) => (is === 'news' ? [line] : []));
      words = printed.findLast(({ is }) => is === 'own words')?.line?.slice(0, LONGEST_WORDS) ?? words;
      if (news.length > 0) spoke();
      yield { lines: news, at, caughtUp: false };
    }
  } finally {
    killGroup(child.pid, 'SIGTERM');
    const ended = await Promise.race([child, sleep(GONE_MS, undefined, { ref: false })]);
    killGroup(child.pid, 'SIGKILL');
    child.all.destroy();
    absent = isAbsent(ended?.code);
  }
  if (absent) throw new TelemetryError('LOG_PROGRAM_MISSING', `'${printer.command}' can't be run: install it for this user, or name the file of the log.`, 'disable');
  return words;
}

/** Up to where a program that stamps its lines has been read. */
interface Position {
  readonly after: string | undefined;
  /** It is started again: lines up to the last stamp may come a second time. */
  again(): void;
  of(line: string | undefined): 'news' | 'said before' | 'own words';
}

function positionOf(stamp: RegExp | undefined): Position {
  let after: string | undefined;
  /** Lines that had this very stamp, and those of them that came again. */
  let had = 0;
  let repeated = 0;
  let catchingUp = false;
  return {
    get after() {
      return after;
    },
    again() {
      catchingUp = after !== undefined;
      repeated = 0;
    },
    of(line) {
      if (!stamp || line === undefined) return 'news';
      const found = stamp.exec(line)?.[1];
      if (found === undefined) return 'own words';
      if (catchingUp && after !== undefined && found < after) return 'said before';
      if (catchingUp && found === after && repeated < had) {
        repeated += 1;
        return 'said before';
      }
      catchingUp = false;
      if (found === after) had += 1;
      else if (after === undefined || found > after) {
        after = found;
        had = 1;
      }
      return 'news';
    },
  };
}

/** The chunks of a stream, and undefined whenever there was none for a while. */
async function* withTicks(stream: AsyncIterable<unknown>): AsyncGenerator<Buffer | undefined> {
  const chunks = stream[Symbol.asyncIterator]();
  let next = chunks.next();
  for (;;) {
    const stop = new AbortController();
    const tick = sleep(TICK_MS, 'tick' as const, { signal: stop.signal }).catch(() => 'tick' as const);
    const first = await Promise.race([next, tick]);
    stop.abort();
    if (first === 'tick') {
      yield undefined;
      continue;
    }
    if (first.done) return;
    next = chunks.next();
    if (Buffer.isBuffer(first.value)) yield first.value;
  }
}
