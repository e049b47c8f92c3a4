import { expect, it } from 'vitest';
import { all, details, flags, recordedFile, refusal } from '../../recorded-file.testing.js';
import type { RecordedPowerEntry } from '../../recorded.js';
import type { PowerEvent } from '../../source.js';
import { ipmiDcmi } from './ipmi-dcmi.js';
import { readingsOf } from '../live.testing.js';

const block = (watts: number, time?: string): string => ['', `    Instantaneous power reading:                  ${watts} Watts`, '    Minimum during sampling period:                 38 Watts', ...(time === undefined ? [] : [`    IPMI timestamp:                           ${time}`]), '    Power reading state is:                   activated', '', '', ''].join('\n');
const read = (text: string, entry: Partial<RecordedPowerEntry> = {}): Promise<PowerEvent[]> => all(ipmiDcmi.open({ file: recordedFile(text, 'dcmi.txt'), tz: 'UTC', ...entry }, {}).events());
const said = (events: readonly PowerEvent[]): unknown[] => readingsOf(events).map((reading) => [reading.at, reading.measures === 'power' && reading.power]);

it("reads outputs one after the other by the controller's clock", async () => {
  const events = await read(block(197, 'Sun Mar  6 15:13:42 2022') + block(201, 'Sun Mar  6 15:13:52 2022'));
  expect(said(events)).toEqual([[1_646_579_622, 197], [1_646_579_632, 201]]);
  expect(readingsOf(events)[0]?.channel).toMatchObject({ id: 'ipmi-dcmi/server/dcmi', device: 'server', boundary: 'server', source: 'ipmi-dcmi', sensor: { averagedOver: 1 } });
});

it('believes the comment above an output before a clock that was never set', async () => {
  const events = await read(`# 2026-07-14T08:12:53Z\n${block(319, 'Thu Jan  1 00:00:00 1970')}# 1784016783\n${block(320)}`);
  expect(said(events)).toEqual([[Date.parse('2026-07-14T08:12:53Z') / 1000, 319], [1_784_016_783, 320]]);
});

it('takes 0 W and absurd values for missing, and counts outputs without a time and failures', async () => {
  const events = await read([block(0, 'Sun Mar  6 15:13:42 2022'), block(300, 'Sun Mar  6 15:13:43 2022'), block(200_000, 'Sun Mar  6 15:13:44 2022'), block(301), 'Error: Unable to establish IPMI v2 / RMCP+ session\n', block(302, 'Sun Mar  6 15:13:46 2022')].join(''));
  expect(said(events)).toEqual([[1_646_579_623, 300], [1_646_579_626, 302]]);
  expect(flags(events)).toEqual([['MISSING_READINGS', 1], ['ABSURD_READING', 1], ['SKIPPED_LINES', 1], ['MISSING_READINGS', 1]]);
  expect(details(events).join('\n')).toMatch(/no time: no IPMI timestamp and no line # <time> above it/);
});

it('names the device and boundary that the manifest says', async () => {
  expect(readingsOf(await read(block(300, 'Sun Mar  6 15:13:43 2022'), { device: 'node7', boundary: 'meter' }))[0]?.channel).toMatchObject({ id: 'ipmi-dcmi/node7/dcmi', boundary: 'meter' });
});

it('refuses what is something else, and what is empty', async () => {
  expect(await refusal(read('timestamp, power.draw [W]\n1, 2\n'))).toMatch(/^FILE_FORMAT: dcmi.txt is not ipmi-dcmi: it has no line "Instantaneous power reading: … Watts"; it looks like nvidia-smi CSV/);
  expect(await refusal(read(''))).toMatch(/^FILE_EMPTY/);
});
