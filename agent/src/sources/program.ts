/**
 * Another program, run to its end: never through a shell, never longer than its limit, and killed together with what it
 * started (vendors' tools are often scripts around the real one). It leads a process group of its own for that.
 */
import { seconds, type Seconds } from '@joulebook/shared/units.js';
import { execa } from 'execa';

export type Ran =
  | { readonly kind: 'ended'; readonly exitCode: number; readonly stdout: string; readonly stderr: string }
  /** There is no such program, or it may not be run. */
  | { readonly kind: 'absent' }
  /** It did not end within its limit and was killed. */
  | { readonly kind: 'late'; readonly limit: Seconds };

export interface Run {
  readonly environment: NodeJS.ProcessEnv;
  readonly limit: Seconds;
  readonly signal?: AbortSignal;
}

/** A process the driver holds does not die of SIGKILL; it is not waited for. */
const GONE_MS = 1000;
const MOST_OUTPUT = 64 * 1024 * 1024;

/** Numbers with a decimal point, messages that can be recognised. */
export const plainEnvironment = (environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({ ...environment, LC_ALL: 'C' });

/** Never throws; what a program says of itself goes to either of its outputs. */
export async function runProgram(command: string, args: readonly string[], { environment, limit, signal }: Run): Promise<Ran> {
  if (signal?.aborted) return { kind: 'late', limit: seconds(0) };
  const child = execa(command, [...args], { stdin: 'ignore', reject: false, env: plainEnvironment(environment), extendEnv: false, detached: true, maxBuffer: MOST_OUTPUT, stripFinalNewline: false });
  let late = false;
  let giveUp: (() => void) | undefined;
  const gone = new Promise<undefined>((resolve) => {
    giveUp = () => resolve(undefined);
  });
  let last: NodeJS.Timeout | undefined;
  const stop = (): void => {
    late = true;
    killGroup(child.pid, 'SIGKILL');
    last ??= setTimeout(() => giveUp?.(), GONE_MS);
  };
  const timer = setTimeout(stop, limit * 1000);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const result = await Promise.race([child, gone]);
    if (late || result === undefined) return { kind: 'late', limit };
    if (isAbsent(result.code)) return { kind: 'absent' };
    return { kind: 'ended', exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
  } finally {
    clearTimeout(timer);
    clearTimeout(last);
    signal?.removeEventListener('abort', stop);
    // What a script left running in the background is ended with it.
    killGroup(child.pid, 'SIGKILL');
  }
}

export const isAbsent = (code: string | undefined): boolean => code === 'ENOENT' || code === 'EACCES' || code === 'ENOTDIR';

/** Signals a process that was started as leader of its own group, with all it started. One that is gone is no error. */
export function killGroup(pid: number | undefined, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended.
  }
}

/** What it said to people, in one short line, for a message of ours. */
export function firstWords({ stdout, stderr }: { readonly stdout: string; readonly stderr: string }): string | undefined {
  const line = `${stderr}\n${stdout}`.split('\n').map((each) => each.trim()).find((each) => each !== '');
  return line?.slice(0, 300);
}
