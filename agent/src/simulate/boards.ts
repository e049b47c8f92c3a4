/** The sensors of a server's GPU boards: who they are, how far each is off, and how often and over what it looks. */
import { createHash } from 'node:crypto';
import { seconds } from '@joulebook/shared/units.js';
import { gpuSensor } from '../sources/power/nvidia/gpu-sensors.js';
import type { BoardOptions } from './recording.js';
import { Random } from './random.js';
import type { Scenario } from './scenario.js';
import type { Board } from './sensors/format.js';
import type { Gpu } from './trace.js';

const PRODUCTS: Readonly<Record<Scenario['hardware'], string>> = {
  'h100-8b': 'NVIDIA H100 80GB HBM3',
  'h100-70b-tp4': 'NVIDIA H100 80GB HBM3',
  'a100-13b': 'NVIDIA A100-SXM4-80GB',
  'l40s-8b': 'NVIDIA L40S',
  'rtx3090-8b': 'NVIDIA GeForce RTX 3090',
};

/** Of boards of which nothing is known by name. */
const USUAL_INSTANT = 0.1;
const USUAL_REFRESH = 0.1;
const USUAL_AVERAGE = 1;

/** Windows and refresh periods that are not said are those known of such boards. */
export function boardsOf(gpus: readonly Gpu[], { seed, hardware }: Scenario, { gains, gainSpread, offset, delay, product: said, draw, instant, average, counter }: BoardOptions): Board[] {
  const product = said ?? PRODUCTS[hardware];
  const knownInstant = gpuSensor(product, 'instant');
  const knownAverage = gpuSensor(product, 'average');
  // Boards whose plain power is an instant have no average: there the two are the same kind of reading.
  const usual = gpuSensor(product, 'unspecified').averagedOver === knownInstant.averagedOver ? 'instant' : 'average';
  return gpus.map(({ index }): Board => {
    const random = new Random(seed, `board ${index}`);
    const drawn = random.between(1 - gainSpread, 1 + gainSpread);
    const paceOf = (refresh: number) => ({ refresh: seconds(refresh), delay: seconds(delay), phase: seconds(random.next() * refresh) });
    return {
      index,
      uuid: uuidOf(seed, index),
      product,
      error: { gain: gains?.[index % gains.length] ?? drawn, offset },
      paces: {
        instant: { ...paceOf(instant.refresh ?? knownInstant.refresh ?? USUAL_REFRESH), window: seconds(instant.window ?? knownInstant.averagedOver ?? USUAL_INSTANT) },
        average: { ...paceOf(average.refresh ?? knownAverage.refresh ?? USUAL_REFRESH), window: seconds(average.window ?? knownAverage.averagedOver ?? USUAL_AVERAGE) },
        counter: paceOf(counter.refresh),
      },
      draw: draw ?? usual,
    };
  });
}

/** `GPU-` and 32 digits in groups, the same for the same seed and place. */
function uuidOf(seed: number, index: number): string {
  const digits = createHash('sha256').update(`${seed}/${index}`).digest('hex');
  return `GPU-${[digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20, 32)].join('-')}`;
}
