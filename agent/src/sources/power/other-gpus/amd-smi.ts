/**
 * AMD GPUs by `amd-smi metric -p -E --json`: an array, or `{ "gpu_data": […] }` since ROCm 7; a value is a number, or
 * `{ "value": 410.5, "unit": "W" }`, or `"N/A"`. With 16 GPUs one call takes 0.75 s, so it is not asked more often than every 2 s.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { instant, seconds, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled } from '../../polled.js';
import type { LivePower } from '../../source.js';
import { amdReader, type AmdGpu } from './amd-reader.js';
import { firstWords, runProgram } from '../../program.js';

const NAME = 'amd-smi';
const LIMIT = seconds(15);
const METRIC = ['metric', '-p', '-E', '--json'];

const options = z.strictObject({
  command: z.string().min(1).default(NAME),
  period: duration.prefault('2s').refine((value) => value >= 2 && value <= 600, 'a period is 2 s to 10 min'),
});

export const liveAmdSmi: LivePowerKind = liveKind({
  name: NAME,
  family: 'amd',
  summary: 'power and, where they can be believed, energy counters of AMD GPUs by amd-smi',
  options,
  open: ({ command, period }) => amdSmi({ command, period: seconds(period) }),
  detect: (environment) => probeAmdSmi(environment),
});

/** Whether there is an AMD GPU here of which amd-smi says the power, and if not, why. */
export async function probeAmdSmi(environment: NodeJS.ProcessEnv, command = NAME): Promise<{ readonly found: true; readonly options: Record<string, never> } | { readonly found: false; readonly reason: string }> {
  const ran = await runProgram(command, METRIC, { environment, limit: LIMIT });
  if (ran.kind === 'absent') return { found: false, reason: `'${command}' is not on this machine` };
  if (ran.kind === 'late') return { found: false, reason: `amd-smi did not answer within ${ran.limit} s` };
  const gpus = amdSmiMetric(ran.stdout);
  if (gpus?.some(({ power }) => typeof power === 'number')) return { found: true, options: {} };
  return { found: false, reason: gpus ? 'amd-smi says no power of any GPU here' : `amd-smi fails: ${firstWords(ran) ?? `exit code ${ran.exitCode}`}` };
}

export function amdSmi({ command, period }: { readonly command: string; readonly period: Seconds }): LivePower {
  return polled({
    name: NAME,
    description: `amd-smi every ${period} s`,
    period,
    limit: seconds(2 * LIMIT + 2),
    async open({ environment, signal, now }) {
      const run = { environment, limit: LIMIT, signal };
      const listed = await runProgram(command, ['list', '--json'], run);
      if (listed.kind === 'absent') throw new TelemetryError('AMD_SMI_MISSING', `'${command}' can't be run: install ROCm's amd-smi or name the program in its option 'command'.`, 'disable');
      const uuids = listed.kind === 'ended' ? amdSmiUuids(listed.stdout) : new Map<number, string>();
      const reader = amdReader(NAME);
      return {
        async read() {
          const asked = now();
          const ran = await runProgram(command, METRIC, run);
          const answered = now();
          const gpus = ran.kind === 'ended' ? amdSmiMetric(ran.stdout, uuids) : undefined;
          if (!gpus) throw new TelemetryError('AMD_SMI_FAILED', ran.kind === 'ended' ? `amd-smi ended with exit code ${ran.exitCode}: ${firstWords(ran) ?? 'it said nothing'}` : `amd-smi did not answer within ${LIMIT} s`, 'retry');
          return reader.read(gpus, instant((asked + answered) / 2), seconds((answered - asked) / 2));
        },
      };
    },
  });
}

const value = z.union([z.number(), z.string(), z.object({ value: z.union([z.number(), z.string()]), unit: z.string().optional() })]).optional().catch(undefined);
const power = z.object({ socket_power: value, current_socket_power: value, average_socket_power: value }).optional().catch(undefined);
const gpu = z.object({ gpu: z.coerce.number().int().min(0), uuid: z.string().optional().catch(undefined), power, energy: z.object({ total_energy_consumption: value }).optional().catch(undefined) });
const answer = z.union([z.array(gpu), z.object({ gpu_data: z.array(gpu) }).transform(({ gpu_data: gpus }) => gpus)]);

/** @returns undefined when the text holds no such answer; warnings may stand before it */
export function amdSmiMetric(text: string, uuids: ReadonlyMap<number, string> = new Map()): AmdGpu[] | undefined {
  return answerOf(text)?.map(({ gpu: index, power: said, energy }) => {
    // MI200 says the average and not the current, MI300 the reverse.
    const cells = [said?.socket_power, said?.current_socket_power, said?.average_socket_power];
    const known = cells.map((cell) => quantity(cell, 'W')).find((each) => each !== undefined);
    const joules = quantity(energy?.total_energy_consumption, 'J');
    return {
      index,
      device: uuids.get(index) ?? `gpu${index}`,
      power: known ?? { missing: reasonOf(cells.find((cell) => cell !== undefined)) },
      ...(joules !== undefined && joules >= 0 && { energy: BigInt(Math.round(joules * 1e6)) }),
    };
  });
}

/** `amd-smi list --json`: what its numbers stand for. */
export function amdSmiUuids(text: string): Map<number, string> {
  return new Map((answerOf(text) ?? []).flatMap(({ gpu: index, uuid }) => (uuid === undefined || !/^[0-9a-f-]{8,}$/i.test(uuid) ? [] : [[index, uuid]])));
}

function answerOf(text: string): z.output<typeof answer> | undefined {
  const begin = text.search(/^[[{]/m);
  if (begin < 0) return undefined;
  try {
    return answer.safeParse(JSON.parse(text.slice(begin))).data;
  } catch {
    return undefined;
  }
}

function quantity(cell: z.output<typeof value>, unit: 'W' | 'J'): number | undefined {
  const [said, of = unit] = typeof cell === 'object' ? [cell.value, cell.unit] : [cell];
  if (of !== unit) return undefined;
  if (typeof said === 'number') return Number.isFinite(said) ? said : undefined;
  return said !== undefined && /^-?\d+(?:\.\d+)?$/.test(said) ? Number(said) : undefined;
}

const reasonOf = (cell: z.output<typeof value>): string => (cell === undefined ? 'it is not in the answer' : typeof cell === 'object' ? `${cell.value} ${cell.unit ?? ''}`.trim() : String(cell));
