/** The built programs, called as a user calls them. */
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { reportSchema, type Report } from './report.js';

const bin = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
export const AGENT = bin('agent/bin/joulebook-agent.js');
export const COLLECTOR = bin('collector/bin/joulebook.js');

const quiet = { reject: false, maxBuffer: 256 * 1024 * 1024, env: { JOULEBOOK_TOKEN: undefined } } as const;

export const replay = async (args: readonly string[]) => execa(process.execPath, [AGENT, 'replay', ...args], quiet);
export const report = async (batches: string, args: readonly string[]) => execa(process.execPath, [COLLECTOR, 'report', '-', ...args], { ...quiet, input: batches });

/** `joulebook-agent replay FOLDER … | joulebook report - … --format json`; both must succeed. */
export async function replayInto(folder: string, reportArgs: readonly string[], replayArgs: readonly string[] = []): Promise<Report> {
  const batches = await replay([folder, ...replayArgs]);
  if (batches.exitCode !== 0) throw new Error(`replay ended with ${batches.exitCode}: ${batches.stderr}`);
  const told = await report(batches.stdout, [...reportArgs, '--format', 'json']);
  if (told.exitCode !== 0) throw new Error(`report ended with ${told.exitCode}: ${told.stderr}`);
  return reportSchema.parse(JSON.parse(told.stdout));
}

export const flagCodes = ({ flags }: Report): string[] => flags.map((flag) => flag.code);
