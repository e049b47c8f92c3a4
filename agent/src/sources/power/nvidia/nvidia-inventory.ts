/** Which NVIDIA GPUs this machine has, asked once: for `doctor`, for naming things, never for readings. */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { parseNvidiaSmiXml, type NvidiaGpu } from './nvidia-smi-xml.js';
import { firstWords, runProgram } from '../../program.js';

export interface NvidiaInventory {
  readonly driver?: string;
  readonly gpus: readonly Pick<NvidiaGpu, 'uuid' | 'name' | 'serial' | 'busId' | 'migEnabled' | 'migDevices' | 'limits'>[];
}

/**
 * @param environment of the program; PATH finds it
 * @throws TelemetryError NVIDIA_SMI_MISSING (`disable`), NVIDIA_SMI_FAILED (`retry`)
 */
export async function nvidiaInventory(environment: NodeJS.ProcessEnv, command = 'nvidia-smi', limit: Seconds = seconds(30)): Promise<NvidiaInventory> {
  const ran = await runProgram(command, ['-q', '-x'], { environment, limit });
  if (ran.kind === 'absent') throw new TelemetryError('NVIDIA_SMI_MISSING', `'${command}' is not on this machine: install the NVIDIA driver's tools.`, 'disable');
  if (ran.kind === 'late') throw new TelemetryError('NVIDIA_SMI_FAILED', `nvidia-smi -q -x did not answer within ${limit} s.`, 'retry');
  if (ran.exitCode !== 0) throw new TelemetryError('NVIDIA_SMI_FAILED', `nvidia-smi -q -x ended with exit code ${ran.exitCode}: ${firstWords(ran) ?? 'it said nothing'}`, 'retry');
  const { driver, gpus } = parseNvidiaSmiXml(ran.stdout);
  return {
    ...(driver !== undefined && { driver }),
    gpus: gpus.map(({ power: _power, memoryPower: _memory, modulePower: _module, gauges: _gauges, ...each }) => each),
  };
}
