/** Intel GPUs by one long-lived xpu-smi: `dump` of 1.x, or the loop of `--query-gpu` that 2.0 has instead. */
import { duration } from '@joulebook/shared/settings.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveKind, type LivePowerKind } from '../../live.js';
import type { LivePower } from '../../source.js';
import { longLivedChild, type ChildPatience } from '../long-lived-child.js';
import { firstWords, runProgram } from '../../program.js';
import { XPU_SMI, xpuSmiText } from './xpu-smi-text.js';

export interface XpuSmiOptions extends ChildPatience {
  readonly command?: string | undefined;
  /** Whole seconds with 1.x. */
  readonly period?: Seconds | undefined;
}

const LIMIT = seconds(15);
const QUERY = 'index,uuid,power.draw,energy.consumed,utilization.gpu,temperature.gpu';
/** GPU Power (W), GPU Energy Consumed (J). */
const METRICS = '1,8';

const options = z.strictObject({
  command: z.string().min(1).default(XPU_SMI),
  period: duration.prefault('1s').refine((value) => value >= 0.1 && value <= 20, 'a period is 100 ms to 20 s'),
});

export const liveXpuSmi: LivePowerKind = liveKind({
  name: XPU_SMI,
  summary: 'power and energy counters of Intel GPUs by one running xpu-smi',
  options,
  open: ({ command, period }) => xpuSmi({ command, period: seconds(period) }),
  async detect(environment) {
    const ran = await runProgram(XPU_SMI, ['discovery', '-j'], { environment, limit: LIMIT });
    if (ran.kind === 'absent') return { found: false, reason: `'${XPU_SMI}' is not on this machine` };
    if (ran.kind === 'late') return { found: false, reason: `xpu-smi did not answer within ${ran.limit} s` };
    return xpuSmiUuids(ran.stdout).size > 0 ? { found: true, options: {} } : { found: false, reason: `xpu-smi finds no GPU: ${firstWords(ran) ?? `exit code ${ran.exitCode}`}` };
  },
});

export function xpuSmi({ command = XPU_SMI, period = seconds(1), ...patience }: XpuSmiOptions = {}): LivePower {
  let queries: boolean | undefined;
  return longLivedChild({
    name: XPU_SMI,
    description: `xpu-smi every ${period} s`,
    command,
    period,
    ...patience,
    advice: "install Intel XPU Manager (xpu-smi) or name the program in its option 'command'.",
    text: xpuSmiText,
    async prepare({ environment, signal }, text) {
      const run = { environment, limit: LIMIT, signal };
      if (queries === undefined) {
        const help = await runProgram(command, ['--help'], run);
        if (help.kind === 'ended') queries = help.stdout.includes('--query-gpu');
      }
      if (queries) return [`--query-gpu=${QUERY}`, '--format=csv,nounits', `--loop-ms=${Math.round(period * 1000)}`];
      const discovered = await runProgram(command, ['discovery', '-j'], run);
      if (discovered.kind === 'ended') text.uuids = xpuSmiUuids(discovered.stdout);
      return ['dump', '-d', '-1', '-m', METRICS, '-i', String(Math.max(1, Math.round(period)))];
    },
  });
}

const discovery = z.object({ device_list: z.array(z.object({ device_id: z.number().int().min(0), uuid: z.string().min(1) })) });

/** `xpu-smi discovery -j`: what its numbers stand for. */
export function xpuSmiUuids(text: string): ReadonlyMap<number, string> {
  try {
    const read = discovery.safeParse(JSON.parse(text));
    return new Map((read.data?.device_list ?? []).map(({ device_id: id, uuid }) => [id, uuid]));
  } catch {
    return new Map();
  }
}
