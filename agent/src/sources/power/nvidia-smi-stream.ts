/**
 * The text of one `nvidia-smi … --format=csv -lms N` as it arrives → readings and gauges.
 *
 * A reading is stamped when its chunk arrives: what nvidia-smi prints is local time without a zone, and would jump
 * with daylight saving. The GPUs of one round are flushed together, so they share a stamp.
 * What is neither header nor row is nvidia-smi speaking to people; its failures come on stdout too.
 */
import type { Instant } from '@joulebook/shared/units.js';
import { ABSURD_READING, MISSING_READINGS } from '../line-tally.js';
import type { Channel, Flagged, PowerEvent } from '../source.js';
import { ABSURD_GPU_WATTS, deviceOfRow, nvidiaSmiCells, nvidiaSmiColumns, parseNvidiaSmiRow, type NvidiaSmiColumns, type NvidiaSmiRow } from './nvidia-smi-row.js';
import { GPU_BOARD } from './sensors.js';

const SOURCE = 'nvidia-smi';
const LONGEST_LINE = 64 * 1024;
const LONGEST_WORDS = 300;
/** A row begins with its time; such a line that is no whole row is damaged, all others are words. */
const ROW = /^\d{4}\/\d\d\/\d\d /;

export interface NvidiaSmiStream {
  /** @returns what the chunk says, and whether it held a whole line */
  read(chunk: string, at: Instant): { readonly events: readonly PowerEvent[]; readonly alive: boolean; readonly readings: number };
  /** The first thing it said to people since `begin`. */
  readonly words: string | undefined;
  /** Every channel seen so far. */
  readonly channels: readonly Channel[];
  /** A new child: its first line is a header, and nothing of the old one's last line is left. */
  begin(): void;
}

type Row = Extract<NvidiaSmiRow, { kind: 'row' }>;

export function nvidiaSmiStream(): NvidiaSmiStream {
  const channels = new Map<string, Channel>();
  /** Why a device says no power now; told when it begins, the rest are counted and told when it ends. */
  const missing = new Map<string, { reason: string; untold: number }>();
  let columns: NvidiaSmiColumns | undefined;
  let words: string | undefined;
  let tail = '';
  let tooLong = false;

  function* line(text: string, at: Instant): Generator<PowerEvent> {
    const cells = nvidiaSmiCells(text);
    const header = cells.some((cell) => /^(?:gpu\.)?power\.draw/.test(cell)) ? nvidiaSmiColumns(cells) : undefined;
    if (header) {
      columns = header;
      return;
    }
    const row = columns && parseNvidiaSmiRow(columns, cells);
    const device = row?.kind === 'row' ? deviceOfRow(row) : undefined;
    if (row?.kind === 'row' && device !== undefined && columns) yield* rowOf(row, device, columns, at);
    else if (ROW.test(text)) yield flagged('SKIPPED_LINES', `nvidia-smi: a row that can't be used: ${row?.kind === 'unusable' ? row.reason : 'no header before it, or no GPU in it'}`);
    else words ??= text.slice(0, LONGEST_WORDS);
  }

  function* rowOf({ power, gauges, index }: Row, device: string, { power: column }: NvidiaSmiColumns, at: Instant): Generator<PowerEvent> {
    if (power.kind === 'missing') yield* silent(device, power.reason);
    else {
      yield* speaking(device);
      if (power.kind === 'absurd') yield flagged(ABSURD_READING.code, `nvidia-smi: ${device} said ${power.power} W; more than ${ABSURD_GPU_WATTS} W is no GPU's power`, device);
      else yield { kind: 'reading', channel: channelOf(device, column.name, index), at, measures: 'power', power: power.power };
    }
    for (const { gauge, value } of gauges) yield { kind: 'gauge', device, gauge, value, at };
  }

  function* silent(device: string, reason: string): Generator<PowerEvent> {
    const known = missing.get(device);
    if (known?.reason === reason) {
      known.untold += 1;
      return;
    }
    yield* speaking(device);
    missing.set(device, { reason, untold: 0 });
    yield flagged(MISSING_READINGS.code, `nvidia-smi: ${device} says no power: ${reason}`, device);
  }

  function* speaking(device: string): Generator<PowerEvent> {
    const known = missing.get(device);
    missing.delete(device);
    if (known && known.untold > 0) yield { ...flagged(MISSING_READINGS.code, `nvidia-smi: ${device} went on to say no power: ${known.reason}`, device), count: known.untold };
  }

  function channelOf(device: string, column: string, index: string | undefined): Channel {
    const known = channels.get(device);
    if (known) return known;
    const channel: Channel = { id: `${SOURCE}/${device}/${column}`, device, boundary: 'gpu', source: SOURCE, measures: 'power', sensor: GPU_BOARD, ...(index !== undefined && { index: Number(index) }) };
    channels.set(device, channel);
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
      tail = '';
      tooLong = false;
    },
    read(chunk, at) {
      const events: PowerEvent[] = [];
      const pieces = chunk.split('\n');
      const last = pieces.pop() ?? '';
      for (const piece of pieces) {
        const text = (tail + piece).trim();
        if (tooLong || text.length > LONGEST_LINE) events.push(flagged('SKIPPED_LINES', `nvidia-smi: a line of more than ${LONGEST_LINE / 1024} KiB`));
        else if (text !== '') events.push(...line(text, at));
        tail = '';
        tooLong = false;
      }
      tail += last;
      if (tail.length > LONGEST_LINE) {
        tail = '';
        tooLong = true;
      }
      return { events, alive: pieces.length > 0, readings: events.filter((event) => event.kind === 'reading').length };
    },
  };
}

const flagged = (code: string, detail: string, device?: string): Flagged => ({ kind: 'flagged', code, detail, count: 1, ...(device !== undefined && { device }) });
