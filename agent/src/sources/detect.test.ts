import { expect, it } from 'vitest';
import { detectSources } from './detect.js';
import type { LivePowerKind } from './live.js';

const kind = (name: string, found: boolean, family?: string): LivePowerKind => ({
  name,
  summary: name,
  family,
  open: () => {
    throw new Error('not opened here');
  },
  detect: async () => (found ? { found, options: { period: '1s' } } : { found, reason: `${name} is not there` }),
});

it('uses the first source of a family that is there, and says why not the others', async () => {
  const detected = await detectSources({}, { power: [kind('nvml', false, 'nvidia'), kind('nvidia-smi', true, 'nvidia'), kind('dcgmi', true, 'nvidia'), kind('rapl', true)], serving: [] });
  expect(detected.power).toEqual([{ source: 'nvidia-smi', period: '1s' }, { source: 'rapl', period: '1s' }]);
  expect(detected.absent.map(({ source, reason }) => `${source}: ${reason}`)).toEqual(['nvml: nvml is not there', expect.stringMatching(/dcgmi: nvidia-smi reads the same GPUs/)]);
});
