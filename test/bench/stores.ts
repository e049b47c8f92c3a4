/**
 * Stores that are servers, killed again and again: three collectors behind a round-robin proxy, agents that send, repeat and
 * deliver twice at once, and in every round SIGKILL for a collector, for the store, or for both together while they send.
 * After each round the store must hold what was sent so far: to the microjoule, the token and the request.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { UsageError } from '@joulebook/shared/errors.js';
import { hasInfluxdb, hasVictoria, startInfluxdb, startVictoria, type TestServer } from '@joulebook/collector/store/influx/servers.testing.js';
import { NOTHING, plus, runAgents, startCollectors, storedIn, type Collectors, type Totals } from '../support/fleet.js';

const COLLECTOR = fileURLToPath(new URL('../../../collector/bin/joulebook.js', import.meta.url));
const AGENTS = 6;
const BATCHES = 10;
const ENGINES = [
  { name: 'VictoriaMetrics', there: hasVictoria, start: startVictoria },
  { name: 'InfluxDB 1.6', there: hasInfluxdb, start: startInfluxdb },
];
const VICTIMS = ['a collector', 'the store', 'a collector and the store'] as const;

async function kill(victim: (typeof VICTIMS)[number], server: TestServer, collectors: Collectors): Promise<void> {
  const collector = Math.floor(Math.random() * 3);
  await Promise.all([...(victim === 'a collector' ? [] : [server.killAndRestart()]), ...(victim === 'the store' ? [] : [collectors.replace(collector)])]);
}

/** What is stored beyond what was sent: negative where something was lost. */
const beyond = (stored: Totals, sent: Totals): Totals => ({ microjoules: stored.microjoules - sent.microjoules, tokens: stored.tokens - sent.tokens, requests: stored.requests - sent.requests });

async function rounds(name: string, server: TestServer, count: number): Promise<boolean> {
  const collectors = await startCollectors(COLLECTOR, server.address, 3);
  let [sent, wrong] = [NOTHING, 0];
  try {
    for (let round = 0; round < count; round += 1) {
      const victim = VICTIMS[round % VICTIMS.length] ?? 'the store';
      const moment = Math.floor(Math.random() * AGENTS * BATCHES);
      let [answered, killing] = [0, Promise.resolve()];
      const began = performance.now();
      const now = await runAgents(collectors.address, { agents: AGENTS, batches: BATCHES, first: round * BATCHES, random: Math.random, answered: () => void ((answered += 1) === moment + 1 && (killing = kill(victim, server, collectors))) });
      await killing;
      sent = plus(sent, now);
      const off = beyond(await storedIn(server.address), sent);
      const holds = off.microjoules === 0n && off.tokens === 0 && off.requests === 0;
      if (!holds) wrong += 1;
      console.log(`${name} round ${round + 1}: killed ${victim} after ${moment} of ${AGENTS * BATCHES} batches, ${((performance.now() - began) / 1000).toFixed(1)} s; ${holds ? 'lost 0, double 0' : `off by ${off.microjoules} µJ, ${off.tokens} tokens, ${off.requests} requests`}`);
    }
  } finally {
    await collectors.close();
    await server.stop();
  }
  console.log(`${name}: ${count} rounds, ${count * AGENTS * BATCHES} batches, ${wrong} rounds wrong`);
  return wrong === 0;
}

/** @returns false where a sum was wrong */
export async function stores(options: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({ args: [...options], options: { rounds: { type: 'string', default: '10' } } });
  const count = Number(values.rounds);
  if (!Number.isSafeInteger(count) || count < 1) throw new UsageError([`--rounds: '${values.rounds}' is not a whole number of at least 1`]);
  let right = true;
  for (const { name, there, start } of ENGINES) {
    if (there) right = (await rounds(name, await start(), count)) && right;
    else console.log(`${name}: not installed`);
  }
  return right;
}
