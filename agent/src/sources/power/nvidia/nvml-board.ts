/**
 * One board: its channels, what it was found not to have, and one round of questions to it.
 *
 *     every period     one call for all power fields: instant, average, and the module's for one board of each module
 *     every second     the energy counter (read faster it falls short by up to a tenth), memory power, gauges
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { watts, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { ABSURD_READING, MISSING_READINGS } from '../../line-tally.js';
import type { Channel, PowerEvent } from '../../source.js';
import { gpuSensor, type GpuColumn } from './gpu-sensors.js';
import { lapses } from '../lapses.js';
import { nvmlGauges } from './nvml-gauges.js';
import type { Nvml, NvmlField, NvmlHandle } from './nvml-library.js';
import { nvmlFault, standingOf, wordsOf } from './nvml-return.js';
import { ABSURD_GPU_WATTS } from './nvidia-smi-row.js';

export const NVML_SOURCE = 'nvml';

/** A whole module holds several GPUs and a processor: GB300's limit is 2.9 kW. */
const ABSURD_MODULE_WATTS = 10_000;
const MICROJOULES_PER_MILLIJOULE = 1000n;

export const INSTANT_FIELD: NvmlField = { id: 186, scope: 0 };
const FIELDS = {
  'power.instant': INSTANT_FIELD,
  'power.average': { id: 185, scope: 0 },
  'module.power': { id: 185, scope: 1 },
  /** Where a module has no average. */
  'module.power.instant': { id: 186, scope: 1 },
  'memory.power': { id: 185, scope: 2 },
  /** ns under the power cap. */
  'throttle.power': { id: 74, scope: 0 },
  /** ns slowed down for heat. */
  'throttle.thermal': { id: 269, scope: 0 },
  /** The same on drivers that do not know 269. */
  'throttle.thermal.old': { id: 75, scope: 0 },
} as const satisfies Readonly<Record<string, NvmlField>>;
type Asked = keyof typeof FIELDS;
type Answers = { [key in Asked]?: number };

interface Plan {
  readonly keys: readonly Asked[];
  readonly fields: readonly NvmlField[];
}

export interface BoardIdentity {
  readonly index: number;
  readonly uuid: string;
  readonly name?: string;
  readonly serial?: string;
  readonly architecture?: number;
}

/** Nothing can be had of this board now: it fell off the bus, must be reset, or answers nothing but unknown errors. */
export class BoardLost extends Error {
  override readonly name = 'BoardLost';
  constructor(
    message: string,
    readonly unknown: boolean,
  ) {
    super(message);
  }
}

export interface Round {
  readonly now: () => Instant;
  /** Ask for what changes slowly too. */
  readonly slow: boolean;
  /** Serials of the modules that were read in this round: one board speaks for all of a module. */
  readonly modules: Set<string>;
}

export interface NvmlBoard {
  readonly identity: BoardIdentity;
  readonly channels: readonly Channel[];
  /** @throws BoardLost; TelemetryError `retry` when the library must be initialised anew */
  read(handle: NvmlHandle, round: Round): PowerEvent[];
}

/** Calls in a row that end with an unknown error. */
const MOST_UNKNOWN = 3;

/** How often values were seen to change. */
export interface Refresh {
  readonly instant?: Seconds;
  readonly counter?: Seconds;
}

/** @param slowPeriod time between two rounds that ask for what changes slowly */
export function nvmlBoard(nvml: Nvml, identity: BoardIdentity, { refresh, slowPeriod }: { readonly refresh: Refresh; readonly slowPeriod: Seconds }): NvmlBoard {
  const { uuid, name, serial, architecture } = identity;
  const never = new Set<string>();
  const channels = new Map<string, Channel>();
  const plans = new Map<number, Plan>();
  const silence = lapses(NVML_SOURCE);
  const gauges = nvmlGauges(uuid);
  let saidNothing = false;
  let unknowns = 0;

  /** What the code of a whole call means: true when it is never to be asked again. */
  function judge(code: number): boolean {
    if (standingOf(code) === 'unknown') unknowns += 1;
    if (unknowns < MOST_UNKNOWN) return judgeOne(code);
    unknowns = 0;
    throw new BoardLost(wordsOf(code), true);
  }

  /** One value of many: the others came, so an unknown error of one says nothing of the board. */
  function judgeOne(code: number): boolean {
    const standing = standingOf(code);
    if (standing === 'lost') throw new BoardLost(wordsOf(code), false);
    if (standing === 'restart') throw asRetry(nvmlFault(code, `read ${uuid}`));
    return standing === 'never';
  }

  function channelOf(key: string, facts: Pick<Channel, 'boundary' | 'measures' | 'device' | 'period'>, column: GpuColumn, seen?: Seconds): Channel {
    const known = channels.get(key);
    if (known) return known;
    const sensor = { ...gpuSensor(name, column, architecture), ...(seen !== undefined && { refresh: seen }) };
    const channel: Channel = { id: `${NVML_SOURCE}/${facts.device}/${key}`, source: NVML_SOURCE, sensor, ...facts, ...(facts.device === uuid && { index: identity.index }) };
    channels.set(key, channel);
    return channel;
  }

  function power(out: PowerEvent[], key: string, column: GpuColumn, milliwatts: number, at: Instant, module = false): void {
    const value = milliwatts / 1000;
    const most = module ? ABSURD_MODULE_WATTS : ABSURD_GPU_WATTS;
    if (!(value >= 0 && value <= most)) {
      out.push(...silence.missed(uuid, `value of ${key}`, ABSURD_READING.code, `no board draws less than 0 or more than ${most} W`));
      return;
    }
    if (silence.any) out.push(...silence.said(uuid, `value of ${key}`));
    const channel = channels.get(key) ?? channelOf(key, { device: module ? (serial ?? uuid) : uuid, boundary: module ? 'module' : 'gpu', measures: 'power' }, column, column === 'instant' && !module ? refresh.instant : undefined);
    out.push({ kind: 'reading', channel, at, measures: 'power', power: watts(value) });
  }

  /** A query that failed at this moment. */
  function failed(out: PowerEvent[], key: string, code: number, forEver: boolean): void {
    if (forEver) {
      never.add(key);
      plans.clear();
    } else out.push(...silence.missed(uuid, key, MISSING_READINGS.code, wordsOf(code)));
  }

  /** Made once and kept until the board turns out not to have something: at ten rounds a second no code gets fast by being hot. */
  function planFor({ slow, modules }: Round): Plan {
    const module = serial !== undefined && !modules.has(serial);
    const kind = (slow ? 1 : 0) + (module ? 2 : 0);
    const known = plans.get(kind);
    if (known) return known;
    const ofModule = module ? ([never.has('module.power') ? 'module.power.instant' : 'module.power'] as const) : [];
    const each = slow ? (['memory.power', 'throttle.power', never.has('throttle.thermal') ? 'throttle.thermal.old' : 'throttle.thermal'] as const) : [];
    const keys = never.has('fields') ? [] : (['power.instant', 'power.average', ...ofModule, ...each] as const).filter((key) => !never.has(key));
    const plan = { keys, fields: keys.map((key) => FIELDS[key]) };
    plans.set(kind, plan);
    return plan;
  }

  function ask(out: PowerEvent[], handle: NvmlHandle, round: Round): Answers {
    const answers: Answers = {};
    const { keys, fields } = planFor(round);
    if (keys.length === 0) return answers;
    const answer = nvml.fields(handle, fields);
    if (!answer.ok) {
      failed(out, 'fields', answer.code, judge(answer.code));
      return answers;
    }
    unknowns = 0;
    if (silence.any) out.push(...silence.said(uuid, 'fields'));
    for (const [place, key] of keys.entries()) {
      const value = answer.value[place];
      if (value?.ok) {
        answers[key] = value.value;
        if (silence.any) out.push(...silence.said(uuid, key));
      } else if (value) failed(out, key, value.code, judgeOne(value.code));
    }
    return answers;
  }

  function read(handle: NvmlHandle, round: Round): PowerEvent[] {
    const out: PowerEvent[] = [];
    const answers = ask(out, handle, round);
    const at = round.now();
    const { 'power.instant': instant, 'power.average': average, 'module.power': moduleAverage } = answers;
    const module = moduleAverage ?? answers['module.power.instant'];
    if (instant !== undefined) power(out, 'power.instant', 'instant', instant, at);
    if (average !== undefined) power(out, 'power.average', 'average', average, at);
    if (module !== undefined && serial !== undefined) {
      round.modules.add(serial);
      power(out, 'module.power', moduleAverage === undefined ? 'instant' : 'average', module, at, true);
    }
    if (!never.has('power.draw') && (never.has('fields') || (never.has('power.instant') && never.has('power.average')))) draw(out, handle, round);
    if (round.slow) slowly(out, handle, round, answers);
    return out;
  }

  /** Drivers before 530 know one power only. */
  function draw(out: PowerEvent[], handle: NvmlHandle, { now }: Round): void {
    const answer = nvml.power(handle);
    if (!answer.ok) {
      failed(out, 'power.draw', answer.code, judge(answer.code));
      return;
    }
    unknowns = 0;
    out.push(...silence.said(uuid, 'power.draw'));
    power(out, 'power.draw', 'unspecified', answer.value, now());
  }

  function slowly(out: PowerEvent[], handle: NvmlHandle, { now }: Round, answers: Answers): void {
    if (!never.has('energy')) {
      const total = nvml.energy(handle);
      if (total.ok) {
        out.push(...silence.said(uuid, 'energy'));
        out.push({ kind: 'reading', channel: channelOf('energy', { device: uuid, boundary: 'gpu', measures: 'counter', period: slowPeriod }, 'counter', refresh.counter), at: now(), measures: 'counter', total: total.value * MICROJOULES_PER_MILLIJOULE });
      } else failed(out, 'energy', total.code, judge(total.code));
    }
    const at = now();
    const { 'memory.power': memory, 'throttle.power': capped } = answers;
    if (memory !== undefined) out.push({ kind: 'gauge', device: uuid, gauge: 'gpu.memory.power', value: memory / 1000, at });
    const hot = answers['throttle.thermal'] ?? answers['throttle.thermal.old'];
    out.push(...gauges.read(nvml, handle, at, { ...(capped !== undefined && { power: capped }), ...(hot !== undefined && { thermal: hot }) }, judge));
    if (channels.size === 0 && !saidNothing && never.has('energy') && never.has('power.draw')) {
      saidNothing = true;
      out.push({ kind: 'flagged', code: MISSING_READINGS.code, detail: `${NVML_SOURCE}: ${uuid} (${name ?? 'no name'}) says neither power nor energy: not supported by this board`, count: 1, device: uuid });
    }
  }

  return {
    identity,
    get channels() {
      return [...channels.values()];
    },
    read,
  };
}

/** Once readings came, an absent driver is passing trouble: it is being reloaded. */
const asRetry = (fault: TelemetryError): TelemetryError => new TelemetryError(fault.code, fault.message, 'retry');
