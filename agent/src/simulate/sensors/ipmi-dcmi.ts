/** Outputs of `ipmitool dcmi power reading`, one after the other, each with the time above it: what the server's controller says. */
import { duration } from '@joulebook/shared/settings.js';
import { seconds } from '@joulebook/shared/units.js';
import { reachesBack, trueJoules, type PowerPace } from './board.js';
import { errorOptions, gauge, polled, sensorFormat } from './format.js';
import { pollingOptions } from './looks.js';

export const ipmiDcmi = sensorFormat({
  name: 'ipmi-dcmi',
  summary: 'power of the whole server in whole watts, by its management controller; refresh, window',
  file: 'ipmi.txt',
  options: {
    period: pollingOptions.period.prefault('5s'),
    jitter: pollingOptions.jitter.prefault('50ms'),
    lost: pollingOptions.lost.default(0),
    pauses: pollingOptions.pauses,
    refresh: duration.prefault('1s').refine((value) => value > 0, 'more than 0'),
    window: duration.prefault('1s').refine((value) => value > 0, 'more than 0'),
    ...errorOptions,
  },
  write(file, { gain, offset, delay, refresh, window, ...polling }, parts) {
    const clock = parts.clock('UTC');
    const draw = parts.random(`sensors/${file}`);
    const pace: PowerPace = { refresh: seconds(refresh), window: seconds(window), delay: seconds(delay), phase: seconds(draw() * refresh) };
    const shown = gauge(trueJoules(parts.power.server), pace, { gain, offset });
    let least = Infinity;
    let most = 0;
    let sum = 0;
    let count = 0;
    const output = (at: number): string => {
      const power = Math.round(shown(at));
      least = Math.min(least, power);
      most = Math.max(most, power);
      sum += power;
      count += 1;
      const time = new Date(clock.at(at) * 1000);
      return [
        `# ${time.toISOString()}`,
        '',
        watts('Instantaneous power reading:', power),
        watts('Minimum during sampling period:', least),
        watts('Maximum during sampling period:', most),
        watts('Average power reading over sample period:', Math.round(sum / count)),
        text('IPMI timestamp:', asctime(time)),
        text('Sampling period:', `${String(Math.round(at)).padStart(8, '0')} Seconds.`),
        text('Power reading state is:', 'activated'),
        '',
        '',
      ].join('\n');
    };
    return { entry: { format: 'ipmi-dcmi', file }, truth: { gain, offset, pace }, reach: seconds(-reachesBack(pace, 0)), ...polled(polling, draw, output) };
  },
});

/** ipmitool puts values at a fixed place. */
const watts = (name: string, value: number): string => `    ${name.padEnd(41)}${String(value).padStart(9)} Watts`;
const text = (name: string, value: string): string => `    ${name.padEnd(42)}${value}`;

/** `Sun Mar  6 15:13:42 2022` */
function asctime(time: Date): string {
  const [day = '', date = '', month = '', year = '', clock = ''] = time.toUTCString().replace(',', '').split(' ');
  return `${day} ${month} ${String(Number(date)).padStart(2)} ${clock} ${year}`;
}
