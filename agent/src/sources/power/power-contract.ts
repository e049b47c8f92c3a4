/**
 * What every live power source promises, as a suite over any of them: a stand-in that can be taken away is all it needs.
 * One life of the source ends while all is well, one after its sensor is gone.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { BOUNDARIES } from '@joulebook/shared/slice.js';
import { instant } from '@joulebook/shared/units.js';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LiveContext, LivePower, PowerEvent } from '../source.js';
import { plausible } from './plausible.js';

export interface PowerSubject {
  readonly source: LivePower;
  readonly environment?: NodeJS.ProcessEnv;
  /** What was given in options or environment and must be read nowhere again. */
  readonly secrets?: readonly string[];
  /** The sensor is lost: pulled out, switched off, its program killed. */
  vanish(): Promise<void>;
  /** Removes the stand-in, lost or not. */
  stop(): Promise<void> | void;
}

type Reading = Extract<PowerEvent, { kind: 'reading' }>;

interface Life {
  readonly events: readonly PowerEvent[];
  /** Everything said that is not an event: log, description, the error that ended it. */
  readonly said: readonly string[];
  readonly error: unknown;
  readonly secondsToEnd: number;
  /** Sockets, pipes and children that were not there before. */
  readonly left: readonly string[];
  readonly vanishedAt: number;
  readonly period: number;
}

const ROUNDS = 3;
const PATIENCE_MS = 25_000;
const END_SECONDS = 3;

/** @param skip why its stand-in can't be made here */
export function powerContract(name: string, open: () => Promise<PowerSubject>, skip?: string): void {
  describe.skipIf(skip !== undefined)(`${name}, as every power source${skip === undefined ? '' : ` (skipped: ${skip})`}`, () => {
    let healthy: Life;
    let lost: Life;
    let secrets: readonly string[];
    beforeAll(async () => {
      [healthy, secrets] = await life(open, false);
      [lost] = await life(open, true);
    }, 4 * PATIENCE_MS);
    const channels = (): Reading['channel'][] => readings(healthy.events).map(({ channel }) => channel);

    it('reads', () => {
      expect(healthy.error).toBeUndefined();
      expect(readings(healthy.events).length).toBeGreaterThanOrEqual(ROUNDS);
    });

    it(`ends within ${END_SECONDS} s of being told to, its sensor there or lost`, () => {
      expect(healthy.secondsToEnd).toBeLessThan(END_SECONDS);
      expect(lost.secondsToEnd).toBeLessThan(END_SECONDS);
    });

    it('leaves no child, socket or pipe behind', () => {
      expect(healthy.left).toEqual([]);
      expect(lost.left).toEqual([]);
    });

    it('reads each channel in the order of time', () => {
      for (const list of byChannel([...healthy.events])) expect(list.map(({ at }) => at)).toEqual(list.map(({ at }) => at).toSorted((a, b) => a - b));
      for (const list of byChannel([...lost.events])) expect(list.map(({ at }) => at)).toEqual(list.map(({ at }) => at).toSorted((a, b) => a - b));
    });

    it('says of every channel its source, device, boundary and a sensor with a finite gain, always the same', () => {
      for (const channel of channels()) {
        expect(channel.source).toBe(name);
        expect(channel.id.startsWith(`${name}/`), channel.id).toBe(true);
        expect(channel.device).not.toBe('');
        expect(BOUNDARIES).toContain(channel.boundary);
        const { low, high } = channel.sensor.gain;
        expect(low > -1 && low <= high && Number.isFinite(high), `gain of ${channel.id}`).toBe(true);
      }
      for (const list of byChannel(healthy.events)) expect(new Set(list.map(({ channel }) => JSON.stringify(channel))).size).toBe(1);
    });

    it('measures what its channel says, and nothing that can not be', () => {
      for (const reading of [...readings(healthy.events), ...readings(lost.events)]) {
        expect(reading.measures).toBe(reading.channel.measures);
        expect(isPossible(reading), `${reading.channel.id}: ${reading.measures === 'power' ? reading.power : reading.total}`).toBe(true);
        expect(Number.isFinite(reading.at)).toBe(true);
      }
    });

    it('flags, breaks or ends when its sensor is lost, and invents no reading', () => {
      const trouble = lost.events.filter((event) => event.kind === 'flagged' || event.kind === 'break').length + (lost.error === undefined ? 0 : 1);
      expect(trouble).toBeGreaterThan(0);
      expect(lost.error === undefined || lost.error instanceof TelemetryError, String(lost.error)).toBe(true);
      // What was on its way when it was lost may still arrive.
      const invented = readings(lost.events).filter(({ at }) => at > lost.vanishedAt + lost.period + 1);
      expect(invented.map(({ channel, at }) => `${channel.id} ${at - lost.vanishedAt} s later`)).toEqual([]);
    });

    it('repeats no secret in an event, a line of the log or an error', () => {
      const everything = [...healthy.events, ...lost.events].map((event) => text(event)).concat(healthy.said, lost.said).join('\n');
      for (const secret of secrets) expect(everything).not.toContain(secret);
    });
  });
}

const readings = (events: readonly PowerEvent[]): Reading[] => events.filter((event) => event.kind === 'reading');
const text = (value: unknown): string => JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? String(each) : each)) ?? '';

function byChannel(events: readonly PowerEvent[]): Reading[][] {
  const lists = new Map<string, Reading[]>();
  for (const reading of readings(events)) lists.set(reading.channel.id, [...(lists.get(reading.channel.id) ?? []), reading]);
  return [...lists.values()];
}

function isPossible(reading: Reading): boolean {
  if (reading.measures === 'counter') return reading.total >= 0n && (reading.wrapsAt === undefined || reading.total <= reading.wrapsAt);
  return plausible(reading.channel.boundary, reading.power).kind === 'power' || (reading.channel.boundary === 'meter' && reading.power === 0);
}

/** One life of a source: it reads, its sensor is lost or not, it is told to end. */
async function life(open: () => Promise<PowerSubject>, isLost: boolean): Promise<[Life, readonly string[]]> {
  const subject = await open();
  const before = held();
  const stop = new AbortController();
  const said: string[] = [subject.source.description];
  const keep = (message: string, fields?: object): void => void said.push(`${message} ${text(fields)}`);
  const context: LiveContext = {
    now: () => instant(Date.now() / 1000),
    environment: subject.environment ?? {},
    bill: { read: () => undefined, missed: () => undefined },
    signal: stop.signal,
    log: { info: keep, warn: keep },
  };
  const events: PowerEvent[] = [];
  let told = Infinity;
  let vanishedAt = Infinity;
  let error: unknown;
  const end = (): void => {
    told = Math.min(told, performance.now());
    stop.abort();
  };
  const timers = [setTimeout(end, PATIENCE_MS)];
  try {
    for await (const event of subject.source.events(context)) {
      events.push(event);
      if (stop.signal.aborted) continue;
      const enough = byChannel(events).length > 0 && byChannel(events).every((list) => list.length >= ROUNDS);
      if (enough && !isLost) end();
      else if (enough && vanishedAt === Infinity) {
        await subject.vanish();
        vanishedAt = context.now();
      } else if (vanishedAt < Infinity && event.kind !== 'reading' && event.kind !== 'gauge') {
        // Long enough for a reading that nothing measured.
        timers.push(setTimeout(end, Math.min(3000, 3000 * subject.source.period)));
      }
    }
  } catch (thrown) {
    error = thrown;
    said.push(thrown instanceof Error ? `${thrown.name} ${thrown.message} ${thrown.stack} ${String(thrown.cause)} ${text(thrown)}` : String(thrown));
  }
  const secondsToEnd = told === Infinity ? 0 : (performance.now() - told) / 1000;
  for (const timer of timers) clearTimeout(timer);
  const left = await leftover(before);
  await subject.stop();
  return [{ events, said, error, secondsToEnd, left, vanishedAt, period: subject.source.period }, subject.secrets ?? []];
}

interface Held {
  readonly connections: number;
  readonly children: readonly string[];
}

/** What this process holds of the world. On other systems than Linux nothing is known and nothing is claimed. */
function held(): Held {
  try {
    const files = readdirSync('/proc/self/fd').flatMap((file) => linkOf(`/proc/self/fd/${file}`));
    const children = readdirSync('/proc/self/task').flatMap((task) => readFileSync(`/proc/self/task/${task}/children`, 'utf8').trim().split(' '));
    return { connections: files.filter((link) => /^(?:socket|pipe):/.test(link)).length, children: children.filter((pid) => pid !== '') };
  } catch {
    return { connections: 0, children: [] };
  }
}

function linkOf(file: string): string[] {
  try {
    return [readlinkSync(file)];
  } catch {
    // Closed since it was listed.
    return [];
  }
}

/** A connection is closed by both sides, which takes moments. */
async function leftover(before: Held): Promise<string[]> {
  let left: string[] = [];
  for (let attempt = 0; attempt < 30; attempt += 1) {
    const now = held();
    left = [...now.children.filter((pid) => !before.children.includes(pid)).map((pid) => `child ${pid}`), ...(now.connections > before.connections ? [`${now.connections - before.connections} sockets or pipes`] : [])];
    if (left.length === 0) return left;
    await sleep(100);
  }
  return left;
}
