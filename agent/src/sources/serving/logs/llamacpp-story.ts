/**
 * What the parser of llama.cpp tells, in its order. A log without absolute times is understood line by line like any other;
 * what it tells waits here until the log's axis of time is fixed, and only then becomes events.
 */
import type { Instant } from '@joulebook/shared/units.js';
import type { EngineFacts, Flagged, ServingEvent } from '../../source.js';
import type { LogContext } from './dialect.js';
import { endOf, requestEvidence, unfinishedWindows, type SlotRequest } from './llamacpp-request.js';
import type { LineTimes, Moment } from './llamacpp-times.js';

export type Facts = Partial<Pick<EngineFacts, 'version' | 'kvCacheTokens' | 'chunkTokens'>>;

export interface Story {
  /** @param held tokens in its slot at its end */
  finished(request: SlotRequest, said: Moment, held?: number): void;
  /** The log goes on, or stops, without a word of how it ended: what it had done, and a hole, for nobody knows how long it ran. */
  lost(request: SlotRequest): void;
  running(count: number, at: Moment): void;
  engine(facts: Facts, at: Moment): void;
  /** No slot is at work from here on; where that is not known, from when it is said again. */
  idleFrom(at: Moment): void;
  /** Nothing was written since the last line. */
  stillSo(at: number): void;
  idleUntil(at: number): void;
  /** Still idle by now. */
  idleSoFar(at: number): void;
  /** How long the slots were idle can't be known: a launch was not seen. */
  forgetIdle(): void;
  /** Nothing before is still to come. Requests are told at their end, so they hold it back to their launch. */
  watermark(at: number): void;
  /** What can be said by now. */
  told(): readonly ServingEvent[];
  /** What waited can be dated: it ended now. */
  endedAt(at: Instant): readonly ServingEvent[];
  /** What waited was written before anybody looked: when, nobody will know. */
  forget(): void;
  /** The log has ended. */
  end(): readonly ServingEvent[];
}

type Telling = () => readonly ServingEvent[];

const isDated = ({ slack }: Moment): boolean => slack !== Infinity;

export function llamacppStory({ label, model, lastChange, used }: LogContext, times: LineTimes): Story {
  const ofModel = model === undefined ? {} : { model };
  let tellings: Telling[] = [];
  let idleSince: number | undefined;
  let idleUndated = false;

  const tell = (telling: Telling): void => void tellings.push(telling);
  const tellAll = (): readonly ServingEvent[] => {
    const events = tellings.flatMap((telling) => telling());
    tellings = [];
    return events;
  };
  const told = (): readonly ServingEvent[] => (times.fixed ? tellAll() : []);
  const instantOf = (at: number): Instant => times.toInstant(at);

  function tellIdle(to: number): void {
    const from = idleSince;
    if (from !== undefined && to > from) tell(() => [{ kind: 'idle', from: instantOf(from), to: instantOf(to) }]);
  }

  function untimed(): Flagged {
    const why = times.clocked ? 'its times count from the start of the server' : 'its lines have no time, so its requests follow each other without a pause';
    const then = lastChange === undefined ? 'nothing tells when it ended, and none of it can be used' : 'its end was taken to be when the file was last changed';
    const how = times.clocked ? 'say when that was with started: …' : 'run the server with --log-timestamps, or keep its log in journald or a container';
    return { kind: 'flagged', code: 'UNTIMED_LOG', count: 1, detail: `${label}: ${why}; ${then}. To have its times right, ${how}` };
  }

  return {
    finished(request, said, held) {
      const end = endOf(request, said, times.now);
      times.reached(end);
      used();
      tell(() => [requestEvidence(request, end, held, instantOf, model)]);
    },
    lost(request) {
      const { launch } = request;
      const last = endOf(request, { at: times.now, slack: times.clocked ? 0 : Infinity }, times.now);
      times.reached(last);
      used();
      tell(() => unfinishedWindows(request, last, instantOf, model));
      if (launch && last > launch.at) tell(() => [{ kind: 'hole', from: instantOf(launch.at), to: instantOf(last), reason: `${label}: a request that began here has no end in the log` }]);
    },
    running(count, at) {
      if (isDated(at)) tell(() => [{ kind: 'gauge', gauge: 'serving.requests.running', value: count, at: instantOf(at.at), ...ofModel }]);
    },
    engine(facts, at) {
      if (Object.keys(facts).length > 0) tell(() => [{ kind: 'engine', at: instantOf(at.at), ...facts }]);
    },
    idleFrom(at) {
      if (isDated(at)) idleSince ??= Math.max(at.at, times.now);
      else idleUndated = true;
    },
    stillSo(at) {
      if (idleUndated) idleSince ??= at;
      idleUndated = false;
    },
    idleUntil(to) {
      tellIdle(to);
      idleSince = undefined;
      idleUndated = false;
    },
    idleSoFar(at) {
      tellIdle(at);
      if (idleSince !== undefined) idleSince = Math.max(idleSince, at);
    },
    forgetIdle() {
      idleSince = undefined;
      idleUndated = false;
    },
    watermark(at) {
      if (times.fixed) tell(() => [{ kind: 'watermark', at: instantOf(at) }]);
    },
    told,
    endedAt(at) {
      times.endsAt(at);
      return tellAll();
    },
    forget: () => void (tellings = []),
    end() {
      if (times.placed || tellings.length === 0) return tellAll();
      const flag = untimed();
      if (lastChange === undefined) return [flag];
      times.endsAt(lastChange);
      return [...tellAll(), flag];
    },
  };
}
