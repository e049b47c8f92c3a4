/**
 * `joulebook losses`: what is missing of what agents numbered, and saying of it that it will not come. With --collector a running
 * collector is asked; else a store that nobody holds.
 */
import Table from 'cli-table3';
import type { Command } from 'commander';
import { systemClock } from '@joulebook/shared/clock.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { toEpochMicros } from '@joulebook/shared/units.js';
import { lossesShown, showLosses, showStreams, streamsShown, type LossesShown, type StreamsShown } from '../api/losses.js';
import type { CollectorSettings } from '../settings.js';
import { openStore, using } from '../store/open.js';
import { acceptLosses } from '../upkeep/losses.js';
import { ask, faultsOfAddress } from './ask.js';
import { addSettings, readSettings, TO_COLLECTOR } from './options.js';
import type { Surroundings } from './surroundings.js';

type Flags = Readonly<Record<string, unknown>>;

const HELP = `
Batches of an agent are numbered: what was never stored shows, as SEQUENCES_MISSING of 'joulebook verify' and BATCHES_MISSING of
reports. It may still be on its way or in the agent's spool. What you know to be gone (a disk that broke, a collector that was
restored from a backup) can be accepted as lost: then verify closes and names it, and reports say BATCHES_LOST for ever. What comes
after all is booked as usual, and is lost no more.
`;

interface Place {
  readonly collector: string | undefined;
  readonly settings: CollectorSettings;
}

async function placeOf(flags: Flags, { environment }: Surroundings): Promise<Place> {
  const settings = await readSettings(flags, environment);
  const { collector } = flags;
  if (typeof collector !== 'string') return { collector: undefined, settings };
  const faults = [...faultsOfAddress('--collector', collector), ...(flags['store'] === undefined ? [] : ['--store and --collector: say one'])];
  if (faults.length > 0) throw new UsageError(faults);
  return { collector, settings };
}

const streamsAt = ({ collector, settings }: Place): Promise<StreamsShown> =>
  collector === undefined
    ? openStore(settings.store, { readOnly: true, token: settings.storeToken }).then((store) => using(store, async () => showStreams(await store.streams())))
    : ask(collector, settings, { path: 'v1/streams' }, streamsShown);

async function acceptAt({ collector, settings }: Place, node: string): Promise<LossesShown> {
  if (collector !== undefined) return ask(collector, settings, { method: 'POST', path: 'v1/losses', said: { node: [node] } }, lossesShown);
  // Fails where there is none; opening it to write would make one.
  await (await openStore(settings.store, { readOnly: true, token: settings.storeToken })).close();
  return using(await openStore(settings.store, { token: settings.storeToken }), async (store) => showLosses(await acceptLosses(store, node, toEpochMicros(systemClock.wall()))));
}

function table({ streams }: StreamsShown): string {
  const shown = new Table({ head: ['node', 'batches', 'stream', 'sequences', 'facts after', 'and before', ''], style: { head: [], border: [] } });
  for (const { node, stream, missing, lost } of streams) {
    for (const { count, first, last, from, to, since } of missing) shown.push([node, count, stream, `${first}–${last}`, from ?? '', to ?? '', `missing since ${since}`]);
    for (const { count, first, last, from, to, at } of lost) shown.push([node, count, stream, `${first}–${last}`, from ?? '', to ?? '', `lost, as was said ${at}`]);
  }
  return shown.length === 0 ? 'Nothing is missing.\n' : `${shown.toString()}\n`;
}

export function addLosses(program: Command, surroundings: Surroundings): void {
  const losses = program.command('losses').description('batches that agents numbered and that never came: list them, accept them as lost').addHelpText('after', HELP);
  const add = (name: string, description: string): Command => {
    const command = losses.command(name).description(description).option('--collector <URL>', 'ask a running collector').option('--json', 'as JSON').addHelpText('after', HELP);
    addSettings(command, ['store', 'storeToken', ...TO_COLLECTOR]);
    return command;
  };

  add('list', 'what is missing, and what was accepted as lost').action(async (flags: Flags) => {
    const streams = await streamsAt(await placeOf(flags, surroundings));
    surroundings.stdout.write(flags['json'] === true ? `${JSON.stringify(streams, null, 2)}\n` : table(streams));
  });

  add('accept', 'what is missing of a node is lost for good; of a running collector as an admin, and in its audit')
    .argument('<node>', 'as `losses list` shows it')
    .action(async (node: string, flags: Flags) => {
      const { accepted } = await acceptAt(await placeOf(flags, surroundings), node);
      const count = accepted.reduce((sum, each) => sum + each.count, 0);
      if (flags['json'] === true) surroundings.stdout.write(`${JSON.stringify({ accepted }, null, 2)}\n`);
      surroundings.stderr.write(`${count} batches of ${node} are lost for good from now on. Reports of their time say so.\n`);
    });
}
