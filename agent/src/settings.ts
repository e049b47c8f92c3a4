/** Every setting of the agent, declared once. */
import { hostname } from 'node:os';
import { duration, setting } from '@joulebook/shared/settings.js';
import { z } from 'zod';

const text = z.string().min(1);
const devices = z.array(z.union([z.int().min(0), text])).min(1).optional();
const labels = z.record(text, z.union([z.string(), z.number(), z.boolean()]).transform(String));

export const livePowerEntry = z.looseObject({ source: text });
export const liveServingEntry = z.looseObject({
  source: text,
  deployment: text.default('default'),
  model: text.optional(),
  devices,
  role: z.enum(['prefill', 'decode']).optional(),
  tokens: z.enum(['count', 'evidence']).optional(),
  /** Which GPU processes are this deployment's: its GPUs are followed instead of listed. `*` stands for anything. */
  process: z.strictObject({ engine: text.optional(), container: text.optional(), pod: text.optional(), command: text.optional() }).optional(),
});
export type LivePowerEntry = z.output<typeof livePowerEntry>;
export type LiveServingEntry = z.output<typeof liveServingEntry>;

export const agentSettings = {
  node: setting(text.default(hostname()), 'What this machine is called in every fact. Default: its host name.'),
  site: setting(text.optional(), 'The site or datacentre this machine stands in.'),
  labels: setting(labels.default({}), 'Free labels on every fact, e.g. {quantization: fp8, cooling: liquid}; comparisons are made on them.'),
  collectorUrl: setting(z.url().default('http://127.0.0.1:9840'), 'Where batches are sent.'),
  token: setting(text.optional(), 'Bearer token for the collector.', { secret: true }),
  dataDir: setting(text.default('./data/agent'), 'Folder of the spool.'),
  slice: setting(duration.prefault('10s').refine((value) => value >= 1 && 3600 % value === 0, 'a slice lasts at least 1 s and divides an hour'), 'Length of a slice of facts.'),
  evidenceDelay: setting(duration.prefault('30s'), 'How long energy waits for evidence of what ran, where that is late; what comes later leaves it unknown.'),
  power: setting(z.array(livePowerEntry).optional(), 'Power sources; absent: those found on this machine.'),
  serving: setting(z.array(liveServingEntry).optional(), 'Serving sources; absent: those found on this machine.'),
  play: setting(text.optional(), 'A folder with a recording to play in a loop instead of sensors; everything it says is marked as a demonstration.'),
  hostFacts: setting(z.stringbool().or(z.boolean()).default(true), 'Send what the machine is (CPU, memory, OS, GPUs) along.'),
  logLevel: setting(z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'), 'How much is logged (to stderr, JSON lines).'),
} as const;
