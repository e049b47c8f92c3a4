/** The process's edge: argv, signals, exit codes. The only place that exits. */
import { TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { Command, CommanderError } from 'commander';
import { doctorCommand } from './commands/doctor.js';
import { recordCommand } from './commands/record.js';
import { replayCommand } from './commands/replay.js';
import { runCommand } from './commands/run.js';
import { settingsCommand } from './commands/settings.js';
import { simulateCommand } from './commands/simulate.js';
import { AGENT_VERSION } from './version.js';

const BAD_USAGE = 2;

// `joulebook-agent replay … | head` is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const program = new Command('joulebook-agent')
  .description('Measures what a GPU server draws and what it was drawn for, and ships it to a collector.')
  .version(AGENT_VERSION)
  .configureHelp({ sortSubcommands: false })
  .exitOverride();
for (const command of [runCommand(), doctorCommand(), replayCommand(), recordCommand(), simulateCommand(), settingsCommand()]) program.addCommand(command.exitOverride());

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** A child or a socket that does not end by itself must not keep a stopped agent alive. */
const LINGER_MS = 2000;
setTimeout(() => process.exit(), LINGER_MS).unref();

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : BAD_USAGE;
  if (error instanceof UsageError) {
    for (const fault of error.faults) process.stderr.write(`joulebook-agent: ${fault}\n`);
    return BAD_USAGE;
  }
  if (error instanceof TelemetryError) process.stderr.write(`joulebook-agent: ${error.message}\n`);
  else process.stderr.write(`joulebook-agent: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}
