/** Command-line options of settings, made from their declarations. */
import { Option, type Command } from 'commander';
import { UsageError } from '@joulebook/shared/errors.js';
import { defaultText } from '@joulebook/shared/sample.js';
import { environmentName, flagName, loadSettings } from '@joulebook/shared/settings.js';
import { SETTINGS, type CollectorSettings } from '../settings.js';

/** What to read in help after each flag. */
const OPERANDS: Readonly<Record<keyof CollectorSettings, string>> = {
  tokenFolder: 'DIR', tlsCert: 'FILE', tlsKey: 'FILE', tlsClientCa: 'FILE', tlsClientCertificate: 'required|optional', batchesPerMinute: 'COUNT', requestsPerMinute: 'COUNT', refusalsPerMinute: 'COUNT', headerTimeout: 'DURATION', bodyTimeout: 'DURATION',
  collectorCa: 'FILE', collectorCert: 'FILE', collectorKey: 'FILE',
  store: 'FILE|URL', storeToken: 'TOKEN', listen: 'HOST:PORT', token: 'TOKEN', maxBodyBytes: 'BYTES', maxInflatedBytes: 'BYTES', maxWaitingBytes: 'BYTES', maxSlices: 'COUNT', maxLabels: 'COUNT', maxSeries: 'COUNT', maxAge: 'DURATION', retentionRaw: 'DURATION', retentionMinute: 'DURATION', retentionHour: 'DURATION', rollUpSchedule: 'CRON', retainSchedule: 'CRON', ratesSchedule: 'CRON', ratesFolder: 'DIR', alertSchedule: 'CRON', alertFolder: 'DIR', statementFolder: 'DIR', statementSchedule: 'CRON', book: 'FILE', price: 'MONEY/kWh', pue: 'FACTOR', carbon: 'g/kWh', logLevel: 'LEVEL',
};

function defaultOf(name: keyof CollectorSettings): string {
  const text = defaultText(SETTINGS[name]);
  return text === undefined ? '' : `, default ${text}`;
}

/** What every command needs that asks a running collector. */
export const TO_COLLECTOR = ['token', 'collectorCa', 'collectorCert', 'collectorKey'] as const satisfies readonly (keyof CollectorSettings)[];

export function addSettings(command: Command, names: readonly (keyof CollectorSettings)[]): void {
  command.option('--config <FILE>', 'settings as YAML');
  for (const name of names) {
    command.addOption(new Option(`${flagName(name)} <${OPERANDS[name]}>`, `${SETTINGS[name].description} (${environmentName(name)}${defaultOf(name)})`));
  }
}

/** @throws UsageError with every fault */
export async function readSettings(flags: Readonly<Record<string, unknown>>, environment: NodeJS.ProcessEnv): Promise<CollectorSettings> {
  const file = flags['config'];
  return loadSettings(SETTINGS, { flags, environment, file: typeof file === 'string' ? file : undefined });
}

/** Keeps what `work` finds wrong beside what was found already, so that all is told at once. */
export async function keep<T>(faults: string[], work: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    faults.push(...error.faults);
    return undefined;
  }
}
