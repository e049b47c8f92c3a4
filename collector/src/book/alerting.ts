/**
 * What a book says of budgets, targets and alerts, and whom to tell:
 *
 *     budgets:
 *       - { name: gold, of: energyCost, amount: 1200, per: month, zone: Europe/Berlin, where: { tenant: gold } }
 *     targets:
 *       - { name: chat-energy, figure: joulesPerToken, atMost: 0.9, over: 7d, baseline: { from: 2026-09-01T00:00:00Z, to: 2026-10-01T00:00:00Z }, deviation: 0.1, where: { deployment: chat } }
 *     alerts:
 *       - { name: seen, kind: figure, figure: coverage, below: 0.95, over: 1h, for: 10m, by: [node] }
 *       - { name: unusual, kind: anomaly, by: [deployment] }
 *       - { name: longer-answers, kind: lengths, of: outputTokens, by: [deployment] }
 *       - { name: books, kind: books }
 *       - { name: silent, kind: silent, after: 5m }
 *     sinks:
 *       - { name: pager, kind: webhook, urlFile: /etc/joulebook/pager.url }
 *       - { name: alertmanager, kind: alertmanager, url: "http://127.0.0.1:9093", tokenFile: /etc/joulebook/am.token }
 *       - { name: log, kind: file, file: /var/log/joulebook/alerts.jsonl }
 */
import { resolve } from 'node:path';
import { duration } from '@joulebook/shared/settings.js';
import { z } from 'zod';
import { FIGURE_NAMES } from '../figures/table.js';
import { isZone } from '../rates/local-time.js';
import { where } from './where.js';

const name = z.string().regex(/^[\w.-]{1,100}$/, 'write letters, digits, dots and dashes, at most 100');
const figure = z.enum(FIGURE_NAMES);
const by = z.array(z.string().min(1)).default([]);
/** At least a minute: facts are 10 s long, and up to 10 s late. */
const over = duration.refine((length) => length >= 60 && length <= 400 * 86_400, 'must be between 1m and 400d');
const SEVERITIES = ['info', 'warning', 'critical'] as const;
const severity = z.enum(SEVERITIES).default('warning');
export type Severity = z.infer<typeof severity>;

/** How long a condition has to hold before it fires, and to be over before it is resolved. */
const steady = { for: duration.default(0), keepFiring: duration.default(300) };
const scope = { where, by };
const time = z.union([z.string(), z.date().transform((date) => date.toISOString())]);

export const BUDGETED = ['energyCost', 'allInCost', 'kwh', 'carbonGrams', 'carbonGramsMarket', 'tokens', 'outputTokens'] as const;
const burn = z.strictObject({ fast: z.number().positive().optional(), slow: z.number().positive().optional() });
const budget = z
  .strictObject({
    name, of: z.enum(BUDGETED), amount: z.number().positive('must be above 0'), per: z.enum(['day', 'week', 'month']), zone: z.string().default('UTC'),
    at: z.array(z.number().positive()).min(1).default([0.5, 0.8, 1]), burn: burn.optional(), ...scope, keepFiring: duration.default(300),
  })
  .refine(({ zone }) => isZone(zone), { path: ['zone'], message: 'is no time zone that is known; write one like Europe/Berlin' });
export type Budget = z.infer<typeof budget>;

const baseline = z.union([z.number(), z.strictObject({ from: time, to: time })]);
const target = z
  .strictObject({ name, figure, over: over.default(86_400), atMost: z.number().optional(), atLeast: z.number().optional(), baseline: baseline.optional(), deviation: z.number().positive().optional(), severity, ...scope, ...steady })
  .superRefine(({ atMost, atLeast, baseline: before, deviation }, context) => {
    if (atMost === undefined && atLeast === undefined && deviation === undefined) context.addIssue('say atMost, atLeast or deviation');
    if (deviation !== undefined && before === undefined) context.addIssue({ code: 'custom', path: ['baseline'], message: 'deviation is from one: say a number, or from and to' });
  });
export type Target = z.infer<typeof target>;

const shared = { name, severity, ...scope, ...steady };
const threshold = z.strictObject({ kind: z.literal('figure'), figure, above: z.number().optional(), below: z.number().optional(), over: over.default(3600), ...shared });
const anomaly = z.strictObject({ kind: z.literal('anomaly'), ...shared, by: by.default(['deployment']) });
const lengths = z.strictObject({ kind: z.literal('lengths'), of: z.enum(['inputTokens', 'outputTokens']), over: over.default(86_400), against: over.default(14 * 86_400), ...shared });
const books = z.strictObject({ kind: z.literal('books'), over: over.default(86_400), coverage: z.number().min(0).max(1).default(0.95), name, severity, ...steady });
const silent = z.strictObject({ kind: z.literal('silent'), after: over.default(300), forget: over.default(7 * 86_400), name, severity, where, keepFiring: duration.default(0) });
const alert = z.discriminatedUnion('kind', [threshold, anomaly, lengths, books, silent]).superRefine((said, context) => {
  if (said.kind === 'figure' && (said.above === undefined) === (said.below === undefined)) context.addIssue('say one of above and below');
  if (said.kind === 'silent' && Object.keys(said.where).some((key) => key !== 'node')) context.addIssue({ code: 'custom', path: ['where'], message: 'agents are known by node alone' });
});
export type Alert = z.infer<typeof alert>;
export type AlertOf<K extends Alert['kind']> = Extract<Alert, { readonly kind: K }>;

const http = z.string().refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), 'is no address like https://host/path');
const address = { url: http.optional(), urlFile: z.string().min(1).optional(), tokenFile: z.string().min(1).optional() };
const sink = z
  .discriminatedUnion('kind', [z.strictObject({ name, kind: z.literal('webhook'), ...address }), z.strictObject({ name, kind: z.literal('alertmanager'), ...address }), z.strictObject({ name, kind: z.literal('file'), file: z.string().min(1) })])
  .superRefine((said, context) => {
    if (said.kind !== 'file' && (said.url === undefined) === (said.urlFile === undefined)) context.addIssue('say one of url and urlFile');
  });
export type Sink = z.infer<typeof sink>;

/** Files are named from the folder of the book. */
export function sinkBeside(said: Sink, folder: string): Sink {
  if (said.kind === 'file') return { ...said, file: resolve(folder, said.file) };
  return { ...said, ...(said.urlFile !== undefined && { urlFile: resolve(folder, said.urlFile) }), ...(said.tokenFile !== undefined && { tokenFile: resolve(folder, said.tokenFile) }) };
}

/** Alerts are told apart by the name of their rule. */
const named = <T extends { readonly name: string }>(entries: z.ZodType<T[]>) =>
  entries.superRefine((said, context) => {
    for (const [index, entry] of said.entries()) if (said.findIndex((other) => other.name === entry.name) < index) context.addIssue({ code: 'custom', path: [index, 'name'], message: `'${entry.name}' is the name of another` });
  });

export const alerting = {
  budgets: named(z.array(budget)).default([]),
  targets: named(z.array(target)).default([]),
  alerts: named(z.array(alert)).default([]),
  sinks: named(z.array(sink)).default([]),
};
export interface Alerting {
  readonly budgets: readonly Budget[];
  readonly targets: readonly Target[];
  readonly alerts: readonly Alert[];
  readonly sinks: readonly Sink[];
}
