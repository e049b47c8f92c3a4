/**
 * Who writes what: each pool of GPUs is an engine with a log of its own; a gateway in front of them sees requests only.
 *
 *   serve                  vllm.log            deployment chat
 *   prefill + decode       vllm-prefill.log    deployment chat-prefill, role prefill
 *                          vllm-decode.log     deployment chat-decode, role decode
 */
import type { Instant } from '@joulebook/shared/units.js';
import { wallClock } from './clock.js';
import type { EngineWriter } from './dialects/format.js';
import type { Plan, ServingPlan } from './recording.js';
import { Random } from './random.js';
import { hardwareOf } from './scenario-hardware.js';
import type { Gpu, Happening, Pool } from './trace.js';

export interface ServingFile {
  readonly file: string;
  readonly writer: EngineWriter;
  readonly hears: (happening: Happening) => boolean;
  /** Its entry in recording.yaml; absent: the folder holds it, replay leaves it out. */
  readonly entry?: Readonly<Record<string, unknown>>;
  readonly truth: Readonly<Record<string, unknown>>;
}

interface Speaker {
  readonly plan: ServingPlan;
  /** Undefined: all of them. */
  readonly pool: Pool | undefined;
}

export function servingFilesOf({ scenario, recording, serving }: Plan, gpus: readonly Gpu[], begins: Instant): ServingFile[] {
  const pools = [...new Set(gpus.map(({ pool }) => pool))];
  const engines = serving.flatMap((plan): Speaker[] => (plan.dialect.speaks === 'engine' ? pools.map((pool) => ({ plan, pool })) : [{ plan, pool: undefined }]));
  // Of several that speak of one deployment the first counts its tokens, unless one was told to.
  const told = new Map<string, ServingPlan>();
  const deploymentOf = (pool: Pool | undefined): string => (pool === undefined || pool === 'serve' ? recording.deployment : `${recording.deployment}-${pool}`);
  for (const { plan, pool } of [...engines.filter((each) => each.plan.tokens === 'count'), ...engines.filter((each) => each.plan.tokens === undefined)]) {
    if (!told.has(deploymentOf(pool))) told.set(deploymentOf(pool), plan);
  }
  const model = recording.model ?? `simulated/${scenario.hardware}`;
  const split = pools.length > 1;

  return engines.map(({ plan, pool }): ServingFile => {
    const { dialect, tz, clock, open } = plan;
    const name = split && pool !== undefined ? withSuffix(plan.file, pool) : plan.file;
    const mine = pool === undefined ? gpus : gpus.filter((gpu) => gpu.pool === pool);
    const random = new Random(scenario.seed, `file ${name}`);
    const ranks = new Set(mine.map(({ rank }) => rank)).size;
    const { model: size } = hardwareOf(scenario);
    const writer = open({
      pool: pool ?? (split ? 'decode' : 'serve'),
      ranks,
      gpusPerRank: size.tensorParallel,
      model,
      chunkTokens: scenario.engine.maxBatchedTokens,
      kvCacheTokens: size.kvTokens,
      seats: scenario.engine.maxSequences,
      draftTokens: scenario.engine.speculative?.tokens ?? 0,
      clock: wallClock(begins, tz, clock),
      draw: () => random.next(),
    });
    const deployment = deploymentOf(pool);
    // Where the pools speak for themselves, a gateway's words would be said twice.
    const replayed = pool !== undefined || !split || engines.every((each) => each.pool === undefined);
    const entry = {
      format: dialect.name,
      file: name,
      tz,
      deployment,
      model,
      devices: mine.map(({ index }) => index),
      tokens: told.get(deployment) === plan ? 'count' : 'evidence',
      ...(split && pool !== undefined && { role: pool }),
      ...writer.entry,
    };
    return {
      file: name,
      writer,
      hears: (happening) => pool === undefined || happening.kind === 'request' || happening.iteration.pool === pool,
      ...(replayed && { entry }),
      truth: { clockOffsetSeconds: clock.offset, clockDriftPpm: clock.driftPpm },
    };
  });
}

/** `vllm.log` → `vllm-decode.log` */
const withSuffix = (file: string, pool: Pool): string => (file.includes('.') ? file.replace(/\.(?=[^.]*$)/, `-${pool}.`) : `${file}-${pool}`);
