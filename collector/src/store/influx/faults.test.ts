import { createServer } from 'node:http';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { systemClock } from '@joulebook/shared/clock.js';
import { UsageError } from '@joulebook/shared/errors.js';
import type { Written } from '../ledger.js';
import { batchOf, energyFact, flagFact, requestsFact, tokensFact } from '../sample-facts.js';
import { inBoundary, type Store } from '../store.js';
import { joulesIn, tokensIn } from '../writers-contract.js';
import { serverOf } from './address.js';
import { appender } from './append.js';
import { claimPoint, keyOf } from './commits.js';
import type { Engine } from './engine.js';
import { Entries } from './entries.js';
import { textFrom } from './http.js';
import { openInflux } from './influx.js';
import { INFLUXDB_DIALECT } from './influxdb.js';
import { lineWriter, type Dialect } from './lines.js';
import { pointsOf } from './points.js';
import { hasInfluxdb, hasVictoria, makeDatabase, startInfluxdb, startVictoria, unless, type TestServer } from './servers.testing.js';
import { openVictoria, victoriaDialect } from './victoria.js';

const open = (address: string): Promise<Store> => openInflux(address, { clock: systemClock });
const numbered = (sequence: number): Batch => batchOf([energyFact({ from: sequence * 10, joules: sequence + 0.25 }), tokensFact({ from: sequence * 10, count: sequence })], { sequence });
const written = (sequence: number): Written => ({ batch: numbered(sequence), text: encodeBatch(numbered(sequence)) });

async function victoria(address: string): Promise<Engine> {
  const server = serverOf(address, undefined);
  const engine = await openVictoria(server, await textFrom(server, '/metrics'));
  if (!engine) throw new Error('no VictoriaMetrics');
  return engine;
}

const withServer = async (flags: readonly string[], work: (address: string, server: TestServer) => Promise<void>): Promise<void> => {
  const server = await startVictoria(flags);
  try {
    await work(server.address, server);
  } finally {
    await server.stop();
  }
};

const ENGINES = [
  { name: `InfluxDB 1.6${unless(hasInfluxdb, 'influxdb')}`, there: hasInfluxdb, start: () => startInfluxdb(), place: (server: TestServer, name: string) => makeDatabase(server, name), dialect: (): Dialect => INFLUXDB_DIALECT },
  { name: `VictoriaMetrics${unless(hasVictoria, 'victoria-metrics')}`, there: hasVictoria, start: () => startVictoria(), place: async (server: TestServer, name: string) => `${server.address}?bucket=${name}`, dialect: (bucket: string): Dialect => victoriaDialect({ bucket }) },
];

describe.each(ENGINES)('a store in $name', ({ there, start, place, dialect }) => {
  let server: TestServer;
  beforeAll(async () => {
    if (there) server = await start();
  });
  afterAll(() => (there ? server.stop() : undefined));

  it.skipIf(!there)('holds every batch that it answered, though it is killed right after the answer', { timeout: 40_000 }, async () => {
    const store = await open(await place(server, 'killed'));
    const answers = await Promise.all(Array.from({ length: 20 }, (_, sequence) => store.append(numbered(sequence))));
    expect(new Set(answers)).toEqual(new Set(['accepted']));
    await server.killAndRestart();
    expect([await joulesIn(store), await tokensIn(store)]).toEqual([195, 190]);
    expect(await store.append(numbered(7))).toBe('duplicate');
    await store.close();
  });

  it.skipIf(!there)('says that storing failed while nobody answers, and goes on afterwards', async () => {
    const store = await open(await place(server, 'down'));
    const waiting = server.killAndRestart();
    await expect(store.append(numbered(1))).rejects.toMatchObject({ remedy: 'retry' });
    await waiting;
    expect(await store.append(numbered(1))).toBe('accepted');
    expect(await tokensIn(store)).toBe(1);
    await store.close();
  });

  it.skipIf(!there)('counts no batch that was written and never committed, and counts it once when it is sent again', async () => {
    const address = await place(server, 'torn');
    const store = await open(address);
    await store.append(numbered(1));
    // What a collector leaves behind that dies between facts and commit.
    await lineWriter(serverOf(address, undefined), dialect('torn'))(pointsOf(numbered(5)));
    const late = await open(address);
    expect([await tokensIn(late), await late.seen(numbered(5))]).toEqual([1, null]);
    expect(await late.append(numbered(5))).toBe('accepted');
    expect([await tokensIn(late), await joulesIn(late)]).toEqual([6, 6.5]);
    await Promise.all([store.close(), late.close()]);
  });

  it.skipIf(!there)('takes at most one of the contents that several collectors are given under one number', async () => {
    const address = await place(server, 'rivals');
    const stores = await Promise.all([open(address), open(address), open(address)]);
    let truth = 0;
    for (let sequence = 0; sequence < 4; sequence += 1) {
      const answers = await Promise.all(stores.map((store, rival) => store.append(batchOf([tokensFact({ from: sequence, count: 10 ** rival })], { sequence }))));
      const accepted = answers.flatMap((answer, rival) => (answer === 'accepted' ? [rival] : []));
      expect(accepted.length).toBeLessThanOrEqual(1);
      expect(answers.filter((answer) => answer === 'conflict')).toHaveLength(3 - accepted.length);
      // Who is refused opens a new stream, as agents do.
      const renewed = stores.map(async (store, rival) => (answers[rival] === 'conflict' ? store.append(batchOf([tokensFact({ from: sequence, count: 10 ** rival })], { sequence, stream: `${rival}`.repeat(32) })) : 'accepted'));
      expect(new Set(await Promise.all(renewed))).toEqual(new Set(['accepted']));
      truth += 111;
    }
    const after = await open(address);
    expect(await tokensIn(after)).toBe(truth);
    await Promise.all([...stores, after].map((store) => store.close()));
  });

  it.skipIf(!there)('takes one batch that several collectors are given at the same moment once', async () => {
    const address = await place(server, 'copies');
    const stores = await Promise.all([open(address), open(address)]);
    const answers = await Promise.all([...stores, ...stores].map((store) => store.append(numbered(3))));
    expect(answers.every((answer) => answer === 'accepted' || answer === 'duplicate')).toBe(true);
    for (const store of stores) expect([await tokensIn(store), (await store.nodes())[0]?.batches]).toEqual([3, 1]);
    await Promise.all(stores.map((store) => store.close()));
  });

  it.skipIf(!there)('shows what another collector took in', async () => {
    const address = await place(server, 'others');
    const [ours, theirs] = await Promise.all([open(address), open(address)]);
    await ours.append(numbered(1));
    expect(await tokensIn(ours)).toBe(1);
    await theirs.append(numbered(2));
    await ours.append(numbered(3));
    expect(await tokensIn(ours)).toBe(6);
    await Promise.all([ours.close(), theirs.close()]);
  });

  it.skipIf(!there)('keeps texts of every kind apart, in dimensions, labels and filters', async () => {
    const store = await open(await place(server, 'texts'));
    const texts = ['a b', 'a,b', 'a=b', 'a\nb', 'a\r\nb', '"a"', "a'b", 'a\\', '\\', ' a ', 'ä→🙂', 'a%0Ab', '%', '.*', `x' OR ''='`, '{a="b"}', '$1', 'null', '0', '__name__'];
    await store.append(batchOf(texts.flatMap((text, index) => [energyFact({ device: text, deployment: text, labels: { [text]: text, same: '' }, microjoules: energyFact({ joules: index + 1 }).microjoules }), requestsFact({ tenant: text, request: text }), flagFact({ detail: text, deployment: text })])));
    for (const [index, text] of texts.entries()) {
      const [sum, ...rest] = await store.sum({ kind: 'energy', by: ['device', { label: text }, { label: 'same' }], where: [inBoundary('gpu'), { key: 'deployment', values: [text] }] });
      expect([sum?.values, sum?.sums.microjoules, rest]).toEqual([[text, text, ''], BigInt(index + 1) * 1_000_000n, []]);
      expect((await store.sum({ kind: 'flag', by: [], where: [{ key: 'deployment', values: [text] }] })).map(({ sums }) => sums.detail)).toEqual([text]);
    }
    expect((await store.sum({ kind: 'requests', by: ['request'], where: [] })).map(({ values }) => values[0])).toEqual(texts.toSorted());
    expect(await store.labels()).toEqual([...texts, 'same'].toSorted());
    await store.close();
  });

  it.skipIf(!there)('refuses a fact that it could not keep whole, and takes its neighbours', async () => {
    const store = await open(await place(server, 'wide'));
    const labels = Object.fromEntries(Array.from({ length: 64 }, (_, index) => [`label-${index}`, 'x'.repeat(1024)]));
    const answers = await Promise.allSettled([store.append(batchOf([tokensFact({ labels })], { sequence: 1 })), store.append(numbered(2))]);
    expect(answers).toMatchObject([{ status: 'rejected', reason: { code: 'FACT_TOO_WIDE', remedy: 'discard' } }, { status: 'fulfilled', value: 'accepted' }]);
    expect(await tokensIn(store)).toBe(2);
    await store.close();
  });
});

describe.skipIf(!hasVictoria)(`VictoriaMetrics as it is not fit for a store${unless(hasVictoria, 'victoria-metrics')}`, () => {
  it('is refused where it would thin out points, naming the flag', () =>
    withServer(['-dedup.minScrapeInterval=30s'], async (address) => {
      await expect(open(address)).rejects.toMatchObject({ code: 'STORE_UNFIT', remedy: 'abort', message: expect.stringContaining('-dedup.minScrapeInterval') as unknown });
    }));

  it('takes nothing that it answers 204 to and drops: what is older than it keeps is not accepted', () =>
    withServer(['-retentionPeriod=1'], async (address) => {
      const store = await open(address);
      await expect(store.append(numbered(1))).rejects.toMatchObject({ code: 'STORE_LOST_POINTS', remedy: 'retry' });
      expect(await store.seen(numbered(1))).toBeNull();
      await store.close();
    }));

  it('takes nothing that was in memory when it was killed, though it was read back before', () =>
    withServer([], async (address, server) => {
      const engine = await victoria(address);
      const dying = { ...engine, durable: () => server.killAndRestart().then(() => engine.durable()) };
      await expect(appender(dying, 'c1', systemClock)([written(1)])).rejects.toMatchObject({ code: 'STORE_RESTARTED', remedy: 'retry' });
      expect(await appender(engine, 'c2', systemClock)([written(1)])).toEqual(['accepted']);
      const store = await open(address);
      expect([await tokensIn(store), await joulesIn(store)]).toEqual([1, 1.25]);
      await store.close();
    }));

  it('is asked again for all claims after it was killed: those in memory are gone', () =>
    withServer([], async (address, server) => {
      const engine = await victoria(address);
      const entries = new Entries(engine);
      const batch = numbered(1);
      const claimed = async () => (await entries.lookUp([batch], Date.now())).get(keyOf(batch))?.claimed;
      entries.begin(await engine.era());
      await engine.write([claimPoint({ batch, hash: 7 }, 'c1', Date.now() * 1000)]);
      await engine.visible();
      expect(await claimed()).toEqual([7]);
      await server.killAndRestart();
      entries.begin(await engine.era());
      expect(await claimed()).toEqual([]);
    }));

  it('gives replayed points once, with its flag for that as without', () =>
    withServer(['-dedup.minScrapeInterval=1ms'], async (address) => {
      const stores = await Promise.all([open(address), open(address), open(address)]);
      await Promise.all(stores.slice(1).map((store) => store.append(numbered(4))));
      expect(await Promise.all(stores.map(tokensIn))).toEqual([4, 4, 4]);
      await Promise.all(stores.map((store) => store.close()));
    }));
});

describe('an address of a store', () => {
  it('without a server behind it is refused with a sentence', async () => {
    const server = createServer((_request, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const bound = server.address();
    const address = `http://127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`;
    await expect(open(address)).rejects.toMatchObject({ code: 'STORE_UNKNOWN', remedy: 'abort' });
    server.close();
    await once(server, 'close');
    await expect(open(address)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', message: expect.stringContaining(`${address} does not answer`) as unknown });
  });

  it('with a password or an unknown word in it is refused, and never repeated', () => {
    expect(() => serverOf('http://me:secret@host:8086?bucket=b', undefined)).toThrow(new UsageError(['store: an address must not hold a name or password, it ends up in logs; use storeToken (JOULEBOOK_STORE_TOKEN)']));
    expect(() => serverOf('http://host?token=secret', undefined)).toThrow(new UsageError([`store: 'token' is not known in an address; known are bucket and org`]));
  });
});
