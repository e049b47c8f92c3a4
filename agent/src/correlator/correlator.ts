/**
 * Where energy meets evidence. Spans of energy and the timelines of the deployments are swept together:
 *
 *   device      ├──span──┼──span──┼───────gap──────┼──span──┤
 *   deployment  ├─idle─┤├─prefill─┤├─────decode──────────┤├─idle┤
 *   grid        ├───────────slice───────────┼─────────slice──────┤
 *
 * Every piece between two neighbouring edges has one energy, one set of shares and one slice. Its whole µJ are divided
 * exactly, so prefill + decode + active + idle + unknown = measured for each device and slice.
 */
import { bandOf, latencyBucket, OUTCOMES, type Outcome, type TokenKind } from '@joulebook/shared/slice.js';
import { elapsed, instant, later, seconds, type Instant } from '@joulebook/shared/units.js';
import { within, type Edge, type Gap, type Span } from '../sampler/integrator.js';
import { servedBy, type Deployment } from '../sources/deployments.js';
import type { Channel, Flagged, FlaggedDuring, RequestEvidence, ServingEvent, StepsEvidence, WindowEvidence } from '../sources/source.js';
import TinyQueue from 'tinyqueue';
import { attribution, type Attribution } from '../attribution/attribution.js';
import { timeline, type Timeline } from '../attribution/timeline.js';
import type { RequestRef } from '../attribution/work.js';
import type { Device, Owner, RequestBook } from './book.js';
import { clipCount, clipInterval, holds, touches, type OpenWindow } from './cut.js';
import { gpuBook } from './gpu-book.js';
import { gpuHistory } from './gpu-history.js';
import type { RequestFact, Slicer, Subject } from './slicer.js';
import { wideBook } from './wide-book.js';

export interface Correlator {
  /** From here on the channel's device is asked for. */
  watch(channel: Channel): void;
  /** What lies outside the window is left out. */
  span(span: Span): void;
  /** From the last advance on, the deployment runs on these devices, whatever the configuration says. */
  assign(deployment: string, devices: ReadonlySet<string>): void;
  gap(gap: Gap): void;
  /** What the ends of a recording's window add to the error of a device's energy; told when all else is. */
  edge(channel: Channel, edge: Edge): void;
  /** @param counts false: the source only tells phases, its tokens are counted elsewhere */
  evidence(deployment: string, event: ServingEvent, counts: boolean): void;
  /** Requests of the deployment are fully known between these moments. */
  whole(deployment: string, from: Instant, to: Instant): void;
  gauge(device: string, sample: GaugeSample): void;
  /** A gauge that is known to have had this value for so long. */
  held(device: string | undefined, gauge: string, value: number, from: Instant, to: Instant): void;
  flag(flagged: Flagged | FlaggedDuring, deployment?: string): void;
  /** Time jumped: what lies between the last advance and `to` was nobody's, and is not asked for. */
  skip(to: Instant): void;
  /**
   * Books what lies before `to`, as far as readings and evidence reach; later evidence about that time no longer tells a phase.
   * @returns up to where everything is booked
   */
  advance(to: Instant): Instant;
  /** Books all there is before `to`: nothing will follow. */
  finish(to: Instant): void;
}

export interface GaugeSample {
  readonly gauge: string;
  readonly value: number;
  readonly at: Instant;
}

/** A gauge holds its value until the next sample, but not for longer than this. */
const GAUGE_HOLDS_SECONDS = 60;

interface DeploymentState extends Owner {
  readonly timeline: Timeline;
  readonly models: Set<string>;
}

export interface CorrelatorOptions {
  readonly deployments: readonly Deployment[];
  readonly window: OpenWindow;
  readonly slicer: Slicer;
  /** What is known already of how the deployments draw power, by name; it is learnt on. */
  readonly attributions?: Map<string, Attribution>;
  /** Each request is a fact of its own, with the energy it drew. For recordings: live, a request is told when its time is booked. */
  readonly tellRequests?: boolean;
}

/** An offset, or a change of it, that a person should hear of: a sensor that is read once a second seems late by a part of that. */
const WORTH_TELLING_SECONDS = 0.5;
/** Evidence may lie on another clock than the readings, and sensors show late: evidence from so long before and after is of use. */
const MARGIN_SECONDS = 5;

export function correlator(options: CorrelatorOptions): Correlator {
  const { slicer, window, attributions = new Map<string, Attribution>(), tellRequests = false } = options;
  for (const known of attributions.values()) known.rewind();
  const attributionOf = ({ name, role }: Pick<Deployment, 'name' | 'role'>): Attribution => {
    const known = attributions.get(name) ?? attribution(role);
    attributions.set(name, known);
    return known;
  };

  const deployments = options.deployments.map((deployment): DeploymentState => {
    const models = new Set(deployment.model === undefined ? [] : [deployment.model]);
    return {
      ...deployment,
      models,
      timeline: timeline({ begin: later(window.from, seconds(-MARGIN_SECONDS)), role: deployment.role, roleOnly: deployment.roleOnly ?? false, knows: attributionOf(deployment).knows, tellWho: tellRequests }),
      // Energy carries the model only where there is no doubt which one it was.
      subject: () => ({ deployment: deployment.name, model: models.size === 1 ? [...models][0] : undefined }),
    };
  });
  const assigned = new Map<string, ReadonlySet<string>>();
  const runsOn = (deployment: DeploymentState, channel: Channel): boolean => assigned.get(deployment.name)?.has(channel.device) ?? servedBy(deployment, channel);

  /** What requests drew that have not ended, and those that have ended but are not booked whole. */
  const drew = new Map<RequestRef, { prefill: number; decode: number }>();
  const over = new TinyQueue<{ readonly at: Instant; readonly ref: RequestRef; readonly fact: RequestFact }>([], (a, b) => a.at - b.at);
  const requestBook: RequestBook | undefined = tellRequests
    ? {
        drew(ref, phase, microjoules) {
          if (phase !== 'prefill' && phase !== 'decode') return;
          const sum = drew.get(ref) ?? { prefill: 0, decode: 0 };
          sum[phase] += microjoules;
          drew.set(ref, sum);
        },
      }
    : undefined;
  const gpus = gpuHistory<Owner>();
  const devices = new Map<string, Device>();
  let frontier = window.from;

  const named = (name: string): DeploymentState => {
    const found = deployments.find((deployment) => deployment.name === name);
    if (!found) throw new Error(`evidence for a deployment that is not configured: ${name}`);
    return found;
  };

  function deviceOf(channel: Channel): Device {
    const key = `${channel.boundary}\u0000${channel.device}`;
    const known = devices.get(key);
    if (known) return known;
    const parts = { channel, owners: () => deployments.filter((deployment) => runsOn(deployment, channel)), slicer, history: gpus, begin: frontier };
    const device = channel.boundary === 'gpu' ? gpuBook({ ...parts, attributionOf, requestBook }) : wideBook({ ...parts, sharesOf: (owner, stretch) => attributionOf(owner).judge(stretch) });
    devices.set(key, device);
    sayIfShared(channel);
    return device;
  }

  function sayIfShared(channel: Channel): void {
    const mine = deployments.filter((deployment) => runsOn(deployment, channel));
    if (mine.length > 1) slicer.flag(frontier, { code: 'SHARED_DEVICE', detail: `${channel.device} serves ${mine.map((each) => each.name).join(' and ')}: its energy goes to those that run, evenly, and is divided by no model`, count: 1, device: channel.device });
  }

  function tokens(owner: Owner, from: Instant, to: Instant, kind: 'input' | 'cachedInput' | 'output', count: number | undefined, subject: Subject): void {
    if (count === undefined || !computes(owner, kind)) return;
    const cut = clipCount(from, to, count, window);
    // Nothing is a count too: a source that says 0 has measured it.
    if (cut.inside && (cut.count > 0 || count === 0)) slicer.tokens(cut.inside.from, cut.inside.to, kind, cut.count, subject);
    const outside: TokenKind = kind === 'output' ? 'outsideOutput' : 'outsideInput';
    const at = cut.inside?.from ?? from;
    if (cut.outside > 0) slicer.tokens(at, at, outside, cut.outside, subject);
  }

  /** Of which nothing is known but how many ended in between. */
  function ended(from: Instant, to: Instant, outcome: Outcome, count: number, subject: Subject): void {
    const { inside, count: part } = clipCount(from, to, count, window);
    if (inside && (part > 0 || count === 0)) slicer.ended(inside.from, inside.to, outcome, part, subject);
  }

  function request(state: DeploymentState, evidence: RequestEvidence, counts: boolean): void {
    const ref = state.timeline.evidence(evidence, counts);
    const { start, end, firstToken } = evidence;
    if (evidence.model !== undefined) state.models.add(evidence.model);
    const subject: Subject = { deployment: state.name, model: evidence.model ?? state.model, tenant: evidence.tenant };
    if (start < window.from || (window.to !== undefined && end > window.to)) {
      const overlaps = touches(window, start, end);
      slicer.flag(window.from, { ...subject, code: overlaps ? 'PARTIAL_REQUEST' : 'REQUEST_OUTSIDE', detail: overlaps ? `${evidence.id} runs past what was measured; only what lies inside the window is counted` : 'requests lie outside what was measured; their tokens are told apart', count: 1 });
    }
    if (!counts) return;
    const { input, cachedInput, output } = evidence.tokens;
    const inputUntil = firstToken ?? end;
    tokens(state, start, inputUntil, 'input', input, subject);
    tokens(state, start, inputUntil, 'cachedInput', cachedInput, subject);
    tokens(state, firstToken ?? start, end, 'output', output, subject);
    // A request ends in the decode pool.
    if (state.role === 'prefill' || !holds(window, end)) return;
    const fact: RequestFact = {
      ...subject,
      outcome: evidence.outcome,
      ttftBucket: firstToken === undefined ? undefined : latencyBucket(elapsed(start, firstToken)),
      tpotBucket: firstToken === undefined || output === undefined || output < 2 ? undefined : latencyBucket(seconds((end - firstToken) / (output - 1))),
      requests: 1,
      inputTokens: input ?? 0,
      cachedInputTokens: cachedInput ?? 0,
      outputTokens: output ?? 0,
    };
    if (tellRequests && ref) over.push({ at: end, ref, fact });
    else slicer.requests(end, fact);
  }

  /** How far the evidence's clock and the sensors are apart, beyond what the sensors are known to blur; it was removed. */
  function tellOffset(deployment: DeploymentState, from: Instant, to: Instant): void {
    const offset = attributionOf(deployment).offset();
    if (!offset) return;
    slicer.gauge(from, to, 'attribution.offset', offset.seconds, deployment.subject());
    const told = offsets.get(deployment.name);
    if (Math.abs(offset.seconds - (told ?? 0)) < WORTH_TELLING_SECONDS) return;
    offsets.set(deployment.name, offset.seconds);
    slicer.flag(from, { ...deployment.subject(), code: 'CLOCK_OFFSET', detail: `the power of ${deployment.name} follows its evidence by ${offset.seconds.toFixed(2)} s (correlation ${offset.correlation.toFixed(2)}): clocks apart or sensors that lag; it was removed`, count: 1 });
  }

  /** Requests whose time is booked whole, with what they drew. */
  function tellEnded(booked: Instant, last: boolean): void {
    const until = last ? Infinity : booked;
    for (let next = over.peek(); next && next.at <= until; next = over.peek()) {
      const { at, ref, fact } = next;
      over.pop();
      const energy = drew.get(ref);
      drew.delete(ref);
      slicer.requests(at, {
        ...fact,
        request: ref.id,
        inputBand: bandOf(fact.inputTokens + fact.cachedInputTokens),
        ...(ref.concurrency !== undefined && { concurrencyBand: bandOf(ref.concurrency) }),
        ...(energy && { prefillMicrojoules: energy.prefill, decodeMicrojoules: energy.decode }),
      });
    }
  }

  function counterWindow(state: DeploymentState, evidence: WindowEvidence, counts: boolean): void {
    state.timeline.evidence(evidence, counts);
    if (evidence.model !== undefined) state.models.add(evidence.model);
    if (!counts) return;
    const subject: Subject = { deployment: state.name, model: evidence.model ?? state.model };
    for (const kind of ['input', 'cachedInput', 'output'] as const) tokens(state, evidence.from, evidence.to, kind, evidence.tokens[kind], subject);
    if (state.role === 'prefill') return;
    for (const outcome of OUTCOMES) {
      const count = evidence.requests?.[outcome];
      if (count !== undefined) ended(evidence.from, evidence.to, outcome, count, subject);
    }
  }

  function steps(state: DeploymentState, evidence: StepsEvidence, counts: boolean): void {
    state.timeline.evidence(evidence, counts);
    if (evidence.model !== undefined) state.models.add(evidence.model);
    if (!counts) return;
    const subject: Subject = { deployment: state.name, model: evidence.model ?? state.model };
    for (const kind of ['input', 'cachedInput', 'output'] as const) tokens(state, evidence.from, evidence.to, kind, evidence.tokens[kind], subject);
  }

  const offsets = new Map<string, number>();
  const samples = new Map<string, GaugeSample>();
  function gauge(subject: Subject & { device?: string | undefined }, sample: GaugeSample): void {
    const key = [sample.gauge, subject.device, subject.deployment, subject.model].join('\u0000');
    const last = samples.get(key);
    samples.set(key, sample);
    if (!last) return;
    const cut = clipInterval(last.at, sample.at, window);
    if (cut && sample.at - last.at <= GAUGE_HOLDS_SECONDS) slicer.gauge(cut.from, cut.to, sample.gauge, last.value, subject);
  }

  function flag(flagged: Flagged | FlaggedDuring, deployment?: string): void {
    const { code, detail, count, device } = flagged;
    if (!('during' in flagged) || touches(window, flagged.during.from, flagged.during.to)) slicer.flag(frontier, { code, detail, count, device, deployment });
  }

  return {
    watch: (channel) => void deviceOf(channel),
    span(span) {
      const inside = within(span, window);
      if (inside) deviceOf(span.channel).span(inside);
    },
    assign(deployment, places) {
      const before = assigned.get(deployment);
      if (before?.size === places.size && [...places].every((place) => before.has(place))) return;
      assigned.set(deployment, places);
      for (const { channel } of devices.values()) if (places.has(channel.device)) sayIfShared(channel);
    },
    edge: (channel, edge) => deviceOf(channel).edge(frontier, edge),
    gap({ channel, from, to }) {
      const cut = clipInterval(from, to, window);
      if (!cut) return;
      slicer.flag(cut.from, { code: 'GAP', detail: `${channel.device} (${channel.source}): no readings for ${(to - from).toFixed(2)} s from ${new Date(from * 1000).toISOString()}; missing coverage, not bridged`, count: 1, device: channel.device });
    },
    evidence(name, event, counts) {
      const state = named(name);
      if (event.kind === 'request') request(state, event, counts);
      else if (event.kind === 'window') counterWindow(state, event, counts);
      else if (event.kind === 'steps') steps(state, event, counts);
      else if (event.kind === 'hole' || event.kind === 'idle') state.timeline.evidence(event);
      else if (event.kind === 'engine') state.timeline.engine(event);
      else if (event.kind === 'gauge') gauge({ deployment: name, model: event.model ?? state.model }, event);
      else if (event.kind === 'flagged') flag(event, name);
    },
    whole: (name, from, to) => named(name).timeline.whole(from, to),
    gauge: (device, sample) => gauge({ device }, sample),
    held(device, name, value, from, to) {
      const cut = clipInterval(from, to, window);
      if (cut) slicer.gauge(cut.from, cut.to, name, value, { device });
    },
    flag,
    skip(to) {
      for (const device of devices.values()) device.skip(to);
      for (const deployment of deployments) deployment.timeline.advance(to);
      frontier = to;
    },
    advance: (to) => sweep(to, window.to !== undefined && to >= window.to),
    finish: (to) => void sweep(to, true),
  };

  function sweep(to: Instant, last: boolean): Instant {
    // Behind the end of a recording its evidence goes on for as long as a sensor shows late.
    const known = last ? later(to, seconds(MARGIN_SECONDS)) : to;
    const stretchesOf = new Map(deployments.map((deployment) => [deployment, deployment.timeline.advance(known)] as const));
    for (const [owner, stretches] of stretchesOf) attributionOf(owner).expect(stretches);
    const [inner, outer] = [true, false].map((gpu) => [...devices.values()].filter(({ channel }) => (channel.boundary === 'gpu') === gpu));
    for (const device of inner ?? []) device.sweep(to, stretchesOf, last);
    const booked = instant(Math.min(to, ...(inner ?? []).map((device) => device.bookedUntil())));
    // The GPUs first: wider boundaries take their phases.
    for (const device of outer ?? []) device.sweep(booked, stretchesOf, last);
    gpus.forget(instant(Math.min(booked, ...(outer ?? []).map((device) => device.pendingFrom() ?? booked))));
    if (booked > frontier) for (const deployment of deployments) tellOffset(deployment, frontier, booked);
    frontier = booked;
    tellEnded(booked, last);
    return booked;
  }
}

/** Both pools of disaggregated serving tell of the same prompts and answers: each counts what it computes. */
const computes = ({ role }: Owner, kind: 'input' | 'cachedInput' | 'output'): boolean => role === undefined || (role === 'decode') === (kind === 'output');
