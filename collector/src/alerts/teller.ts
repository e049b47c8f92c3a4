/**
 * Tells one sink what it has not been told: an alert once when it fires and once when it is resolved, whatever happens in between. What
 * it took is noted before the next is sent, so a restart repeats nothing (but for the moment between an answer and the note: a receiver knows
 * a repetition by its Idempotency-Key). One that does not answer is asked again, later each time. What came and went meanwhile is told as resolved.
 */
import { setTimeout } from 'node:timers/promises';
import { messageOf } from '@joulebook/shared/errors.js';
import type { Sink } from '../book/alerting.js';
import { idOf, type Incident } from './incident.js';
import { Refused, send } from './sink.js';
import type { State } from './state.js';

const FIRST_WAIT = 5;
const LONGEST_WAIT = 300;
/** An outage of a fleet is many alerts. */
const MOST_AT_ONCE = 100;
/** s for one attempt as a whole: a sink has a limit for an answer, yet a disk of the network, or a pipe where a token should be, may never give one. */
const LIMIT = 15;

export type Told = State['told'][string];

export interface Notes {
  readonly incidents: () => readonly Incident[];
  readonly told: (sink: string) => Told;
  /** Durable when it returns. */
  readonly note: (sink: string, taken: readonly Incident[]) => Promise<void>;
}
export interface TellerLog {
  warn(about: object, message: string): void;
  info(about: object, message: string): void;
}

/** Firing or resolved, and not yet taken as such. */
export function untoldOf(incidents: readonly Incident[], told: Told): Incident[] {
  return incidents.filter((one) => one.status !== 'pending' && told[idOf(one)] !== one.status);
}

/** What goes on beyond it can't be ended, and is waited for no longer. */
async function within<T>(work: Promise<T>, limit: number): Promise<T> {
  const over = new AbortController();
  const late = setTimeout(limit * 1000, undefined, { signal: over.signal }).then(() => Promise.reject(new Refused(`no answer within ${limit} s`)));
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
  }
}

export class Teller {
  readonly sink: Sink;
  readonly #notes: Notes;
  readonly #now: () => number;
  readonly #log: TellerLog;
  readonly #firstWait: number;
  readonly #limit: number;
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;
  #again = false;
  #sending: Promise<void> | undefined;
  failures = 0;

  constructor(sink: Sink, { notes, now, log, firstWait = FIRST_WAIT, limit = LIMIT }: { readonly notes: Notes; readonly now: () => number; readonly log: TellerLog; readonly firstWait?: number; readonly limit?: number }) {
    this.sink = sink;
    this.#notes = notes;
    this.#now = now;
    this.#log = log;
    this.#firstWait = firstWait;
    this.#limit = limit;
  }

  /** Looks for what is to be told; returns at once. @param alive repeat to an Alertmanager what still fires */
  tell(alive = false): void {
    this.#again ||= alive && this.sink.kind === 'alertmanager';
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  waiting(): number {
    return untoldOf(this.#notes.incidents(), this.#notes.told(this.sink.name)).length;
  }

  /** Returns when what is being sent was taken, or its time is over. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  /** Returns when it has told what there is to be told. */
  async settled(): Promise<void> {
    await this.#running;
  }

  #due(): readonly Incident[] {
    const untold = untoldOf(this.#notes.incidents(), this.#notes.told(this.sink.name));
    const standing = this.#again ? this.#notes.incidents().filter((one) => one.status === 'firing' && !untold.includes(one)) : [];
    return [...untold.slice(0, MOST_AT_ONCE), ...standing];
  }

  async #send(due: readonly Incident[]): Promise<void> {
    // Attempts that never end would take all of the threads that files are read with.
    if (this.#sending) throw new Refused('an earlier attempt has not ended');
    this.#sending = send(this.sink, due, this.#now(), this.#stopped.signal).finally(() => (this.#sending = undefined));
    await within(this.#sending, this.#limit);
  }

  async #run(): Promise<void> {
    let wait = this.#firstWait;
    let failed = false;
    for (let due = this.#due(); due.length > 0 && !this.#stopped.signal.aborted; due = this.#due()) {
      try {
        await this.#send(due);
        this.#again = false;
        await this.#notes.note(this.sink.name, due);
        if (failed) this.#log.info({ sink: this.sink.name }, 'alerts are told again');
        [failed, wait] = [false, this.#firstWait];
      } catch (error) {
        if (this.#stopped.signal.aborted) return;
        this.failures += 1;
        if (!failed) this.#log.warn({ sink: this.sink.name, alerts: due.length, error: messageOf(error) }, 'alerts could not be told; they are tried again, later each time');
        failed = true;
        const asked = error instanceof Refused ? (error.retryAfter ?? 0) : 0;
        // Between half and all of it: collectors of a fleet do not come back at the same moment.
        const pause = Math.min(LONGEST_WAIT, Math.max(asked, wait * (0.5 + Math.random() / 2)));
        wait = Math.min(LONGEST_WAIT, wait * 2);
        await setTimeout(pause * 1000, undefined, { signal: this.#stopped.signal, ref: false }).catch(() => undefined);
      }
    }
  }
}
