/** The process edge: argv, signals, exit code. The only process.exit. */
import { finished } from 'node:stream/promises';
import { run } from './commands/program.js';

const INTERRUPTED = 130;

// What is made here tells who used how much of what: stores, backups and exports are for the user of this process alone.
process.umask(process.umask() | 0o077);

function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const stop = (): void => {
      // Asked twice: whoever waits has waited enough. What was acknowledged is durable.
      if (asked) process.exit(INTERRUPTED);
      asked = true;
      resolve();
    };
    process.on('SIGINT', stop);
    process.once('SIGTERM', resolve);
  });
}

// A reader that has seen enough (`| head`) closes the pipe: that is the end of the work, not a fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const code = await run(process.argv.slice(2), { environment: process.env, stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, untilStopped, onReload: (listener) => process.on('SIGHUP', listener) });
// A pipe is written in the background; leaving at once would cut it short.
process.stdout.end();
await finished(process.stdout).catch(() => undefined);
process.exit(code);
