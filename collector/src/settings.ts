/** Every setting of `joulebook`, declared once: flags, environment, file, help and documentation come from here. */
import { validate } from 'node-cron';
import { z } from 'zod';
import { UsageError } from '@joulebook/shared/errors.js';
import { isLoopback, listen } from '@joulebook/shared/listen.js';
import { duration, setting, type Values } from '@joulebook/shared/settings.js';

/** Settings come as numbers from a file and as text from elsewhere; an empty text is no number, though Number('') is 0. */
function amount(least: number, integer = false) {
  return z.union([z.number(), z.string()]).transform((value, context) => {
    const parsed = typeof value === 'number' ? value : /^\d*\.?\d+(e[+-]?\d+)?$/i.test(value.trim()) ? Number(value) : Number.NaN;
    if (parsed >= least && (!integer || Number.isSafeInteger(parsed))) return parsed;
    context.addIssue(`'${value}' is not a ${integer ? 'whole ' : ''}number of at least ${least}`);
    return z.NEVER;
  });
}

/** Seconds; null: for ever. */
const keptFor = z.union([z.literal('forever').transform(() => null), duration.refine((length) => length >= 3600, 'must be at least 1h, or forever')]);

/** Minute, hour, day of month, month, day of week, in UTC. */
const schedule = z.string().refine((text) => validate(text), "is no cron expression like '20 3 * * *'");

const MIB = 1024 * 1024;

export const SETTINGS = {
  store: setting(z.string().min(1).default('./data/joulebook.duckdb'), 'file of the embedded store, :memory: to keep nothing (of serve only), or http(s)://HOST:PORT?bucket=NAME&org=NAME of an InfluxDB or VictoriaMetrics, which several collectors may share'),
  storeToken: setting(z.string().min(1).optional(), 'token for a store that is a server', { secret: true }),
  listen: setting(listen.prefault('127.0.0.1:9840'), 'host:port to serve on; port 0 takes a free one'),
  token: setting(z.string().min(1).optional(), 'a token that may do everything: of `serve` the one to accept beside those that `joulebook token create` makes, of other commands the one to present', { secret: true }),
  tokenFolder: setting(z.string().min(1).optional(), 'folder of the tokens with scopes; beside the file of the store (FILE.tokens) where not said'),
  tlsCert: setting(z.string().min(1).optional(), 'certificate of the collector (PEM, with the chain): serves HTTPS'),
  tlsKey: setting(z.string().min(1).optional(), 'its key (PEM)'),
  tlsClientCa: setting(z.string().min(1).optional(), 'CA of the certificates that clients show (PEM); the names in a certificate are the nodes that it may write for'),
  tlsClientCertificate: setting(z.enum(['required', 'optional']).default('required'), 'whether a client has to show a certificate, where tlsClientCa is set'),
  batchesPerMinute: setting(amount(1, true).prefault(60_000), 'most batches a minute of one token from one address; more are told to come back'),
  requestsPerMinute: setting(amount(1, true).prefault(1200), 'most other requests a minute of one token from one address'),
  refusalsPerMinute: setting(amount(1, true).prefault(30), 'requests a minute of one address that may come without a token that is known; to more the answer is 429'),
  headerTimeout: setting(duration.prefault('10s'), 'how long a client may take to send the headers of a request'),
  bodyTimeout: setting(duration.refine((length) => length > 0 && length <= 3600, 'must be more than 0 and at most 1h').prefault('30s'), 'how long the body of a batch may take to arrive'),
  collectorCa: setting(z.string().min(1).optional(), 'CA of the certificate of --collector (PEM), where the system does not know it'),
  collectorCert: setting(z.string().min(1).optional(), 'certificate to show to --collector (PEM)'),
  collectorKey: setting(z.string().min(1).optional(), 'its key (PEM)'),
  maxBodyBytes: setting(amount(1024, true).prefault(8 * MIB), 'largest body of one batch, as sent'),
  maxInflatedBytes: setting(amount(1024, true).prefault(64 * MIB), 'largest batch after decompression'),
  maxWaitingBytes: setting(amount(1024, true).prefault(256 * MIB), 'memory for batches that were begun and not yet stored; beyond it agents are told to come back'),
  maxSlices: setting(amount(1, true).prefault(100_000), 'most slices of one batch'),
  maxLabels: setting(amount(0, true).prefault(32), 'most labels of one slice'),
  maxSeries: setting(amount(1, true).prefault(50_000), 'most different series (device, phase, deployment, model, tenant, labels …) of one node in a day'),
  maxAge: setting(duration.optional(), 'facts that are older are refused, e.g. 400d; without it they are taken however old'),
  retentionRaw: setting(keptFor.prefault('14d'), 'how long facts are kept as agents sent them: 30d or forever; older ones are left as sums by minute, hour and day'),
  retentionMinute: setting(keptFor.prefault('400d'), 'how long sums by minute are kept'),
  retentionHour: setting(keptFor.prefault('forever'), 'how long sums by hour and day are kept'),
  rollUpSchedule: setting(schedule.default('* * * * *'), 'when facts are summed by minute, hour and day: a cron expression, UTC'),
  retainSchedule: setting(schedule.default('20 3 * * *'), 'when what is too old is deleted: a cron expression, UTC; begins up to 10 min later'),
  ratesSchedule: setting(schedule.default('*/15 * * * *'), 'when the providers that the book names are asked for the intensity of the grid: a cron expression, UTC'),
  ratesFolder: setting(z.string().min(1).optional(), 'folder of what they have told; beside the file of the store (FILE.rates) where not said'),
  alertSchedule: setting(schedule.default('* * * * *'), 'when budgets, targets and alerts of the book are looked at: a cron expression, UTC'),
  alertFolder: setting(z.string().min(1).optional(), 'folder of what fires and who was told; beside the file of the store (FILE.alerts) where not said'),
  statementFolder: setting(z.string().min(1).optional(), 'folder to write the statement of each month and the review of each week to (docs/statements.md); without it none is written'),
  statementSchedule: setting(schedule.default('0 6 * * *'), 'when it is looked whether one is due: a cron expression, UTC'),
  book: setting(z.string().min(1).optional(), 'file of tariffs, PUE, carbon, other costs, latency targets, outcomes (YAML, docs/money.md), budgets and alerts (docs/alerts.md)'),
  price: setting(amount(0).optional(), 'money per kWh at all times, in place of the tariffs of the book; without either no costs are given'),
  pue: setting(amount(1).optional(), 'power usage effectiveness of the facility, in place of that of the book; multiplies costs and carbon; 1 where not said'),
  carbon: setting(amount(0).optional(), 'g CO2e per kWh of the grid, in place of that of the book; without either no carbon is given'),
  logLevel: setting(z.enum(['silent', 'error', 'warn', 'info', 'debug', 'trace']).default('info'), 'how much is logged on stderr'),
};
export type CollectorSettings = Values<typeof SETTINGS>;

/** What `serve` takes. */
export const SERVED = [
  'store', 'storeToken', 'listen', 'token', 'tokenFolder', 'tlsCert', 'tlsKey', 'tlsClientCa', 'tlsClientCertificate', 'batchesPerMinute', 'requestsPerMinute', 'refusalsPerMinute', 'headerTimeout', 'bodyTimeout', 'maxBodyBytes', 'maxInflatedBytes', 'maxWaitingBytes',
  'maxSlices', 'maxLabels', 'maxSeries', 'maxAge', 'retentionRaw', 'retentionMinute', 'retentionHour', 'rollUpSchedule', 'retainSchedule', 'ratesSchedule', 'ratesFolder', 'alertSchedule', 'alertFolder', 'statementFolder', 'statementSchedule', 'book', 'price', 'pue', 'carbon', 'logLevel',
] as const satisfies readonly (keyof CollectorSettings)[];
/** What a running collector takes over when it reads its settings again: these are read where they are used. */
export const RELOADED = [
  'batchesPerMinute', 'requestsPerMinute', 'refusalsPerMinute', 'maxInflatedBytes', 'maxSlices', 'maxLabels', 'maxSeries', 'maxAge', 'retentionRaw', 'retentionMinute', 'retentionHour', 'rollUpSchedule', 'retainSchedule', 'ratesSchedule', 'alertSchedule', 'book', 'price', 'pue', 'carbon', 'logLevel',
] as const satisfies readonly (typeof SERVED)[number][];

const isLocalStore = (store: string): boolean => !/^(?::memory:|[a-z][a-z0-9+.-]*:\/\/.*)$/is.test(store);

/** Beside a store that is a file; undefined where there is no such place and none is named. */
export const tokenFolderOf = ({ tokenFolder, store }: Pick<CollectorSettings, 'tokenFolder' | 'store'>): string | undefined => tokenFolder ?? (isLocalStore(store) ? `${store}.tokens` : undefined);

/** Likewise. */
export const ratesFolderOf = ({ ratesFolder, store }: Pick<CollectorSettings, 'ratesFolder' | 'store'>): string | undefined => ratesFolder ?? (isLocalStore(store) ? `${store}.rates` : undefined);

export const alertFolderOf = ({ alertFolder, store }: Pick<CollectorSettings, 'alertFolder' | 'store'>): string | undefined => alertFolder ?? (isLocalStore(store) ? `${store}.alerts` : undefined);

/**
 * Faults between settings.
 * @param closed whether everybody has to say who they are
 * @throws UsageError
 */
export function checkServing({ listen: { host } }: CollectorSettings, closed: boolean): void {
  if (!closed && !isLoopback(host)) {
    throw new UsageError([`listen: ${host} can be reached by others; set a token (joulebook token create, or JOULEBOOK_TOKEN) or listen on 127.0.0.1`]);
  }
}
