import { sampleFile } from '@joulebook/shared/sample.js';
import { Command } from 'commander';
import { agentSettings } from '../settings.js';

const HEAD = [
  'agent.yaml: every setting of joulebook-agent, printed by `joulebook-agent settings`.',
  'A line that begins with #name is what holds where nothing is said. Precedence: flag, environment, this file, default.',
  'SIGHUP (systemctl reload joulebook-agent) reads it again; dataDir and metrics… need a restart.',
];
/** Where its systemd unit lets it write, and where it is asked how it is. */
const AS_SERVICE = { dataDir: '/var/lib/joulebook-agent', metricsListen: '127.0.0.1:9841' };

export function settingsCommand(): Command {
  return new Command('settings').summary('print a file of all settings').description('Prints a settings file for the agent as a service: every setting with what it is and its default.').action(() => {
    process.stdout.write(sampleFile(agentSettings, HEAD, AS_SERVICE));
  });
}
