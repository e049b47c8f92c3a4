import type { Command } from 'commander';
import { SERVED, type CollectorSettings } from '../settings.js';
import { addSettings, readSettings } from './options.js';
import type { Surroundings } from './surroundings.js';

export function addServe(program: Command, surroundings: Surroundings): void {
  const command = program.command('serve').description('the collector: takes batches from agents; serves the page, figures and /metrics. SIGHUP: reads settings and certificates again, and says what needs a restart');
  addSettings(command, SERVED);
  command.action(async (flags: Record<string, unknown>) => {
    const load = (): Promise<CollectorSettings> => readSettings(flags, surroundings.environment);
    const settings = await load();
    // Half of what starting costs; a report needs none of it.
    const [{ pino }, { startCollector }, { reloader }] = await Promise.all([import('pino'), import('../collector.js'), import('../reload.js')]);
    const log = pino({ level: settings.logLevel, base: null }, surroundings.stderr);
    const collector = await startCollector(settings, { log });
    surroundings.stderr.write(`Joulebook is at ${collector.address}/ (store ${settings.store}).\n`);
    surroundings.onReload?.(reloader(load, collector, log));
    await surroundings.untilStopped();
    await collector.close();
    surroundings.stderr.write('Stopped; the store is closed.\n');
  });
}
