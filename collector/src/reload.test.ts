/** Every setting that `serve` takes, changed while it runs: none changes nothing without a word. */
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { loadSettings } from '@joulebook/shared/settings.js';
import { takeOver } from './reload.js';
import { RELOADED, SERVED, SETTINGS, type CollectorSettings } from './settings.js';

const line = z.object({ level: z.number(), msg: z.string(), settings: z.unknown().optional() });
const SECRET = 'a-secret-of-somebody';

/** Another value of each setting than its default, as a file says it. */
const OTHER: Readonly<Record<(typeof SERVED)[number], string>> = {
  store: '/elsewhere/store.duckdb', storeToken: SECRET, listen: '127.0.0.1:1', token: SECRET, tokenFolder: '/elsewhere/tokens', tlsCert: '/elsewhere/tls.pem', tlsKey: '/elsewhere/tls.key', tlsClientCa: '/elsewhere/ca.pem', tlsClientCertificate: 'optional',
  batchesPerMinute: '7', requestsPerMinute: '7', refusalsPerMinute: '7', headerTimeout: '7s', bodyTimeout: '7s', maxBodyBytes: '7777', maxInflatedBytes: '7777', maxWaitingBytes: '7777', maxSlices: '7', maxLabels: '7', maxSeries: '7', maxAge: '7d',
  retentionRaw: '7d', retentionMinute: '7d', retentionHour: '7d', rollUpSchedule: '7 * * * *', retainSchedule: '7 7 * * *', ratesSchedule: '*/7 * * * *', ratesFolder: '/elsewhere/rates', alertSchedule: '*/7 * * * *', alertFolder: '/elsewhere/alerts', statementFolder: '/elsewhere/statements', statementSchedule: '7 7 * * *', book: 'seven.yaml', price: '7', pue: '7', carbon: '7', logLevel: 'debug',
};

interface Reloaded {
  readonly before: CollectorSettings;
  readonly running: CollectorSettings;
  readonly next: CollectorSettings;
  readonly taken: readonly string[];
  readonly lines: readonly z.infer<typeof line>[];
  readonly text: string;
}

async function reloaded(name: (typeof SERVED)[number]): Promise<Reloaded> {
  const text: string[] = [];
  const log = pino({ level: 'info' }, { write: (each: string) => void text.push(each) });
  const [before, running, next] = await Promise.all([loadSettings(SETTINGS, {}), loadSettings(SETTINGS, {}), loadSettings(SETTINGS, { flags: { [name]: OTHER[name] } })]);
  expect(next[name]).not.toEqual(before[name]);
  return { before, running, next, taken: takeOver(running, next, log), lines: text.map((each) => line.parse(JSON.parse(each))), text: text.join('') };
}

it.each(RELOADED)('%s holds from now on, and is told', async (name) => {
  const { running, next, taken, lines } = await reloaded(name);
  expect([taken, running[name]]).toEqual([[name], next[name]]);
  expect(lines).toMatchObject([{ settings: { [name]: next[name] }, msg: expect.stringContaining('goes on with them') as unknown }]);
});

it.each(SERVED.filter((name) => !RELOADED.some((each) => each === name)))('%s is named as what needs a restart, without its value', async (name) => {
  const { before, running, taken, lines, text } = await reloaded(name);
  expect([taken, running[name]]).toEqual([[], before[name]]);
  expect(lines).toMatchObject([{ level: 40, settings: [name], msg: `${name} changed: restart to apply; until then what was set before holds` }, { msg: expect.stringContaining('nothing has changed') as unknown }]);
  expect(text).not.toContain(SECRET);
});
