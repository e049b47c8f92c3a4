/**
 * What is known of the power sensors of NVIDIA boards, by what NVML or nvidia-smi calls the board.
 *
 * Two tables. By generation: how often a value changes and which stretch it is the mean of (Yang, Adámek, Armour:
 * Part-time Power Measurements, SC 2024, over 70 boards; NVML's header for which generations have a 1 s average). By
 * name: where that study measured something else than the generation's rule, and how far its board was from a power
 * meter. A generation of which nothing is published says nothing: probe it.
 *
 *          window            window                       GA100, Hopper instant: 25 ms are seen, 75 ms are not
 *     ────┤██████├──────────┤██████├────▶ time            Turing, GA10x, Ada:    all is seen
 *         ◀─── refresh ────▶
 */
import { seconds } from '@joulebook/shared/units.js';
import type { Sensor } from '../../source.js';
import { GPU_BOARD } from '../sensors.js';

/** Which reading of a board. `unspecified` is nvidia-smi's `power.draw` and NVML's GetPowerUsage: an average since Ampere, GA100 excepted. */
export type GpuColumn = 'counter' | 'average' | 'instant' | 'unspecified';

export type GpuGeneration = 'pascal' | 'volta' | 'turing' | 'ga100' | 'ga10x' | 'ada' | 'hopper' | 'grace-hopper' | 'blackwell';

interface Pace {
  readonly refreshMillis?: number;
  readonly windowMillis?: number;
}

const ONE_SECOND: Pace = { refreshMillis: 100, windowMillis: 1000 };

const GENERATIONS: Readonly<Record<GpuGeneration, { readonly instant: Pace; readonly average?: Pace }>> = {
  pascal: { instant: { refreshMillis: 20, windowMillis: 10 } },
  volta: { instant: { refreshMillis: 20, windowMillis: 10 } },
  turing: { instant: { refreshMillis: 100, windowMillis: 100 } },
  ga100: { instant: { refreshMillis: 100, windowMillis: 25 } },
  ga10x: { instant: { refreshMillis: 100, windowMillis: 100 }, average: ONE_SECOND },
  ada: { instant: { refreshMillis: 100, windowMillis: 100 }, average: ONE_SECOND },
  hopper: { instant: { refreshMillis: 100, windowMillis: 25 }, average: ONE_SECOND },
  'grace-hopper': { instant: { refreshMillis: 100, windowMillis: 20 }, average: ONE_SECOND },
  blackwell: { instant: {}, average: { windowMillis: 1000 } },
};

/** In this order: `RTX 6000 Ada` is no Turing, `GH200` no `H200`, `RTX PRO 6000 Blackwell` no Ada, `RTX A6000` no Pascal. */
const NAMED: readonly (readonly [RegExp, GpuGeneration])[] = [
  [/\b(?:GB[123]00|B[123]00|RTX 50[5-9]0|RTX PRO \d+|Blackwell)\b/i, 'blackwell'],
  [/\bGH200\b/i, 'grace-hopper'],
  [/\bH(?:20|100|200|800)\b/i, 'hopper'],
  [/\b(?:L4|L20|L40S?|RTX 40[5-9]0|Ada)\b/i, 'ada'],
  [/\bA(?:100X?|800|30X?)\b/i, 'ga100'],
  [/\b(?:A10[GM]?|A2|A16|A40|RTX A\d{3,4}|RTX 30[5-9]0)\b/i, 'ga10x'],
  [/\b(?:T4G?|T10|RTX 20[5-9]0|GTX 16\d0|TITAN RTX|Quadro RTX \d+|T\d00)\b/i, 'turing'],
  [/\b(?:V100S?|TITAN V|GV100)\b/i, 'volta'],
  [/\b(?:P100|P40|P4|GTX 10[1-8]0|TITAN Xp?|GP100|Quadro P\d+)\b/i, 'pascal'],
];

/** NVML's architecture numbers; Ampere (7) is two generations of sensors, told apart by name. */
const NUMBERED: Readonly<Record<number, GpuGeneration>> = { 4: 'pascal', 5: 'volta', 6: 'turing', 8: 'ada', 9: 'hopper', 10: 'blackwell' };

interface Profile {
  readonly instant?: Pace;
  /** How long before a step has shown half of itself, less half the window. */
  readonly delayMillis?: { readonly instant?: number; readonly average?: number };
  /** (reading − meter) / meter over drivers and loads, of the one board that was measured. */
  readonly errorPercent?: readonly [low: number, high: number];
}

/** Boards of the study's published table that a server or a workstation may hold; names as NVML says them, without the maker. */
const PROFILES: Readonly<Record<string, Profile>> = {
  'A100-PCIE-40GB': { delayMillis: { instant: 5 }, errorPercent: [-5.78, -5.47] },
  'A100-SXM4-40GB': {},
  'A100 80GB PCIe': { delayMillis: { instant: 9 } },
  'A100 40GB PCIe': { instant: { refreshMillis: 100, windowMillis: 19 }, delayMillis: { instant: 21 } },
  'H100 PCIe': { instant: { refreshMillis: 100, windowMillis: 23 }, delayMillis: { instant: 19, average: 0 } },
  A10: { delayMillis: { average: 25 } },
  'RTX A6000': { delayMillis: { average: 73 } },
  'RTX A5000': { instant: { refreshMillis: 100, windowMillis: 80 }, delayMillis: { instant: 65, average: 100 }, errorPercent: [-7.02, -4.33] },
  'GeForce RTX 4090': { instant: { refreshMillis: 100, windowMillis: 110 }, delayMillis: { instant: 36, average: 80 }, errorPercent: [-5.27, -4.01] },
  'GeForce RTX 3090': { delayMillis: { instant: 86, average: 97 }, errorPercent: [-5.55, -3.84] },
  'GeForce RTX 3070 Ti': { delayMillis: { instant: 59, average: 96 }, errorPercent: [-3.96, -2.1] },
  'GeForce RTX 2080 Ti': { delayMillis: { instant: 151 }, errorPercent: [-8.04, -6.13] },
  'GeForce RTX 2060 SUPER': { delayMillis: { instant: 81 }, errorPercent: [10.36, 13.17] },
  'TITAN RTX': { delayMillis: { instant: 145 } },
  'Quadro RTX 8000': { instant: { refreshMillis: 100, windowMillis: 20 }, delayMillis: { instant: 178 } },
  'Tesla V100-SXM2-16GB': { delayMillis: { instant: 18 } },
  'Tesla P100-PCIE-16GB': { delayMillis: { instant: 8 }, errorPercent: [0.39, 0.77] },
  'GeForce GTX 1080 Ti': { delayMillis: { instant: 7 }, errorPercent: [-0.38, -0.25] },
};

export function gpuGeneration(name: string | undefined, architecture?: number): GpuGeneration | undefined {
  const named = name === undefined ? undefined : NAMED.find(([pattern]) => pattern.test(name))?.[1];
  return named ?? (architecture === undefined ? undefined : NUMBERED[architecture]);
}

/**
 * @param name as NVML or nvidia-smi says it: `NVIDIA A100-SXM4-80GB`
 * @param architecture NVML's number, for names that are not known
 */
export function gpuSensor(name: string | undefined, column: GpuColumn, architecture?: number): Sensor {
  const profile = name === undefined ? undefined : profileOf(name);
  const gain = gainOf(profile?.errorPercent);
  if (column === 'counter') return { gain };
  const generation = gpuGeneration(name, architecture);
  if (generation === undefined) return { gain };
  const averages = GENERATIONS[generation].average;
  const shown = column === 'unspecified' ? (averages ? 'average' : 'instant') : column;
  const pace = shown === 'average' ? averages : (profile?.instant ?? GENERATIONS[generation].instant);
  const delayMillis = profile?.delayMillis?.[shown];
  return {
    gain,
    ...(pace?.windowMillis !== undefined && { averagedOver: seconds(pace.windowMillis / 1000) }),
    ...(pace?.refreshMillis !== undefined && { refresh: seconds(pace.refreshMillis / 1000) }),
    ...(delayMillis !== undefined && { delay: seconds(delayMillis / 1000) }),
  };
}

const bare = (name: string): string => name.replace(/^NVIDIA\s+/i, '').replaceAll('_', ' ').toLowerCase();
const BY_BARE_NAME = new Map(Object.entries(PROFILES).map(([name, profile]) => [bare(name), profile]));
const profileOf = (name: string): Profile | undefined => BY_BARE_NAME.get(bare(name));

/** What the meter behind the profiles may itself be off; it also leaves out the 3.3 V rail of the slot. */
const PROFILE_METER = 0.01;

/**
 * Each board has its own factor, and one board of a name says little about the next: the interval for any board (±5 %),
 * widened to what was seen of this name. A reading 5.78 % too low is made true by +6.13 %.
 */
function gainOf(errorPercent: Profile['errorPercent']): Sensor['gain'] {
  if (!errorPercent) return GPU_BOARD.gain;
  const correction = errorPercent.map((error) => 1 / (1 + error / 100) - 1);
  return { low: Math.min(GPU_BOARD.gain.low, ...correction.map((part) => part - PROFILE_METER)), high: Math.max(GPU_BOARD.gain.high, ...correction.map((part) => part + PROFILE_METER)) };
}
