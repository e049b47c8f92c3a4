/**
 * `joulebook experiment`: what was changed, when and where, and whether it helped. With --collector a running collector keeps it; else
 * a store that nobody holds.
 */
import { Option, type Command } from 'commander';
import { systemClock } from '@joulebook/shared/clock.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { toEpochMicros } from '@joulebook/shared/units.js';
import { bookOf } from '../book/book.js';
import { METRICS } from '../compare/metrics.js';
import { experimentNamed, startExperiment, stopExperiment } from '../experiments/change.js';
import { evaluate } from '../experiments/evaluate.js';
import { experimentsOf } from '../experiments/mark.js';
import { renderExperiment, renderList } from '../experiments/render.js';
import { parseName, parseStart, START_OPTIONS } from '../experiments/request.js';
import { experimentShown, experimentsShown, listed, showExperiment, type ExperimentListed } from '../experiments/shown.js';
import type { Said } from '../report/request.js';
import type { CollectorSettings } from '../settings.js';
import { openStore, using } from '../store/open.js';
import type { Store } from '../store/store.js';
import { ask, faultsOfAddress } from './ask.js';
import { addSettings, keep, readSettings, TO_COLLECTOR } from './options.js';
import { checkStore, questionIn, several, type Flags } from './reading.js';
import type { Surroundings } from './surroundings.js';

const PREFIX = '--';
/** Comparing a month of a large fleet may take a collector a while. */
const PATIENCE_MILLISECONDS = 300_000;

const HELP = `
  joulebook experiment start power-300 --label powerLimit=300W --nodes gpu-01,gpu-02 --guardrail 'usefulShare>=0.95' --slo ttft=2s
  joulebook experiment show power-300
  joulebook experiment stop power-300

Say start when the change was made and stop when it was taken back; both again let the sides take turns. B is the time between
them, A the time before on the same nodes, or with --against the same time on other nodes. docs/experiments.md tells more.
`;

interface Place {
  readonly collector: string | undefined;
  readonly settings: CollectorSettings;
}

async function placeOf(flags: Flags, faults: string[], { environment }: Surroundings): Promise<Place | undefined> {
  const settings = await keep(faults, () => readSettings(flags, environment));
  const { collector } = flags;
  if (typeof collector === 'string') {
    faults.push(...faultsOfAddress('--collector', collector), ...(flags['store'] === undefined ? [] : ['--store and --collector: say one']), ...(flags['book'] === undefined ? [] : ['--book: a collector has its own; start it with one']));
  } else if (settings) checkStore(settings.store, faults);
  return settings && { collector: typeof collector === 'string' ? collector : undefined, settings };
}

const now = () => toEpochMicros(systemClock.wall());

const reading = async <T>({ settings }: Place, work: (store: Store) => Promise<T>): Promise<T> => using(await openStore(settings.store, { readOnly: true, token: settings.storeToken }), work);

async function writing<T>({ settings }: Place, work: (store: Store) => Promise<T>): Promise<T> {
  // Fails where there is none; opening it to write would make one.
  await (await openStore(settings.store, { readOnly: true, token: settings.storeToken })).close();
  return using(await openStore(settings.store, { token: settings.storeToken }), work);
}

/** @throws UsageError with every fault */
async function understood<T>(flags: Flags, surroundings: Surroundings, read: () => T): Promise<{ readonly place: Place; readonly request: T }> {
  const faults: string[] = [];
  const place = await placeOf(flags, faults, surroundings);
  const request = await keep(faults, read);
  if (faults.length > 0 || !place || request === undefined) throw new UsageError(faults);
  return { place, request };
}

const changed = (experiment: ExperimentListed, done: string): string => `${experiment.name} ${done} on ${experiment.nodes.join(', ')}.\n`;

export function addExperiment(program: Command, surroundings: Surroundings): void {
  const experiments = program.command('experiment').description('mark what is changed on which nodes and when, without restarting anything, and see whether it helped').addHelpText('after', HELP);
  const write = (flags: Flags, found: unknown, text: string): void => void surroundings.stdout.write(flags['json'] === true ? `${JSON.stringify(found, null, 2)}\n` : text);
  const add = (name: string, description: string): Command => experiments.command(name).description(description).option('--collector <URL>', 'ask a running collector').option('--json', 'as JSON');
  const store = ['store', 'storeToken', ...TO_COLLECTOR] as const;

  const start = add('start', 'the change is on from now on; as an admin of a running collector, and in its audit')
    .argument('<name>', 'of the experiment; one that was stopped goes on with another turn')
    .addOption(new Option('--label <KEY=VALUE>', 'what is different while it runs; again for more').argParser(several))
    .addOption(new Option('--nodes <NODE,…>', 'where; without it all nodes that have such facts').argParser(several))
    .addOption(new Option('--against <NODE,…>', 'nodes that stay as they are: A is the same time on these, instead of the time before').argParser(several))
    .addOption(new Option('--where <KEY=VALUE>', 'only such facts of the nodes, e.g. deployment=chat; again for more').argParser(several))
    .option('--metric <NAME>', `what it is about, default joulesPerToken: ${[...METRICS.keys()].join(', ')}`)
    .option('--precision <SHARE>', 'how narrow the interval is to be, to either side; default 2%')
    .addOption(new Option('--guardrail <FIGURE<=LIMIT>', 'what it must not cost, e.g. usefulShare>=0.95, failedShare<=1%, ttftP95<=2s; again for more').argParser(several))
    .option('--slo <TARGETS>', 'latency targets of useful output, e.g. ttft=2s,tpot=50ms; in place of those in the book')
    .option('--settle <DURATION>', 'left out after each switch, default 10m')
    .option('--before <DURATION>', 'how far A reaches back from the beginning of a turn, default 7d')
    .option('--at <TIME>', 'when it was switched on, where that is not now');
  addSettings(start, store);
  start.action(async (name: string, flags: Flags) => {
    const said: Said = { ...questionIn(flags, START_OPTIONS), name: [name] };
    const { place, request } = await understood(flags, surroundings, () => parseStart(said, PREFIX));
    const found = place.collector === undefined ? await writing(place, async (opened) => showExperiment(await startExperiment(opened, request, now(), PREFIX))) : await ask(place.collector, place.settings, { method: 'POST', path: 'v1/experiments', said }, listed);
    write(flags, found, changed(found, `is on since ${found.turns.at(-1)?.from ?? ''}`));
  });

  const stop = add('stop', 'the change was taken back').argument('<name>', 'as it was started').option('--at <TIME>', 'when it was switched off, where that is not now');
  addSettings(stop, store);
  stop.action(async (name: string, flags: Flags) => {
    const said: Said = { ...questionIn(flags, ['at']), name: [name] };
    const { place, request } = await understood(flags, surroundings, () => parseName(said, PREFIX, true));
    const found = place.collector === undefined ? await writing(place, async (opened) => showExperiment(await stopExperiment(opened, request, now(), PREFIX))) : await ask(place.collector, place.settings, { method: 'POST', path: 'v1/experiments/stop', said }, listed);
    write(flags, found, changed(found, `is off since ${found.turns.at(-1)?.to ?? ''}`));
  });

  const list = add('list', 'all experiments');
  addSettings(list, store);
  list.action(async (flags: Flags) => {
    const { place } = await understood(flags, surroundings, () => true);
    const found = place.collector === undefined ? await reading(place, async (opened) => ({ experiments: experimentsOf(await opened.experimentMarks()).map(showExperiment) })) : await ask(place.collector, place.settings, { path: 'v1/experiments' }, experimentsShown);
    write(flags, found, renderList(found.experiments));
  });

  const show = add('show', 'how one stands: progress, effect at any look, guardrails').argument('<name>', 'as it was started');
  addSettings(show, [...store, 'book', 'ratesFolder', 'price', 'pue', 'carbon']);
  show.action(async (name: string, flags: Flags) => {
    const said: Said = { name: [name] };
    const { place, request } = await understood(flags, surroundings, () => parseName(said, PREFIX, false));
    const found = place.collector === undefined
      ? await reading(place, async (opened) => evaluate(opened, await experimentNamed(opened, request.name), now(), place.settings, await bookOf(place.settings)))
      : await ask(place.collector, place.settings, { path: 'v1/experiments', said, patienceMilliseconds: PATIENCE_MILLISECONDS }, experimentShown);
    write(flags, found, renderExperiment(found));
  });
}
