/** Scrapes of a dcgm-exporter: power and energy counter of each board, as the exporter last collected them. */
import { duration } from '@joulebook/shared/settings.js';
import { seconds } from '@joulebook/shared/units.js';
import { boardReach, boardReadings, boardsTruth, polled, sensorFormat } from './format.js';
import { pollingOptions } from './looks.js';

/** Since the driver was loaded, long before. */
const MILLIJOULES_BEFORE = 5_000_000_000;

export const dcgmExporter = sensorFormat({
  name: 'dcgm-exporter',
  summary: 'scrapes of a dcgm-exporter; collected: how often it reads its sensors (its option -c)',
  file: 'dcgm.prom',
  options: {
    period: pollingOptions.period.prefault('5s'),
    jitter: pollingOptions.jitter.prefault('20ms'),
    lost: pollingOptions.lost.default(0),
    pauses: pollingOptions.pauses,
    collected: duration.prefault('1s').refine((value) => value >= 0.1 && value <= 3600, 'the exporter collects every 100 ms to 1 h'),
  },
  write(file, { collected, ...polling }, parts) {
    const clock = parts.clock('UTC');
    const draw = parts.random(`sensors/${file}`);
    const phase = draw() * collected;
    const told = boardReadings(parts).map((each) => ({ ...each, before: MILLIJOULES_BEFORE + Math.floor(draw() * MILLIJOULES_BEFORE), labels: labelsOf(each.board) }));
    const page = (time: number): string => {
      // Before its first collection it has nothing older to show.
      const at = phase + Math.floor((time - phase) / collected) * collected;
      return [
        `# scrape ${new Date(clock.at(time) * 1000).toISOString()}`,
        '# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).',
        '# TYPE DCGM_FI_DEV_POWER_USAGE gauge',
        ...told.map(({ board, labels, instant, average }) => `DCGM_FI_DEV_POWER_USAGE{${labels}} ${(board.draw === 'instant' ? instant : average)(at).toFixed(6)}`),
        '# HELP DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION Total energy consumption since boot (in mJ).',
        '# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter',
        ...told.map(({ labels, counter, before }) => `DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{${labels}} ${before + Math.floor(counter(at) * 1000)}`),
        '',
      ].join('\n');
    };
    return { entry: { format: 'dcgm-exporter', file, collected }, truth: boardsTruth(parts.boards), reach: seconds(boardReach(parts.boards) + collected), ...polled(polling, draw, page) };
  },
});

const labelsOf = ({ index, uuid, product }: { readonly index: number; readonly uuid: string; readonly product: string }): string =>
  `gpu="${index}",UUID="${uuid}",pci_bus_id="00000000:${(index + 7).toString(16).padStart(2, '0')}:00.0",device="nvidia${index}",modelName="${product}",Hostname="simulated",DCGM_FI_DRIVER_VERSION="580.105.08"`;
