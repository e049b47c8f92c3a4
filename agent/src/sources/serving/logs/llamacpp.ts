/**
 * The log of a llama.cpp server (and of ik_llama.cpp, llama-cli): every request when it ends, with the exact durations of
 * its prompt and its answer; idle between `all slots are idle` and the next launch.
 *
 *     slot launch_slot_: id  0 | task 7 | processing task                         ─┐
 *     slot update_slots: id  0 | task 7 | n_tokens = 12, memory_seq_rm [12, end)   │ 12 tokens came from the cache
 *     slot print_timing: id  0 | task 7 | prompt eval time = …                     │ one request
 *     slot print_timing: id  0 | task 7 |        eval time = …                     │
 *     slot      release: id  0 | task 7 | stop processing: n_tokens = 60          ─┘
 *     srv  update_slots: all slots are idle
 *
 * Requests in parallel slots overlap, and their durations hold each other's work: they are wall time. A request that is
 * broken off prints no timings; what it did is then known from the lines on its way. Under a router each server is a writer.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import type { ServingEvent } from '../../source.js';
import type { LogContext, LogDialect, LogLine, LogParser } from './dialect.js';
import { isLlamacpp, readLine, type Said } from './llamacpp-lines.js';
import type { SlotRequest } from './llamacpp-request.js';
import { llamacppStory, type Facts } from './llamacpp-story.js';
import { lineTimes, type Absolute, type Moment } from './llamacpp-times.js';

const options = {
  /** When the server was started, with its offset or in seconds since 1970: fixes the times of lines that count from then. */
  started: z.union([z.iso.datetime({ offset: true }).transform((text) => Date.parse(text) / 1000), z.number().positive()]).transform(instant).optional(),
};

export const llamacpp: LogDialect<typeof options> = {
  name: 'llamacpp-log',
  summary: 'log of a llama.cpp server: every request with its prompt and its answer; started: when the server was, if no line has a date',
  options,
  isOf: isLlamacpp,
  parser: (context, { started }) => llamacppParser(context, started),
};

export interface LlamacppParser extends LogParser {
  /** Another program beside the server wrote a line now: dates what came before, where the server's own lines have no time. */
  beside(at: Instant): readonly ServingEvent[];
  /** Requests whose end was told so far. */
  readonly ended: number;
  readonly running: number;
}

interface Writer {
  readonly open: Map<number, SlotRequest>;
  /** It is a server: timings without a task are of its block, or of its whole life. */
  server: boolean;
  /** Whose timings follow. */
  block?: SlotRequest | undefined;
  /** Of a program without slots. */
  alone?: SlotRequest | undefined;
}

interface Slot {
  readonly slot: number;
  readonly task: number;
}

function progress(request: SlotRequest, said: Extract<Said, { say: 'prompt' | 'chunk' | 'prefilled' | 'generated' }>, at: Moment): void {
  if (said.say === 'prompt') request.promptTokens = said.tokens;
  else if (said.say === 'generated') request.generated = { took: said.took, tokens: said.tokens, at };
  else if (said.say === 'prefilled' && 'computed' in said) request.computed = { took: said.took, tokens: said.computed };
  else if (said.say === 'prefilled') request.context = said.context;
  else {
    if (request.launch && request.context === undefined) request.cached = said.behind;
    request.context = said.behind;
  }
}

export function llamacppParser(context: LogContext, started?: Instant): LlamacppParser {
  const { label } = context;
  const times = lineTimes(started);
  const story = llamacppStory(context, times);
  const writers = new Map<string, Writer>();
  let facts: Facts = {};
  let ended = 0;

  const running = (): readonly SlotRequest[] => [...writers.values()].flatMap(({ open }) => [...open.values()]);
  const watermark = (upTo: number): void => story.watermark(Math.min(upTo, ...running().map(({ launch }) => launch?.at ?? upTo)));

  function finish(request: SlotRequest, at: Moment, held?: number): void {
    ended += 1;
    story.finished(request, at, held);
  }

  function lose(request: SlotRequest): void {
    if (request.printed) finish(request, request.printed);
    else story.lost(request);
  }

  function loseAll({ open }: Writer): void {
    for (const request of open.values()) lose(request);
    open.clear();
  }

  /** The request that a line is about; one that was launched before the log began is new here. */
  function requestOf(writer: Writer, { slot, task }: Slot, line: LogLine, at: Moment): SlotRequest {
    const there = writer.open.get(slot);
    if (there?.task === task) {
      there.heard = at;
      return there;
    }
    story.forgetIdle();
    return begin(writer, slot, { id: `${label}:${line.number}`, task, child: false, heard: at });
  }

  function begin(writer: Writer, slot: number, request: SlotRequest): SlotRequest {
    const before = writer.open.get(slot);
    if (before) lose(before);
    writer.open.set(slot, request);
    return request;
  }

  function timing(writer: Writer, said: Extract<Said, { say: 'timing' }>, line: LogLine, at: Moment): void {
    const { part, took, tokens, slot, task } = said;
    if (part === 'total') return endAlone(writer, at);
    // A server that stops prints the sums over its life once more.
    if (said.tool && writer.server) return undefined;
    if (!(took >= 0) || tokens === undefined || tokens < 0) return context.skip(line, 'timings that are no numbers');
    const named = slot !== undefined && task !== undefined ? requestOf(writer, { slot, task }, line, at) : writer.block;
    if (!named && writer.server) return context.skip(line, 'timings without the task that they are of');
    if (part === 'prompt') endAlone(writer, at);
    const request = named ?? (writer.alone ??= { id: `${label}:${line.number}`, task: undefined, child: false });
    request.printed ??= at;
    request[part] = { took, tokens };
    return undefined;
  }

  function endAlone(writer: Writer, at: Moment): void {
    const { alone } = writer;
    writer.alone = undefined;
    if (alone) finish(alone, at);
  }

  function release(writer: Writer, said: Extract<Said, { say: 'release' }>, at: Moment): void {
    const request = writer.open.get(said.slot);
    if (request?.task !== said.task) return;
    writer.open.delete(said.slot);
    if (said.silent && !request.printed) request.ended ??= 'aborted';
    finish(request, at, said.context);
    story.running(running().length, at);
    watermark(at.at);
  }

  /** @param before the time of the line above */
  function take(writer: Writer, said: Said, line: LogLine, at: Moment, before: number): void {
    if (said.say !== 'timing') writer.block = undefined;
    writer.server ||= said.say === 'timing' ? said.slot !== undefined : said.say !== 'fact';
    switch (said.say) {
      case 'launch':
        story.idleUntil(at.at);
        begin(writer, said.slot, { id: `${label}:${line.number}`, task: said.task, launch: at, child: said.child, heard: at });
        return story.running(running().length, at);
      case 'prompt':
      case 'chunk':
      case 'prefilled':
      case 'generated':
        return progress(requestOf(writer, said, line, at), said, at);
      case 'block':
        writer.block = requestOf(writer, said, line, at);
        writer.block.printed = at;
        return undefined;
      case 'timing':
        return timing(writer, said, line, at);
      case 'cancel':
      case 'error':
        for (const request of writer.open.values()) if (request.task === said.task) request.ended = said.say === 'cancel' ? 'aborted' : 'failed';
        return undefined;
      case 'release':
        return release(writer, said, at);
      case 'idle':
        loseAll(writer);
        if (running().length === 0) story.idleFrom(at);
        return watermark(at.at);
      case 'loaded':
        // Between the processes nothing was said, not even that nobody asked.
        story.idleUntil(before);
        loseAll(writer);
        story.engine(facts, at);
        facts = {};
        return undefined;
      case 'fact':
        if (said.fact === 'version') story.idleUntil(before);
        // What the model's own context says comes before that of a draft model.
        facts = { ...(said.fact === 'version' ? { version: said.value } : { [said.fact]: Number(said.value) }), ...facts };
        return undefined;
    }
  }

  function writerOf(name: string): Writer {
    const writer = writers.get(name) ?? { open: new Map(), server: false };
    writers.set(name, writer);
    return writer;
  }

  /** An exact time within the second of a line's own stamp says more than the stamp. */
  function absoluteOf(line: LogLine, epoch: number | undefined): Absolute | undefined {
    const clock = context.clock.at(line);
    if (epoch !== undefined && (clock === undefined || line.wrappedRoughly || clock < epoch || clock >= epoch + 1)) return { at: instant(epoch), cut: true };
    return clock === undefined ? undefined : { at: clock, cut: line.wrappedRoughly === true && Number.isInteger(clock) };
  }

  /** Lines without a time that were there before anybody looked: when, nobody will know. */
  function forgetPast(): void {
    story.forget();
    for (const request of running()) request.launch = undefined;
  }

  return {
    line(line) {
      const { said, uptime, epoch } = readLine(line.text);
      if (line.arrived !== undefined && !times.placed && !times.clocked) forgetPast();
      const name = line.writer ?? '';
      const before = times.now;
      const at = times.moment({ absolute: absoluteOf(line, epoch), uptime, writer: name });
      if (said) take(writerOf(name), said, line, at, before);
      return story.told();
    },
    quiet(at) {
      // Lines that count from the start of their server are dated by the next one that is seen to arrive.
      if (!times.fixed && times.clocked) return [{ kind: 'watermark', at }];
      if (!times.fixed) {
        forgetPast();
        story.stillSo(times.moment({ absolute: { at, cut: false }, writer: '' }).at);
      }
      const now = times.toAxis(at);
      for (const { open } of writers.values()) {
        for (const [slot, request] of open) {
          if (!request.printed) continue;
          open.delete(slot);
          finish(request, request.printed);
        }
      }
      if (running().length === 0) story.idleSoFar(now);
      watermark(now);
      return story.told();
    },
    beside: (at) => (times.clocked || times.fixed ? [] : story.endedAt(at)),
    end() {
      for (const writer of writers.values()) {
        endAlone(writer, { at: times.now, slack: times.clocked ? 0 : Infinity });
        loseAll(writer);
      }
      story.idleUntil(times.now);
      return story.end();
    },
    get ended() {
      return ended;
    },
    get running() {
      return running().length;
    },
  };
}
