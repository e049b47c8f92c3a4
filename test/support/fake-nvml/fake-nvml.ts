/**
 * The fake libnvidia-ml.so.1 (fake-nvml.c says what it shows and which knobs it has), compiled where it is needed.
 * Each copy has its own state: the loader knows a library by its file.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa, execaSync } from 'execa';

/** Compiled tests stand in dist, the C beside the sources. */
const sourceOf = (name: string): string => {
  const beside = new URL(name, import.meta.url);
  return fileURLToPath(existsSync(beside) ? beside : new URL(`../../../support/fake-nvml/${name}`, import.meta.url));
};

/** Why the fakes can't be built here, for the name of a test that skips; undefined where they can. */
export const withoutCompiler: string | undefined = execaSync('gcc', ['--version'], { reject: false, timeout: 10_000 }).exitCode === 0 ? undefined : 'gcc is not installed';

/** Compiles once per version of the source. @returns the path of the result */
async function compiled(name: string, flags: readonly string[]): Promise<string> {
  const source = sourceOf(name);
  const version = createHash('sha256').update(readFileSync(source)).update(flags.join(' ')).digest('hex').slice(0, 16);
  const folder = join(tmpdir(), `joulebook-fakes-${process.getuid?.() ?? 0}`);
  const file = join(folder, `${name}-${version}`);
  if (existsSync(file)) return file;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const unfinished = `${file}.${process.pid}`;
  await execa('gcc', ['-O2', '-Wall', ...flags, '-o', unfinished, source, '-lm'], { timeout: 60_000 });
  await rename(unfinished, file);
  return file;
}

export interface FakeNvml {
  /** The path for option `library`. */
  readonly library: string;
  /** For a manual clock: it is so many milliseconds since the start now. */
  at(millis: number): Promise<void>;
  /** What a process that loads the library must have in its environment. */
  readonly environment: Readonly<Record<string, string>>;
  remove(): Promise<void>;
}

/** @param knobs without their prefix, e.g. `{ DEVICES: 2 }`; `{ CLOCK: 'manual' }` makes time stand still until `at` is called */
export async function fakeNvml(knobs: Readonly<Record<string, string | number>> = {}): Promise<FakeNvml> {
  const folder = await mkdtemp(join(tmpdir(), 'fake-nvml-'));
  const library = join(folder, 'libnvidia-ml.so.1');
  await copyFile(await compiled('fake-nvml.c', ['-shared', '-fPIC']), library);
  const clock = join(folder, 'clock');
  await writeFile(clock, '0');
  const said: Readonly<Record<string, string | number>> = { ...knobs, ...(knobs['CLOCK'] !== undefined && { CLOCK: clock }) };
  return {
    library,
    environment: Object.fromEntries(Object.entries(said).map(([name, value]) => [`FAKE_NVML_${name}`, String(value)])),
    at: (millis) => writeFile(clock, String(millis)),
    remove: () => rm(folder, { recursive: true }),
  };
}

const FAKE_GPUS = 8;

/**
 * An `nvidia-smi` that costs FAKE_SMI_CPU_MS of CPU time to start and shows eight boards, and the `lspci` without which
 * systeminformation does not ask it. @returns the folder to put first in PATH
 */
export async function fakeNvidiaSmiFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fake-nvidia-smi-'));
  await copyFile(await compiled('fake-nvidia-smi.c', []), join(folder, 'nvidia-smi'));
  const slots = Array.from({ length: FAKE_GPUS }, (_, gpu) => `${(0x10 + gpu).toString(16)}:00.0 3D controller: NVIDIA Corporation GH100 [H100 SXM5 80GB] (rev a1)\n\tSubsystem: NVIDIA Corporation Device 16c1\n`);
  await writeFile(join(folder, 'lspci'), `#!/bin/sh\ncat <<'END'\n${slots.join('\n')}END\n`, { mode: 0o755 });
  return folder;
}

/** µJ that board 0 truly drew between two moments, for levels in whole mW and times in whole ms. */
export function trueMicrojoules({ low, high, periodMillis }: { low: number; high: number; periodMillis: number }, from: number, to: number): bigint {
  const half = periodMillis / 2;
  const until = (at: number): bigint => {
    const rest = at % periodMillis;
    const inWave = rest < half ? rest * high : half * high + (rest - half) * low;
    return BigInt((at - rest) / periodMillis) * BigInt(half * (high + low)) + BigInt(inWave);
  };
  return until(to) - until(from);
}
