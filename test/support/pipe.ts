/**
 * `joulebook-agent replay FOLDER | joulebook report -`, as two programs that were built and are called as a user calls them, or
 * in this process, which is ten times as fast, where it is not about the programs.
 */
import { fileURLToPath } from 'node:url';
import { readManifest } from '@joulebook/agent/recording/manifest.js';
import { replay as batchesOf } from '@joulebook/agent/recording/replay.js';
import { said } from '@joulebook/collector/commands/program.testing.js';
import { encodeBatch } from '@joulebook/shared/batch.js';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { execa } from 'execa';
import { reportSchema, type Report } from './report.js';

const bin = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
export const AGENT = bin('agent/bin/joulebook-agent.js');
export const COLLECTOR = bin('collector/bin/joulebook.js');

const quiet = { reject: false, maxBuffer: 256 * 1024 * 1024, env: { JOULEBOOK_TOKEN: undefined } } as const;

export const replay = async (args: readonly string[]) => execa(process.execPath, [AGENT, 'replay', ...args], quiet);
export const report = async (batches: string, args: readonly string[]) => execa(process.execPath, [COLLECTOR, 'report', '-', ...args], { ...quiet, input: batches });

/** `joulebook-agent replay FOLDER …`, which must succeed. */
export async function replayed(folder: string, args: readonly string[] = []): Promise<string> {
  const { exitCode, stdout, stderr } = await replay([folder, ...args]);
  if (exitCode !== 0) throw new Error(`replay ended with ${exitCode}: ${stderr}`);
  return stdout;
}

/** `joulebook report - … --format json`, which must succeed. */
export async function reported(batches: string, args: readonly string[]): Promise<Report> {
  const { exitCode, stdout, stderr } = await report(batches, [...args, '--format', 'json']);
  if (exitCode !== 0) throw new Error(`report ended with ${exitCode}: ${stderr}`);
  return reportSchema.parse(JSON.parse(stdout));
}

export const replayInto = async (folder: string, reportArgs: readonly string[]): Promise<Report> => reported(await replayed(folder), reportArgs);

export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What `report` says, without a process for it. */
export async function reportHere(batches: string, args: readonly string[]): Promise<Ended> {
  const { code, out, err } = await said(['report', '-', ...args], { stdin: batches });
  return { exitCode: code, stdout: out, stderr: err };
}

/** What `replay FOLDER` ends with, without a process for it: the exit code and sentences that its program has for each kind of error. */
export async function replayEndsHere(folder: string): Promise<Ended> {
  let stdout = '';
  try {
    for await (const batch of batchesOf(await readManifest(folder), {}, () => undefined)) stdout += `${encodeBatch(batch)}\n`;
    return { exitCode: 0, stdout, stderr: '' };
  } catch (error) {
    if (error instanceof UsageError) return { exitCode: 2, stdout, stderr: error.faults.join('\n') };
    if (error instanceof TelemetryError) return { exitCode: 1, stdout, stderr: error.message };
    throw error;
  }
}

/** What `replayInto` says, without a process for each of the two. */
export async function replayHere(folder: string, reportArgs: readonly string[]): Promise<Report> {
  const batches = await replayEndsHere(folder);
  if (batches.exitCode !== 0) throw new Error(`replay ended with ${batches.exitCode}: ${batches.stderr}`);
  const { exitCode, stdout, stderr } = await reportHere(batches.stdout, [...reportArgs, '--format', 'json']);
  if (exitCode !== 0) throw new Error(`report ended with ${exitCode}: ${stderr}`);
  return reportSchema.parse(JSON.parse(stdout));
}

export const flagCodes = ({ flags }: Report): string[] => flags.map((flag) => flag.code);
