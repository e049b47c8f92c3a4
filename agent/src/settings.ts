/** Every setting of the agent, declared once. */
import { hostname } from 'node:os';
import { listen } from '@joulebook/shared/listen.js';
import { duration, setting } from '@joulebook/shared/settings.js';
import { z } from 'zod';

const text = z.string().min(1);
const devices = z.array(z.union([z.int().min(0), text])).min(1).optional();
const labels = z.record(text, z.union([z.string(), z.number(), z.boolean()]).transform(String));

const url = z.url({ protocol: /^https?$/, error: 'not an address like http://collector.example:9840' });
const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** `2GiB`, `512MiB` or plain bytes. */
const size = (least: number) =>
  z.union([z.number(), z.string()]).transform((value, context) => {
    const [, amount, unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])iB|B)?\s*$/.exec(String(value)) ?? [];
    const bytes = Math.round(Number(amount ?? Number.NaN) * (SIZE_UNITS[unit] ?? Number.NaN));
    if (Number.isSafeInteger(bytes) && bytes >= least) return bytes;
    context.addIssue(`'${value}' is not a size of at least ${least} bytes; write 2GiB or 512MiB`);
    return z.NEVER;
  });
const LEAST_SPOOL = 64 * 2 ** 20;

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
  node: setting(text.default(hostname()), 'What this machine is called in every fact. Default: its host name.', { byMachine: true }),
  site: setting(text.optional(), 'The site or datacentre this machine stands in.'),
  labels: setting(labels.default({}), 'Free labels on every fact, e.g. {quantization: fp8, cooling: liquid}; comparisons are made on them.'),
  collectorUrl: setting(z.union([url.transform((one) => [one]), z.array(url).min(1)]).prefault('http://127.0.0.1:9840'), 'Where batches are sent; or a list of collectors that share a store, of which the first that works is kept to.'),
  token: setting(text.optional(), 'Bearer token for the collector.', { secret: true }),
  collectorCa: setting(text.optional(), "PEM file of the authority to trust for a collector at https, instead of the system's."),
  collectorCert: setting(text.optional(), "PEM file of this agent's certificate, for a collector that asks for one (mTLS)."),
  collectorKey: setting(text.optional(), 'PEM file of the key of that certificate.'),
  dataDir: setting(text.default('./data/agent'), 'Folder of the spool.'),
  spoolMaxBytes: setting(size(LEAST_SPOOL).prefault('2GiB'), 'The most the spool may take on disk. When it is full its oldest batches are dropped, and the report says what was in them.'),
  spoolMinFreeBytes: setting(size(0).prefault('1GiB'), 'Where the disk has less left than this the spool does not grow.'),
  spoolSync: setting(z.enum(['append', 'handout']).default('append'), 'When a batch must have reached the disk itself: before the next one is made, or only before it is sent (a power cut may then lose what was not sent; a crash of the agent does not).'),
  catchUpRate: setting(z.union([z.number(), z.string().regex(/^\d+(\.\d+)?$/).transform(Number)]).refine((value) => value > 0, 'must be more than 0').prefault(100), 'Batches per second at most that are sent of a backlog, beside live ones.'),
  batchAge: setting(duration.prefault('0s'), 'How long finished slices may wait to be sent with later ones; a batch has at most 5,000.'),
  slice: setting(duration.prefault('10s').refine((value) => value >= 1 && 3600 % value === 0, 'a slice lasts at least 1 s and divides an hour'), 'Length of a slice of facts.'),
  evidenceDelay: setting(duration.prefault('30s'), 'How long energy waits for evidence of what ran, where that is late; what comes later leaves it unknown.'),
  power: setting(z.array(livePowerEntry).optional(), 'Power sources; absent: those found on this machine.'),
  serving: setting(z.array(liveServingEntry).optional(), 'Serving sources; absent: those found on this machine.'),
  play: setting(text.optional(), 'A folder with a recording to play in a loop instead of sensors; everything it says is marked as a demonstration.'),
  hostFacts: setting(z.stringbool().or(z.boolean()).default(true), 'Send what the machine is (CPU, memory, OS, GPUs) along.'),
  metricsListen: setting(listen.optional(), 'host:port to tell of itself on: /metrics (Prometheus), /healthz, /readyz; not served where not said. Others than this machine reach it only where there is a metricsToken.'),
  metricsToken: setting(text.optional(), 'Bearer token that /metrics asks for.', { secret: true }),
  logLevel: setting(z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'), 'How much is logged (to stderr, JSON lines).'),
} as const;
