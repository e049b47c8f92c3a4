import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deploymentsByProcess } from './gpu-deployments.js';
import { engineOf, gpuProcesses, nvidiaSmiGpuUses, type GpuUse } from './gpu-processes.js';

const ID = 'ab'.repeat(32);
const UID = '1b2c3d4e-0f1a-4b2c-8d3e-9f0a1b2c3d4e';

let procRoot: string;
beforeEach(async () => {
  procRoot = await mkdtemp(join(tmpdir(), 'gpu-processes-'));
});
afterEach(() => rm(procRoot, { recursive: true }));

async function running(pid: number, name: string, commandLine: readonly string[], cgroup: string): Promise<void> {
  await mkdir(join(procRoot, String(pid)));
  await writeFile(join(procRoot, String(pid), 'comm'), `${name}\n`);
  await writeFile(join(procRoot, String(pid), 'cmdline'), `${commandLine.join('\0')}\0`);
  await writeFile(join(procRoot, String(pid), 'cgroup'), cgroup);
}

const using = (...uses: readonly GpuUse[]) => gpuProcesses({ ask: async () => uses, procRoot });

describe('processes on a device', () => {
  it('are told with program, engine, container and pod, and nothing else of their command line', async () => {
    await running(41, 'python3', ['/opt/venv/bin/python3', '-m', 'vllm.entrypoints.openai.api_server', '--api-key', 'sk-secret', '--model', 'private/model'], `0::/kubepods/burstable/pod${UID}/${ID}\n`);
    const processes = await using({ device: 'GPU-a', pid: 41, memoryMiB: 70_000, migInstance: 1 }, { device: 'GPU-b', pid: 42 }).processesOn('GPU-a');
    expect(processes).toEqual([{ pid: 41, name: 'python3', command: 'python3', engine: 'vllm', container: ID, pod: UID, memoryMiB: 70_000, migInstance: 1 }]);
    expect(JSON.stringify(processes)).not.toMatch(/sk-secret|private/);
  });

  it('keep their secrets when they wrote all they are into one title', async () => {
    await running(7, 'python', ['python serve.py --token=sk-secret'], '0::/\n');
    expect(await using({ device: 'GPU-a', pid: 7 }).processesOn('GPU-a')).toEqual([{ pid: 7, name: 'python', command: 'python' }]);
  });

  it('are told by number alone when /proc does not know them', async () => {
    expect(await using({ device: 'GPU-a', pid: 9 }).processesOn('GPU-a')).toEqual([{ pid: 9 }]);
  });

  it('are asked of the driver at most once in ten seconds', async () => {
    let now = 0;
    let asked = 0;
    const watched = gpuProcesses({
      procRoot,
      monotonic: () => seconds(now),
      ask: async () => {
        asked += 1;
        return [];
      },
    });
    for (now of [0, 1, 9.9]) await watched.processesOn('GPU-a');
    expect(asked).toBe(1);
    now = 10;
    await watched.processesOn('GPU-b');
    expect(asked).toBe(2);
  });
});

describe('an engine is known by', () => {
  it.each([
    ['its module', ['python3', '-u', '-m', 'sglang.launch_server', '--port', '1'], 'sglang'],
    ['its script', ['/usr/bin/python3', '/usr/local/bin/vllm', 'serve', 'x'], 'vllm'],
    ['its program', ['/app/llama-server', '-m', 'model.gguf'], 'llama.cpp'],
    ['the title it took', ['VLLM::EngineCore_DP0'], 'vllm'],
    ['trtllm-serve', ['/usr/bin/python3', '/usr/local/bin/trtllm-serve', 'x'], 'tensorrt-llm'],
  ])('%s', (_, words, engine) => {
    expect(engineOf(words)).toBe(engine);
  });

  it('nothing in its arguments', () => {
    expect(engineOf(['python3', 'train.py', '--compare-with', 'vllm'])).toBeUndefined();
    expect(engineOf(['python3', 'train.py', '-m', 'vllm.like'])).toBeUndefined();
    expect(engineOf([])).toBeUndefined();
  });
});

describe('nvidia-smi', () => {
  it('is asked for what is needed alone, and its odd cells are absent', async () => {
    const command = join(procRoot, 'nvidia-smi');
    await writeFile(command, `#!/bin/sh\necho "$@" > ${procRoot}/asked\nprintf 'GPU-a, 41, 70000\\nGPU-b, 42, [N/A]\\nNo running processes found\\n'\n`);
    await chmod(command, 0o755);
    expect(await nvidiaSmiGpuUses({ command, environment: process.env })()).toEqual([{ device: 'GPU-a', pid: 41, memoryMiB: 70_000 }, { device: 'GPU-b', pid: 42 }]);
    expect(await readFile(join(procRoot, 'asked'), 'utf8')).toContain('--query-compute-apps=gpu_uuid,pid,used_gpu_memory');
  });

  it('that is absent says what to install', async () => {
    await expect(nvidiaSmiGpuUses({ command: join(procRoot, 'none'), environment: {} })()).rejects.toMatchObject({ code: 'NVIDIA_SMI_MISSING', remedy: 'disable' });
  });
});

describe('deployments by process', () => {
  const chat = { pid: 1, command: 'python3', engine: 'vllm', container: ID };
  const code = { pid: 2, command: 'llama-server', engine: 'llama.cpp' };
  const stray = { pid: 3, command: 'jupyter' };

  it('are those of the first rule whose every pattern fits', () => {
    const { deployments, unknown } = deploymentsByProcess([chat, code, stray], [
      { deployment: 'chat', engine: 'VLLM', container: 'abab*' },
      { deployment: 'late', engine: 'vllm' },
      { deployment: 'code', command: 'llama-*' },
    ]);
    expect([...deployments]).toEqual([['chat', [chat]], ['code', [code]]]);
    expect(unknown).toEqual([stray]);
  });

  it('are nobody\'s under a rule that says nothing', () => {
    expect(deploymentsByProcess([stray], [{ deployment: 'all' }]).unknown).toEqual([stray]);
  });
});
