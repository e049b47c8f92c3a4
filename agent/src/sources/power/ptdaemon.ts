/**
 * SPEC PTDaemon's log, as MLPerf power submissions hold it (spl.txt): one line per second,
 * `Time,07-17-2024 09:44:23.305,Watts,2406.5,Volts,…,Mark,…,Ch1,Watts,…`. The first Watts is the sum of the channels
 * after it: adding those would count everything twice.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { watts, type Instant } from '@joulebook/shared/units.js';
import { notThisFormat } from '../dialects.js';
import { lineTally, MISSING_READINGS } from '../line-tally.js';
import { powerFormat, type RecordedPowerEntry } from '../recorded.js';
import type { Channel, PowerEvent } from '../source.js';
import { textLines } from '../text-lines.js';
import { parseMonthFirst, zone, type Zone } from '../timestamps.js';
import { ANALYSER } from './sensors.js';

const NAME = 'ptdaemon';

export const ptdaemon = powerFormat({
  name: NAME,
  summary: 'SPEC PTDaemon log (spl.txt of MLPerf power runs); boundary meter',
  options: {},
  open(entry) {
    const local = zone(entry.tz);
    return { description: `${entry.file.label} (${NAME})`, events: () => events(entry, local) };
  },
});

async function* events(entry: RecordedPowerEntry, local: Zone): AsyncGenerator<PowerEvent, void> {
  const { file, device = 'meter', boundary = 'meter' } = entry;
  const channel: Channel = { id: `${NAME}/${device}/Watts`, device, boundary, source: NAME, measures: 'power', sensor: ANALYSER };
  const tally = lineTally(file.label);
  let cellCount: number | undefined;
  let last: Instant | undefined;
  for await (const { number, text, tooLong, terminated } of textLines(file)) {
    if (text.trim() === '' && !tooLong) continue;
    const cells = text.split(',').map((cell) => cell.trim());
    const at = cells[0] === 'Time' ? parseMonthFirst(cells[1] ?? '', local, last) : undefined;
    if (cellCount === undefined) {
      if (cells[0] !== 'Time' || !cells.includes('Watts')) throw new TelemetryError('FILE_FORMAT', notThisFormat(file.label, NAME, `line ${number} does not begin with Time,<time>,Watts,<number>`, text), 'abort');
      cellCount = cells.length;
    }
    const cell = cells[cells.indexOf('Watts') + 1];
    // Cut in its last number it would still be a number, of less watts.
    const cut = cells.length < cellCount || (!terminated && cells.length === cells.indexOf('Watts') + 2);
    if (cut || tooLong) tally.skip(number, tooLong ? 'longer than 1 MiB' : 'cut off', text);
    else if (at === undefined) tally.skip(number, 'no time', text);
    else {
      tally.used();
      last = at;
      const power = cell !== undefined && /^[+-]?\d+(?:\.\d+)?$/.test(cell) ? Number(cell) : undefined;
      // Out of range, or between two ranges, the analyser says 0 or less; no server draws that.
      if (power === undefined || power <= 0) tally.note(MISSING_READINGS, number, power === undefined ? 'no number of watts' : 'zero or negative', cell);
      else yield { kind: 'reading', channel, at, measures: 'power', power: watts(power) };
    }
  }
  tally.judge(NAME);
  yield* tally.flagged();
}
