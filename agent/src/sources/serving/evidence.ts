/**
 * Evidence as `record` keeps it: the events of a serving source as they are, one JSON object per line. Counts, times and
 * labels only: a source yields no text of a prompt or an answer, so none can be here.
 */
import { messageOf } from '@joulebook/shared/errors.js';
import { OUTCOMES } from '@joulebook/shared/slice.js';
import { instant, tokens } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { lineTally } from '../line-tally.js';
import { servingFormat, type RecordedServingEntry } from '../recorded.js';
import type { ServingEvent } from '../source.js';
import { textLines } from '../text-lines.js';

const NAME = 'evidence';
const at = z.number().transform(instant);
const count = z.number().min(0).transform(tokens).exactOptional();
const amount = z.number().min(0);
const counts = z.strictObject({ input: count, cachedInput: count, output: count });
const text = z.string().exactOptional();
const line = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('request'), id: z.string(), start: at, scheduled: at.exactOptional(), firstToken: at.exactOptional(), end: at, tokens: counts, outcome: z.enum(OUTCOMES), model: text, tenant: text }),
  z.strictObject({
    kind: z.literal('steps'), from: at, to: at, steps: amount, prefillTokens: amount, prefills: amount, decodes: amount, decodeTokens: amount,
    kvTokens: amount.exactOptional(), tokens: counts, rank: text, timing: z.enum(['exact', 'placed', 'inferred']), model: text,
  }),
  z.strictObject({
    kind: z.literal('window'), from: at, to: at, tokens: counts, credits: z.literal('firstToken').exactOptional(), busy: z.number().exactOptional(), running: amount.exactOptional(),
    kvTokens: amount.exactOptional(), kvUsage: amount.exactOptional(), engines: amount.exactOptional(), decodeSteps: amount.exactOptional(), prompts: amount.exactOptional(), sequenceSeconds: amount.exactOptional(), prefillTokens: amount.exactOptional(),
    phaseSeconds: z.strictObject({ prefill: amount, decode: amount }).exactOptional(), rank: text, saturated: z.boolean().exactOptional(), model: text,
    requests: z.partialRecord(z.enum(OUTCOMES), z.int()).exactOptional(),
  }),
  z.strictObject({ kind: z.literal('idle'), from: at, to: at, rank: text }),
  z.strictObject({ kind: z.literal('engine'), at, chunkTokens: amount.exactOptional(), kvCacheTokens: amount.exactOptional(), version: text }),
  z.strictObject({ kind: z.literal('hole'), from: at, to: at, reason: z.string() }),
  z.strictObject({ kind: z.literal('gauge'), gauge: z.string(), value: z.number(), at, model: text }),
  z.strictObject({ kind: z.literal('watermark'), at }),
  z.strictObject({ kind: z.literal('flagged'), code: z.string(), detail: z.string(), count: z.int(), device: text, during: z.strictObject({ from: at, to: at }).exactOptional() }),
]);

export const evidence = servingFormat({
  name: NAME,
  tokensFrom: 'engine counters',
  summary: 'what `joulebook-agent record` keeps of a serving source',
  options: {},
  open: (entry) => ({ description: `${entry.file.label} (${NAME})`, events: () => events(entry) }),
});

async function* events({ file }: RecordedServingEntry): AsyncGenerator<ServingEvent, void> {
  const tally = lineTally(file.label);
  for await (const { number, text: said } of textLines(file)) {
    if (said.trim() === '') continue;
    const parsed = parse(said);
    if (typeof parsed === 'string') tally.skip(number, parsed);
    else {
      tally.used();
      yield parsed;
    }
  }
  tally.judge(NAME);
  yield* tally.flagged();
}

function parse(said: string): ServingEvent | string {
  try {
    const result = line.safeParse(JSON.parse(said));
    return result.success ? result.data : 'not a line of this format';
  } catch (error) {
    return `no JSON (${messageOf(error).slice(0, 60)})`;
  }
}

export const evidenceLine = (event: ServingEvent): string => `${JSON.stringify(event)}\n`;
