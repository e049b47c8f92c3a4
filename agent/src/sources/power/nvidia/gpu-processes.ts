/**
 * Who uses which GPU: process ids from NVML or nvidia-smi, and what /proc says of each. Of a command line only the
 * program's name and the engine it starts are kept: arguments hold keys, paths and sometimes prompts.
 */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { execa } from 'execa';
import { placeOfCgroup } from './cgroup.js';

/** One process on one GPU, as the driver says it. */
export interface GpuUse {
  /** `GPU-…`; with MIG the board's, `migInstance` says which part. */
  readonly device: string;
  readonly pid: number;
  readonly memoryMiB?: number;
  /** GPU instance id. */
  readonly migInstance?: number;
}
export type AskGpuUses = () => Promise<readonly GpuUse[]>;

export interface GpuProcess extends Omit<GpuUse, 'device'> {
  /** The kernel's name of the process, 15 characters; absent when it has ended meanwhile or lives in another pid namespace. */
  readonly name?: string;
  /** The program's file name, e.g. `python3`; absent where /proc does not say it. */
  readonly command?: string;
  /** The serving engine its command line starts. */
  readonly engine?: string;
  /** Container id, 64 hex digits. */
  readonly container?: string;
  /** Kubernetes' pod UID. */
  readonly pod?: string;
}

export interface GpuProcesses {
  /** @param device `GPU-…` @throws TelemetryError `retry` when the driver can't be asked now, `disable` when it is not here */
  processesOn(device: string): Promise<readonly GpuProcess[]>;
  /** The devices that have a process. */
  devices(): Promise<readonly string[]>;
}

/** A process list costs the driver milliseconds under its global lock, and may stall what computes. */
const SHORTEST_PERIOD = seconds(10);

export function gpuProcesses({ ask, procRoot = '/proc', monotonic = () => seconds(performance.now() / 1000) }: { readonly ask: AskGpuUses; readonly procRoot?: string; readonly monotonic?: () => Seconds }): GpuProcesses {
  let asked: { readonly at: number; readonly uses: Promise<readonly GpuUse[]> } | undefined;
  const uses = (): Promise<readonly GpuUse[]> => {
    if (!asked || monotonic() - asked.at >= SHORTEST_PERIOD) asked = { at: monotonic(), uses: ask() };
    return asked.uses;
  };
  return {
    async devices() {
      return [...new Set((await uses()).map(({ device }) => device))];
    },
    async processesOn(device) {
      const mine = (await uses()).filter((use) => use.device === device);
      return Promise.all(mine.map(async ({ device: _device, ...use }) => ({ ...use, ...(await describeProcess(procRoot, use.pid)) })));
    },
  };
}

async function describeProcess(procRoot: string, pid: number): Promise<Omit<GpuProcess, keyof GpuUse>> {
  const read = (name: string): Promise<string | undefined> => readFile(join(procRoot, String(pid), name), 'utf8').catch(() => undefined);
  const [name, commandLine, cgroup] = await Promise.all([read('comm'), read('cmdline'), read('cgroup')]);
  if (name === undefined) return {};
  const words = (commandLine ?? '').split('\0').filter((word) => word !== '');
  const engine = engineOf(words);
  const command = programOf(words);
  return { name: name.trim(), ...(command !== undefined && { command }), ...(engine !== undefined && { engine }), ...placeOfCgroup(cgroup ?? '') };
}

/** A process that renamed itself holds all in one word; what follows a space may be anything. */
const programOf = (words: readonly string[]): string | undefined => basename(words[0]?.split(/\s/)[0] ?? '') || undefined;

/** What stands in the command line of a process that serves: module, script or program, or the title it gave itself. */
const ENGINES: readonly (readonly [string, RegExp])[] = [
  ['vllm', /^VLLM::|(?:^|\/)vllm$|^vllm[.:]/],
  ['sglang', /^sglang::|(?:^|\/)sglang$|^sglang\./],
  ['tensorrt-llm', /(?:^|\/)trtllm-(?:serve|llmapi-launch)$|^tensorrt_llm\b/],
  ['triton', /(?:^|\/)tritonserver$|(?:^|\/)triton_python_backend_stub$/],
  ['tgi', /(?:^|\/)text-generation-(?:server|launcher|router)$/],
  ['llama.cpp', /(?:^|\/)(?:llama-server|llama-cli|llama-box|rpc-server)$|^llama_cpp\b/],
  ['ollama', /(?:^|\/)ollama(?:_llama_server)?$/],
  ['lmdeploy', /(?:^|\/)lmdeploy$|^lmdeploy\./],
  ['mlc-llm', /(?:^|\/)mlc_llm$|^mlc_llm\b/],
];

/** Looked for in the program, its script or module (the first word that is no option) and a title; never in the arguments after them. */
export function engineOf(words: readonly string[]): string | undefined {
  const [program = '', ...rest] = words;
  const heads = [program.split(/\s/)[0], rest.find((word) => !word.startsWith('-'))];
  return heads.flatMap((head) => (head === undefined ? [] : (ENGINES.find(([, pattern]) => pattern.test(head))?.[0] ?? [])))[0];
}

const NAME_COLUMNS = 'gpu_uuid,pid,used_gpu_memory';
const ASK_LIMIT_SECONDS = 20;

/** Asks nvidia-smi: for machines where NVML can't be read directly. It tells no MIG instances. */
export function nvidiaSmiGpuUses({ command = 'nvidia-smi', environment }: { readonly command?: string; readonly environment: NodeJS.ProcessEnv }): AskGpuUses {
  return async () => {
    const { stdout, code, exitCode, timedOut } = await execa(command, [`--query-compute-apps=${NAME_COLUMNS}`, '--format=csv,noheader,nounits'], {
      stdin: 'ignore',
      stderr: 'ignore',
      reject: false,
      env: { ...environment, LC_ALL: 'C' },
      extendEnv: false,
      timeout: ASK_LIMIT_SECONDS * 1000,
      killSignal: 'SIGKILL',
      maxBuffer: 4 * 1024 * 1024,
    });
    if (code === 'ENOENT' || code === 'EACCES') throw new TelemetryError('NVIDIA_SMI_MISSING', `'${command}' can't be run: install the NVIDIA driver's tools.`, 'disable');
    if (timedOut || exitCode !== 0) throw new TelemetryError('NVIDIA_SMI_FAILED', `nvidia-smi ${timedOut ? `did not answer within ${ASK_LIMIT_SECONDS} s` : `ended with exit code ${exitCode}`} when asked for processes.`, 'retry');
    return stdout.split('\n').flatMap((line) => {
      const [device = '', pid = '', memory = ''] = line.split(',').map((cell) => cell.trim());
      if (!device.startsWith('GPU-') || !/^\d+$/.test(pid)) return [];
      return [{ device, pid: Number(pid), ...(/^\d+$/.test(memory) && { memoryMiB: Number(memory) }) }];
    });
  };
}
