/** The RAPL counter of the processor package, read in a loop: `<time> package-0 <energy_uj> <max_energy_range_uj>`. */
import { seconds } from '@joulebook/shared/units.js';
import { reachesBack, trueJoules, type Pace } from './board.js';
import { counter, errorOptions, polled, sensorFormat } from './format.js';
import { pollingOptions } from './looks.js';

/** What the counters of Intel's packages start again above; at 400 W after 11 minutes. */
const RANGE_MICROJOULES = 262_143_328_850;
const REFRESH = seconds(0.001);

export const rapl = sensorFormat({
  name: 'rapl',
  summary: 'energy counter of the processors, with its wrap',
  file: 'rapl.txt',
  options: {
    period: pollingOptions.period.prefault('1s'),
    jitter: pollingOptions.jitter.prefault('2ms'),
    lost: pollingOptions.lost.default(0),
    pauses: pollingOptions.pauses,
    ...errorOptions,
  },
  write(file, { gain, offset, delay, ...polling }, parts) {
    const clock = parts.clock('UTC');
    const draw = parts.random(`sensors/${file}`);
    const pace: Pace = { refresh: REFRESH, delay: seconds(delay), phase: seconds(0) };
    const joules = counter(trueJoules(parts.power.cpu), pace, { gain, offset });
    const before = Math.floor(draw() * RANGE_MICROJOULES);
    const line = (at: number): string => `${clock.at(at).toFixed(6)} package-0 ${(before + Math.floor(joules(at) * 1e6)) % RANGE_MICROJOULES} ${RANGE_MICROJOULES}\n`;
    return { entry: { format: 'rapl', file }, truth: { gain, offset, pace }, reach: seconds(-reachesBack(pace, 0)), ...polled(polling, draw, line) };
  },
});
