/** The source `nvml` against the promises of every power source, in its own thread, on the fake library. */
import { existsSync } from 'node:fs';
import { powerContract } from '@joulebook/agent/sources/power/power-contract.js';
import { nvml } from '@joulebook/agent/sources/power/nvidia/nvml.js';
import { seconds } from '@joulebook/shared/units.js';
import { afterAll, vi } from 'vitest';
import { fakeNvml, withoutCompiler } from '../support/fake-nvml/fake-nvml.js';

const worker = new URL('../../agent/dist/sources/power/nvidia/nvml-worker.js', import.meta.url);
/** When every board is lost, by the library's clock. */
const LOST_AT_MS = 1_000_000;
const GPU_IS_LOST = 15;

afterAll(() => vi.unstubAllEnvs());

powerContract(
  'nvml',
  async () => {
    const made = await fakeNvml({ DEVICES: 2, CLOCK: 'manual', ERRORS: `*:${GPU_IS_LOST}@${LOST_AT_MS}-` });
    for (const [name, value] of Object.entries(made.environment)) vi.stubEnv(name, value);
    await made.at(10_000);
    return { source: nvml({ library: made.library, period: seconds(0.1), probe: false, worker }), vanish: () => made.at(LOST_AT_MS), stop: () => made.remove() };
  },
  withoutCompiler ?? (existsSync(worker) ? undefined : 'the agent is not built'),
);
