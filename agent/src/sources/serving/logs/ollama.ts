/**
 * The log of Ollama. Since 0.30 it runs models in llama-servers, whose lines stand among its own and tell requests with
 * their tokens and phases (`llamacpp.ts`). Before, and for models that its own engine runs, there is one line per request:
 * how long it took and nothing else.
 *
 *     slot launch_slot_: id  0 | task 7 | processing task      ─┐
 *     slot      release: id  0 | task 7 | stop processing …    ─┘ a request, told
 *     [GIN] 2026/04/02 - 14:43:34 | 200 | 3.86s | … | POST "/api/chat"     the same one: not told again, but its time is used
 *     [GIN] 2026/04/02 - 14:44:10 | 200 | 1.21s | … | POST "/api/chat"     nothing before it: a request without tokens
 *
 * A line of the web server follows what it answered, so it belongs to a request of a slot that ended since the last such line.
 */
import type { Outcome } from '@joulebook/shared/slice.js';
import { instant, seconds, type Instant } from '@joulebook/shared/units.js';
import type { RequestEvidence, ServingEvent } from '../../source.js';
import type { LogContext, LogDialect, LogLine, LogParser, Stamp } from './dialect.js';
import { isLlamacpp } from './llamacpp-lines.js';
import { llamacppParser } from './llamacpp.js';
import { answeredIn, isOllama, messageStamp, versionIn, type Answered } from './ollama-lines.js';

/** A request is told at its end, and few take longer. */
const LONGEST = seconds(600);

const options = {};

export const ollama: LogDialect<typeof options> = {
  name: 'ollama-log',
  summary: 'log of Ollama: since 0.30 every request with its prompt and its answer; before, how long each took',
  options,
  // Its model servers' lines are its own too: else its log would be taken for one of llama.cpp.
  isOf: (text) => isOllama(text) || isLlamacpp(text),
  parser,
};

function parser(context: LogContext): LogParser {
  const { label, model } = context;
  const servers = llamacppParser(context);
  let answered = 0;

  /** A stamp in whole seconds is of some moment within that second. */
  function timeOf(line: LogLine, stamp: Stamp): Instant | undefined {
    const at = context.clock.at(line, stamp);
    const exact = line.wrapped !== undefined && !line.wrappedRoughly;
    return at !== undefined && !exact && Number.isInteger(at) ? instant(at + 0.5) : at;
  }

  function request(line: LogLine, end: Instant, took: number, outcome: Outcome): RequestEvidence {
    return { kind: 'request', id: `${label}:${line.number}`, start: instant(end - took), end, tokens: {}, outcome, ...(model !== undefined && { model }) };
  }

  function answer(line: LogLine, said: Answered): readonly ServingEvent[] {
    const at = timeOf(line, said.stamp);
    const before = at === undefined ? [] : servers.beside(at);
    if (!said.computes) return before;
    if (servers.ended > answered) {
      // One call may have been several tasks (embeddings): with nobody at work, all of them are answered.
      answered = servers.running === 0 ? servers.ended : answered + 1;
      return before;
    }
    if (at === undefined || said.took === undefined) {
      context.skip(line, at === undefined ? 'no time of its own' : 'a duration that is none');
      return before;
    }
    context.used();
    return [...before, request(line, at, said.took, said.outcome)];
  }

  function message(line: LogLine): readonly ServingEvent[] | undefined {
    const stamp = messageStamp(line.text);
    if (!stamp) return undefined;
    const at = timeOf(line, stamp);
    if (at === undefined) return [];
    const version = versionIn(line.text);
    return [...servers.beside(at), ...(version === undefined ? [] : [{ kind: 'engine', at, version } as const])];
  }

  return {
    line(line) {
      const said = answeredIn(line.text);
      if (said) return answer(line, said);
      return message(line) ?? servers.line(line);
    },
    quiet(at) {
      // Without a model server's lines nobody says that a request has begun: one may be told that began long ago.
      const known = servers.ended > 0 || servers.running > 0;
      return known ? servers.quiet(at) : [{ kind: 'watermark', at: instant(at - LONGEST) }];
    },
    end: () => servers.end(),
  };
}
