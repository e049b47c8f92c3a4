import { expect, it } from 'vitest';
import type { GpuProcess, GpuProcesses } from './gpu-processes.js';
import { tenancy } from './gpu-tenants.js';

const sitting: Readonly<Record<string, readonly GpuProcess[]>> = {
  'GPU-a': [{ pid: 1, engine: 'vllm', command: 'python3' }],
  'GPU-b': [{ pid: 1, engine: 'vllm', command: 'python3' }, { pid: 2, engine: 'sglang', command: 'python3' }],
  'GPU-c': [{ pid: 3, command: 'train' }],
};
const processes: GpuProcesses = { devices: async () => Object.keys(sitting), processesOn: async (device) => sitting[device] ?? [] };

it('gives every deployment the GPUs on which its processes sit, and none where none does', async () => {
  const tenants = await tenancy(processes, [{ deployment: 'chat', engine: 'vllm' }, { deployment: 'code', engine: 'sglang' }, { deployment: 'gone', engine: 'tgi' }]);
  expect([...tenants].map(([deployment, devices]) => [deployment, [...devices]])).toEqual([['chat', ['GPU-a', 'GPU-b']], ['code', ['GPU-b']], ['gone', []]]);
});
