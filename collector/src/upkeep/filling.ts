/**
 * Asks providers for the intensity of grids: what is new, and what was never asked of the time that the book wants. A provider that is
 * down costs nothing but its values: it is logged when that begins and when it ends, and asked again after a pause that doubles.
 *
 *     now − backfill ─────────────── now − 24 h ──────────── now
 *       past: once, what was never asked │ recent: each time, for estimates become measurements
 */
import type { FastifyBaseLogger } from 'fastify';
import { schedule, type ScheduledTask } from 'node-cron';
import type { Clock } from '@joulebook/shared/clock.js';
import { messageOf } from '@joulebook/shared/errors.js';
import { epochMicros, toEpochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import type { Metrics, Sample } from '../ingest/metrics.js';
import { electricityMaps } from '../rates/electricity-maps.js';
import type { Span } from '../rates/pieces.js';
import { MOST_GRAMS, nameOf, type Failed, type Provider, type ProviderEntry } from '../rates/provider.js';
import type { Series, Shelf } from '../rates/shelf.js';
import { wattTime } from '../rates/watttime.js';
import type { CollectorSettings } from '../settings.js';

const RECENT_MICROS = 86_400e6;
/** Values begin with the hour, or within it: one that is cut is asked for whole. */
const HOUR_MICROS = 3600e6;
const FIRST_PAUSE_SECONDS = 60;
const LONGEST_PAUSE_SECONDS = 4 * 3600;
/** A schedule that ticks a little early shall not skip a turn. */
const EARLY_SECONDS = 5;

const PARTS = ['recent', 'past'] as const;
type Part = (typeof PARTS)[number];

/** How it goes with one part of one entry. */
interface Account {
  failures: number;
  /** Monotonic s. */
  notBefore: number;
  /** What was told of it, so that it is told once. */
  code: string | undefined;
}
interface Source {
  readonly entry: ProviderEntry;
  readonly provider: Provider;
  readonly accounts: Readonly<Record<Part, Account>>;
  lastSuccess: number | undefined;
  failures: number;
  /** Of which it was told that values are below 0. */
  readonly refusedTold: Set<Part>;
}

export interface FillingParts {
  /** Those of the book as it is now. */
  readonly entries: () => readonly ProviderEntry[];
  readonly shelf: Shelf;
  readonly settings: Pick<CollectorSettings, 'ratesSchedule'>;
  readonly metrics: Pick<Metrics, 'gauge'>;
  readonly log: Pick<FastifyBaseLogger, 'info' | 'warn' | 'error'>;
  readonly clock: Clock;
}
export interface Filling {
  /** Asks now, as its schedule would. Never throws. */
  run(): Promise<void>;
  /** Goes on by the schedule and the book as they are now. */
  reschedule(): Promise<void>;
  /** Ends what is under way. */
  stop(): Promise<void>;
}

const account = (): Account => ({ failures: 0, notBefore: -Infinity, code: undefined });

const keyOf = (entry: ProviderEntry): string => JSON.stringify(entry);

function providerOf(entry: ProviderEntry, clock: Clock): Provider {
  const now = (): number => toEpochMicros(clock.wall());
  switch (entry.provider) {
    case 'electricitymaps':
      return electricityMaps(entry, now);
    case 'watttime':
      return wattTime(entry, now);
    default:
      return entry satisfies never;
  }
}

/** What of the past was never asked, the newest first, in pieces that may be asked at once. */
export function unasked({ asked }: Pick<Series, 'asked'>, wanted: Span, longest: number): Span[] {
  const holes: Span[] = [];
  let begin = wanted.from;
  for (const { from, to } of asked) {
    if (from > begin) holes.push({ from: begin, to: epochMicros(Math.min(from, wanted.to)) });
    begin = epochMicros(Math.max(begin, to));
  }
  holes.push({ from: begin, to: wanted.to });
  return holes
    .filter(({ from, to }) => from < to)
    .toReversed()
    .flatMap(({ from, to }) => Array.from({ length: Math.ceil((to - from) / longest) }, (_, index) => ({ from: epochMicros(Math.max(from, to - (index + 1) * longest)), to: epochMicros(to - index * longest) })));
}

export function fillRates({ entries, shelf, settings, metrics, log, clock }: FillingParts): Filling {
  const sources = new Map<string, Source>();
  const stopping = new AbortController();
  let inHand: Promise<void> | undefined;

  function sourceOf(entry: ProviderEntry): Source {
    const known = sources.get(keyOf(entry));
    if (known) return known;
    const source: Source = { entry, provider: providerOf(entry, clock), accounts: { recent: account(), past: account() }, lastSuccess: undefined, failures: 0, refusedTold: new Set() };
    sources.set(keyOf(entry), source);
    return source;
  }

  function noteFailure({ entry, accounts, ...source }: Source, part: Part, { code, reason, after }: Failed): void {
    const record = accounts[part];
    record.failures += 1;
    record.notBefore = clock.monotonic() + Math.max(after ?? 0, Math.min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (record.failures - 1))) - EARLY_SECONDS;
    if (record.code !== code) log.warn({ code, provider: nameOf(entry), time: part, lastSuccess: source.lastSuccess ?? null }, `${nameOf(entry)} ${reason}. What was told before is used, and reports say how old it is; it is asked again`);
    record.code = code;
  }

  function noteSuccess(source: Source, part: Part, refused: number): void {
    const record = source.accounts[part];
    if (record.code !== undefined) log.info({ provider: nameOf(source.entry), time: part, failures: record.failures }, `${nameOf(source.entry)} answers again`);
    Object.assign(record, account());
    source.lastSuccess = clock.wall();
    if (refused > 0 && !source.refusedTold.has(part)) log.warn({ code: 'INTENSITY_OUT_OF_BOUNDS', provider: nameOf(source.entry), values: refused }, `${nameOf(source.entry)} tells intensities below 0 or above ${MOST_GRAMS} g/kWh, which no grid has: they are left out, and their time is not known`);
    if (refused > 0) source.refusedTold.add(part);
    else source.refusedTold.delete(part);
  }

  /** @returns whether to go on */
  async function asked(source: Source, part: Part, span: Span): Promise<boolean> {
    const { entry, provider } = source;
    const answer = await provider.fetch(entry.zone, span, stopping.signal).catch((error: unknown): Failed => ({ kind: 'failed', code: 'PROVIDER_FAULT', reason: messageOf(error) }));
    if (stopping.signal.aborted) return false;
    const fault: Failed | undefined = answer.kind === 'failed' ? answer : part === 'recent' && answer.reported.length === 0 ? { kind: 'failed', code: 'PROVIDER_KNOWS_NOTHING', reason: 'tells no intensity of the last 24 h; check zone' } : undefined;
    if (fault || answer.kind === 'failed') {
      source.failures += 1;
      if (fault) noteFailure(source, part, fault);
      return false;
    }
    const newest = answer.reported.reduce<EpochMicros>((end, { to }) => epochMicros(Math.max(end, to)), span.from);
    try {
      // Of the newest time they may know more later.
      await shelf.add(entry, answer.reported, part === 'recent' ? { from: span.from, to: epochMicros(Math.min(newest, span.to)) } : span);
    } catch (error) {
      source.failures += 1;
      noteFailure(source, part, { kind: 'failed', code: 'RATES_UNWRITABLE', reason: `can't be kept: ${messageOf(error)}` });
      return false;
    }
    noteSuccess(source, part, answer.refused);
    return true;
  }

  async function fill(entry: ProviderEntry): Promise<void> {
    const source = sourceOf(entry);
    const now = toEpochMicros(clock.wall());
    const isDue = (part: Part): boolean => clock.monotonic() >= source.accounts[part].notBefore && !stopping.signal.aborted;
    const recent: Span = { from: epochMicros(Math.ceil((now - RECENT_MICROS) / HOUR_MICROS) * HOUR_MICROS), to: now };
    if (isDue('recent')) await asked(source, 'recent', recent);
    const wanted = { from: epochMicros(Math.min(recent.from, Math.floor((now - entry.backfill * 1e6) / HOUR_MICROS) * HOUR_MICROS)), to: recent.from };
    for (const span of unasked(await shelf.series(entry), wanted, source.provider.longest)) if (!isDue('past') || !(await asked(source, 'past', span))) return;
  }

  async function fillAll(): Promise<void> {
    const wanted = new Map(entries().map((entry) => [keyOf(entry), entry]));
    for (const [key, { provider }] of sources) {
      if (wanted.has(key)) continue;
      sources.delete(key);
      await provider.close();
    }
    await Promise.all([...wanted.values()].map((entry) => fill(entry).catch((error: unknown) => log.error({ provider: nameOf(entry), error: messageOf(error) }, 'the intensity of the grid could not be asked for'))));
  }

  const samples = (of: (source: Source) => number | undefined) => (): Sample[] =>
    [...sources.values()].flatMap((source) => { const value = of(source); return value === undefined ? [] : [{ labels: { provider: source.entry.provider, zone: source.entry.zone }, value }]; });
  metrics.gauge({ name: 'joulebook_rates_last_success_seconds', help: 'When a provider of intensities last told something that could be kept: seconds since 1970.', labels: ['provider', 'zone'] }, samples(({ lastSuccess }) => lastSuccess));
  metrics.gauge({ name: 'joulebook_rates_failures', help: 'How often it did not, since the start.', labels: ['provider', 'zone'] }, samples(({ failures }) => failures));

  const run = (): Promise<void> => (inHand ??= fillAll().finally(() => void (inHand = undefined)));
  const quiet = { info: () => undefined, warn: () => undefined, debug: () => undefined, error: (message: string | Error) => log.error({ error: String(message) }, 'a schedule failed') };
  const start = (): ScheduledTask => schedule(settings.ratesSchedule, run, { name: 'rates', timezone: 'UTC', noOverlap: true, unref: true, logger: quiet, suppressMissedWarning: true });
  let task = start();
  void run();
  return {
    run,
    async reschedule() {
      await task.destroy();
      task = start();
      void run();
    },
    async stop() {
      stopping.abort();
      await task.destroy();
      await inHand;
      for (const { provider } of sources.values()) await provider.close();
    },
  };
}
