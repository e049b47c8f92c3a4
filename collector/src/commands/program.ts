/** `joulebook`: argv in, exit code out. */
import { Command, CommanderError } from 'commander';
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { VERSION } from '../version.js';
import { addAlerts } from './alerts.js';
import { addBackup } from './backup.js';
import { addCompare } from './compare.js';
import { addEvidence } from './evidence.js';
import { addExperiment } from './experiment.js';
import { addExport } from './export.js';
import { addLosses } from './losses.js';
import { addOutcomes } from './outcomes.js';
import { addReport } from './report.js';
import { addRetain } from './retain.js';
import { addServe } from './serve.js';
import { addSettingsCommand } from './settings.js';
import { addStatement } from './statement.js';
import type { Surroundings } from './surroundings.js';
import { addSweep } from './sweep.js';
import { addToken } from './token.js';
import { addVerify } from './verify.js';
import { addWaste } from './waste.js';

export const EXIT = { done: 0, failed: 1, usage: 2, problem: 3 } as const;

function programOf(surroundings: Surroundings, onProblem: () => void): Command {
  const program = new Command('joulebook').description('Measured energy joined with tokens: what a token costs in joules, money and carbon.').version(VERSION);
  // Subcommands copy these when they are made, so they come first.
  program.exitOverride().showHelpAfterError('Try --help.').configureOutput({
    writeOut: (text) => surroundings.stdout.write(text),
    writeErr: (text) => surroundings.stderr.write(text),
  });
  addServe(program, surroundings);
  addReport(program, surroundings);
  addCompare(program, surroundings, onProblem);
  addExperiment(program, surroundings);
  addSweep(program, surroundings);
  addWaste(program, surroundings);
  addStatement(program, surroundings);
  addEvidence(program, surroundings);
  addExport(program, surroundings);
  addRetain(program, surroundings);
  addBackup(program, surroundings);
  addToken(program, surroundings);
  addLosses(program, surroundings);
  addOutcomes(program, surroundings);
  addVerify(program, surroundings, onProblem);
  addAlerts(program, surroundings, onProblem);
  addSettingsCommand(program, surroundings);
  return program;
}

/** Never throws for what a user or a machine can do wrong; only for faults of the program. */
export async function run(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  try {
    let problem = false;
    await programOf(surroundings, () => (problem = true)).parseAsync(argv, { from: 'user' });
    return problem ? EXIT.problem : EXIT.done;
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
