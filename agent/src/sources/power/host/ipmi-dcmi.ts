/**
 * Recorded outputs of `ipmitool dcmi power reading`, one after the other. When each was taken says a comment above it
 * (`# 2026-07-14T08:12:53Z`, `# 1784016773`); without one, the controller's own clock, which may never have been set.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Instant } from '@joulebook/shared/units.js';
import { notThisFormat } from '../../dialects.js';
import { ABSURD_READING, lineTally, MISSING_READINGS } from '../../line-tally.js';
import { powerFormat, type RecordedPowerEntry } from '../../recorded.js';
import type { Channel, PowerEvent } from '../../source.js';
import { textLines } from '../../text-lines.js';
import { parseInstant, zone, type Zone } from '../../timestamps.js';
import { dcmiTime, dcmiTimeText, dcmiWatts } from './ipmi-output.js';
import { plausible } from '../plausible.js';
import { BMC } from '../sensors.js';

const NAME = 'ipmi-dcmi';

export const ipmiDcmi = powerFormat({
  name: NAME,
  summary: "outputs of ipmitool dcmi power reading, one after the other, each with its IPMI timestamp or a line '# time' above it; boundary server",
  options: {},
  open(entry) {
    const local = zone(entry.tz);
    return { description: `${entry.file.label} (${NAME})`, events: () => events(entry, local) };
  },
});

/** A recorder keeps what ipmitool says when there is no answer, too. */
const FAILED = /DCMI request failed|Unable to establish|Could not open device/;

/** One output as it is read. */
interface Output {
  readonly line: number;
  readonly watts: number;
  readonly commented?: string | undefined;
  stamped?: string;
}

async function* events(entry: RecordedPowerEntry, local: Zone): AsyncGenerator<PowerEvent, void> {
  const { file, device = 'server', boundary = 'server' } = entry;
  const channel: Channel = { id: `${NAME}/${device}/dcmi`, device, boundary, source: NAME, measures: 'power', sensor: BMC };
  const tally = lineTally(file.label);
  let last: Instant | undefined;
  let comment: string | undefined;
  let output: Output | undefined;
  let first: { readonly line: number; readonly text: string } | undefined;

  const judged = (): PowerEvent[] => {
    const done = output;
    output = undefined;
    if (!done) return [];
    const { line, watts, commented, stamped } = done;
    const at = commented !== undefined ? parseInstant(commented, local, last) : stamped !== undefined ? dcmiTime(stamped, local, last) : undefined;
    if (at === undefined) {
      tally.skip(line, commented === undefined && stamped === undefined ? 'no time: no IPMI timestamp and no line # <time> above it' : 'its time is none', commented ?? stamped);
      return [];
    }
    tally.used();
    last = at;
    const said = plausible(boundary, watts);
    if (said.kind === 'power') return [{ kind: 'reading', channel, at, measures: 'power', power: said.power }];
    tally.note(said.kind === 'missing' ? MISSING_READINGS : ABSURD_READING, line, said.reason, `${watts} W`);
    return [];
  };

  for await (const { number, text, tooLong, terminated } of textLines(file)) {
    if (tooLong || text.trim() === '') continue;
    first ??= { line: number, text };
    const marked = /^#\s*(.+?)\s*$/.exec(text)?.[1];
    const watts = dcmiWatts(text);
    if (marked !== undefined) {
      yield* judged();
      comment = marked;
    } else if (watts !== undefined) {
      yield* judged();
      output = { line: number, watts, commented: comment };
      comment = undefined;
    } else if (FAILED.test(text)) {
      yield* judged();
      tally.note(MISSING_READINGS, number, 'ipmitool failed', text);
    } else if (output) {
      const stamp = dcmiTimeText(text);
      // A line without an end may lack digits of its year.
      if (stamp !== undefined && terminated) output.stamped = stamp;
    }
  }
  yield* judged();
  if (first) {
    try {
      tally.judge(NAME);
    } catch (error) {
      // Not one line of ipmitool's: say what it looks like instead.
      if (error instanceof TelemetryError && error.code === 'FILE_EMPTY') throw new TelemetryError('FILE_FORMAT', notThisFormat(file.label, NAME, 'it has no line "Instantaneous power reading: … Watts"', first.text), 'abort');
      throw error;
    }
  } else tally.judge(NAME);
  yield* tally.flagged();
}
