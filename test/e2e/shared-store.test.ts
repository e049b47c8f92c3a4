/** Three collectors on one store that is a server: any of them may die, and the store with them. */
import { EventEmitter, once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { hasInfluxdb, hasVictoria, startInfluxdb, startVictoria, unless } from '@joulebook/collector/store/influx/servers.testing.js';
import { runAgents, startCollectors, storedIn } from '../support/fleet.js';
import { COLLECTOR } from '../support/pipe.js';

const ENGINES = [
  { name: `InfluxDB 1.6${unless(hasInfluxdb, 'influxdb')}`, there: hasInfluxdb, start: startInfluxdb },
  { name: `VictoriaMetrics${unless(hasVictoria, 'victoria-metrics')}`, there: hasVictoria, start: startVictoria },
];

/** Tells when so many batches were answered. */
class Progress extends EventEmitter {
  #total = 0;
  readonly answered = (): void => void this.emit(String((this.#total += 1)));

  async reached(count: number): Promise<void> {
    if (this.#total < count) await once(this, String(count));
  }
}

describe.each(ENGINES)('$name', ({ there, start }) => {
  it.skipIf(!there)('holds what three collectors were sent, though one is killed and replaced and another is killed together with the store', { timeout: 60_000 }, async () => {
    const server = await start();
    const collectors = await startCollectors(COLLECTOR, server.address, 3);
    try {
      const progress = new Progress();
      const sending = runAgents(collectors.address, { agents: 4, batches: 12, random: Math.random, answered: progress.answered });
      await progress.reached(8);
      const replaced = collectors.replace(0);
      await progress.reached(20);
      await Promise.all([replaced, server.killAndRestart(), collectors.replace(1)]);
      const truth = await sending;
      expect(await storedIn(server.address)).toEqual(truth);
    } finally {
      await collectors.close();
      await server.stop();
    }
  });
});
