/**
 * `joulebook-agent replay FOLDER | joulebook report -`, as two programs that were built and are called as a user calls them, or
 * in this process, which is ten times as fast, where it is not about the programs.
 */
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { readManifest } from '@joulebook/agent/recording/manifest.js';
import { replay as batchesOf } from '@joulebook/agent/recording/replay.js';
import { run } from '@joulebook/collector/commands/program.js';
import { encodeBatch } from '@joulebook/shared/batch.js';
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

/** What `replayInto` says, without a process for each of the two. */
export async function replayHere(folder: string, reportArgs: readonly string[]): Promise<Report> {
  const batches: string[] = [];
  for await (const batch of batchesOf(await readManifest(folder), {}, () => undefined)) batches.push(`${encodeBatch(batch)}\n`);
  const [stdout, stderr] = [sink(), sink()];
  const exitCode = await run(['report', '-', ...reportArgs, '--format', 'json'], { environment: {}, stdin: Readable.from(batches), stdout: stdout.stream, stderr: stderr.stream, untilStopped: () => Promise.resolve() });
  if (exitCode !== 0) throw new Error(`report ended with ${exitCode}: ${stderr.text()}`);
  return reportSchema.parse(JSON.parse(stdout.text()));
}

function sink(): { readonly stream: Writable; text(): string } {
  const chunks: string[] = [];
  return { stream: new Writable({ decodeStrings: false, write: (chunk: unknown, _, done) => { chunks.push(String(chunk)); done(); } }), text: () => chunks.join('') };
}

export const flagCodes = ({ flags }: Report): string[] => flags.map((flag) => flag.code);
