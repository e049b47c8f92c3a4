/**
 * What to simulate, as a person writes it (YAML); every field has a default, so that `{}` is ten minutes of a chat server.
 *
 *   seed: 7
 *   duration: 10m
 *   hardware: h100-8b
 *   engine: { batching: chunked, maxBatchedTokens: 2048 }
 *   traffic:
 *     - { work: chat, arrivals: { kind: poisson, perSecond: 6 } }
 *     - { work: rag, arrivals: { kind: gamma, perSecond: 0.5, cv: 3 }, aborts: 0.02 }
 *   pauses: [{ from: 5m, to: 6m }]
 */
import { duration } from '@joulebook/shared/settings.js';
import { z } from 'zod';
import { boardChanges, modelChanges, presetNames } from './scenario-hardware.js';

const share = z.number().min(0).max(1);
const perSecond = z.number().positive().max(1e4);
const lastsSomeTime = duration.refine((value) => value > 0, 'must be more than 0');

/** How a number of tokens is drawn. */
const basicLength = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('fixed'), tokens: z.int().min(1) }),
  z.strictObject({ kind: z.literal('lognormal'), median: z.number().min(1), sigma: z.number().min(0).max(4) }),
]);
const length = z.discriminatedUnion('kind', [
  ...basicLength.options,
  z.strictObject({ kind: z.literal('mixture'), of: z.array(z.strictObject({ weight: z.number().positive(), length: basicLength })).min(1) }),
]);
export type Length = z.output<typeof length>;

const arrivals = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('poisson'), perSecond }),
  /** Burstier than Poisson where the coefficient of variation of the time between arrivals is above 1. */
  z.strictObject({ kind: z.literal('gamma'), perSecond, cv: z.number().positive().max(20) }),
  /** Poisson while on, nothing while off; how long each lasts is exponential with this mean. */
  z.strictObject({ kind: z.literal('onOff'), perSecond, on: lastsSomeTime, off: lastsSomeTime }),
  /** A rate that goes straight from point to point and starts again after the last one: a day in small. */
  z.strictObject({
    kind: z.literal('ramp'),
    points: z.array(z.strictObject({ at: duration, perSecond: z.number().min(0).max(1e4) })).min(2)
      .refine((points) => points[0]?.at === 0 && points.every((point, index) => index === 0 || point.at > (points[index - 1]?.at ?? 0)), 'points start at 0 and go forward in time')
      .refine((points) => points.some((point) => point.perSecond > 0), 'some point must have a rate above 0'),
  }),
  /** So many users, each of whom asks again a while (exponential) after the answer has come. */
  z.strictObject({ kind: z.literal('closed'), users: z.int().min(1).max(1e4), think: duration.prefault('2s') }),
]);
export type ArrivalKind = z.output<typeof arrivals>;

export const WORK = {
  chat: { prompt: { kind: 'lognormal', median: 320, sigma: 0.9 }, output: { kind: 'lognormal', median: 220, sigma: 0.7 }, cache: { share: 0.4, part: 0.5 } },
  rag: { prompt: { kind: 'lognormal', median: 3500, sigma: 0.5 }, output: { kind: 'lognormal', median: 180, sigma: 0.5 }, cache: { share: 0.3, part: 0.2 } },
  code: { prompt: { kind: 'lognormal', median: 1800, sigma: 0.9 }, output: { kind: 'lognormal', median: 80, sigma: 0.9 }, cache: { share: 0.7, part: 0.8 } },
} as const satisfies Record<string, { prompt: Length; output: Length; cache: { share: number; part: number } }>;

const stream = z.strictObject({
  work: z.enum(['chat', 'rag', 'code'] as const satisfies readonly (keyof typeof WORK)[]).default('chat').describe('What prompt, output and cache are unless said.'),
  arrivals: arrivals.default({ kind: 'poisson', perSecond: 5 }),
  prompt: length.optional(),
  output: length.optional(),
  cache: z.strictObject({ share: share.describe('Prompts that find something in the prefix cache.'), part: share.describe('How much of such a prompt, in the mean.') }).optional(),
  aborts: share.default(0).describe('Requests whose client leaves before the end.'),
});
export type Stream = z.output<typeof stream>;

const engine = z
  .strictObject({
    batching: z.enum(['chunked', 'prefillFirst']).default('chunked').describe('chunked: decodes first, chunks of prompts fill the iteration (vLLM V1). prefillFirst: pure iterations, prompts before decodes (SGLang).'),
    maxBatchedTokens: z.int().min(1).default(8192).describe('Tokens in one iteration: the longest chunk.'),
    maxSequences: z.int().min(1).default(256),
    maxLength: z.int().min(2).default(32_768).describe('Prompt and output together; never more than the KV cache holds.'),
    blockTokens: z.int().min(1).default(16).describe('Tokens in one block of the KV cache.'),
    gapSeconds: z.number().min(0).max(1).default(0.0012).describe('Scheduling between two iterations, while the GPU waits.'),
    jitter: z.number().min(0).max(0.5).default(0.02).describe('Relative scatter of how long an iteration takes.'),
    ranks: z.int().min(1).max(64).default(1).describe('Data-parallel copies, each on GPUs of its own.'),
    speculative: z.strictObject({
      tokens: z.int().min(1).max(16).default(3).describe('Drafted per sequence and step.'),
      acceptance: share.default(0.7).describe('Chance that a draft token is accepted, given that those before it were.'),
      cost: share.default(0.03).describe('Of drafting one token, relative to a pass of the model.'),
    }).optional(),
    disaggregated: z.strictObject({
      prefillRanks: z.int().min(1).max(64).default(1),
      decodeRanks: z.int().min(1).max(64).default(1),
      transferSeconds: z.number().min(0).default(0.004).describe('Before the KV cache begins to move.'),
      transferBytesPerSecond: z.number().positive().default(4e10),
    }).optional().describe('Prefill and decode on different GPUs; `ranks` does not count then.'),
  })
  .refine((value) => value.speculative === undefined || value.maxBatchedTokens > value.speculative.tokens, { path: ['maxBatchedTokens'], error: 'must exceed speculative.tokens' });
export type EngineOptions = z.output<typeof engine>;

/** The fields that decide the run itself; who writes files from it adds his own beside them. */
export const scenarioShape = {
  seed: z.int().min(0).default(1),
  duration: lastsSomeTime.prefault('10m').describe('Until when requests arrive; the run ends when the last one has.'),
  hardware: presetNames.default('h100-8b'),
  board: boardChanges.describe('What differs from the preset.'),
  model: modelChanges.describe('What differs from the preset.'),
  engine: engine.prefault({}),
  drift: z.strictObject({ share: z.number().min(0).max(0.2).default(0.02), period: lastsSomeTime.prefault('13m') }).prefault({}).describe('Slow change of what the same work draws.'),
  server: z.strictObject({
    cpuIdleWatts: z.number().min(0).default(110),
    cpuWattsPerRank: z.number().min(0).default(45).describe('More while a rank runs.'),
    otherWatts: z.number().min(0).default(180).describe('Memory, network, storage, fans.'),
    efficiency: z.number().min(0.5).max(1).default(0.94).describe('Of the power supplies.'),
  }).prefault({}),
  traffic: z.array(stream).min(1).prefault([{ work: 'chat', arrivals: { kind: 'poisson', perSecond: 5 } }, { work: 'rag', arrivals: { kind: 'gamma', perSecond: 0.4, cv: 2 }, aborts: 0.02 }]),
  pauses: z.array(z.strictObject({ from: duration, to: duration }).refine(({ from, to }) => to > from, 'must end after it begins')).prefault([{ from: 0, to: '4s' }, { from: '5m', to: '330s' }]).describe('No request arrives then.'),
};

export const scenarioSchema = z.strictObject(scenarioShape);
export type Scenario = z.output<typeof scenarioSchema>;
