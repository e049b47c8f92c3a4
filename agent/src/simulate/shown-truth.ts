/**
 * The truth as ideal sensors with the boards' own gain would tell it: what a perfect attribution of these readings gives.
 * An energy that several boards drew together is shown with the mean of their gains, weighted by what each drew of it.
 */
import type { Board } from './sensors/format.js';
import type { Gpu, PhaseJoules, RequestTruth, Truth } from './trace.js';

export interface ShownTruth {
  readonly total: Phases;
  readonly devices: readonly ({ readonly device: string } & Phases)[];
  readonly requests: readonly { readonly id: number; readonly prefill: number; readonly decode: number }[];
}

type Phases = { readonly [phase in keyof PhaseJoules]: number };
const sum = (phase: keyof PhaseJoules, of: readonly Phases[]): number => of.reduce((all, each) => all + each[phase], 0);

/** @param rankOf the rank of the pool that had a request last */
export function shownTruth(truth: Truth, boards: readonly Board[], gpus: readonly Gpu[], rankOf: (request: number) => number | undefined): ShownTruth {
  const gains = new Map(gpus.map(({ name }, place) => [name, boards[place]?.error.gain ?? 1]));
  const devices = truth.devices.map(({ device, prefill, decode, idle }) => {
    const gain = gains.get(device) ?? 1;
    return { device, prefill: prefill * gain, decode: decode * gain, idle: idle * gain };
  });
  /** Of the GPUs that may have worked on it in this phase. */
  const gainOf = (phase: 'prefill' | 'decode', rank: number | undefined): number => {
    const mine = gpus.flatMap((gpu, place) => (gpu.pool !== 'serve' || rank === undefined || gpu.rank === rank ? [place] : []));
    const drawn = sum(phase, mine.flatMap((place) => truth.devices[place] ?? []));
    return drawn === 0 ? 1 : sum(phase, mine.flatMap((place) => devices[place] ?? [])) / drawn;
  };
  const known = new Map<string, number>();
  const cached = (phase: 'prefill' | 'decode', rank: number | undefined): number => {
    const key = `${phase} ${rank}`;
    const gain = known.get(key) ?? gainOf(phase, rank);
    known.set(key, gain);
    return gain;
  };
  return {
    total: { prefill: sum('prefill', devices), decode: sum('decode', devices), idle: sum('idle', devices) },
    devices,
    requests: truth.requests.map(({ id, prefill, decode }: RequestTruth) => ({ id, prefill: prefill * cached('prefill', rankOf(id)), decode: decode * cached('decode', rankOf(id)) })),
  };
}
