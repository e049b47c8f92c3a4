/** What `joulebook-agent record` keeps of NVML: the energy counter of each board, and its powers where asked for. */
import { seconds, watts } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { gpuSensor } from '../../sources/power/nvidia/gpu-sensors.js';
import { readingLines } from '../../sources/power/readings.js';
import type { Channel } from '../../sources/source.js';
import { boardReach, boardReadings, boardsTruth, polled, sensorFormat, type Board } from './format.js';
import { pollingOptions } from './looks.js';

const CHANNELS = ['counter', 'average', 'instant'] as const;
const ID = { counter: 'energy', average: 'power.average', instant: 'power.instant' } as const;

/** Since the driver was loaded, long before. */
const MILLIJOULES_BEFORE = 5_000_000_000;

export const readings = sensorFormat({
  name: 'readings',
  summary: "what `record` keeps of NVML; channels: counter (mJ), average, instant",
  file: 'power.jsonl',
  options: {
    period: pollingOptions.period.prefault('1s'),
    jitter: pollingOptions.jitter.prefault('5ms'),
    lost: pollingOptions.lost.default(0),
    pauses: pollingOptions.pauses,
    channels: z.array(z.enum(CHANNELS)).min(1).default(['counter']),
  },
  write(file, { channels, ...polling }, parts) {
    const clock = parts.clock('UTC');
    const line = readingLines();
    const draw = parts.random(`sensors/${file}`);
    const told = boardReadings(parts).flatMap(({ board, ...values }) => {
      const before = MILLIJOULES_BEFORE + Math.floor(draw() * MILLIJOULES_BEFORE);
      return channels.map((kind) => ({ channel: channelOf(board, kind), kind, value: values[kind], before }));
    });
    const text = (time: number): string => {
      const at = clock.at(time);
      return told
        .map(({ channel, kind, value, before }) =>
          kind === 'counter'
            ? line({ kind: 'reading', channel, at, measures: 'counter', total: BigInt(before + Math.floor(value(time) * 1000)) * 1000n })
            : line({ kind: 'reading', channel, at, measures: 'power', power: watts(Math.round(value(time) * 1000) / 1000) }),
        )
        .join('');
    };
    return { entry: { format: 'readings', file }, truth: boardsTruth(parts.boards), reach: boardReach(parts.boards), ...polled(polling, draw, text) };
  },
});

const channelOf = ({ index, uuid, product, paces }: Board, kind: (typeof CHANNELS)[number]): Channel => ({
  id: `nvml/${uuid}/${ID[kind]}`,
  device: uuid,
  index,
  boundary: 'gpu',
  source: 'nvml',
  measures: kind === 'counter' ? 'counter' : 'power',
  // As `record` finds it out: what is known of the board by its name, and how often the values were seen to change.
  sensor: { ...gpuSensor(product, kind), refresh: seconds(paces[kind].refresh) },
});
