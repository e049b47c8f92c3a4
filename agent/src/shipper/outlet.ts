/**
 * From closed slices to the collector: batches of a bounded size and age, through memory and disk, out by HTTP.
 *
 *     put ─▶ batch ─▶ inlet (memory) ─▶ spool (disk) ─▶ shipper ─▶ collectors
 *
 * The spool is opened as soon as its disk can be used; until then batches wait in memory, or go past it to the collector.
 */
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { encodeBatch, SCHEMA_VERSION, type HostFacts } from '@joulebook/shared/batch.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { elapsed, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Flagged, LiveContext } from '../sources/source.js';
import { Inlet, type Facts } from '../spool/inlet.js';
import type { Loss } from '../spool/losses.js';
import { openSpool, type Spool, type SpoolOptions } from '../spool/spool.js';
import { transportTo, type Collectors } from './collectors.js';
import { lossFlags } from './loss-flags.js';
import { shipper, type Shipper, type ShipperCounts } from './shipper.js';

export interface OutletOptions {
  readonly node: string;
  readonly site?: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly slice: Seconds;
  readonly dataDir: string;
  readonly spool: Pick<SpoolOptions, 'maxBytes' | 'minFreeBytes' | 'sync'>;
  readonly collectors: Collectors;
  readonly catchUpRate: number;
  /** How long closed slices may wait to be sent with later ones. */
  readonly batchAge: Seconds;
  readonly now: () => Instant;
  readonly log: LiveContext['log'];
  /** What the report has to say of the spool's disk. */
  readonly flag: (flagged: Flagged) => void;
  /** Up to when facts are on disk, µs since 1970. */
  readonly kept: (until: number) => Promise<void>;
  readonly failed: (error: unknown) => void;
}

/** What an operator wants to know. */
export interface OutletState {
  readonly memoryBatches: number;
  readonly memoryBytes: number;
  readonly spooledBatches: number;
  readonly spoolBytes: number;
  readonly lostBatches: number;
  /** False while the disk can't be used. */
  readonly spoolOpen: boolean;
  readonly sent: ShipperCounts;
}

export interface Outlet {
  /** Never waits. Called in every tick, also with nothing: what was held back goes when its time has come. */
  put(closed: readonly Slice[]): void;
  /** Sent along with the next batch. */
  tellHost(host: HostFacts): void;
  /** Writes what is pending, tries one last send where there is time for it, and closes the spool. */
  close(lastSend: Seconds): Promise<void>;
  readonly state: OutletState;
}

/** How long the disk is left alone while a batch goes past it; the last try of an agent that ends has no more. */
const PAST_MS = 4000;
const NOTHING_SENT: ShipperCounts = { accepted: 0, rejected: 0, retried: 0 };
/** A collector takes no more slices than so many in one batch. */
const SLICES_PER_BATCH = 5_000;

/** @throws TelemetryError when another agent holds the spool; UsageError when a collector can't be used as configured */
export async function outlet(options: OutletOptions): Promise<Outlet> {
  const { log, node } = options;
  const transport = transportTo(options.collectors, ({ description }) => log.warn(`batches go to the ${description} now`));
  const stop = new AbortController();
  let opened: { readonly spool: Spool; readonly shipping: Shipper; readonly ended: Promise<void> } | undefined;
  let host: HostFacts | undefined;
  let held: Slice[] = [];
  let heldSince: Instant | undefined;

  const encode = (sequence: number, stream: string, facts: Facts): Uint8Array => {
    const said = facts.host;
    return gzipSync(encodeBatch({ schema: SCHEMA_VERSION, stream, sequence, node, ...(said && { host: said }), slices: [...facts.slices] }), { level: 1 });
  };

  async function open(): Promise<Spool> {
    const spool = await openSpool(join(options.dataDir, 'spool'), {
      ...options.spool,
      report(flagged) {
        log.warn(flagged.detail, { code: flagged.code });
        options.flag(flagged);
      },
      dropped: (batches) => log.warn('the spool is full: its oldest batches were dropped and stand in the loss account', { code: 'SPOOL_LOSS', batches }),
    });
    const lossBatch = (sequence: number, stream: string, losses: readonly Loss[]): Uint8Array => encode(sequence, stream, { slices: lossFlags(losses, options.now(), options) });
    const shipping = shipper({ spool, transport, log, lossBatch, catchUpRate: options.catchUpRate });
    opened = { spool, shipping, ended: shipping.run(stop.signal) };
    opened.ended.catch(options.failed);
    return spool;
  }

  /** Where the disk refuses. A batch that is refused for good counts as lost. */
  async function past(bytes: Uint8Array): Promise<'taken' | 'refused' | 'unknown'> {
    const outcome = await transport.send(bytes, AbortSignal.timeout(PAST_MS));
    return outcome.kind === 'accepted' ? 'taken' : outcome.kind === 'rejected' ? 'refused' : 'unknown';
  }

  const inlet = new Inlet({ open: async () => opened?.spool ?? open(), encode, past, spooled: ({ slices }) => options.kept(slices.reduce((latest, { to }) => Math.max(latest, to), 0)), failed: options.failed, log });

  function batch(): void {
    if (held.length === 0) return;
    inlet.put({ host, slices: held.splice(0, SLICES_PER_BATCH) });
    host = undefined;
  }

  // A spool that another agent holds is said at once; a disk that can't be used is waited for.
  await open().catch((error: unknown) => {
    if (!(error instanceof TelemetryError) || error.code !== 'SPOOL_DISK') throw error;
    log.warn(`${error.message} Measuring begins all the same; batches wait in memory until the collector takes them.`, { code: error.code });
  });

  return {
    put(closed) {
      held = held.concat(closed);
      heldSince = held.length === 0 ? undefined : (heldSince ?? options.now());
      while (held.length >= SLICES_PER_BATCH) batch();
      if (heldSince !== undefined && elapsed(heldSince, options.now()) >= options.batchAge) batch();
      if (held.length === 0) heldSince = undefined;
    },
    tellHost(facts) {
      host = facts;
    },
    async close(lastSend) {
      while (held.length > 0) batch();
      await inlet.finish();
      stop.abort();
      if (opened) {
        await opened.ended.catch(() => undefined);
        if (lastSend > 0) await opened.shipping.flushOnce(lastSend);
        await opened.spool.close();
      }
      await transport.close();
    },
    get state() {
      const { batches, bytes } = inlet.waiting;
      return { memoryBatches: batches, memoryBytes: bytes, spooledBatches: opened?.spool.pending.records ?? 0, spoolBytes: opened?.spool.bytes ?? 0, lostBatches: opened?.spool.losses.batches ?? 0, spoolOpen: opened !== undefined, sent: opened?.shipping.counts ?? NOTHING_SENT };
    },
  };
}
