/**
 * NVIDIA GPUs by one long-lived `dcgmi dmon`. It needs a host engine (nv-hostengine) on the machine; that keeps the driver
 * loaded, so the energy counter lives as long as the engine.
 */
import { duration } from '@joulebook/shared/settings.js';
import { seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import type { LivePower, PowerEvent } from '../../source.js';
import { DCGMI, DCGMI_FIELDS, discoveredGpus, dmonColumns, dmonReader, dmonRow, isDmonLine, type DcgmGpu } from './dcgmi-dmon.js';
import { lineBuffer } from '../../line-buffer.js';
import { longLivedChild, type ChildPatience, type ChildText } from '../long-lived-child.js';
import { firstWords, runProgram } from '../../program.js';

export interface DcgmiOptions extends ChildPatience {
  readonly command?: string | undefined;
  readonly period?: Seconds | undefined;
}

const DISCOVERY_LIMIT = seconds(15);
const LONGEST_WORDS = 300;

const options = z.strictObject({
  command: z.string().min(1).default(DCGMI),
  period: duration.prefault('1s').refine((value) => value >= 0.1 && value <= 60, 'a period is 100 ms to 60 s'),
});

export const liveDcgmi: LivePowerKind = liveKind({
  name: DCGMI,
  family: 'nvidia',
  summary: 'energy counters and power of NVIDIA GPUs by one running dcgmi dmon (DCGM)',
  options,
  open: ({ command, period }) => dcgmi({ command, period: seconds(period) }),
  async detect(environment) {
    const ran = await runProgram(DCGMI, ['discovery', '-l'], { environment, limit: DISCOVERY_LIMIT });
    if (ran.kind === 'absent') return { found: false, reason: `'${DCGMI}' is not on this machine` };
    if (ran.kind === 'late') return { found: false, reason: `dcgmi did not answer within ${ran.limit} s` };
    if (discoveredGpus(ran.stdout).size > 0) return { found: true, options: {} };
    return { found: false, reason: `dcgmi finds no GPU: ${firstWords(ran) ?? `exit code ${ran.exitCode}`}` };
  },
});

export function dcgmi({ command = DCGMI, period = seconds(1), ...patience }: DcgmiOptions = {}): LivePower {
  const millis = Math.round(period * 1000);
  return longLivedChild({
    name: DCGMI,
    description: `dcgmi dmon every ${millis} ms`,
    command,
    period,
    ...patience,
    advice: "install DCGM (datacenter-gpu-manager) or name the program in its option 'command'.",
    text: dcgmiText,
    async prepare({ environment, signal }, text) {
      const ran = await runProgram(command, ['discovery', '-l'], { environment, limit: DISCOVERY_LIMIT, signal });
      const gpus = ran.kind === 'ended' ? discoveredGpus(ran.stdout) : undefined;
      if (gpus && gpus.size > 0) text.gpus = gpus;
      return ['dmon', '-e', DCGMI_FIELDS.join(','), '-d', String(millis)];
    },
  });
}

interface DcgmiText extends ChildText {
  /** What DCGM's numbers stand for. */
  gpus: ReadonlyMap<number, DcgmGpu>;
}

/**
 * Rows are stamped when they arrive. Should the program's output be held back by the pipe, several rounds come at once:
 * of each channel only the last is taken then, since nothing says when the others were, and that is said once.
 */
function dcgmiText(): DcgmiText {
  const buffer = lineBuffer();
  let gpus: ReadonlyMap<number, DcgmGpu> = new Map();
  const reader = dmonReader(DCGMI, (index) => gpus.get(index));
  let columns: ReturnType<typeof dmonColumns>;
  let words: string | undefined;
  let heldBackTold = false;

  function lineEvents(line: string, at: Instant): readonly PowerEvent[] {
    const header = dmonColumns(line);
    columns = header ?? columns;
    const row = header || !columns ? undefined : dmonRow(columns, line);
    if (row) return reader.read(row, at);
    if (line.trim() !== '' && !isDmonLine(line)) words ??= line.trim().slice(0, LONGEST_WORDS);
    return [];
  }

  return {
    get gpus() {
      return gpus;
    },
    set gpus(found) {
      gpus = found;
    },
    get words() {
      return words;
    },
    get channels() {
      return reader.channels;
    },
    begin() {
      buffer.clear();
      columns = undefined;
      words = undefined;
    },
    read(chunk, at) {
      const lines = buffer.push(chunk);
      const said = lines.flatMap((line) => (line === undefined ? [] : lineEvents(line, at)));
      const events = lastOfEach(said);
      if (events.length < said.length && !heldBackTold) {
        heldBackTold = true;
        events.push({ kind: 'flagged', code: 'READINGS_HELD_BACK', count: 1, detail: 'dcgmi: several rounds arrived at once; of such rounds only the last is used' });
      }
      return { events, alive: lines.length > 0, readings: events.filter(({ kind }) => kind === 'reading').length };
    },
  };
}

function lastOfEach(events: readonly PowerEvent[]): PowerEvent[] {
  const last = new Map(events.map((event) => [event.kind === 'reading' ? event.channel.id : event.kind === 'gauge' ? `${event.device} ${event.gauge}` : event, event]));
  return [...last.values()];
}
