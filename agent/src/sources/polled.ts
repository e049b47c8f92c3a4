/**
 * A sensor that is asked, as a stream of events: on a drift-free schedule, one read at a time, each with a time limit.
 * A read that fails with `retry` costs its reading, breaks the channels and is tried again at a growing distance;
 * `disable` ends the source. What failing and coming back look like is said once each.
 */
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { ticks } from '../schedule/ticker.js';
import type { Channel, LiveContext, LivePower, PowerEvent } from './source.js';

export interface Poller {
  /** Everything the sensor has at this moment. */
  read(): Promise<readonly PowerEvent[]> | readonly PowerEvent[];
  close?(): Promise<void> | void;
}

export interface Polled {
  /** Names the source in messages and in the bill. */
  readonly name: string;
  readonly description: string;
  readonly period: Seconds;
  /** A read that takes longer has failed. Default: 10 s, or ten periods if that is more. */
  readonly limit?: Seconds;
  /**
   * Finds the channels.
   * @throws TelemetryError `disable` when the hardware is absent, `retry` when it may come
   */
  open(context: LiveContext): Promise<Poller>;
}

const LONGEST_PAUSE_SECONDS = 60;

export function polled(source: Polled): LivePower {
  return { description: source.description, period: source.period, events: (context) => poll(source, context) };
}

const monotonic = (): Seconds => seconds(performance.now() / 1000);

async function* poll(source: Polled, context: LiveContext): AsyncGenerator<PowerEvent> {
  const limit = source.limit ?? seconds(Math.max(10, 10 * source.period));
  const channels = new Map<string, Channel>();
  let poller: Poller | undefined;
  let failures = 0;
  let pauseUntil = 0;
  try {
    for await (const { missed } of ticks(source.period, { monotonic, signal: context.signal })) {
      if (missed > 0) context.bill.missed(source.name, missed);
      if (monotonic() < pauseUntil) continue;
      const began = monotonic();
      try {
        poller ??= await opened(source, context, limit);
        const events = await within(limit, source.name, Promise.resolve(poller.read()));
        context.bill.read(source.name, seconds(monotonic() - began));
        if (failures > 0) context.log.info(`${source.name}: reads again`);
        failures = 0;
        for (const event of events) {
          if (event.kind === 'reading') channels.set(event.channel.id, event.channel);
          yield event;
        }
      } catch (error) {
        // What stopping itself breaks is no failure of the sensor.
        if (context.signal.aborted) return;
        if (error instanceof TelemetryError && error.remedy === 'disable') throw error;
        const code = error instanceof TelemetryError ? error.code : 'READ_FAILED';
        if (failures === 0) {
          context.log.warn(`${source.name}: ${messageOf(error)}`, { code });
          yield { kind: 'break', channels: [...channels.values()], at: context.now(), reason: messageOf(error) };
          yield { kind: 'flagged', code, detail: `${source.name}: ${messageOf(error)}`, count: 1 };
        }
        failures += 1;
        pauseUntil = monotonic() + Math.min(LONGEST_PAUSE_SECONDS, source.period * 2 ** Math.min(failures - 1, 10));
        await poller?.close?.();
        poller = undefined;
      }
    }
  } finally {
    await poller?.close?.();
  }
}

/** A sensor that opens after its limit is closed again: nobody waits for it any more. */
async function opened(source: Polled, context: LiveContext, limit: Seconds): Promise<Poller> {
  const opening = source.open(context);
  try {
    return await within(limit, source.name, opening);
  } catch (error) {
    opening.then((late) => late.close?.()).catch(() => undefined);
    throw error;
  }
}

async function within<T>(limit: Seconds, name: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TelemetryError('READ_TIMEOUT', `${name} did not answer within ${limit} s`, 'retry')), limit * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
