/** One power channel of a sensor that is asked: a plausible value becomes a reading, anything else is told once and counted. */
import type { Instant } from '@joulebook/shared/units.js';
import { ABSURD_READING, MISSING_READINGS } from '../line-tally.js';
import type { Channel, PowerEvent } from '../source.js';
import { plausible } from './plausible.js';
import { trouble } from './trouble.js';

export interface PowerGauge {
  readonly channel: Channel;
  /**
   * @param value watts; undefined when the sensor said nothing
   * @param reason why it said nothing
   */
  say(value: number | undefined, at: Instant, reason?: string): readonly PowerEvent[];
}

export function powerGauge(channel: Channel): PowerGauge {
  const { id, device, boundary } = channel;
  const now = trouble(device);
  return {
    channel,
    say(value, at, why) {
      const judged = plausible(boundary, value);
      if (judged.kind === 'power') return [...now.over(), { kind: 'reading', channel, at, measures: 'power', power: judged.power }];
      if (judged.kind === 'absurd') return now.is('absurd', { code: ABSURD_READING.code, detail: `${id}: said ${value} W; ${judged.reason} is no ${boundary}'s power` });
      const reason = value === undefined ? (why ?? judged.reason) : judged.reason;
      return now.is(reason, { code: MISSING_READINGS.code, detail: `${id}: says no power: ${reason}` });
    },
  };
}
