/**
 * AMD GPUs by `rocm-smi --json`, for machines older than amd-smi: `{ "card0": { "Average Graphics Package Power (W)": "39.0" } }`,
 * newer boards `Current Socket Graphics Package Power (W)`. The tool multiplies the counter by its resolution itself.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { instant, seconds, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled } from '../../polled.js';
import type { LivePower } from '../../source.js';
import { amdReader, type AmdGpu } from './amd-reader.js';
import { probeAmdSmi } from './amd-smi.js';
import { firstWords, runProgram } from '../../program.js';

const NAME = 'rocm-smi';
const LIMIT = seconds(15);
const ASKED = ['--showpower', '--showenergycounter', '--showuniqueid', '--showserial', '--json'];

const options = z.strictObject({
  command: z.string().min(1).default(NAME),
  period: duration.prefault('2s').refine((value) => value >= 2 && value <= 600, 'a period is 2 s to 10 min'),
});

export const liveRocmSmi: LivePowerKind = liveKind({
  name: NAME,
  family: 'amd',
  summary: 'power of AMD GPUs by rocm-smi, where there is no amd-smi',
  options,
  open: ({ command, period }) => rocmSmi({ command, period: seconds(period) }),
  async detect(environment) {
    const ran = await runProgram(NAME, ASKED, { environment, limit: LIMIT });
    if (ran.kind === 'absent') return { found: false, reason: `'${NAME}' is not on this machine` };
    if (ran.kind === 'late') return { found: false, reason: `rocm-smi did not answer within ${ran.limit} s` };
    if (!rocmSmiGpus(ran.stdout)?.some(({ power }) => typeof power === 'number')) return { found: false, reason: `rocm-smi says no power: ${firstWords(ran) ?? `exit code ${ran.exitCode}`}` };
    // Both would name one board differently, and it would be counted twice.
    return (await probeAmdSmi(environment)).found ? { found: false, reason: 'amd-smi is here and knows more' } : { found: true, options: {} };
  },
});

export function rocmSmi({ command, period }: { readonly command: string; readonly period: Seconds }): LivePower {
  return polled({
    name: NAME,
    description: `rocm-smi every ${period} s`,
    period,
    limit: seconds(LIMIT + 2),
    open({ environment, signal, now }) {
      const reader = amdReader(NAME);
      return Promise.resolve({
        async read() {
          const asked = now();
          const ran = await runProgram(command, ASKED, { environment, limit: LIMIT, signal });
          const answered = now();
          if (ran.kind === 'absent') throw new TelemetryError('ROCM_SMI_MISSING', `'${command}' can't be run: install ROCm's rocm-smi or name the program in its option 'command'.`, 'disable');
          const gpus = ran.kind === 'ended' ? rocmSmiGpus(ran.stdout) : undefined;
          if (!gpus) throw new TelemetryError('ROCM_SMI_FAILED', ran.kind === 'ended' ? `rocm-smi ended with exit code ${ran.exitCode}: ${firstWords(ran) ?? 'it said nothing'}` : `rocm-smi did not answer within ${LIMIT} s`, 'retry');
          return reader.read(gpus, instant((asked + answered) / 2), seconds((answered - asked) / 2));
        },
      });
    },
  });
}

const card = z.record(z.string(), z.union([z.string(), z.number()]).optional().catch(undefined));
const answer = z.record(z.string(), card.optional().catch(undefined));

const POWERS = ['Current Socket Graphics Package Power (W)', 'Average Graphics Package Power (W)'];
const ENERGY = 'Accumulated Energy (uJ)';
const DECIMAL = /^\d+(?:\.\d+)?$/;

/** @returns undefined when the text is no such answer */
export function rocmSmiGpus(text: string): AmdGpu[] | undefined {
  const begin = text.search(/^\s*\{/m);
  const read = begin < 0 ? undefined : answer.safeParse(parsed(text.slice(begin)));
  if (!read?.success) return undefined;
  const cards = Object.entries(read.data).flatMap(([key, cells]) => (cells && /^card\d+$/.test(key) ? [{ index: Number(key.slice(4)), cells }] : []));
  return cards.map(({ index, cells }) => {
    const said = POWERS.map((name) => cells[name]).filter((cell) => cell !== undefined).map(String);
    const power = said.find((cell) => /^-?\d+(?:\.\d+)?$/.test(cell));
    const energy = String(cells[ENERGY] ?? '');
    return {
      index,
      device: identity(cells['Unique ID']) ?? identity(cells['Serial Number']) ?? `gpu${index}`,
      power: power === undefined ? { missing: said[0] ?? 'it is not in the answer' } : Number(power),
      ...(DECIMAL.test(energy) && { energy: BigInt(Math.round(Number(energy))) }),
    };
  });
}

const identity = (cell: string | number | undefined): string | undefined => (cell !== undefined && /^(?:0x)?(?=[0-9a-f]*[1-9a-f])[0-9a-f]{6,}$/i.test(String(cell)) ? String(cell) : undefined);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
