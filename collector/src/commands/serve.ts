import type { Command } from 'commander';
import { addSettings, readSettings } from './options.js';
import type { Surroundings } from './surroundings.js';

export function addServe(program: Command, surroundings: Surroundings): void {
  const command = program.command('serve').description('the collector: takes batches from agents; serves the page, figures and /metrics');
  addSettings(command, ['store', 'storeToken', 'listen', 'token', 'tokenFolder', 'tlsCert', 'tlsKey', 'tlsClientCa', 'tlsClientCertificate', 'batchesPerMinute', 'requestsPerMinute', 'refusalsPerMinute', 'headerTimeout', 'maxBodyBytes', 'maxInflatedBytes', 'maxWaitingBytes', 'maxSlices', 'maxLabels', 'maxSeries', 'maxAge', 'retentionRaw', 'retentionMinute', 'retentionHour', 'rollUpSchedule', 'retainSchedule', 'price', 'pue', 'carbon', 'logLevel']);
  command.action(async (flags: Record<string, unknown>) => {
    const settings = await readSettings(flags, surroundings.environment);
    // Half of what starting costs; a report needs none of it.
    const [{ pino }, { startCollector }] = await Promise.all([import('pino'), import('../collector.js')]);
    const log = pino({ level: settings.logLevel, base: null }, surroundings.stderr);
    const collector = await startCollector(settings, { log });
    surroundings.stderr.write(`Joulebook is at ${collector.address}/ (store ${settings.store}).\n`);
    surroundings.onReload?.(() => void collector.reload());
    await surroundings.untilStopped();
    await collector.close();
    surroundings.stderr.write('Stopped; the store is closed.\n');
  });
}
