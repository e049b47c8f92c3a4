/**
 * A sensor that stopped moving. A counter of something that is switched on always grows. A power reading with decimals
 * never stays the same to the last digit for minutes; one in whole watts (a BMC, a PDU) may, and is left alone.
 */
import type { Instant } from '@joulebook/shared/units.js';
import type { Reading } from '../sources/source.js';

export interface FrozenWatch {
  see(reading: Reading): 'alive' | 'just froze' | 'frozen';
}

const COUNTER_SECONDS = 60;
const POWER_SECONDS = 300;

export function frozenWatch(): FrozenWatch {
  let value: number | bigint | undefined;
  let since: Instant | undefined;
  let frozen = false;
  return {
    see(reading) {
      const shown = reading.measures === 'counter' ? reading.total : reading.power;
      if (shown !== value || since === undefined) {
        value = shown;
        since = reading.at;
        frozen = false;
        return 'alive';
      }
      const patience = Math.max(reading.measures === 'counter' ? COUNTER_SECONDS : POWER_SECONDS, 100 * (reading.channel.sensor.refresh ?? 0));
      if (reading.at - since <= patience || (typeof shown === 'number' && Number.isInteger(shown))) return 'alive';
      if (frozen) return 'frozen';
      frozen = true;
      return 'just froze';
    },
  };
}
