/**
 * The composition root. Reads top to bottom as the pipeline does:
 *
 *   power sources ─▶ integrator ─▶┐
 *                                 ├─▶ correlator ─▶ slicer ─▶ spool ─▶ shipper ─▶ collector
 *   serving sources ─────────────▶┘
 */
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { encodeBatch, SCHEMA_VERSION, type HostFacts } from '@joulebook/shared/batch.js';
import { sliceClock, type Clock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { instant, seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { correlator } from './correlator/correlator.js';
import { slicer } from './correlator/slicer.js';
import { integrate } from './correlator/intake.js';
import { integrator } from './sampler/integrator.js';
import { ticks } from './schedule/ticker.js';
import { httpTransport } from './shipper/http.js';
import { shipper } from './shipper/shipper.js';
import type { Deployment } from './sources/deployments.js';
import type { LiveContext, LivePower, LiveServing } from './sources/source.js';
import { openSpool } from './spool/spool.js';

export interface ServingSource {
  readonly deployment: string;
  readonly source: LiveServing;
  /** False: it only tells phases; its tokens are counted by another source. */
  readonly counts: boolean;
}

export interface AgentParts {
  readonly node: string;
  readonly site?: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly slice: Seconds;
  readonly evidenceDelay: Seconds;
  readonly dataDir: string;
  readonly collector: { readonly url: string; readonly token?: string | undefined };
  readonly power: readonly LivePower[];
  readonly serving: readonly ServingSource[];
  readonly deployments: readonly Deployment[];
  /** What the machine is; sent with the first batch that is made once it is known. */
  readonly host?: Promise<HostFacts> | undefined;
  readonly clock: Clock;
  readonly log: LiveContext['log'];
  readonly bill: LiveContext['bill'];
  readonly environment: NodeJS.ProcessEnv;
}

/** How long a stop may spend on sending what is spooled. */
const LAST_SEND_SECONDS = 5;
/** How long a source may take to end once told to. */
const SOURCE_END_SECONDS = 3;

/** Runs until the signal aborts; then spools what is pending, tries one last send and returns. */
export async function runAgent(parts: AgentParts, signal: AbortSignal): Promise<void> {
  const { log } = parts;
  const now = sliceClock(parts.clock);
  const begin = now();
  const window = { from: begin };

  const slices = slicer({ length: parts.slice, window, site: parts.site, labels: parts.labels });
  const facts = correlator({ deployments: parts.deployments, window, slicer: slices });
  const periods = new Map<string, Seconds>();
  const spans = integrator((channel) => periods.get(channel.id) ?? seconds(1), { from: begin, to: instant(Infinity) });
  /** How far each channel and each serving source has spoken. */
  const spoken = new Map<string, Instant>();

  const spool = await openSpool(join(parts.dataDir, 'spool'), { report: (flagged) => log.warn(flagged.detail, { code: flagged.code }) });
  const shipping = shipper({ spool, transport: httpTransport(parts.collector), log });

  let host: HostFacts | undefined;
  void parts.host?.then((found) => (host = found)).catch((error: unknown) => log.warn(`host facts are not known: ${messageOf(error)}`));

  async function keep(closed: readonly Slice[]): Promise<void> {
    if (closed.length === 0) return;
    const told = host;
    await spool.append((sequence, stream) => gzipSync(encodeBatch({ schema: SCHEMA_VERSION, stream, sequence, node: parts.node, ...(told && { host: told }), slices: [...closed] }), { level: 1 }));
    host = undefined;
  }

  const sources = new AbortController();
  const context: LiveContext = { now, environment: parts.environment, bill: parts.bill, signal: sources.signal, log };

  async function readPower(source: LivePower): Promise<void> {
    for await (const event of source.events(context)) {
      if (event.kind === 'reading') {
        if (!periods.has(event.channel.id)) {
          periods.set(event.channel.id, source.period);
          facts.watch(event.channel);
        }
        spoken.set(event.channel.id, event.at);
      } else if (event.kind === 'flagged') facts.flag(event);
      integrate(event, facts, spans);
    }
  }

  async function readServing({ deployment, source, counts }: ServingSource, index: number): Promise<void> {
    const name = `serving/${index}`;
    spoken.set(name, begin);
    for await (const event of source.events(context)) {
      if (event.kind !== 'watermark') facts.evidence(deployment, event, counts);
      else {
        if (source.tellsRequests) facts.whole(deployment, spoken.get(name) ?? begin, event.at);
        spoken.set(name, event.at);
      }
    }
  }

  const surviving = async (description: string, reading: Promise<void>): Promise<void> => {
    try {
      await reading;
    } catch (error) {
      if (!(error instanceof TelemetryError)) throw error;
      log.warn(`${description}: ${error.message}`, { code: error.code, remedy: error.remedy });
      facts.flag({ kind: 'flagged', code: error.code, detail: `${description}: ${error.message}`, count: 1 });
    }
  };
  for (const { description } of [...parts.power, ...parts.serving.map(({ source }) => source)]) log.info(`reading ${description}`);
  const reading = Promise.all([
    ...parts.power.map((source) => surviving(source.description, readPower(source))),
    ...parts.serving.map((serving, index) => surviving(serving.source.description, readServing(serving, index))),
  ]);

  /** Energy waits for the slowest that still speaks, but not for longer than the evidence delay. */
  const settled = (): Instant => instant(Math.max(Math.min(now(), ...spoken.values()), now() - parts.evidenceDelay));

  const shipped = shipping.run(signal);
  try {
    for await (const tick of ticks(seconds(1), { monotonic: () => parts.clock.monotonic(), signal: AbortSignal.any([signal, failure(reading)]) })) {
      if (tick.missed > 0) log.warn(`the agent was held up for ${tick.missed} s`);
      const upTo = settled();
      facts.advance(upTo);
      await keep(slices.close(upTo)).catch((error: unknown) => spoolRefused(error, log));
    }
  } finally {
    sources.abort();
    await Promise.race([reading.catch(() => undefined), wait(SOURCE_END_SECONDS)]);
    const end = now();
    facts.advance(end);
    await keep(slices.finish(end)).catch((error: unknown) => spoolRefused(error, log));
    await shipped;
    await shipping.flushOnce(seconds(LAST_SEND_SECONDS));
    await spool.close();
  }
  // A source that failed in a way nobody foresaw ends the agent, and says why.
  await reading;
}

function spoolRefused(error: unknown, log: LiveContext['log']): void {
  if (!(error instanceof TelemetryError)) throw error;
  log.warn(`facts of this moment are lost: ${error.message}`, { code: error.code });
}

const wait = (time: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, time * 1000).unref());

/** Aborts when the work fails, so that nothing waits for what will not come. */
function failure(work: Promise<unknown>): AbortSignal {
  const controller = new AbortController();
  work.catch(() => controller.abort());
  return controller.signal;
}
