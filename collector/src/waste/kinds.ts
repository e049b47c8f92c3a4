/** The kinds of waste, what each is known by, and what to do about it. */
import { WASTES, type Waste as WastedOutput } from '../join/usefulness.js';

/** Each idle joule is in one of these, the first that fits from the end. */
export const IDLE_KINDS = ['idleUntold', 'idleLoaded', 'idleEmpty', 'idleClocksHigh', 'idleBusyLoop'] as const;
export type IdleKind = (typeof IDLE_KINDS)[number];

export const THROTTLE_KINDS = ['throttledByPower', 'throttledByHeat'] as const;
export type ThrottleKind = (typeof THROTTLE_KINDS)[number];

/** `unjudged` is not known to be waste. */
export type OutputKind = Exclude<WastedOutput, 'unjudged'>;
export const OUTPUT_KINDS = WASTES.filter((kind): kind is OutputKind => kind !== 'unjudged');

export type Kind = IdleKind | ThrottleKind | OutputKind;
export const KINDS = ['idleLoaded', 'idleEmpty', 'idleClocksHigh', 'idleBusyLoop', 'idleUntold', ...THROTTLE_KINDS, 'late', 'aborted', 'failed', 'superseded', 'fallback', 'rejected'] as const satisfies readonly Kind[];

export const GAUGES = {
  memory: 'gpu.memory.used',
  utilization: 'gpu.utilization',
  clock: 'gpu.clock.sm',
  highestClock: 'gpu.clock.sm.max',
  throttledByPower: 'gpu.throttle.power',
  throttledByHeat: 'gpu.throttle.thermal',
} as const;

interface About {
  /** In a table. */
  readonly head: string;
  readonly remedy: string;
}

export const ABOUT: Readonly<Record<Kind, About>> = {
  idleLoaded: { head: 'idle, model loaded', remedy: 'Serve with fewer GPUs in quiet hours: scale the deployment down, put its engine to sleep, or move it beside another one.' },
  idleEmpty: { head: 'idle, empty', remedy: 'Nothing is loaded on this GPU: give it to a deployment, or switch its node off.' },
  idleClocksHigh: { head: 'idle, clocks held high', remedy: 'Let the clocks fall when nothing runs: take back locked clocks (nvidia-smi -rgc, -rac) and look for a process that keeps the GPU in its highest state.' },
  idleBusyLoop: { head: 'idle, yet at work', remedy: 'Something runs on the GPU while no request does: look for a polling or warm-up loop of the engine, collectives that spin, and other processes.' },
  idleUntold: { head: 'idle, not told how', remedy: 'Collect GPU memory, so that an empty GPU can be told from one with a model on it.' },
  throttledByPower: { head: 'throttled by power', remedy: 'Raise the power limit where supply and cooling allow it, or spread the load; a limit that was set on purpose is judged by joules per token.' },
  throttledByHeat: { head: 'throttled by heat', remedy: 'Cool it: look at fans, filters, air or coolant flow and inlet temperature of this node.' },
  late: { head: 'output too late', remedy: 'Add capacity at the peaks or run smaller batches; or ask whether the latency target is the right one.' },
  aborted: { head: 'output cancelled', remedy: 'Find out why clients leave (time-outs shorter than the latency, slow first tokens) and see that the engine stops when they do.' },
  failed: { head: 'output failed', remedy: 'Read the engine’s log for what failed, and refuse before the first token what can’t succeed.' },
  superseded: { head: 'output retried', remedy: 'Retry later and less often: a client’s time-out should be longer than the p99 of the deployment.' },
  fallback: { head: 'output replaced by a fallback', remedy: 'Send requests that end at the fallback there at once.' },
  rejected: { head: 'output rejected by a gate', remedy: 'Check before generating what a gate rejects afterwards, or stop at the first token that decides it.' },
};

/** Without which a kind can't be seen at all. */
export const NEEDS = [
  { kind: 'idleEmpty', gauges: [GAUGES.memory] },
  { kind: 'idleClocksHigh', gauges: [GAUGES.clock, GAUGES.highestClock] },
  { kind: 'idleBusyLoop', gauges: [GAUGES.utilization] },
  { kind: 'throttledByPower', gauges: [GAUGES.throttledByPower] },
  { kind: 'throttledByHeat', gauges: [GAUGES.throttledByHeat] },
] as const satisfies readonly { readonly kind: Kind; readonly gauges: readonly string[] }[];
export const HOW_TO_COLLECT = 'To see them, let agents read NVIDIA GPUs with nvml, nvidia-smi or dcgmi, which tell all of it; or give dcgm-exporter a list of counters with DCGM_FI_DEV_FB_USED, DCGM_FI_DEV_GPU_UTIL, DCGM_FI_DEV_SM_CLOCK, DCGM_FI_DEV_MAX_SM_CLOCK and DCGM_FI_DEV_CLOCK_THROTTLE_REASONS.';

export const OUTPUT_NOT_TOLD = { code: 'WASTED_OUTPUT_NOT_TOLD', detail: 'What output of no use took is told of all GPUs of a deployment together, not of single devices or nodes: ask without a filter by device or node, e.g. by deployment.' } as const;
