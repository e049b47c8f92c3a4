/** The composition root: store ← ingest, store → api, on one port. */
import type { ServerOptions } from 'node:http';
import { isIP, type AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { systemClock, type Clock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { isLoopback, type Listen } from '@joulebook/shared/listen.js';
import { openAudit } from './access/audit.js';
import { guard } from './access/guard.js';
import { secureHeaders } from './access/headers.js';
import { openTls } from './access/tls.js';
import { openTokens } from './access/tokens.js';
import { startAlerts } from './alerts/alerts.js';
import { bookOf } from './book/book.js';
import { serveAlerts } from './api/alerts.js';
import { explainFaults, serveApi } from './api/api.js';
import { serveCompare } from './api/compare.js';
import { serveEvidence } from './api/evidence.js';
import { serveExperiments } from './api/experiments.js';
import { serveLosses } from './api/losses.js';
import { serveNodes } from './api/nodes.js';
import { serveStatements } from './api/statements.js';
import { serveSweep } from './api/sweep.js';
import { serveTokens } from './api/tokens.js';
import { serveUpkeep } from './api/upkeep.js';
import { serveVerify } from './api/verify.js';
import { serveWaste } from './api/waste.js';
import { takeOver } from './reload.js';
import { ClockOffsets } from './ingest/clock-offsets.js';
import { ingest } from './ingest/ingest.js';
import { createMetrics } from './ingest/metrics.js';
import { StoreHealth } from './ingest/store-health.js';
import { alertFolderOf, checkServing, ratesFolderOf, tokenFolderOf, type CollectorSettings } from './settings.js';
import { openShelf } from './rates/shelf.js';
import { lacksTokens, started } from './started.js';
import { scheduleStatements } from './statements/schedule.js';
import { openStore } from './store/open.js';
import type { Store } from './store/store.js';
import { fillRates } from './upkeep/filling.js';
import { keepsItself, scheduleUpkeep } from './upkeep/schedule.js';

/** A client that never ends its request does not keep the collector from stopping. */
const MOST_CLOSING_MILLISECONDS = 5000;
const MOST_HEADER_BYTES = 16 * 1024;
/** A slow client holds a connection no longer than this and its two settings for one request. */
const REQUEST_SECONDS = 20;
/** Longer than agents keep an idle connection: it is they who end it, and never in the middle of a request. */
const KEEP_ALIVE_MILLISECONDS = 72_000;
/** A fleet connects at once after a restart; who finds no room waits for seconds, and longer each time. Linux takes as many as net.core.somaxconn says. */
const MOST_CONNECTING = 4096;

export interface Collector {
  /** `http://127.0.0.1:9840`, with the port that was actually bound. */
  readonly address: string;
  /** Stops accepting, finishes requests in hand, then closes the store. */
  close(): Promise<void>;
  /**
   * Goes on with these settings, as far as that is possible without a restart, and says what needs one; reads the certificates
   * again. Tokens need no asking.
   */
  reload(settings: CollectorSettings): Promise<void>;
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

const limitsOf = ({ headerTimeout, bodyTimeout }: CollectorSettings): ServerOptions => ({
  headersTimeout: headerTimeout * 1000, requestTimeout: (headerTimeout + bodyTimeout + REQUEST_SECONDS) * 1000, connectionsCheckingInterval: Math.min(2000, headerTimeout * 500), keepAliveTimeout: KEEP_ALIVE_MILLISECONDS, maxHeaderSize: MOST_HEADER_BYTES,
});

function addressOf(app: FastifyInstance, { host, port }: Listen, scheme: string): string {
  // Under `localhost` there may be two addresses; the name reaches both.
  const bound: AddressInfo | string | undefined = app.addresses()[0];
  return `${scheme}://${isIP(host) === 6 ? `[${host}]` : host}:${typeof bound === 'object' ? bound.port : port}`;
}

/**
 * @throws UsageError when the settings would serve others without a token
 * @throws TelemetryError (`abort`) when the store can't be opened or the address is taken
 */
export async function startCollector(said: CollectorSettings, { log, clock = systemClock, store: given }: Surroundings): Promise<Collector> {
  /** One object for all who read it at each use: a reload changes it. */
  const settings = { ...said };
  const tokens = await openTokens(tokenFolderOf(settings), clock, (error) => log.error({ error: messageOf(error) }, 'the tokens can not be read again; those of before hold on'), (message) => log.warn(message));
  const closed = async (): Promise<boolean> => settings.token !== undefined || settings.tlsClientCa !== undefined || tokens.areKept();
  checkServing(settings, await closed());
  const audit = openAudit(log, clock);
  const tls = await openTls(settings, log, audit);
  if (!tls.secure && !isLoopback(settings.listen.host)) log.warn('tokens and facts travel in clear text: set tlsCert and tlsKey, or let a proxy with TLS stand before this collector');
  const ratesFolder = ratesFolderOf(settings);
  const shelf = ratesFolder === undefined ? undefined : openShelf(ratesFolder, (message) => log.warn({ code: 'RATES_DAMAGED' }, message));
  let book = await bookOf(settings, shelf);
  const store = given ?? (await openStore(settings.store, { token: settings.storeToken }));
  const metrics = createMetrics();
  const app = Fastify({ loggerInstance: log, logController: new LogController({ disableRequestLogging: true }), bodyLimit: settings.maxBodyBytes, forceCloseConnections: 'idle', serverFactory: (listener) => tls.serve(listener, limitsOf(settings)) });
  endConnections(app);
  secureHeaders(app, tls.secure);
  explainFaults(app);
  await guard(app, { settings, tokens, closed, audit, clock });
  const clocks = new ClockOffsets();
  const health = new StoreHealth(store, clock, log);
  ingest(app, { store, health, metrics, clock, clocks }, settings);
  serveNodes(app, { store, metrics, clocks });
  serveVerify(app, { store, clock });
  serveLosses(app, { store, clock });
  serveWaste(app, { store, defaults: settings, book: () => book });
  serveTokens(app, tokens, audit, clock);
  const upkeep = keepsItself(store) ? scheduleUpkeep({ store, settings, metrics, log, audit, clock }) : undefined;
  if (keepsItself(store)) {
    serveUpkeep(app, { store, path: settings.store, settings });
    serveEvidence(app, { store, settings, clock, book: () => book });
  }
  const alerts = await startAlerts({ store, book, settings, folder: alertFolderOf(settings), metrics, log, clock }).catch(async (error: unknown) => {
    await upkeep?.stop();
    await app.close();
    await store.close();
    throw error;
  });
  serveAlerts(app, { alerts, clock });
  const filling = shelf && fillRates({ entries: () => book.providers, shelf, settings, metrics, log, clock });
  serveStatements(app, { store, clock, defaults: settings, book: () => book });
  const stopStatements = settings.statementFolder === undefined ? undefined : scheduleStatements({ folder: settings.statementFolder, schedule: settings.statementSchedule, store, clock, defaults: settings, book: () => book, log });
  serveExperiments(app, { store, clock, defaults: settings, book: () => book });
  serveCompare(app, { store, defaults: settings, book: () => book });
  serveSweep(app, { store, defaults: settings, book: () => book });
  serveApi(app, { store, health, metrics, clock, defaults: settings, book: () => book });
  try {
    await app.listen({ ...settings.listen, backlog: MOST_CONNECTING, listenTextResolver: (address) => `listening at ${address.replace(/^http:/, tls.secure ? 'https:' : 'http:')}` });
  } catch (error) {
    await upkeep?.stop();
    await filling?.stop();
    await alerts.stop();
    await stopStatements?.();
    await app.close();
    await store.close();
    throw explainListening(settings.listen, error);
  }
  const address = addressOf(app, settings.listen, tls.secure ? 'https' : 'http');
  const unasked = (await closed()) ? undefined : lacksTokens(settings, await store.nodes().catch(() => []), hostname());
  const about = started(settings, address, await tokens.areKept());
  if (unasked === undefined) log.info(about, 'the collector has started');
  else log.warn({ ...about, code: 'NO_TOKENS' }, `the collector has started; ${unasked}`);
  return {
    address,
    async reload(next) {
      // Read again whatever its name is; one that can't be used changes nothing.
      const nextBook = await bookOf(next, shelf);
      const takeRules = alerts.prepare(nextBook, next);
      const isBookNew = !isDeepStrictEqual(book.source, nextBook.source);
      book = nextBook;
      const changed = takeOver(settings, next, log, isBookNew);
      await takeRules();
      if (changed.includes('alertSchedule')) await alerts.reschedule();
      if (changed.includes('rollUpSchedule') || changed.includes('retainSchedule')) await upkeep?.reschedule();
      await filling?.reschedule();
      await tls.reload();
    },
    async close() {
      tls.close();
      await upkeep?.stop();
      await filling?.stop();
      await alerts.stop();
      await stopStatements?.();
      await app.close();
      await store.close();
    },
  };
}
