/** Power by one long-lived `nvidia-smi --query-gpu=… -lms N`: every power column that it knows, one channel each. */
import { duration } from '@joulebook/shared/settings.js';
import { instant, seconds, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import type { LivePower } from '../../source.js';
import { longLivedChild, type ChildPatience } from '../long-lived-child.js';
import { askedFields, BASIC_FIELDS } from './nvidia-smi-fields.js';
import { nvidiaSmiStream } from './nvidia-smi-stream.js';
import { runProgram } from '../../program.js';

const NAME = 'nvidia-smi';

export interface NvidiaSmiOptions extends ChildPatience {
  readonly command?: string | undefined;
  /** Time between two rounds of readings. */
  readonly period?: Seconds | undefined;
}

const options = z.strictObject({
  command: z.string().min(1).default(NAME),
  period: duration.prefault('200ms').refine((value) => value >= 0.02 && value <= 60, 'a period is 20 ms to 60 s'),
});

export const liveNvidiaSmi: LivePowerKind = liveKind({
  name: NAME,
  family: 'nvidia',
  summary: 'power, limits, utilisation, temperature, clock and memory of NVIDIA GPUs by one running nvidia-smi',
  options,
  open: ({ command, period }) => nvidiaSmi({ command, period: seconds(period) }),
  async detect(environment) {
    const probe = await probeNvidiaSmi(environment);
    return probe.found ? { found: true, options: {} } : probe;
  },
});

export function nvidiaSmi({ command = NAME, period = seconds(0.2), ...patience }: NvidiaSmiOptions = {}): LivePower {
  const millis = Math.round(period * 1000);
  let fields: string | undefined;
  return longLivedChild({
    name: NAME,
    description: `nvidia-smi every ${millis} ms`,
    command,
    period,
    ...patience,
    advice: "install the NVIDIA driver's tools or name the program in its option 'command'.",
    text: nvidiaSmiStream,
    async prepare({ environment, signal }, { words }) {
      // The driver was replaced by one that knows less.
      if (words?.includes('not a valid field')) fields = undefined;
      fields ??= await askedFields(command, environment, patience.start ?? seconds(30), signal);
      return [`--query-gpu=${fields ?? BASIC_FIELDS}`, '--format=csv,nounits', '-lms', String(millis)];
    },
  });
}

export type NvidiaSmiProbe = { readonly found: true; readonly gpus: number } | { readonly found: false; readonly reason: string };

/** Whether there is an NVIDIA GPU here that says its power, and if not, why. */
export async function probeNvidiaSmi(environment: NodeJS.ProcessEnv, command: string = NAME, limit: Seconds = seconds(15)): Promise<NvidiaSmiProbe> {
  const ran = await runProgram(command, [`--query-gpu=${BASIC_FIELDS}`, '--format=csv,nounits'], { environment, limit });
  if (ran.kind === 'absent') return { found: false, reason: `'${command}' is not on this machine` };
  if (ran.kind === 'late') return { found: false, reason: `nvidia-smi did not answer within ${limit} s` };
  const stream = nvidiaSmiStream();
  stream.read(`${ran.stdout}\n`, instant(Date.now() / 1000));
  if (ran.exitCode !== 0) return { found: false, reason: `nvidia-smi ended with exit code ${ran.exitCode}${stream.words === undefined ? '' : `: ${stream.words}`}` };
  const gpus = new Set(stream.channels.map(({ device }) => device)).size;
  return gpus > 0 ? { found: true, gpus } : { found: false, reason: stream.words ?? 'no GPU here says its power' };
}
