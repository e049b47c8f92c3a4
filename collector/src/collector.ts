/** The composition root: store ← ingest, store → api, on one port. */
import { isIP, type AddressInfo } from 'node:net';
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { systemClock, type Clock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { guard } from './api/access.js';
import { hardenReplies, serveApi } from './api/api.js';
import { ingest } from './ingest/ingest.js';
import { createMetrics } from './ingest/metrics.js';
import { checkServing, type CollectorSettings, type Listen } from './settings.js';
import { openDuckdb } from './store/duckdb.js';
import type { Store } from './store/store.js';

/** A client that never ends its request does not keep the collector from stopping. */
const MOST_CLOSING_MILLISECONDS = 5000;

export interface Collector {
  /** `http://127.0.0.1:9840`, with the port that was actually bound. */
  readonly address: string;
  /** Stops accepting, finishes requests in hand, then closes the store. */
  close(): Promise<void>;
}

interface Surroundings {
  readonly log: FastifyBaseLogger;
  readonly clock?: Clock;
  /** Instead of opening the one that the settings name. Closed with the collector. */
  readonly store?: Store;
}

function explainListening({ host, port }: Listen, cause: unknown): TelemetryError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const why = code === 'EADDRINUSE' ? 'another program listens there' : messageOf(cause);
  return new TelemetryError('LISTEN_FAILED', `Can't listen on ${host}:${port}: ${why}. Choose another with --listen HOST:PORT.`, 'abort', { cause });
}

/** A connection whose request was in hand when closing began would be kept alive after its answer, and closing would wait for it. */
function endConnections(app: FastifyInstance): void {
  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
    setTimeout(() => app.server.closeAllConnections(), MOST_CLOSING_MILLISECONDS).unref();
  });
  app.addHook('onSend', async (_request, reply) => {
    if (closing) void reply.header('connection', 'close');
  });
}

function addressOf(app: FastifyInstance, { host, port }: Listen): string {
  // Under `localhost` there may be two addresses; the name reaches both.
  const bound: AddressInfo | string | undefined = app.addresses()[0];
  return `http://${isIP(host) === 6 ? `[${host}]` : host}:${typeof bound === 'object' ? bound.port : port}`;
}

/**
 * @throws UsageError when the settings would serve others without a token
 * @throws TelemetryError (`abort`) when the store can't be opened or the address is taken
 */
export async function startCollector(settings: CollectorSettings, { log, clock = systemClock, store: given }: Surroundings): Promise<Collector> {
  checkServing(settings);
  const store = given ?? (await openDuckdb(settings.store));
  const metrics = createMetrics();
  const app = Fastify({ loggerInstance: log, logController: new LogController({ disableRequestLogging: true }), bodyLimit: settings.maxBodyBytes, forceCloseConnections: 'idle', requestTimeout: 60_000 });
  endConnections(app);
  hardenReplies(app);
  guard(app, settings.token);
  ingest(app, store, metrics, clock, settings);
  serveApi(app, { store, metrics, clock, defaults: settings });
  try {
    await app.listen({ ...settings.listen, listenTextResolver: () => 'listening' });
  } catch (error) {
    await app.close();
    await store.close();
    throw explainListening(settings.listen, error);
  }
  return {
    address: addressOf(app, settings.listen),
    async close() {
      await app.close();
      await store.close();
    },
  };
}
