/**
 * A round's events on their way between threads. Copying objects is what a round costs most, so a channel and the name of a
 * gauge cross once; after that a power reading or a gauge is three numbers:
 *
 *     power    Float64Array   channel, at, watts, …          totals   [channel, at, µJ], … (bigint)
 *     gauges   Float64Array   gauge, at, value, …            rest     breaks and flags, as they are
 *
 * The rest is unpacked first: a break stands before the readings of a channel that another board took over.
 */
import { instant, watts } from '@joulebook/shared/units.js';
import type { Channel, PowerEvent } from '../../source.js';

type Gauge = Pick<Extract<PowerEvent, { kind: 'gauge' }>, 'device' | 'gauge'>;
type Rest = Exclude<PowerEvent, { kind: 'reading' | 'gauge' }>;

export interface PackedRound {
  /** New ones; numbered in the order in which they first came. */
  readonly channels: readonly Channel[];
  readonly names: readonly Gauge[];
  readonly power: Float64Array;
  readonly totals: readonly (readonly [channel: number, at: number, total: bigint])[];
  readonly gauges: Float64Array;
  readonly rest: readonly Rest[];
}

export function roundPacker(): (events: readonly PowerEvent[]) => PackedRound {
  const channels = numbering<Channel>();
  const names = numbering<Gauge>();
  return (events) => {
    const power: number[] = [];
    const totals: [number, number, bigint][] = [];
    const gauges: number[] = [];
    const rest: Rest[] = [];
    for (const event of events) {
      if (event.kind === 'gauge') gauges.push(names.of(`${event.device}/${event.gauge}`, event), event.at, event.value);
      else if (event.kind !== 'reading') rest.push(event);
      else if (event.measures === 'power') power.push(channels.of(event.channel.id, event.channel), event.at, event.power);
      else totals.push([channels.of(event.channel.id, event.channel), event.at, event.total]);
    }
    return { channels: channels.fresh(), names: names.fresh().map(({ device, gauge }) => ({ device, gauge })), power: Float64Array.from(power), totals, gauges: Float64Array.from(gauges), rest };
  };
}

export function roundUnpacker(): (round: PackedRound) => PowerEvent[] {
  const channels: Channel[] = [];
  const names: Gauge[] = [];
  return (round) => {
    channels.push(...round.channels);
    names.push(...round.names);
    const events: PowerEvent[] = [...round.rest];
    eachTriplet(round.power, (number, at, power) => {
      const channel = channels[number];
      if (channel) events.push({ kind: 'reading', channel, at: instant(at), measures: 'power', power: watts(power) });
    });
    for (const [number, at, total] of round.totals) {
      const channel = channels[number];
      if (channel) events.push({ kind: 'reading', channel, at: instant(at), measures: 'counter', total });
    }
    eachTriplet(round.gauges, (number, at, value) => {
      const name = names[number];
      if (name) events.push({ kind: 'gauge', device: name.device, gauge: name.gauge, at: instant(at), value });
    });
    return events;
  };
}

function eachTriplet(values: Float64Array, take: (number: number, at: number, value: number) => void): void {
  for (let place = 0; place + 2 < values.length; place += 3) take(values[place] ?? 0, values[place + 1] ?? 0, values[place + 2] ?? 0);
}

function numbering<T>(): { of(key: string, value: T): number; fresh(): T[] } {
  const numbers = new Map<string, number>();
  let untold: T[] = [];
  return {
    of(key, value) {
      let number = numbers.get(key);
      if (number === undefined) {
        numbers.set(key, (number = numbers.size));
        untold.push(value);
      }
      return number;
    },
    fresh() {
      const told = untold;
      untold = [];
      return told;
    },
  };
}
