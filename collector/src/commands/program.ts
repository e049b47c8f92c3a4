/** `joulebook`: argv in, exit code out. */
import { Command, CommanderError } from 'commander';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { VERSION } from '../version.js';
import { addReport } from './report.js';
import { addServe } from './serve.js';
import type { Surroundings } from './surroundings.js';

export const EXIT = { done: 0, failed: 1, usage: 2 } as const;

function programOf(surroundings: Surroundings): Command {
  const program = new Command('joulebook').description('Measured energy joined with tokens: what a token costs in joules, money and carbon.').version(VERSION);
  // Subcommands copy these when they are made, so they come first.
  program.exitOverride().showHelpAfterError('Try --help.').configureOutput({
    writeOut: (text) => surroundings.stdout.write(text),
    writeErr: (text) => surroundings.stderr.write(text),
  });
  addServe(program, surroundings);
  addReport(program, surroundings);
  return program;
}

/** Never throws for what a user or a machine can do wrong; only for faults of the program. */
export async function run(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  try {
    await programOf(surroundings).parseAsync(argv, { from: 'user' });
    return EXIT.done;
  } catch (error) {
    // Commander has said its piece already; help and version are no faults.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (error instanceof UsageError) {
      for (const fault of error.faults) surroundings.stderr.write(`joulebook: ${fault}\n`);
      return EXIT.usage;
    }
    if (!(error instanceof TelemetryError)) throw error;
    surroundings.stderr.write(`joulebook: ${error.message}\n`);
    return EXIT.failed;
  }
}
