import { describe, expect, it } from 'vitest';
import { all, details, flags, ifAbsent, isPresent, recordedFile, refusal, sharedFile } from '../recorded-file.testing.js';
import type { PowerEvent } from '../source.js';
import { ptdaemon } from './ptdaemon.js';
import { ANALYSER } from './sensors.js';

const line = (second: number, watts: string): string =>
  `Time,07-17-2024 07:02:${String(second).padStart(2, '0')}.866,Watts,${watts},Volts,239.2,Amps,3.4,PF,0.96,Mark,x_testing,Ch1,Watts,788.2,Volts,239.4,Ch2,Watts,797.2,Ch3,Watts,796.4`;
const read = (content: string): Promise<PowerEvent[]> => all(ptdaemon.open({ file: recordedFile(content, 'spl.txt'), tz: '-07:00' }, {}).events());
const watts = (list: readonly PowerEvent[]): number[] => list.flatMap((event) => (event.kind === 'reading' && event.measures === 'power' ? [event.power] : []));

describe('ptdaemon', () => {
  it('takes the sum and not its channels, at the boundary of the meter, in local time', async () => {
    const [reading] = await read(line(47, '2381.800000'));
    expect(reading).toEqual({
      kind: 'reading',
      channel: { id: 'ptdaemon/meter/Watts', device: 'meter', boundary: 'meter', source: 'ptdaemon', measures: 'power', sensor: ANALYSER },
      at: Date.parse('2024-07-17T14:02:47.866Z') / 1000,
      measures: 'power',
      power: 2381.8,
    });
  });

  it('is called and placed as the manifest says', async () => {
    const [reading] = await all(ptdaemon.open({ file: recordedFile(line(1, '100.0')), tz: 'UTC', device: 'psu-1', boundary: 'server' }, {}).events());
    expect(reading).toMatchObject({ channel: { device: 'psu-1', boundary: 'server' } });
  });

  it('makes no 0 W of a sample without a value', async () => {
    const list = await read([line(1, '2400.0'), line(2, '-1.0'), line(3, '0.000000'), line(4, 'Error'), line(5, '2500.0'), ''].join('\n'));
    expect(watts(list)).toEqual([2400, 2500]);
    expect(flags(list)).toEqual([['MISSING_READINGS', 2], ['MISSING_READINGS', 1]]);
  });

  it('skips what was cut off', async () => {
    const list = await read([line(1, '2400.0'), line(2, '2400.0'), line(3, '2400.0').slice(0, 44)].join('\n'));
    expect(watts(list)).toEqual([2400, 2400]);
    expect(details(list)).toEqual(['spl.txt: 1 line skipped: line 3: cut off ("Time,07-17-2024 07:02:03.866,Watts,2400.0,Vo")']);
  });

  it.each(['', 'timestamp, power.draw [W]\n', 'Time,Watts\n1,2\n'])('refuses %j', async (content) => {
    expect(await refusal(read(content))).toMatch(/^FILE_(?:EMPTY|FORMAT): spl\.txt /);
  });
});

describe.skipIf(!isPresent)(`MLPerf power logs${ifAbsent}`, () => {
  it.each([
    ['llama2-70b-99/Offline', '2024-07-17T16:52:23.554Z', '2024-07-17T17:44:20.289Z', 3116, 6152.9844],
    ['llama2-70b-99/Server', '2024-07-18T03:58:36.235Z', '2024-07-18T04:40:16.287Z', 2500, 6280.214],
    ['mixtral-8x7b/Server', '2024-07-24T07:41:03.077Z', '2024-07-24T08:21:26.865Z', 2424, 6174.8963],
    ['gptj-99/Offline', '2024-07-17T14:04:02.134Z', '2024-07-17T14:21:38.582Z', 1056, 4775.2704],
  ])('%s: samples and mean of the published window', async (path, from, to, samples, mean) => {
    const list = await all(ptdaemon.open({ file: sharedFile(`recordings/mlperf-v41-nvidia-h200/${path}/spl.txt`), tz: '-07:00' }, {}).events());
    const inside = watts(list.filter((event) => event.kind === 'reading' && event.at > Date.parse(from) / 1000 && event.at < Date.parse(to) / 1000));
    expect(inside).toHaveLength(samples);
    expect(inside.reduce((sum, each) => sum + each, 0) / samples).toBeCloseTo(mean, 3);
    expect(flags(list)).toEqual([]);
  });
});
