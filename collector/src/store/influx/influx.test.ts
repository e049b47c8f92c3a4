import { afterAll, beforeAll, describe } from 'vitest';
import { systemClock } from '@joulebook/shared/clock.js';
import { storeContract } from '../store-contract.js';
import { ledgerContract } from '../ledger-contract.js';
import { writersContract } from '../writers-contract.js';
import type { Store } from '../store.js';
import { openInflux } from './influx.js';
import { hasInfluxdb, hasVictoria, makeDatabase, startInfluxdb, startVictoria, unless, type TestServer } from './servers.testing.js';

/** Each append waits for a server's disk. */
const RUNS = 3;

const open = (address: string): Promise<Store> => openInflux(address, { clock: systemClock });

describe.skipIf(!hasInfluxdb)(`InfluxDB 1.6${unless(hasInfluxdb, 'influxdb')}`, () => {
  let server: TestServer;
  let databases = 0;
  beforeAll(async () => {
    server = await startInfluxdb();
  });
  afterAll(() => server.stop());
  const empty = async (): Promise<Store> => open(await makeDatabase(server, `test${(databases += 1)}`));

  storeContract('the store in InfluxDB', empty, RUNS);
  writersContract('the store in InfluxDB', empty);
  ledgerContract('the store in InfluxDB', empty, RUNS);
});

describe.skipIf(!hasVictoria)(`VictoriaMetrics${unless(hasVictoria, 'victoria-metrics')}`, () => {
  let server: TestServer;
  let buckets = 0;
  beforeAll(async () => {
    server = await startVictoria();
  });
  afterAll(() => server.stop());
  const empty = (): Promise<Store> => open(`${server.address}?bucket=test${(buckets += 1)}`);

  storeContract('the store in VictoriaMetrics', empty, RUNS);
  writersContract('the store in VictoriaMetrics', empty);
  ledgerContract('the store in VictoriaMetrics', empty, RUNS);
});
