/**
 * The text of one `nvidia-smi … --format=csv -lms N` as it arrives → readings and gauges.
 *
 * A reading is stamped when its chunk arrives: what nvidia-smi prints is local time without a zone, and would jump
 * with daylight saving. The GPUs of one round are flushed together, so they share a stamp.
 * What is neither header nor row is nvidia-smi speaking to people; its failures come on stdout too.
 */
import type { Instant } from '@joulebook/shared/units.js';
import type { Channel, Flagged, PowerEvent } from '../../source.js';
import { lineBuffer } from '../../line-buffer.js';
import type { ChildText } from '../long-lived-child.js';
import { moduleSpeakers } from './module-speakers.js';
import { columnSensor } from './nvidia-column.js';
import { deviceOfRow, nvidiaSmiCells, nvidiaSmiColumns, parseNvidiaSmiRow, powerCell, type NvidiaSmiColumns, type NvidiaSmiRow, type ModuleColumn, type PowerCell, type PowerColumn } from './nvidia-smi-row.js';
import { silences } from '../silences.js';

const SOURCE = 'nvidia-smi';
const LONGEST_WORDS = 300;
/** A row begins with its time; such a line that is no whole row is damaged, all others are words. */
const ROW = /^\d{4}\/\d\d\/\d\d /;

type Row = Extract<NvidiaSmiRow, { kind: 'row' }>;
interface NamedCell<Name> {
  readonly name: Name;
  readonly cell: PowerCell;
}

export function nvidiaSmiStream(): ChildText {
  const channels = new Map<string, Channel>();
  const silence = silences(SOURCE);
  const modules = moduleSpeakers();
  const buffer = lineBuffer();
  let columns: NvidiaSmiColumns | undefined;
  let words: string | undefined;

  function* line(text: string, at: Instant): Generator<PowerEvent> {
    const cells = nvidiaSmiCells(text);
    const header = cells.some((cell) => /^(?:gpu\.)?power\.draw/.test(cell)) ? nvidiaSmiColumns(cells) : undefined;
    if (header) {
      columns = header;
      return;
    }
    const row = columns && parseNvidiaSmiRow(columns, cells);
    const device = row?.kind === 'row' ? deviceOfRow(row) : undefined;
    if (row?.kind === 'row' && device !== undefined && columns) {
      const said = <Name>({ name, position }: { name: Name; position: number }): NamedCell<Name> => ({ name, cell: powerCell(cells[position] ?? '') });
      yield* rowOf(row, device, columns.powers.map(said), at);
      yield* moduleOf(row, device, columns.modules.map(said), at);
    } else if (ROW.test(text)) yield flagged('SKIPPED_LINES', `nvidia-smi: a row that can't be used: ${row?.kind === 'unusable' ? row.reason : 'no header before it, or no GPU in it'}`);
    else words ??= text.slice(0, LONGEST_WORDS);
  }

  function* rowOf(row: Row, device: string, powers: readonly NamedCell<PowerColumn>[], at: Instant): Generator<PowerEvent> {
    const readable = powers.filter(({ cell }) => cell.kind === 'power');
    for (const { name, cell } of powers) {
      if (cell.kind === 'absurd') yield* silence.absurd(device, name, `${cell.power} W`);
      else if (cell.kind === 'missing') {
        // Old boards and A100 have no average: that is no fault while another column speaks.
        if (readable.length === 0 || silence.hasSpoken(device, name)) yield* silence.missing(device, name, cell.reason);
      } else {
        yield* silence.speaks(device, name);
        // `power.draw` repeats one of the two, by the board's age.
        const repeats = name === 'power.draw' && readable.length > 1;
        yield { kind: 'reading', channel: channelOf(row, device, name, repeats), at, measures: 'power', power: cell.power };
      }
    }
    for (const { gauge, value } of row.gauges) yield { kind: 'gauge', device, gauge, value, at };
  }

  /** Boards without a module say [N/A] for ever; one without a serial can't be told from its twin. */
  function* moduleOf({ serial, name: product }: Row, gpu: string, powers: readonly NamedCell<ModuleColumn>[], at: Instant): Generator<PowerEvent> {
    if (serial === undefined || !powers.some(({ cell }) => cell.kind === 'power') || !modules.speaks(gpu, serial)) return;
    for (const { name, cell } of powers) {
      if (cell.kind !== 'power') continue;
      const channel = known(`${SOURCE}/${serial}/${name}`, (id) => ({ id, device: serial, boundary: 'module', source: SOURCE, measures: 'power', sensor: columnSensor(product, name) }));
      yield { kind: 'reading', channel, at, measures: 'power', power: cell.power };
    }
  }

  function channelOf({ index, name }: Row, device: string, column: PowerColumn, repeats: boolean): Channel {
    const number = index === undefined ? {} : { index: Number(index) };
    return known(`${SOURCE}/${device}/${column}`, (id) => ({ id, device, ...number, boundary: 'gpu', source: SOURCE, measures: 'power', sensor: columnSensor(name, column), ...(repeats && { use: 'check' }) }));
  }

  function known(id: string, make: (id: string) => Channel): Channel {
    const channel = channels.get(id) ?? make(id);
    channels.set(id, channel);
    return channel;
  }

  return {
    get words() {
      return words;
    },
    get channels() {
      return [...channels.values()];
    },
    begin() {
      columns = undefined;
      words = undefined;
      buffer.clear();
    },
    read(chunk, at) {
      const lines = buffer.push(chunk);
      const events = lines.flatMap((text) => {
        if (text === undefined) return [flagged('SKIPPED_LINES', 'nvidia-smi: a line that is too long to be one of its rows')];
        return text.trim() === '' ? [] : [...line(text.trim(), at)];
      });
      return { events, alive: lines.length > 0, readings: events.filter((event) => event.kind === 'reading').length };
    },
  };
}

const flagged = (code: string, detail: string): Flagged => ({ kind: 'flagged', code, detail, count: 1 });
