/**
 * Many agents and a few collectors on one store that is a server, with whatever may die in between:
 *
 *     agents ──▶ proxy, round robin ──▶ collectors ──▶ store
 *
 * An agent is what the contract asks of one: it sends a batch until it is answered, and some again after that. What all of
 * them have sent is the truth that the store must hold in the end, exactly.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { openStore } from '@joulebook/collector/store/open.js';
import { inBoundary, type Store } from '@joulebook/collector/store/store.js';
import { encodeBatch, SCHEMA_VERSION, type Batch } from '@joulebook/shared/batch.js';
import { epochMicros, microjoules, seconds } from '@joulebook/shared/units.js';
import { execa } from 'execa';

const launch = (program: string, store: string) => execa(process.execPath, [program, 'serve', '--store', store, '--listen', '127.0.0.1:0', '--log-level', 'error'], { reject: false, env: { JOULEBOOK_TOKEN: undefined } });
type Child = ReturnType<typeof launch>;
const MOST_STARTS = 20;

export interface Totals {
  readonly microjoules: bigint;
  readonly tokens: number;
  readonly requests: number;
}
export const NOTHING: Totals = { microjoules: 0n, tokens: 0, requests: 0 };
export const plus = (a: Totals, b: Totals): Totals => ({ microjoules: a.microjoules + b.microjoules, tokens: a.tokens + b.tokens, requests: a.requests + b.requests });

/** Its stderr is read to the end: who writes into a pipe that nobody holds dies of it. */
async function addressOf(child: Child): Promise<string> {
  let said = '';
  const found = new Promise<string>((resolve) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const [, address] = /Joulebook is at (http:\/\/[\d.:]+)/.exec(said) ?? [];
      if (address !== undefined) resolve(address);
    });
  });
  return Promise.race([found, child.then(() => Promise.reject(new Error(`the collector ended: ${said}`)))]);
}

export interface Collectors {
  /** Of the proxy. */
  readonly address: string;
  /** SIGKILL, and another one in its place, which may have to wait for the store. */
  replace(index: number): Promise<void>;
  close(): Promise<void>;
}

/** Ends where the store is not up again yet, and is tried again. */
async function collectorOf(program: string, store: string): Promise<{ child: Child; address: string }> {
  for (let tries = 1; ; tries += 1) {
    const child = launch(program, store);
    try {
      return { child, address: await addressOf(child) };
    } catch (error) {
      if (tries === MOST_STARTS) throw error;
      await sleep(200);
    }
  }
}

/** @param program file of `joulebook`, built */
export async function startCollectors(program: string, store: string, count: number): Promise<Collectors> {
  const collectors = await Promise.all(Array.from({ length: count }, () => collectorOf(program, store)));
  let turn = 0;
  const proxy = createServer((request, response) => {
    const target = collectors[(turn += 1) % count]?.address ?? '';
    const forward = async (): Promise<void> => {
      const answer = await fetch(`${target}${request.url ?? ''}`, { method: request.method ?? 'GET', headers: { 'content-type': 'application/json' }, body: await buffer(request) });
      response.writeHead(answer.status).end(await answer.text());
    };
    forward().catch(() => response.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const bound = proxy.address();
  if (bound === null || typeof bound === 'string') throw new Error('no address');
  return {
    address: `http://127.0.0.1:${bound.port}`,
    async replace(index) {
      const old = collectors[index];
      old?.child.kill('SIGKILL');
      await old?.child;
      collectors[index] = await collectorOf(program, store);
    },
    async close() {
      proxy.closeAllConnections();
      proxy.close();
      for (const { child } of collectors) child.kill('SIGTERM');
      await Promise.all(collectors.map(({ child }) => child));
    },
  };
}

const ORIGIN = Date.UTC(2026, 9, 1) * 1000;
const CELL_MICROS = 10_000_000;
const whole = (random: () => number, most: number): number => 1 + Math.floor(random() * most);

/** What an 8-GPU server sends of one slice, with numbers of its own. */
function batchOf(agent: number, sequence: number, random: () => number): Batch {
  const from = epochMicros(ORIGIN + sequence * CELL_MICROS);
  const span = { from, to: epochMicros(from + CELL_MICROS), deployment: 'chat', model: 'llama', labels: { rack: `r ${agent % 3}` } };
  const energy = Array.from({ length: 8 }, (_, device) => ({
    kind: 'energy' as const, ...span, device: `GPU-${agent}-${device}`, boundary: 'gpu' as const, phase: 'decode' as const, microjoules: microjoules(whole(random, 7e9)), modelledMicrojoules: microjoules(0),
    seconds: seconds(10), askedSeconds: seconds(10), source: 'nvml', method: 'counter' as const,
  }));
  return {
    schema: SCHEMA_VERSION, stream: `f1ee7${String(agent).padStart(27, '0')}`, sequence, node: `node-${agent}`,
    slices: [...energy, { kind: 'tokens', ...span, token: 'output', count: whole(random, 1e5) }, { kind: 'requests', ...span, outcome: 'ok', requests: whole(random, 100), inputTokens: 0, cachedInputTokens: 0, outputTokens: 0 }],
  };
}

export const totalsOf = ({ slices }: Pick<Batch, 'slices'>): Totals =>
  slices.reduce((sum, slice) => plus(sum, { ...NOTHING, ...(slice.kind === 'energy' && { microjoules: BigInt(slice.microjoules) }), ...(slice.kind === 'tokens' && { tokens: slice.count }), ...(slice.kind === 'requests' && { requests: slice.requests }) }), NOTHING);

/** @throws when it is refused for good */
async function deliver(address: string, batch: Batch): Promise<void> {
  const body = encodeBatch(batch);
  for (;;) {
    const answer = await fetch(`${address}/v1/batches`, { method: 'POST', headers: { 'content-type': 'application/json' }, body, signal: AbortSignal.timeout(30_000) }).catch(() => undefined);
    const said = await answer?.text().catch(() => undefined);
    if (answer?.status === 200 && said !== undefined) return;
    if (answer !== undefined && answer.status < 500 && answer.status !== 429) throw new Error(`batch ${batch.sequence} was refused: ${answer.status} ${said}`);
    await sleep(50);
  }
}

/** @returns what they have sent, all of it answered; some batches were sent at the same moment twice, some again later */
export async function runAgents(address: string, { agents, batches, first = 0, random, answered }: { agents: number; batches: number; first?: number; random: () => number; answered?: (() => void) | undefined }): Promise<Totals> {
  const each = Array.from({ length: agents }, async (_, agent) => {
    let sent = NOTHING;
    for (let sequence = first; sequence < first + batches; sequence += 1) {
      const batch = batchOf(agent, sequence, random);
      const luck = random();
      await Promise.all([deliver(address, batch), ...(luck < 0.2 ? [deliver(address, batch)] : [])]);
      answered?.();
      if (luck > 0.8) await deliver(address, batch);
      sent = plus(sent, totalsOf(batch));
    }
    return sent;
  });
  return (await Promise.all(each)).reduce(plus, NOTHING);
}

export async function storedIn(place: string): Promise<Totals> {
  const store: Store = await openStore(place, { readOnly: true });
  try {
    const [energy] = await store.sum({ kind: 'energy', by: [], where: [inBoundary('gpu')] });
    const [tokens] = await store.sum({ kind: 'tokens', by: [], where: [] });
    const [requests] = await store.sum({ kind: 'requests', by: [], where: [] });
    return { microjoules: energy?.sums.microjoules ?? 0n, tokens: tokens?.sums.count ?? 0, requests: requests?.sums.requests ?? 0 };
  } finally {
    await store.close();
  }
}
