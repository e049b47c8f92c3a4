/** A few rounds of the bench `chaos`: real programs are killed with SIGKILL under load, over a network that cuts and repeats. */
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { chaosRounds } from '../bench/chaos-rounds.js';
import { NOTHING } from '../support/fleet.js';
import { COLLECTOR } from '../support/pipe.js';

const SENDER = fileURLToPath(new URL('../dist/bench/chaos-sender.js', import.meta.url));

it('stores what nodes have measured once, to the microjoule, the token and the request, whatever is killed', { timeout: 120_000 }, async () => {
  const told: string[] = [];
  // The seed is for telling what happened; how things fall together in time is new in every run.
  const result = await chaosRounds({ rounds: 2, seed: Math.floor(Math.random() * 2 ** 31), drainEvery: 2, longestMs: 600, programs: { collector: COLLECTOR, sender: SENDER }, print: (line) => told.push(line) });
  expect(result, told.join('\n')).toMatchObject({ wrong: 0, lost: NOTHING, double: NOTHING, troubles: [] });
  expect(result.batches, 'batches of two nodes under load').toBeGreaterThan(10);
  // In the end of each node; after rounds, of what its cursor says is settled.
  expect(result.compared).toBeGreaterThanOrEqual(2);
  expect(Object.values(result.kills).reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(2 + 2);
});
