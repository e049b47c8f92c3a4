/**
 * What a node of the bench `chaos` sends: batch `number` is decided by the seed, the node and its number alone, so that the
 * truth of a node is "every number that its spool has held", whatever was killed in between.
 *
 *     number      0          1          2
 *     from        begin      + 10 s     + 20 s      each has a cell of its own: what stands before a time is a range of numbers
 */
import { Random } from '@joulebook/agent/simulate/random.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { epochMicros, microjoules, seconds, type EpochMicros } from '@joulebook/shared/units.js';

export const CELL_SECONDS = 10;
const CELL_MICROS = CELL_SECONDS * 1e6;
const GPUS = 4;
/** Sums of all batches of a run stay below 2^53 µJ, so that a report's joules are exact. */
const MOST_MICROJOULES = 5e8;

export interface Origin {
  readonly seed: number;
  readonly node: string;
  /** Of number 0. */
  readonly begin: EpochMicros;
}

export const startOf = ({ begin }: Pick<Origin, 'begin'>, number: number): EpochMicros => epochMicros(begin + number * CELL_MICROS);
/** The number of the batch whose facts end there. */
export const numberEnding = ({ begin }: Pick<Origin, 'begin'>, end: number): number => Math.round((end - begin) / CELL_MICROS) - 1;

export function slicesOf(origin: Origin, number: number): Slice[] {
  const random = new Random(origin.seed, `${origin.node} ${number}`);
  const whole = (most: number): number => 1 + Math.floor(random.next() * most);
  const span = { from: startOf(origin, number), to: startOf(origin, number + 1), deployment: 'chat', model: 'llama' };
  const energy = Array.from({ length: GPUS }, (_, gpu) =>
    (['prefill', 'decode'] as const).map((phase) => ({
      kind: 'energy' as const, ...span, device: `GPU ${gpu} of ${origin.node}`, boundary: 'gpu' as const, phase, microjoules: microjoules(whole(MOST_MICROJOULES)), modelledMicrojoules: microjoules(0),
      seconds: seconds(CELL_SECONDS / 2), askedSeconds: seconds(CELL_SECONDS / 2), source: 'nvml', method: 'counter' as const,
    })));
  const count = whole(1e5);
  return [...energy.flat(), { kind: 'tokens', ...span, token: 'output', count }, { kind: 'requests', ...span, outcome: 'ok', requests: whole(100), inputTokens: 0, cachedInputTokens: 0, outputTokens: count }];
}
