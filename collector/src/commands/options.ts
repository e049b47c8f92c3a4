/** Command-line options of settings, made from their declarations. */
import { Option, type Command } from 'commander';
import { environmentName, loadSettings } from '@joulebook/shared/settings.js';
import { SETTINGS, type CollectorSettings } from '../settings.js';

const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** What to read in help after each flag. */
const OPERANDS: Readonly<Record<keyof CollectorSettings, string>> = {
  tokenFolder: 'DIR', tlsCert: 'FILE', tlsKey: 'FILE', tlsClientCa: 'FILE', tlsClientCertificate: 'required|optional', batchesPerMinute: 'COUNT', requestsPerMinute: 'COUNT', refusalsPerMinute: 'COUNT', headerTimeout: 'DURATION',
  collectorCa: 'FILE', collectorCert: 'FILE', collectorKey: 'FILE',
  store: 'FILE|URL', storeToken: 'TOKEN', listen: 'HOST:PORT', token: 'TOKEN', maxBodyBytes: 'BYTES', maxInflatedBytes: 'BYTES', maxWaitingBytes: 'BYTES', maxSlices: 'COUNT', maxLabels: 'COUNT', maxSeries: 'COUNT', maxAge: 'DURATION', retentionRaw: 'DURATION', retentionMinute: 'DURATION', retentionHour: 'DURATION', rollUpSchedule: 'CRON', retainSchedule: 'CRON', price: 'USD/kWh', pue: 'FACTOR', carbon: 'g/kWh', logLevel: 'LEVEL',
};

function defaultOf(name: keyof CollectorSettings): string {
  const text: Partial<Record<keyof CollectorSettings, string>> = { store: './data/joulebook.duckdb', listen: '127.0.0.1:9840', logLevel: 'info', retentionRaw: '14d', retentionMinute: '400d', retentionHour: 'forever', rollUpSchedule: '* * * * *', retainSchedule: '20 3 * * *' };
  return text[name] === undefined ? '' : `, default ${text[name]}`;
}

/** What every command needs that asks a running collector. */
export const TO_COLLECTOR = ['token', 'collectorCa', 'collectorCert', 'collectorKey'] as const satisfies readonly (keyof CollectorSettings)[];

export function addSettings(command: Command, names: readonly (keyof CollectorSettings)[]): void {
  command.option('--config <FILE>', 'settings as YAML');
  for (const name of names) {
    command.addOption(new Option(`${flagOf(name)} <${OPERANDS[name]}>`, `${SETTINGS[name].description} (${environmentName(name)}${defaultOf(name)})`));
  }
}

/** @throws UsageError with every fault */
export async function readSettings(flags: Readonly<Record<string, unknown>>, environment: NodeJS.ProcessEnv): Promise<CollectorSettings> {
  const file = flags['config'];
  return loadSettings(SETTINGS, { flags, environment, file: typeof file === 'string' ? file : undefined });
}
