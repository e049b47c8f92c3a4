/**
 * The second store: a server that speaks InfluxDB's line protocol, for fleets beyond one machine. Any number of collectors
 * may write to one server at once and none of them keeps anything: an agent's batch is answered when it is on the server's
 * disk, so agents' spools are the only buffer.
 *
 *   append   claim, facts, commit (commits.ts), many batches at a time (group-commit.ts)
 *   sum      the facts of the time asked about, summed as the embedded store sums them (view.ts). What other collectors
 *            took in is seen within 2 s
 */
import { randomBytes } from 'node:crypto';
import { encodeBatch } from '@joulebook/shared/batch.js';
import type { Clock } from '@joulebook/shared/clock.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { epochMicros, toEpochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { inGroups } from '../group-commit.js';
import { Ledger } from '../ledger.js';
import type { Appended, Extent, FactKind, GroupSum, NodeSeen, Store, SumQuery } from '../store.js';
import { serverOf, withoutQuery, type Server } from './address.js';
import { appender } from './append.js';
import type { Engine } from './engine.js';
import { ask } from './http.js';
import { openInfluxdb } from './influxdb.js';
import { hashOf, keyOf, readCommits, type Commit } from './commits.js';
import { Entries } from './entries.js';
import { readLost, writeLost } from './lost.js';
import { readMarks, writeMark } from './marks.js';
import { labelOf } from './points.js';
import { probe } from './probe.js';
import { openVictoria } from './victoria.js';
import { stretchOf } from './view.js';
import { Views } from './views.js';

async function engineOf(server: Server): Promise<Engine> {
  const response = await ask(server, '/metrics');
  // A body that nobody reads holds its connection.
  const said = await response.text();
  const metrics = response.ok ? said : '';
  const engine = (await openVictoria(server, metrics)) ?? (await openInfluxdb(server));
  if (engine) return engine;
  throw new TelemetryError('STORE_UNKNOWN', `What answers at ${withoutQuery(server)} is neither VictoriaMetrics (/metrics) nor InfluxDB (/ping).`, 'abort');
}

function hull(all: readonly { readonly from?: EpochMicros; readonly to?: EpochMicros }[]): Extent | null {
  let [first, last] = [Infinity, -Infinity];
  for (const { from, to } of all) {
    if (from === undefined || to === undefined) continue;
    first = Math.min(first, from);
    last = Math.max(last, to);
  }
  return first === Infinity ? null : { from: epochMicros(first), to: epochMicros(last) };
}

function nodesOf(all: readonly Commit[]): NodeSeen[] {
  const nodes = new Map<string, NodeSeen>();
  for (const { node, at, slices, host } of all) {
    const known = nodes.get(node);
    nodes.set(node, { node, lastSeen: at, batches: (known?.batches ?? 0) + 1, slices: (known?.slices ?? 0) + slices, host: host ?? known?.host ?? null });
  }
  return [...nodes.values()].toSorted((a, b) => (a.node < b.node ? -1 : 1));
}

const refuse = (): Promise<never> => Promise.reject(new TelemetryError('STORE_READ_ONLY', 'The store was opened for reading.', 'abort'));

/** @throws TelemetryError when nobody answers there, or what answers is no store */
export async function openInflux(place: string, { readOnly = false, token, clock }: { readOnly?: boolean; token?: string | undefined; clock: Clock }): Promise<Store> {
  const engine = await engineOf(serverOf(place, token));
  if (!readOnly) await probe(engine, clock);
  const views = new Views(engine, clock);
  const group = inGroups(appender(engine, randomBytes(4).toString('hex'), clock), ({ batch }) => batch.slices.length);

  return {
    append: readOnly
      ? refuse
      : async (batch, text = encodeBatch(batch)): Promise<Appended> => {
          const appended = await group({ batch, text });
          if (appended === 'accepted') views.outdate();
          return appended;
        },
    async seen(batch, text = encodeBatch(batch)) {
      await engine.visible();
      const committed = (await new Entries(engine).lookUp([batch], clock.wall() * 1000)).get(keyOf(batch))?.committed;
      return committed === undefined ? null : committed === hashOf(text) ? 'duplicate' : 'conflict';
    },
    async streams() {
      const ledger = new Ledger();
      for (const commit of await readCommits(engine)) ledger.accept(commit, commit.at, { from: commit.from, to: commit.to });
      for (const [stream, lost] of await readLost(engine)) ledger.lose(stream, lost);
      return ledger.seen();
    },
    markLost: readOnly ? refuse : (losses) => writeLost(engine, losses, toEpochMicros(clock.wall())),
    experimentMarks: () => readMarks(engine),
    markExperiment: readOnly ? refuse : (mark) => writeMark(engine, mark),
    probe: readOnly ? refuse : () => probe(engine, clock),
    sum: <K extends FactKind>(query: SumQuery<K>): Promise<readonly GroupSum<K>[]> => views.use(stretchOf(query.from, query.to), (view) => view.sum(query)),
    async labels() {
      return (await engine.tagNames()).flatMap((name) => labelOf(name) ?? []).toSorted();
    },
    nodes: async () => nodesOf(await readCommits(engine)),
    async extent(before) {
      const all = await readCommits(engine);
      if (before === undefined) return hull(all);
      // Of batches that reach beyond, only the facts tell.
      const begun = all.filter(({ from }) => from !== undefined && from < before);
      const beyond = hull(begun.filter(({ to }) => to !== undefined && to > before));
      const found = beyond && (await views.use(stretchOf(beyond.from, before), (view) => view.extent(before)));
      return hull([...begun.filter(({ to }) => to !== undefined && to <= before), ...(found ? [found] : [])]);
    },
    async close() {
      await views.close();
      await engine.close();
    },
  };
}
