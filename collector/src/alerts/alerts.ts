/** Alerts of a running collector: asks the rules of its book by a cron expression, keeps what stands, and tells the sinks. */
import { schedule, type ScheduledTask } from 'node-cron';
import type { FastifyBaseLogger } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';
import { messageOf } from '@joulebook/shared/errors.js';
import { instant, toIso, type Instant } from '@joulebook/shared/units.js';
import type { Book } from '../book/book.js';
import type { Metrics } from '../ingest/metrics.js';
import type { Defaults } from '../report/request.js';
import type { Store } from '../store/store.js';
import { askRules } from './ask.js';
import type { Rule } from './condition.js';
import { tellMetrics } from './gauges.js';
import { advance, idOf, type Incident } from './incident.js';
import { rulesOf } from './rules.js';
import { showCheck, showIncidents, showStanding, type AlertsShown, type Asked } from './shown.js';
import { NOTHING, readOrSetAside, writeState, type State } from './state.js';
import { Teller, untoldOf } from './teller.js';

export interface AlertParts {
  readonly store: Store;
  readonly book: Book;
  readonly settings: Defaults & { readonly alertSchedule: string };
  /** Where what stands is kept; undefined: in memory alone. */
  readonly folder: string | undefined;
  readonly metrics: Metrics;
  readonly log: Pick<FastifyBaseLogger, 'error' | 'warn' | 'info'>;
  readonly clock: Clock;
  /** s before a sink is asked again the first time. */
  readonly firstWait?: number;
}

export interface Alerts {
  /** Asks what is due now, as the schedule would; returns when that is noted. Never throws. */
  tick(): Promise<void>;
  /** Returns when no sink has anything to be told. */
  settled(): Promise<void>;
  shown(): AlertsShown;
  /** Asks everything as of a moment; nothing comes of it. */
  check(at: Instant): Promise<AlertsShown>;
  /** Rules by another book and other settings, which hold once what it returns is called. @throws UsageError for rules that can't be asked */
  prepare(book: Book, defaults: Defaults): () => Promise<void>;
  reschedule(): Promise<void>;
  stop(): Promise<void>;
}

/** @throws UsageError for rules that can't be asked; TelemetryError for a state that can't be read */
export async function startAlerts(parts: AlertParts): Promise<Alerts> {
  const { store, settings, folder, metrics, log, clock, firstWait } = parts;
  let { book } = parts;
  let rules: readonly Rule[] = rulesOf({ book, defaults: settings });
  let state: State = folder === undefined ? NOTHING : await readOrSetAside(folder, clock.wall(), log);
  if (folder === undefined && book.sinks.length > 0) log.warn('what fires is kept nowhere and told once more after a restart: name a folder with alertFolder');
  let asked = new Map<string, Asked>();
  const lastAsked = new Map<string, number>();
  let failing = new Set<string>();
  let written = Promise.resolve();
  let unwritten = false;

  const now = (): number => clock.wall();
  const save = (): Promise<void> => {
    if (folder === undefined) return Promise.resolve();
    const before = written;
    written = (async () => {
      await before;
      try {
        await writeState(folder, state);
        unwritten = false;
      } catch (error) {
        // What was told stays known to this process.
        if (!unwritten) log.error({ error: messageOf(error), folder }, 'the state of alerts can not be written: after a restart some are told again');
        unwritten = true;
      }
    })();
    return written;
  };
  const notes = {
    incidents: () => state.incidents,
    told: (sink: string) => state.told[sink] ?? {},
    async note(sink: string, taken: readonly Incident[]) {
      const before = state.told[sink] ?? {};
      const after = { ...before, ...Object.fromEntries(taken.map((one) => [idOf(one), one.status === 'resolved' ? ('resolved' as const) : ('firing' as const)])) };
      // An Alertmanager is told every minute what it knows.
      const changed = Object.entries(after).some(([id, status]) => before[id] !== status);
      state = { ...state, told: { ...state.told, [sink]: after } };
      if (changed) await save();
    },
  };
  const tellersOf = ({ sinks }: Book): Teller[] => sinks.map((sink) => new Teller(sink, { notes, now, log, ...(firstWait !== undefined && { firstWait }) }));
  let tellers = tellersOf(book);

  const isTold = (one: Incident): boolean => tellers.every(({ sink }) => untoldOf([one], notes.told(sink.name)).length === 0);
  /** Of incidents and sinks that there are no more nothing has to be known. */
  const toldOf = (incidents: readonly Incident[]): State['told'] => {
    const ids = new Set(incidents.map(idOf));
    return Object.fromEntries(tellers.map(({ sink }) => [sink.name, Object.fromEntries(Object.entries(notes.told(sink.name)).filter(([id]) => ids.has(id)))]));
  };

  function tellFaults(found: readonly Asked[]): void {
    const faults = found.filter(({ fault }) => fault !== undefined);
    for (const { rule, fault } of faults) if (!failing.has(rule.name)) log.warn({ rule: rule.name, error: fault }, 'a rule of the book can not be asked; its alerts stay as they are');
    const wellNow = new Set(found.filter(({ fault }) => fault === undefined).map(({ rule }) => rule.name));
    failing = new Set([...[...failing].filter((name) => !wellNow.has(name)), ...faults.map(({ rule }) => rule.name)]);
  }

  async function askDue(): Promise<void> {
    const at = now();
    const due = rules.filter(({ name, every }) => at - (lastAsked.get(name) ?? -Infinity) >= every - 1 || at < (lastAsked.get(name) ?? -Infinity));
    const found = await askRules(due, instant(at), store);
    for (const each of found) {
      lastAsked.set(each.rule.name, at);
      asked.set(each.rule.name, each);
    }
    tellFaults(found);
    const answers = found.flatMap(({ rule, answer }) => (answer ? [{ rule, conditions: answer.conditions }] : []));
    const incidents = advance(state.incidents, answers, new Set(rules.map(({ name }) => name)), at, isTold);
    const changed = incidents.length > 0 || state.incidents.length > 0;
    state = { version: 1, evaluatedAt: at, incidents, told: toldOf(incidents) };
    if (changed) await save();
    for (const teller of tellers) teller.tell(true);
  }

  let working = Promise.resolve();
  const tick = (): Promise<void> => (working = working.then(askDue).catch((error: unknown) => log.error({ error: messageOf(error) }, 'alerts could not be asked')));

  tellMetrics(metrics, { state: () => state, standing: () => showStanding([...asked.values()]), failing: () => failing.size, tellers: () => tellers });

  const quiet = { info: () => undefined, warn: () => undefined, debug: () => undefined, error: (message: string | Error) => log.error({ error: String(message) }, 'the schedule of alerts failed') };
  const start = (): ScheduledTask => schedule(settings.alertSchedule, tick, { name: 'alerts', timezone: 'UTC', noOverlap: true, unref: true, logger: quiet, suppressMissedWarning: true });
  let task = start();

  return {
    tick,
    settled: async () => void (await Promise.all(tellers.map((teller) => teller.settled()))),
    shown: () => ({
      at: state.evaluatedAt === null ? null : toIso(instant(state.evaluatedAt)), alerts: showIncidents(state.incidents), ...showStanding([...asked.values()]),
      sinks: tellers.map((teller) => ({ name: teller.sink.name, kind: teller.sink.kind, waiting: teller.waiting(), failures: teller.failures })),
    }),
    check: async (at) => showCheck(await askRules(rulesOf({ book, defaults: settings }), at, store), at),
    prepare(next, defaults) {
      const prepared = rulesOf({ book: next, defaults: { price: defaults.price, pue: defaults.pue, carbon: defaults.carbon } });
      return async () => {
        await working;
        const before = tellers;
        book = next;
        rules = prepared;
        tellers = tellersOf(next);
        asked = new Map();
        lastAsked.clear();
        await Promise.all(before.map((teller) => teller.stop()));
      };
    },
    async reschedule() {
      await task.destroy();
      task = start();
    },
    async stop() {
      await task.destroy();
      await working;
      await Promise.all(tellers.map((teller) => teller.stop()));
      await written;
    },
  };
}
