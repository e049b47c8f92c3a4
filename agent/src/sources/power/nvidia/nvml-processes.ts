/** Who computes on which GPU, asked of NVML in a thread of its own: beside the power source, which must not wait for it. */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { seconds } from '@joulebook/shared/units.js';
import type { AskGpuUses } from './gpu-processes.js';
import { NVML_WORKER, openNvmlLink, type NvmlLink, type StuckThreads } from './nvml-link.js';

const LIMIT = seconds(20);

export interface NvmlGpuUses {
  readonly ask: AskGpuUses;
  close(): Promise<void>;
}

export function nvmlGpuUses({ library, worker = NVML_WORKER }: { readonly library?: string | undefined; readonly worker?: URL | undefined } = {}): NvmlGpuUses {
  const stuck: StuckThreads = new Set();
  let opening: Promise<NvmlLink> | undefined;

  async function close(): Promise<void> {
    const link = await opening?.catch(() => undefined);
    opening = undefined;
    await link?.close();
  }

  return {
    close,
    async ask() {
      try {
        opening ??= openNvmlLink({ library, probe: false, period: LIMIT, slowEvery: 1, anew: false }, { worker, stuck, limit: LIMIT });
        return await (await opening).uses(LIMIT);
      } catch (error) {
        await close();
        throw error instanceof TelemetryError ? error : new TelemetryError('NVML_FAILED', 'NVML can\'t be asked for processes now.', 'retry', { cause: error });
      }
    },
  };
}
