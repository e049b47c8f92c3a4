/**
 * A log of `dcgmi dmon`. It says no times: either each line begins with one (`dcgmi dmon … | ts '%Y-%m-%dT%H:%M:%.S%z'`),
 * or the manifest says when it began and how long a round took. dmon sleeps after it has printed, so a round takes a
 * little longer than its -d; the energy counter does not mind.
 */
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { instant, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { notThisFormat } from '../../dialects.js';
import { lineTally } from '../../line-tally.js';
import { powerFormat, type RecordedPowerEntry } from '../../recorded.js';
import type { PowerEvent } from '../../source.js';
import { textLines } from '../../text-lines.js';
import { parseInstant, zone, type Zone } from '../../timestamps.js';
import { dmonColumns, dmonReader, dmonRow, isDmonLine } from './dcgmi-dmon.js';

const NAME = 'dcgmi-dmon';
/** A time of its own before a line, and one space; what follows keeps its place. */
const STAMPED = /^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*|\d{9,}(?:\.\d+)?) (.*)$/;

const options = {
  start: z.union([z.string().min(1), z.number()]).optional(),
  every: duration.optional(),
  /** The product, for what is known of its sensor. */
  gpu: z.string().min(1).optional(),
};

export const dcgmiDmon = powerFormat({
  name: NAME,
  summary: 'dcgmi dmon -e 155,157,156: energy counter and power; start: and every: where its lines do not begin with a time',
  options,
  open(entry, { start, every, gpu }) {
    const local = zone(entry.tz);
    const where = `${entry.file.label} (${NAME})`;
    const from = start === undefined ? undefined : parseInstant(String(start), local);
    if (start !== undefined && from === undefined) throw new UsageError([`${where}: start: '${start}' is not a time; write 2026-05-12T08:00:00Z`]);
    if ((from === undefined) !== (every === undefined)) throw new UsageError([`${where}: start and every go together: when the first round was, and how long one took`]);
    if (every === 0) throw new UsageError([`${where}: every: a round takes longer than 0 s`]);
    return { description: where, events: () => events(entry, local, from === undefined || every === undefined ? undefined : { from, every }, gpu) };
  },
});

async function* events(entry: RecordedPowerEntry, local: Zone, steady: { from: Instant; every: number } | undefined, product: string | undefined): AsyncGenerator<PowerEvent, void> {
  const { file } = entry;
  const tally = lineTally(file.label);
  const names = entry.devices?.map(String);
  const reader = dmonReader(NAME, (index) => ({ uuid: nameOf(names?.[index] ?? entry.device, index), ...(product !== undefined && { name: product }) }));
  let columns: ReturnType<typeof dmonColumns>;
  let width = Number.POSITIVE_INFINITY;
  let round = -1;
  let seen = new Set<number>();
  let last: Instant | undefined;
  for await (const { number, text, tooLong, terminated } of textLines(file)) {
    if (text.trim() === '' && !tooLong) continue;
    const [, stamp, rest = text] = STAMPED.exec(text) ?? [];
    const header = dmonColumns(rest);
    if (header) {
      columns = header;
      // Rows are filled up with spaces to the width of the header.
      width = rest.length;
      continue;
    }
    if (!columns) throw new TelemetryError('FILE_FORMAT', notThisFormat(file.label, NAME, `line ${number} is no header '#Entity …'`, text), 'abort');
    const row = dmonRow(columns, rest);
    if (!row || tooLong || (!terminated && rest.length < width)) {
      if (row || tooLong || !isDmonLine(rest)) tally.skip(number, tooLong ? 'longer than 1 MiB' : row ? 'cut off' : 'not a row of a GPU', rest);
      continue;
    }
    if (seen.has(row.gpu) || round < 0) {
      round += 1;
      seen = new Set();
    }
    seen.add(row.gpu);
    const at = stamp === undefined ? steady && instant(steady.from + round * steady.every) : parseInstant(stamp, local, last);
    if (at === undefined && stamp === undefined) throw new TelemetryError('TIMES_MISSING', `${file.label} does not say when its rows were: give start and every in the manifest, or record it as dcgmi dmon … | ts '%Y-%m-%dT%H:%M:%.S%z'.`, 'abort');
    if (at === undefined) {
      tally.skip(number, 'a time that can not be read', stamp);
      continue;
    }
    last = at;
    tally.used();
    yield* reader.read(row, at);
  }
  tally.judge(NAME);
  yield* tally.flagged();
}

const nameOf = (name: string | undefined, index: number): string => (name === undefined ? `gpu${index}` : /^\d+$/.test(name) ? `gpu${name}` : name);
