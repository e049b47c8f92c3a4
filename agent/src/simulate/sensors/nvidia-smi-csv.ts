/** `nvidia-smi --query-gpu=timestamp,index,uuid,name,power.draw,… --format=csv -lms N > power.csv`: a row per board and round. */
import { z } from 'zod';
import { boardReach, boardReadings, boardsTruth, polled, sensorFormat } from './format.js';
import { pollingOptions } from './looks.js';

const COLUMNS = ['power.draw', 'power.draw.average', 'power.draw.instant'] as const;

/** The boards of a round are asked one after the other. */
const SECONDS_PER_BOARD = 0.0004;

export const nvidiaSmiCsv = sensorFormat({
  name: 'nvidia-smi-csv',
  summary: 'rows of nvidia-smi: power.draw, power.draw.instant, power.draw.average in local time; units: with W in every cell',
  file: 'power.csv',
  options: {
    period: pollingOptions.period.prefault('100ms'),
    jitter: pollingOptions.jitter.prefault('5ms'),
    lost: pollingOptions.lost.default(0),
    pauses: pollingOptions.pauses,
    columns: z.array(z.enum(COLUMNS)).min(1).default(['power.draw', 'power.draw.instant']),
    units: z.boolean().default(true),
    tz: z.string().min(1).default('UTC'),
  },
  write(file, { columns, units, tz, ...polling }, parts) {
    const clock = parts.clock(tz);
    const readings = boardReadings(parts);
    const shown = readings.map(({ board, instant, average }) => ({ board, values: columns.map((column) => (column === 'power.draw.instant' ? instant : column === 'power.draw.average' ? average : board.draw === 'instant' ? instant : average)) }));
    const row = (at: number): string =>
      shown.map(({ board: { index, uuid, product }, values }, place) => [stamp(clock.local(at + place * SECONDS_PER_BOARD)), index, uuid, product, ...values.map((value) => `${value(at).toFixed(2)}${units ? ' W' : ''}`)].join(', ') + '\n').join('');
    const rounds = polled(polling, parts.random(`sensors/${file}`), row);
    let header = `${['timestamp', 'index', 'uuid', 'name', ...columns.map((column) => `${column} [W]`)].join(', ')}\n`;
    return {
      entry: { format: 'nvidia-smi-csv', file, tz },
      truth: boardsTruth(parts.boards),
      reach: boardReach(parts.boards),
      *next(until) {
        if (header !== '') yield header;
        header = '';
        yield* rounds.next(until);
      },
    };
  },
});

/** `2026/07/14 08:12:53.500` */
const stamp = (local: string): string => local.slice(0, 23).replaceAll('-', '/').replace('T', ' ');
