/** For the tests of sources that run a program: stand-ins that are real programs, in a folder that a test puts on PATH. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { instant } from '@joulebook/shared/units.js';
import { NO_BILL } from '../no-bill.testing.js';
import type { LiveContext, LivePower, PowerEvent } from '../source.js';

export interface StandIns {
  readonly directory: string;
  readonly environment: NodeJS.ProcessEnv;
  /** @param code of a CommonJS script; `args` is its command line, `say` prints */
  program(name: string, code: string): string;
  remove(): void;
}

export function standIns(): StandIns {
  const directory = mkdtempSync(join(tmpdir(), 'joulebook-programs-'));
  return {
    directory,
    environment: { PATH: `${directory}${delimiter}${process.env['PATH'] ?? ''}` },
    program(name, code) {
      const file = join(directory, name);
      // Nobody is left behind, should a test be killed.
      writeFileSync(file, `#!${process.execPath}\nconst args = process.argv.slice(2).join(' ');\nconst say = (text) => require('fs').writeSync(1, text);\nsetTimeout(() => process.exit(99), 60000).unref();\n${code}\n`, { mode: 0o755 });
      return file;
    },
    remove: () => rmSync(directory, { recursive: true }),
  };
}

/** What a live source says until enough was said. */
export async function until(source: LivePower, environment: NodeJS.ProcessEnv, enough: (events: readonly PowerEvent[]) => boolean): Promise<PowerEvent[]> {
  const stop = new AbortController();
  const context: LiveContext = { now: () => instant(Date.now() / 1000), environment, signal: stop.signal, log: { info: () => undefined, warn: () => undefined }, bill: NO_BILL };
  const events: PowerEvent[] = [];
  for await (const event of source.events(context)) {
    if (stop.signal.aborted) continue;
    events.push(event);
    if (enough(events)) stop.abort();
  }
  return events;
}

/** `[device, channel's last part, watts or µJ]` of each reading. */
export const values = (events: readonly PowerEvent[]): [device: string, what: string, value: number | bigint][] =>
  events.flatMap((event) => (event.kind === 'reading' ? [[event.channel.device, event.channel.id.split('/').at(-1) ?? '', event.measures === 'power' ? event.power : event.total]] : []));
