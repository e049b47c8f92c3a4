/**
 * `POST /v1/outcomes`: what became of requests after they were booked. A quality gate rejects an answer, a client gives up, a retry takes
 * another's place: minutes later somebody knows, and nobody may change a fact. So a correction is facts of its own, −n requests of the
 * outcome that was booked and +n of the one that it is, in the same 10 s and cell of latencies: sums come out right, and stay additive.
 *
 *     { "id": "gate 2026-11-22T10:00Z", "node": "gpu-01", "deployment": "chat", "outcomes": [
 *       { "at": "2026-11-22T09:58:12Z", "was": "ok", "outcome": "rejected", "requests": 3, "inputTokens": 900, "outputTokens": 1200, "ttft": 0.4, "tpot": 0.02 } ] }
 *
 * What stands beside `outcomes` (site, deployment, model, tenant, labels) holds for all that do not say it themselves.
 * `id` names the whole for ever: sent again it changes nothing, and with other content it is refused (409).
 */
import { createHash } from 'node:crypto';
import { SCHEMA_VERSION, type Batch } from '@joulebook/shared/batch.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { describeIssues } from '@joulebook/shared/settings.js';
import { latencyBucket, OUTCOMES, slice, wellFormed, type Slice } from '@joulebook/shared/slice.js';
import { epochMicros, seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { parseTime } from '../join/times.js';

const CELL_MICROS = 10e6;
const MOST = 10_000;

const name = wellFormed(z.string().min(1).max(512));
const count = z.int().min(0).max(1e9);
/** s */
const latency = z.number().positive().max(1e6).optional();
const at = z.union([z.string(), z.number()]).transform((said, context) => {
  const time = parseTime(String(said));
  if (time !== undefined) return time;
  context.addIssue(`'${said}' is not a time; write ISO 8601 with a zone, or epoch seconds`);
  return z.NEVER;
});

/** Of the requests: as their facts say it. */
const about = { site: name.optional(), deployment: name.optional(), model: name.optional(), tenant: name.optional(), labels: z.record(name, wellFormed(z.string().max(1024))).optional() };

export const correction = z
  .strictObject({ ...about, at, was: z.enum(OUTCOMES), outcome: z.enum(OUTCOMES), requests: z.int().min(1).max(1e9).default(1), inputTokens: count, cachedInputTokens: count.default(0), outputTokens: count, ttft: latency, tpot: latency })
  .refine(({ was, outcome }) => was !== outcome, { path: ['outcome'], message: 'is what it was' });

const schema = z.strictObject({
  ...about, id: name, node: name.default('outcomes'), outcomes: z.array(correction).min(1).max(MOST),
}).refine(
  // Whatever else is wrong.
  (said: unknown) => z.union([z.looseObject({ deployment: z.string() }), z.looseObject({ outcomes: z.array(z.looseObject({ deployment: z.string() })) })]).safeParse(said).success,
  { path: ['deployment'], message: 'say it here, or in each of the outcomes', when: () => true },
);

/** Facts that take the requests from one outcome to the other. */
function slicesOf({ at: time, was, outcome, requests, inputTokens, cachedInputTokens, outputTokens, ttft, tpot, ...own }: z.output<typeof correction>, ofAll: object): Slice[] {
  const from = epochMicros(Math.floor(time / CELL_MICROS) * CELL_MICROS);
  const signed = (sign: 1 | -1, as: string): Slice =>
    slice.parse({
      kind: 'requests', ...ofAll, ...own, from, to: from + CELL_MICROS, outcome: as, requests: sign * requests, inputTokens: sign * inputTokens, cachedInputTokens: sign * cachedInputTokens, outputTokens: sign * outputTokens,
      ...(ttft !== undefined && { ttftBucket: latencyBucket(seconds(ttft)) }), ...(tpot !== undefined && { tpotBucket: latencyBucket(seconds(tpot)) }),
    });
  return [signed(-1, was), signed(1, outcome)];
}

/** @throws TelemetryError (`discard`) with every fault, each naming its field */
export function decodeOutcomes(text: string): Batch {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch (cause) {
    throw new TelemetryError('OUTCOMES_NOT_JSON', `The outcomes are not JSON: ${messageOf(cause)}.`, 'discard', { cause });
  }
  const result = schema.safeParse(said);
  if (!result.success) throw new TelemetryError('OUTCOMES_INVALID', `The outcomes are not valid: ${describeIssues(result.error, 'body').join('; ')}.`, 'discard');
  const { id, node, outcomes, ...of } = result.data;
  const stream = createHash('sha256').update(`outcomes ${id}`).digest('hex').slice(0, 32);
  return { schema: SCHEMA_VERSION, stream, sequence: 0, node, slices: outcomes.flatMap((one) => slicesOf(one, of)) };
}
