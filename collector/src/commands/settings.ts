import type { Command } from 'commander';
import { sampleFile } from '@joulebook/shared/sample.js';
import { RELOADED, SETTINGS } from '../settings.js';
import type { Surroundings } from './surroundings.js';

const HEAD = [
  'collector.yaml: every setting of joulebook, printed by `joulebook settings`.',
  'A line that begins with #name is what holds where nothing is said. Precedence: flag, environment, this file, default.',
  `SIGHUP (systemctl reload joulebook-collector) reads certificates and this file again. These hold at once: ${RELOADED.join(', ')}.`,
  'All else needs a restart, and the log says so. Tokens need neither.',
];
/** Where its systemd unit lets it write. */
const AS_SERVICE = { store: '/var/lib/joulebook/joulebook.duckdb' };

export function addSettingsCommand(program: Command, { stdout }: Surroundings): void {
  program.command('settings').description('prints a settings file for the collector as a service: every setting with what it is and its default').action(() => {
    stdout.write(sampleFile(SETTINGS, HEAD, AS_SERVICE));
  });
}
