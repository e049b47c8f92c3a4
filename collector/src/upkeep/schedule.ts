/**
 * When the store keeps itself small and fast: roll-ups and retention by their cron expressions. The embedded store has one
 * owner, and does one of them at a time; so no lease is needed beyond its file's lock.
 */
import { schedule, type ScheduledTask } from 'node-cron';
import type { FastifyBaseLogger } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';
import { messageOf } from '@joulebook/shared/errors.js';
import { fromEpochMicros, toIso } from '@joulebook/shared/units.js';
import type { Audit } from '../access/audit.js';
import type { Metrics, Sample } from '../ingest/metrics.js';
import type { CollectorSettings } from '../settings.js';
import type { RetentionPolicy } from '../store/retention.js';
import type { Store } from '../store/store.js';
import type { EmbeddedStore } from '../store/upkeep.js';

/** A roll-up is bounded, so that ingest has the processors to itself again: what is left is for the next round. */
const ROLL_UP_SECONDS = 20;
/** Collectors of one company don't all begin at the same moment. */
const JITTER_MS = { rollUp: 10_000, retain: 600_000 } as const;

export type UpkeepSettings = Pick<CollectorSettings, 'retentionRaw' | 'retentionMinute' | 'retentionHour' | 'rollUpSchedule' | 'retainSchedule'>;
export interface UpkeepParts {
  readonly store: EmbeddedStore;
  readonly settings: UpkeepSettings;
  readonly metrics: Metrics;
  readonly log: Pick<FastifyBaseLogger, 'error'>;
  readonly audit: Pick<Audit, 'acted'>;
  readonly clock: Clock;
}

/** Other stores do it by themselves. */
export const keepsItself = (store: Store): store is EmbeddedStore => 'rollUp' in store && 'retain' in store;

export const policyOf = ({ retentionRaw, retentionMinute, retentionHour }: UpkeepSettings): RetentionPolicy => ({ raw: retentionRaw, minute: retentionMinute, hour: retentionHour });

const JOBS = ['rollUp', 'retain'] as const;
type Job = (typeof JOBS)[number];
/** `lastRun` is of any outcome. */
interface Account {
  lastRun: number | undefined;
  lastSuccess: number | undefined;
  failures: number;
}

export interface UpkeepSchedule {
  /** Runs a job now, as its schedule would. Never throws: what fails is logged and counted. */
  run(job: Job): Promise<void>;
  /** Goes on by the expressions that the settings have now. What runs is finished. */
  reschedule(): Promise<void>;
  stop(): Promise<void>;
}

export function scheduleUpkeep({ store, settings, metrics, log, audit, clock }: UpkeepParts, jitter: Readonly<Record<Job, number>> = JITTER_MS): UpkeepSchedule {
  const records: Readonly<Record<Job, Account>> = { rollUp: { lastRun: undefined, lastSuccess: undefined, failures: 0 }, retain: { lastRun: undefined, lastSuccess: undefined, failures: 0 } };
  let waiting = 0;
  const samples = (of: (record: Account) => number | undefined) => (): Sample[] => JOBS.flatMap((job) => { const value = of(records[job]); return value === undefined ? [] : [{ labels: { job }, value }]; });
  metrics.gauge({ name: 'joulebook_upkeep_last_run_seconds', help: 'When roll-ups and retention last ended, however: seconds since 1970.', labels: ['job'] }, samples(({ lastRun }) => lastRun));
  metrics.gauge({ name: 'joulebook_upkeep_last_success_seconds', help: 'When they last ended without a fault: seconds since 1970.', labels: ['job'] }, samples(({ lastSuccess }) => lastSuccess));
  metrics.gauge({ name: 'joulebook_upkeep_failures', help: 'How often they failed, or left something that could not be done, since the start.', labels: ['job'] }, samples(({ failures }) => failures));
  metrics.gauge({ name: 'joulebook_rollup_cells_waiting', help: 'Minutes, hours and days that are over and were not summed by the last roll-up.' }, () => [{ value: waiting }]);

  const work: Readonly<Record<Job, () => Promise<readonly string[]>>> = {
    async rollUp() {
      const { left, faults } = await store.rollUp(ROLL_UP_SECONDS);
      waiting = left;
      return faults;
    },
    async retain() {
      const { faults, factsSince, ...deleted } = await store.retain(policyOf(settings));
      audit.acted({ event: 'retained', ...deleted, factsSince: factsSince === null ? null : toIso(fromEpochMicros(factsSince)) }, { by: 'the schedule' });
      return faults;
    },
  };

  async function run(job: Job): Promise<void> {
    const record = records[job];
    const faults = await work[job]().catch((error: unknown) => [messageOf(error)]);
    record.lastRun = clock.wall();
    if (faults.length === 0) record.lastSuccess = record.lastRun;
    else {
      record.failures += 1;
      log.error({ job, faults: faults.slice(0, 5), more: Math.max(0, faults.length - 5) }, 'upkeep of the store failed; it is tried again at its next time');
    }
  }

  // What the library would print of ticks that came late is told by the metrics.
  const quiet = { info: () => undefined, warn: () => undefined, debug: () => undefined, error: (message: string | Error) => log.error({ error: String(message) }, 'a schedule failed') };
  const start = (job: Job, expression: string): ScheduledTask => schedule(expression, () => run(job), { name: job, timezone: 'UTC', noOverlap: true, maxRandomDelay: jitter[job], unref: true, logger: quiet, suppressMissedWarning: true });
  const startAll = (): ScheduledTask[] => [start('rollUp', settings.rollUpSchedule), start('retain', settings.retainSchedule)];
  let tasks = startAll();
  const stop = async (): Promise<void> => void (await Promise.all(tasks.map(async (task) => task.destroy())));
  return {
    run,
    async reschedule() {
      await stop();
      tasks = startAll();
    },
    stop,
  };
}
