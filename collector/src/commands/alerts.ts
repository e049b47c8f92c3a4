/** `joulebook alerts`: what fires. `--check` asks every rule of the book once, tells nobody, and ends with 3 where something would fire. */
import type { Command } from 'commander';
import { systemClock } from '@joulebook/shared/clock.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { fromEpochMicros, instant, toIso, type Instant } from '@joulebook/shared/units.js';
import { askRules } from '../alerts/ask.js';
import { renderAlerts } from '../alerts/render.js';
import { rulesOf } from '../alerts/rules.js';
import { alertsShown, showCheck, showIncidents, type AlertsShown } from '../alerts/shown.js';
import { readState } from '../alerts/state.js';
import { bookOf } from '../book/book.js';
import { parseTime } from '../join/times.js';
import { alertFolderOf, type CollectorSettings } from '../settings.js';
import { openStore, using } from '../store/open.js';
import { ask, faultsOfAddress } from './ask.js';
import { addSettings, readSettings, TO_COLLECTOR } from './options.js';
import type { Surroundings } from './surroundings.js';

type Flags = Readonly<Record<string, unknown>>;

interface Question {
  readonly collector: string | undefined;
  readonly check: boolean;
  readonly at: Instant | undefined;
}

/** @throws UsageError with every fault */
function questionOf(flags: Flags): Question {
  const { collector, check, at: text } = flags;
  const at = typeof text === 'string' ? parseTime(text) : undefined;
  const faults = [
    ...(typeof collector === 'string' ? faultsOfAddress('--collector', collector) : []),
    ...(typeof collector === 'string' && flags['store'] !== undefined ? ['--store and --collector: say one'] : []),
    ...(typeof collector === 'string' && flags['book'] !== undefined ? ['--book: a collector has its own; start it with one'] : []),
    ...(typeof text === 'string' && at === undefined ? [`--at: '${text}' is not a time; write ISO 8601 with a zone (2026-01-31T08:00:00Z) or epoch seconds`] : []),
    ...(text !== undefined && check !== true ? ['--at: goes with --check'] : []),
  ];
  if (faults.length > 0) throw new UsageError(faults);
  return { collector: typeof collector === 'string' ? collector : undefined, check: check === true, at: at === undefined ? undefined : fromEpochMicros(at) };
}

async function checked(settings: CollectorSettings, at: Instant): Promise<AlertsShown> {
  const book = await bookOf(settings);
  if (book.budgets.length + book.targets.length + book.alerts.length === 0) throw new UsageError([`book: ${settings.book ?? 'none'} has no budgets, targets or alerts to check; say one with --book`]);
  return using(await openStore(settings.store, { readOnly: true, token: settings.storeToken }), async (store) => showCheck(await askRules(rulesOf({ book, defaults: settings }), at, store), at));
}

/** What a collector has noted beside its store, without asking it. */
async function noted(settings: CollectorSettings): Promise<AlertsShown> {
  const folder = alertFolderOf(settings);
  if (folder === undefined) throw new UsageError(['alertFolder: there is no file of a store that it could be beside; name it, or ask a collector with --collector']);
  const { evaluatedAt, incidents } = await readState(folder);
  return { at: evaluatedAt === null ? null : toIso(instant(evaluatedAt)), alerts: showIncidents(incidents), budgets: [], targets: [], faults: [], sinks: [] };
}

function shown({ collector, check, at }: Question, settings: CollectorSettings): Promise<AlertsShown> {
  if (collector !== undefined) return ask(collector, settings, { path: 'v1/alerts', said: check ? { at: [at === undefined ? 'now' : toIso(at)] } : {} }, alertsShown);
  return check ? checked(settings, at ?? systemClock.wall()) : noted(settings);
}

/** @param onProblem called where a check finds that something would fire, or can't be asked */
export function addAlerts(program: Command, surroundings: Surroundings, onProblem: () => void): void {
  const command = program
    .command('alerts')
    .description('what fires; with --check asks the rules of the book once and ends with 3 where one would fire')
    .option('--collector <URL>', 'ask a running collector; without it what one has noted beside the store is read')
    .option('--check', 'ask all rules now; tells no sink and notes nothing')
    .option('--at <TIME>', 'with --check: as of then')
    .option('--json', 'as JSON');
  addSettings(command, ['store', 'storeToken', 'alertFolder', ...TO_COLLECTOR, 'book', 'ratesFolder', 'price', 'pue', 'carbon']);
  command.action(async (flags: Flags) => {
    const question = questionOf(flags);
    const found = await shown(question, await readSettings(flags, surroundings.environment));
    surroundings.stdout.write(flags['json'] === true ? `${JSON.stringify(found, null, 2)}\n` : renderAlerts(found));
    if (question.check && (found.alerts.length > 0 || found.faults.length > 0)) onProblem();
  });
}
