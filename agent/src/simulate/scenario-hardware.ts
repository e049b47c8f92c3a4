/**
 * Boards and models to choose from, and what a scenario changes of them. The numbers are what such machines do in practice
 * (achieved, not peak): they put prefill near the board's limit and decode at 40 to 80 % of it.
 */
import { UsageError } from '@joulebook/shared/errors.js';
import { z } from 'zod';

const positive = z.number().positive();
const notNegative = z.number().min(0);

/** Leakage is counted from here. */
export const REFERENCE_CELSIUS = 40;

export const boardSchema = z.strictObject({
  capWatts: positive.describe('Power limit: what would draw more runs slower.'),
  /** Model in memory, clocks up. */
  loadedIdleWatts: positive.describe('Drawn between iterations and for a while after the last one, at 40 °C.'),
  idleWatts: positive.describe('Drawn later, when the clocks have gone down.'),
  idleAfterSeconds: notNegative.describe('How long after the last iteration the clocks go down.'),
  flopsPerSecond: positive.describe('Achieved by very large batches.'),
  bytesPerSecond: positive.describe('Achieved memory bandwidth.'),
  saturationTokens: notNegative.describe('A batch of so many tokens reaches half of flopsPerSecond.'),
  activeWatts: notNegative.describe('Above loaded idle as soon as anything runs.'),
  joulesPerFlop: positive.describe('For an iteration that keeps the board busy for 20 ms; smaller ones need more, larger ones less.'),
  joulesPerByte: positive.describe('Of memory traffic.'),
  regulatorLoss: z.number().min(0).max(1).describe('Of dynamic power that is as large as capWatts; it grows with the square of the current.'),
  leakageWattsPerKelvin: notNegative.describe('More drawn per kelvin above 40 °C, whatever runs.'),
  kelvinPerWatt: positive.describe('How warm a watt makes the board.'),
  thermalSeconds: positive.describe('Time constant of its temperature.'),
  ambientCelsius: z.number().describe('Of the air that cools it.'),
  responseSeconds: positive.describe('How long its power takes to follow the work.'),
  spread: z.number().min(0).max(0.2).describe('Relative difference between boards of a server.'),
});
export type BoardKind = z.output<typeof boardSchema>;

export const modelSchema = z.strictObject({
  parameters: positive,
  bytesPerParameter: positive,
  kvBytesPerToken: positive,
  /** 4 × layers × width of all attention heads. */
  attentionFlopsPerPair: notNegative.describe('For one query token and one context token.'),
  stepSeconds: notNegative.describe('Fixed part of every iteration: launching kernels, sampling.'),
  secondsPerToken: notNegative.describe('Tensor-parallel communication per token of the batch.'),
  tensorParallel: z.int().min(1).max(16).describe('GPUs that run one copy together.'),
  kvTokens: z.int().min(64).describe('KV cache of one copy.'),
});
export type Model = z.output<typeof modelSchema>;

export const boardChanges = boardSchema.partial().default({});
export const modelChanges = modelSchema.partial().default({});

export interface Hardware {
  readonly board: BoardKind;
  readonly model: Model;
}

const H100: BoardKind = {
  capWatts: 700, loadedIdleWatts: 118, idleWatts: 72, idleAfterSeconds: 6, flopsPerSecond: 560e12, bytesPerSecond: 2.75e12, saturationTokens: 80, activeWatts: 95, joulesPerFlop: 0.74e-12,
  joulesPerByte: 56e-12, regulatorLoss: 0.15, leakageWattsPerKelvin: 0.4, kelvinPerWatt: 0.055, thermalSeconds: 45, ambientCelsius: 28, responseSeconds: 0.003, spread: 0.02,
};
const A100: BoardKind = {
  ...H100, capWatts: 400, loadedIdleWatts: 78, idleWatts: 55, flopsPerSecond: 230e12, bytesPerSecond: 1.6e12, activeWatts: 50, joulesPerFlop: 0.9e-12, joulesPerByte: 65e-12, kelvinPerWatt: 0.075, leakageWattsPerKelvin: 0.3,
};
const L40S: BoardKind = {
  ...H100, capWatts: 350, loadedIdleWatts: 88, idleWatts: 36, idleAfterSeconds: 10, flopsPerSecond: 200e12, bytesPerSecond: 0.72e12, activeWatts: 55, joulesPerFlop: 0.9e-12, joulesPerByte: 100e-12, kelvinPerWatt: 0.11, leakageWattsPerKelvin: 0.25,
};
const RTX3090: BoardKind = {
  ...H100, capWatts: 350, loadedIdleWatts: 105, idleWatts: 28, idleAfterSeconds: 12, flopsPerSecond: 62e12, bytesPerSecond: 0.8e12, saturationTokens: 40, activeWatts: 50, joulesPerFlop: 2.6e-12, joulesPerByte: 85e-12, kelvinPerWatt: 0.12,
  leakageWattsPerKelvin: 0.3, responseSeconds: 0.005,
};

/** Grouped-query attention, 32 layers of 4096. */
const MODEL_8B: Model = { parameters: 8.03e9, bytesPerParameter: 2, kvBytesPerToken: 131_072, attentionFlopsPerPair: 524_288, stepSeconds: 0.0015, secondsPerToken: 0, tensorParallel: 1, kvTokens: 400_000 };
/** Attention with as many key as query heads, 40 layers of 5120: its KV cache is large. */
const MODEL_13B: Model = { ...MODEL_8B, parameters: 13e9, kvBytesPerToken: 819_200, attentionFlopsPerPair: 819_200, stepSeconds: 0.002, kvTokens: 52_000 };
/** Grouped-query attention, 80 layers of 8192. */
const MODEL_70B: Model = { ...MODEL_8B, parameters: 70.6e9, kvBytesPerToken: 327_680, attentionFlopsPerPair: 2_621_440, stepSeconds: 0.0035, secondsPerToken: 14e-6, tensorParallel: 4, kvTokens: 440_000 };

export const PRESETS = {
  'h100-8b': { board: H100, model: MODEL_8B },
  'h100-70b-tp4': { board: H100, model: MODEL_70B },
  'a100-13b': { board: A100, model: MODEL_13B },
  'l40s-8b': { board: L40S, model: { ...MODEL_8B, kvTokens: 180_000 } },
  'rtx3090-8b': { board: RTX3090, model: { ...MODEL_8B, stepSeconds: 0.002, kvTokens: 38_000 } },
} as const satisfies Record<string, Hardware>;

export const presetNames = z.enum(['h100-8b', 'h100-70b-tp4', 'a100-13b', 'l40s-8b', 'rtx3090-8b'] as const satisfies readonly (keyof typeof PRESETS)[]);

interface Changes {
  readonly hardware: z.output<typeof presetNames>;
  readonly board: z.output<typeof boardChanges>;
  readonly model: z.output<typeof modelChanges>;
}

/**
 * Fills in what a preset knows; what the scenario says itself wins.
 * @throws UsageError where the two together can't be a board
 */
export function hardwareOf({ hardware, board, model }: Changes): Hardware {
  const preset = PRESETS[hardware];
  const whole = boardSchema.parse({ ...preset.board, ...board });
  const { capWatts, loadedIdleWatts, idleWatts, spread, leakageWattsPerKelvin } = whole;
  const hottest = whole.ambientCelsius + whole.kelvinPerWatt * capWatts;
  const faults = [
    ...(capWatts > loadedIdleWatts * (1 + spread) + leakageWattsPerKelvin * (hottest - REFERENCE_CELSIUS) ? [] : [`board.capWatts: ${capWatts} W leaves nothing to work with above loaded idle (${loadedIdleWatts} W and leakage)`]),
    ...(idleWatts <= loadedIdleWatts ? [] : [`board.idleWatts: ${idleWatts} W must not exceed board.loadedIdleWatts, ${loadedIdleWatts} W`]),
  ];
  if (faults.length > 0) throw new UsageError(faults);
  return { board: whole, model: modelSchema.parse({ ...preset.model, ...model }) };
}
