/**
 * What AMD's tools say of their GPUs → readings. A package of two dies (MI250) is two GPUs to them: the first says the
 * power of both, the second `N/A (Secondary die)` or 0. A GPU without power therefore has no counter either.
 */
import { watts, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Channel, PowerEvent } from '../../source.js';
import { checkedCounters } from './counter-check.js';
import { ABSURD_GPU_WATTS } from '../nvidia/nvidia-smi-row.js';
import { GPU_BOARD } from '../sensors.js';
import { silences } from '../silences.js';

export interface AmdGpu {
  readonly index: number;
  /** UUID, unique id or serial; `gpu<index>` where it says none. */
  readonly device: string;
  /** Watts, or the text that stood there. */
  readonly power: number | { readonly missing: string };
  /** Microjoules since an arbitrary start. */
  readonly energy?: bigint;
}

export interface AmdReader {
  /** @param within the tool read its sensors so long before or after `at`, at most: half of its call */
  read(gpus: readonly AmdGpu[], at: Instant, within?: Seconds): readonly PowerEvent[];
}

export function amdReader(source: string): AmdReader {
  const channels = new Map<string, Channel>();
  const counters = checkedCounters(source);
  const silence = silences(source);

  const channelOf = ({ device, index }: AmdGpu, measures: Channel['measures']): Channel => {
    const id = `${source}/${device}/${measures === 'counter' ? 'energy' : 'power'}`;
    const channel = channels.get(id) ?? { id, device, index, boundary: 'gpu', source, measures, sensor: GPU_BOARD };
    channels.set(id, channel);
    return channel;
  };

  return {
    read: (gpus, at, within) =>
      gpus.flatMap((gpu): PowerEvent[] => {
        const { device, power, energy } = gpu;
        if (typeof power !== 'number') return [...silence.missing(device, 'power', power.missing)];
        // No package that is on draws nothing.
        if (power <= 0) return [...silence.missing(device, 'power', power === 0 ? '0 W, as a second die says' : 'negative')];
        if (power > ABSURD_GPU_WATTS) return [...silence.absurd(device, 'power', `${power} W`)];
        return [
          ...silence.speaks(device, 'power'),
          { kind: 'reading', channel: channelOf(gpu, 'power'), at, measures: 'power', power: watts(power) },
          ...(energy === undefined ? [] : counters.read(channelOf(gpu, 'counter'), energy, watts(power), at, within)),
        ];
      }),
  };
}
