/**
 * The composition root. Reads top to bottom as the pipeline does:
 *
 *   power sources ─▶ integrator ─▶┐
 *                                 ├─▶ correlator ─▶ slicer ─▶ outlet: spool ─▶ shipper ─▶ collector
 *   serving sources ─────────────▶┘
 */
import type { HostFacts } from '@joulebook/shared/batch.js';
import { sliceClock, type Clock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { elapsed, instant, seconds, toIso, type Instant, type Seconds } from '@joulebook/shared/units.js';
import type { Bill } from './bill/bill.js';
import { correlator } from './correlator/correlator.js';
import { slicer } from './correlator/slicer.js';
import { intake } from './correlator/intake.js';
import { chooser } from './sampler/chooser.js';
import { integrator } from './sampler/integrator.js';
import { either } from './schedule/signals.js';
import { ticks } from './schedule/ticker.js';
import type { Watch } from './metrics/metrics.js';
import { outlet, type OutletOptions, type OutletState } from './shipper/outlet.js';
import type { Deployment } from './sources/deployments.js';
import type { Tenants } from './sources/power/nvidia/gpu-tenants.js';
import type { Channel, LiveContext, LivePower, LiveServing } from './sources/source.js';
import { lifeMark } from './spool/life-mark.js';

export interface ServingSource {
  readonly deployment: string;
  readonly source: LiveServing;
  /** False: it only tells phases; its tokens are counted by another source. */
  readonly counts: boolean;
}

export interface AgentParts extends Pick<OutletOptions, 'node' | 'site' | 'labels' | 'slice' | 'dataDir' | 'spool' | 'collectors' | 'catchUpRate' | 'batchAge' | 'log'> {
  readonly evidenceDelay: Seconds;
  readonly power: readonly LivePower[];
  readonly serving: readonly ServingSource[];
  readonly deployments: readonly Deployment[];
  /** Which deployment sits on which GPU, asked of the driver; absent: as configured. */
  readonly tenants?: Tenants | undefined;
  /** Names of power sources, the most direct first: which one is booked where several measure one thing. */
  readonly preference: readonly string[];
  /** What the machine is; sent with the first batch that is made once it is known. */
  readonly host?: Promise<HostFacts> | undefined;
  readonly clock: Clock;
  /** What measuring costs; stated in gauges of the node. */
  readonly bill: Bill;
  /** How it goes, for an operator. */
  readonly watch: Watch;
  /** Asked when the signal has aborted: the agent goes on with other settings, so nothing waits for a last send. */
  readonly goesOn: () => boolean;
  readonly environment: NodeJS.ProcessEnv;
}

/** A process list costs the driver milliseconds under its lock. */
const TENANCY_EVERY_SECONDS = 15;
/** Slice time moves by a second a tick; further than this in one tick is a leap. */
const LEAP_SECONDS = 60;
/** How often the agent states what it costs itself. */
const BILL_EVERY_SECONDS = 10;
/** A pause between two lives of an agent that is worth telling. */
const RESTART_SECONDS = 2;
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
  const periodOf = (channel: Channel): Seconds => channel.period ?? periods.get(channel.id) ?? seconds(1);
  const choose = chooser(parts.preference, periodOf);
  const { watch } = parts;
  const counting: typeof facts = {
    ...facts,
    gap(gap) {
      watch.gap(gap.channel.source);
      facts.gap(gap);
    },
  };
  const take = intake(integrator(periodOf), choose, counting);
  /** How far each channel and each serving source has spoken. */
  const spoken = new Map<string, Instant>();
  const channels = new Map<string, Channel>();

  const alive = await lifeMark(parts.dataDir);
  if (alive.last !== undefined && begin - alive.last > RESTART_SECONDS) {
    facts.flag({ kind: 'flagged', code: 'AGENT_RESTARTED', detail: `the agent kept nothing between ${toIso(alive.last)} and ${toIso(begin)}: it was stopped, and what it had not yet written down is lost`, count: 1 });
  }

  const failed = new AbortController();
  const fail = (error: unknown): void => failed.abort(error);
  const out = await outlet({ ...parts, now, flag: (flagged) => facts.flag(flagged), kept: (until) => alive.mark(until), failed: fail });

  let bookedTo = begin;
  watch.begins(() => ({
    outlet: out.state,
    bookingDelay: elapsed(bookedTo, now()),
    evidence: parts.serving.map(({ deployment, source }, index) => ({ deployment, source: source.description, delay: elapsed(spoken.get(servingName(index)) ?? begin, now()) })),
    readings: [...channels.values()].map(({ id, source, device }) => ({ source, device, age: elapsed(spoken.get(id) ?? begin, now()) })),
  }));
  const put = (closed: readonly Slice[]): void => {
    watch.closed(closed);
    out.put(closed);
  };

  /** Energy must be able to wait for the next reading of the slowest sensor. */
  const evidenceDelay = Math.max(parts.evidenceDelay, 3 * Math.max(0, ...parts.power.map(({ period }) => period)));
  log.info(`energy waits up to ${Math.round(evidenceDelay)} s for evidence and readings; it is booked as soon as they are there`);

  void parts.host?.then((found) => out.tellHost(found)).catch((error: unknown) => log.warn(`host facts are not known: ${messageOf(error)}`));

  const sources = new AbortController();
  const context: LiveContext = { now, environment: parts.environment, bill: parts.bill, signal: sources.signal, log };

  async function readPower(source: LivePower): Promise<void> {
    for await (const event of source.events(context)) {
      if (event.kind === 'reading') {
        if (!periods.has(event.channel.id)) {
          periods.set(event.channel.id, source.period);
          channels.set(event.channel.id, event.channel);
          if (event.channel.use !== 'check') facts.watch(event.channel);
        }
        spoken.set(event.channel.id, event.at);
        watch.reading(event.channel.source);
      } else if (event.kind === 'flagged') facts.flag(event);
      take(event);
    }
  }

  async function readServing({ deployment, source, counts }: ServingSource, index: number): Promise<void> {
    const name = servingName(index);
    // Beside another source that counts, it may tell only the requests of its own clients.
    const tellsAll = source.tellsRequests === true && (counts || !parts.serving.some((other) => other.deployment === deployment && other.counts));
    spoken.set(name, begin);
    for await (const event of source.events(context)) {
      if (event.kind !== 'watermark') facts.evidence(deployment, event, counts);
      else {
        if (tellsAll) facts.whole(deployment, spoken.get(name) ?? begin, event.at);
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
  for (const said of whoCounts(parts.serving)) log.info(said);
  const reading = Promise.all([
    ...parts.power.map((source) => surviving(source.description, readPower(source))),
    ...parts.serving.map((serving, index) => surviving(serving.source.description, readServing(serving, index))),
  ]);

  /** Energy waits for the slowest that still speaks, but not for longer than the evidence delay. */
  const settled = (): Instant => instant(Math.max(Math.min(now(), choose.settled(), ...spoken.values()), now() - evidenceDelay));

  reading.catch(fail);

  let billed = begin;
  function stateBill(upTo: Instant): void {
    if (upTo - billed < BILL_EVERY_SECONDS) return;
    for (const { gauge, value } of [...parts.bill.statement(elapsed(billed, upTo)), ...spoolGauges(out.state)]) facts.held(undefined, gauge, value, billed, upTo);
    billed = upTo;
  }

  let lookedAt = instant(-Infinity);
  /** The process list is dear: seldom, never two at a time, and never waited for. */
  async function lookWhoSitsWhere(at: Instant): Promise<void> {
    if (!parts.tenants || at - lookedAt < TENANCY_EVERY_SECONDS) return;
    lookedAt = instant(Infinity);
    try {
      for (const [deployment, devices] of await parts.tenants.look()) facts.assign(deployment, devices);
    } catch (error) {
      log.warn(`who sits on which GPU is not known: ${messageOf(error)}`);
    }
    lookedAt = now();
  }

  let last = begin;
  /** A clock that was set far ahead, or a machine that slept: what lies between is not spelled out cell by cell. */
  function leap(at: Instant): void {
    const from = last;
    last = at;
    if (at - from <= LEAP_SECONDS) return;
    facts.finish(from);
    put(slices.close(instant(at - parts.slice)));
    facts.skip(at);
    log.warn(`time leapt by ${Math.round(at - from)} s; nothing was measured in between`);
    facts.flag({ kind: 'flagged', code: 'TIME_LEAPT', detail: `nothing was measured between ${toIso(from)} and ${toIso(at)}: the clock was set or the machine slept`, count: 1 });
  }

  try {
    for await (const tick of ticks(seconds(1), { monotonic: () => parts.clock.monotonic(), signal: either(signal, failed.signal) })) {
      watch.ticked(tick.missed);
      if (tick.missed > 0) log.warn(`the agent was held up for ${tick.missed} s`);
      leap(now());
      void lookWhoSitsWhere(now());
      stateBill(now());
      bookedTo = facts.advance(settled());
      // How long energy waits for evidence, readings and groups of readings; bounded by the evidence delay.
      facts.held(undefined, 'agent.booking.delay', now() - bookedTo, instant(now() - 1), now());
      put(slices.close(bookedTo));
    }
  } finally {
    sources.abort();
    await Promise.race([reading.catch(() => undefined), wait(SOURCE_END_SECONDS)]);
    for (const span of choose.finish()) facts.span(span);
    const end = now();
    facts.finish(end);
    put(slices.finish(end));
    await parts.tenants?.close();
    await out.close(seconds(parts.goesOn() ? 0 : LAST_SEND_SECONDS));
  }
  // What failed in a way nobody foresaw ends the agent, and is said.
  failed.signal.throwIfAborted();
}

const servingName = (index: number): string => `serving/${index}`;

/** Of each deployment that several sources speak of. */
function whoCounts(serving: readonly ServingSource[]): string[] {
  return [...new Set(serving.map(({ deployment }) => deployment))].flatMap((name) => {
    const mine = serving.filter(({ deployment }) => deployment === name);
    if (mine.length < 2) return [];
    const named = (counts: boolean): string => mine.filter((each) => each.counts === counts).map(({ source }) => source.description).join(', ');
    return [`deployment ${name}: ${mine.some(({ counts }) => counts) ? `its tokens are counted by ${named(true)}` : 'its tokens are counted by nobody'}; only what ran is told by ${named(false)}`];
  });
}

const spoolGauges = (state: OutletState): { readonly gauge: string; readonly value: number }[] => [
  { gauge: 'agent.spool.batches', value: state.spooledBatches },
  { gauge: 'agent.spool.bytes', value: state.spoolBytes },
  { gauge: 'agent.spool.memory.batches', value: state.memoryBatches },
  { gauge: 'agent.spool.lost', value: state.lostBatches },
];

const wait = (time: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, time * 1000).unref());
