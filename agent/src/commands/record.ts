import { systemClock } from '@joulebook/shared/clock.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { loadSettings, parseDuration } from '@joulebook/shared/settings.js';
import { seconds } from '@joulebook/shared/units.js';
import { Command } from 'commander';
import { bill } from '../bill/bill.js';
import { openSources } from '../configured.js';
import { record } from '../recording/record.js';
import { deadline } from '../schedule/signals.js';
import { agentSettings } from '../settings.js';
import { logTo, stopSignal } from './process.js';

export function recordCommand(): Command {
  return new Command('record')
    .summary('keep raw readings and evidence for replay')
    .description('Keeps the raw readings of the sensors and what the engine did (counts, times and labels; no text) in a folder that `replay` reads.')
    .argument('<DIR>', 'folder to make; it must not hold a recording yet')
    .option('--for <DURATION>', 'stop after this long (default: until Ctrl-C)')
    .option('--config <FILE>', 'settings (YAML)')
    .action(recordTo);
}

async function recordTo(folder: string, flags: { for?: string; config?: string }): Promise<void> {
  const length = flags.for === undefined ? undefined : parseDuration(flags.for);
  if (flags.for !== undefined && (length === undefined || length <= 0)) throw new UsageError([`--for: '${flags.for}' is not a duration; write 90s or 10m`]);
  const settings = await loadSettings(agentSettings, { environment: process.env, file: flags.config });
  const stop = stopSignal();
  const signal = length === undefined ? stop : deadline(stop, seconds(length));
  const log = logTo(settings.logLevel);
  const sources = await openSources(settings, log);
  const kept = await record({ ...sources, node: settings.node, site: settings.site, folder, clock: systemClock, environment: process.env, log, bill: bill(process), progress: process.stderr.isTTY ? process.stderr : undefined }, signal);
  process.stderr.write(`${kept.readings} readings and ${kept.evidence} pieces of evidence are in ${folder}; replay them with: joulebook-agent replay ${folder}\n`);
}
