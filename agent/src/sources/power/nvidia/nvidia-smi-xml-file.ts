/** A file of `nvidia-smi -q -x` outputs, one after the other: `while sleep 1; do nvidia-smi -q -x; done >> file`. Each says its own local time. */
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { Instant } from '@joulebook/shared/units.js';
import { notThisFormat } from '../../dialects.js';
import { ABSURD_READING, lineTally, MISSING_READINGS, type LineTally } from '../../line-tally.js';
import { powerFormat, type RecordedFile, type RecordedPowerEntry } from '../../recorded.js';
import type { Channel, PowerEvent } from '../../source.js';
import { textLines } from '../../text-lines.js';
import { parseInstant, zone, type Zone } from '../../timestamps.js';
import { moduleSpeakers, type ModuleSpeakers } from './module-speakers.js';
import { columnSensor } from './nvidia-column.js';
import { ABSURD_GPU_WATTS, type ModuleColumn, type PowerCell, type PowerColumn } from './nvidia-smi-row.js';
import { parseNvidiaSmiXml, type NvidiaGpu, type NvidiaPowers } from './nvidia-smi-xml.js';

const NAME = 'nvidia-smi-xml';
const LONGEST_DOCUMENT = 32 * 1024 * 1024;

export const nvidiaSmiXml = powerFormat({
  name: NAME,
  summary: 'nvidia-smi -q -x, one or more outputs in one file; average and instant power, modules once',
  options: {},
  open(entry) {
    const local = zone(entry.tz);
    return { description: `${entry.file.label} (${NAME})`, events: () => events(entry, local) };
  },
});

async function* events(entry: RecordedPowerEntry, local: Zone): AsyncGenerator<PowerEvent, void> {
  const { file } = entry;
  const tally = lineTally(file.label);
  const speakers = moduleSpeakers();
  const channels = new Map<string, Channel>();
  const known = (id: string, make: () => Channel): Channel => {
    const channel = channels.get(id) ?? make();
    channels.set(id, channel);
    return channel;
  };
  const found = new Set<string>();
  let last: Instant | undefined;
  for await (const { line, text } of documents(file, tally)) {
    try {
      const { timestamp, gpus } = parseNvidiaSmiXml(text);
      const at = timestamp === undefined ? undefined : parseInstant(isoOf(timestamp), local, last);
      if (at === undefined || (last !== undefined && at <= last)) {
        tally.skip(line, at === undefined ? `no time, or one that the clocks of ${local.name} skipped` : 'not later than the one before it: its times are whole seconds');
        continue;
      }
      last = at;
      tally.used();
      for (const [index, gpu] of gpus.entries()) {
        const device = gpu.uuid ?? `gpu${index}`;
        if (!wants(entry, device, index)) continue;
        found.add(device);
        yield* gpuEvents({ gpu, device, index, at, line, entry, tally, speakers, known });
      }
    } catch (error) {
      if (!(error instanceof TelemetryError) || error.remedy !== 'discard') throw error;
      tally.skip(line, messageOf(error));
    }
  }
  tally.judge(NAME);
  const missing = entry.devices?.filter((each) => ![...found].some((device) => device === String(each)) && String(each).startsWith('GPU-')) ?? [];
  if (missing.length > 0) throw new TelemetryError('DEVICES_MISMATCH', `${file.label} has no device ${missing.join(', ')}: it holds ${[...found].join(', ') || 'none that devices names'}; correct devices.`, 'abort');
  yield* tally.flagged();
}

const wants = ({ devices }: RecordedPowerEntry, device: string, index: number): boolean => !devices || devices.some((each) => [device, String(index), `gpu${index}`].includes(String(each)));

interface Said {
  readonly gpu: NvidiaGpu;
  readonly device: string;
  readonly index: number;
  readonly at: Instant;
  readonly line: number;
  readonly entry: RecordedPowerEntry;
  readonly tally: LineTally;
  readonly speakers: ModuleSpeakers;
  readonly known: (id: string, make: () => Channel) => Channel;
}

function* gpuEvents({ gpu, device, index, at, line, entry, tally, speakers, known }: Said): Generator<PowerEvent, void> {
  const { name, serial } = gpu;
  const own = named<PowerColumn>(gpu.power, ['power.draw.average', 'power.draw.instant', 'power.draw']);
  for (const [column, cell] of own) {
    if (cell.kind === 'absurd') tally.note(ABSURD_READING, line, `more than ${ABSURD_GPU_WATTS} W for one GPU`, `${cell.power} W`);
    if (cell.kind !== 'power') continue;
    const channel = known(`${NAME}/${device}/${column}`, () => ({ id: `${NAME}/${device}/${column}`, device, index, boundary: entry.boundary ?? 'gpu', source: NAME, measures: 'power', sensor: columnSensor(name, column) }));
    yield { kind: 'reading', channel, at, measures: 'power', power: cell.power };
  }
  if (!own.some(([, cell]) => cell.kind !== 'missing')) tally.note(MISSING_READINGS, line, `${device} says no power: ${own[0]?.[1].kind === 'missing' ? own[0][1].reason : 'no element for it'}`);

  const memory = named<PowerColumn>(gpu.memoryPower, ['power.draw.average', 'power.draw.instant', 'power.draw']).find(([, cell]) => cell.kind === 'power');
  if (memory?.[1].kind === 'power') {
    const id = `${NAME}/${device}/memory.${memory[0]}`;
    const channel = known(id, () => ({ id, device, index, boundary: 'gpu', source: NAME, measures: 'power', sensor: columnSensor(name, memory[0]), use: 'check' }));
    yield { kind: 'reading', channel, at, measures: 'power', power: memory[1].power };
  }

  const modules = named<ModuleColumn>(gpu.modulePower, ['module.power.draw.average', 'module.power.draw.instant']).filter(([, cell]) => cell.kind === 'power');
  if (modules.length > 0 && serial !== undefined && speakers.speaks(device, serial)) {
    for (const [column, cell] of modules) {
      const id = `${NAME}/${serial}/${column}`;
      const channel = known(id, () => ({ id, device: serial, boundary: 'module', source: NAME, measures: 'power', sensor: columnSensor(name, column) }));
      if (cell.kind === 'power') yield { kind: 'reading', channel, at, measures: 'power', power: cell.power };
    }
  }
  for (const { gauge, value } of gpu.gauges) yield { kind: 'gauge', device, gauge, value, at };
}

/** What the three elements are called as columns; a driver that does not say which of the two it is says the average, if anything. */
function named<Column>({ average, instant, unspecified }: NvidiaPowers, [first, second, third = first]: readonly [Column, Column, Column?]): [Column, PowerCell][] {
  return [...(average ? [[first, average] as const] : []), ...(instant ? [[second, instant] as const] : []), ...(unspecified ? [[third, unspecified] as const] : [])].map(([column, cell]) => [column, cell]);
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** `Fri Aug  4 11:44:30 2023` → `2023-08-04 11:44:30`; other text as it is. */
function isoOf(timestamp: string): string {
  const [, month = '', day = '', time = '', year = ''] = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d) (\d{4})$/.exec(timestamp) ?? [];
  return year === '' ? timestamp : `${year}-${String(MONTHS.indexOf(month) + 1).padStart(2, '0')}-${day.padStart(2, '0')} ${time}`;
}

async function* documents(file: RecordedFile, tally: LineTally): AsyncGenerator<{ readonly line: number; readonly text: string }, void> {
  let open: { line: number; lines: string[]; length: number } | undefined;
  let first: string | undefined;
  let any = false;
  for await (const { number, text, tooLong } of textLines(file)) {
    if (text.trim() === '' && !tooLong) continue;
    first ??= text;
    if (text.includes('<nvidia_smi_log')) {
      if (open) tally.skip(open.line, 'cut off');
      open = { line: number, lines: [], length: 0 };
      any = true;
    }
    if (!open) continue;
    open.lines.push(text);
    open.length += text.length;
    if (tooLong || open.length > LONGEST_DOCUMENT) {
      tally.skip(open.line, `longer than ${LONGEST_DOCUMENT / 2 ** 20} MiB`);
      open = undefined;
    } else if (text.includes('</nvidia_smi_log>')) {
      yield { line: open.line, text: open.lines.join('\n') };
      open = undefined;
    }
  }
  if (open) tally.skip(open.line, 'cut off');
  if (first !== undefined && !any) throw new TelemetryError('FILE_FORMAT', notThisFormat(file.label, NAME, 'it has no <nvidia_smi_log>', first), 'abort');
}
