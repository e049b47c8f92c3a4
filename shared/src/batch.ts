/**
 * The wire envelope. (stream, sequence) names a batch for ever: sending it again changes nothing.
 * `stream` is a random 128-bit id made with a spool and kept in it; a replayed recording uses a hash of its
 * inputs, so that importing it twice changes nothing either.
 */
import { z } from 'zod';
import { compiled } from './compiled.js';
import { TelemetryError } from './errors.js';
import { isSlice, slice, wellFormed, type Slice } from './slice.js';

export const SCHEMA_VERSION = 1;

/** 300,000 years of a batch in 10 s. Beyond, numbers of batches would not add up exactly any more. */
const MOST_SEQUENCE = 2 ** 40;
const words = wellFormed(z.string());

/** What the machine is; sent with a stream's first batch and whenever it changes. */
export const hostFacts = z.strictObject({
  hostname: words,
  os: words,
  kernel: words,
  cpu: z.strictObject({ model: words, sockets: z.int(), cores: z.int() }),
  memoryBytes: z.int(),
  gpus: z.array(z.strictObject({ model: words, vendor: words, bus: words.optional(), memoryMiB: z.number().optional() })),
  /** Absent where it can't be told. */
  virtualised: z.boolean().optional(),
  agentVersion: words,
});
export type HostFacts = z.infer<typeof hostFacts>;

const MOST_SLICES = 100_000;
const head = z.strictObject({
  schema: z.literal(SCHEMA_VERSION),
  stream: z.string().regex(/^[0-9a-f]{32}$/),
  sequence: z.int().min(0).max(MOST_SEQUENCE, 'must be at most 2^40'),
  node: wellFormed(z.string().min(1).max(512)),
  host: hostFacts.optional(),
});
export const batch = head.extend({ slices: z.array(slice).max(MOST_SLICES) });
export interface Batch {
  schema: typeof SCHEMA_VERSION;
  stream: string;
  sequence: number;
  node: string;
  host?: HostFacts | undefined;
  slices: Slice[];
}

/** An escaped backslash, or half of a surrogate pair as JSON writes it. */
const HALVES = /\\(?:\\|ud[89a-f][0-9a-f]{2})/g;

/** What logs and files of others held may be no text (a line cut in two); readers refuse it, so it is written as U+FFFD. */
export function encodeBatch(value: Batch): string {
  const written = JSON.stringify(value);
  return written.includes('\\ud') ? written.replace(HALVES, (escaped) => (escaped === '\\\\' ? escaped : '\ufffd')) : written;
}

/** A message goes into logs and answers: what a sender wrote is in it, but not at any length. */
const LONGEST_SAID = 200;
const shortened = (said: string): string => (said.length <= LONGEST_SAID ? said : `${said.slice(0, LONGEST_SAID)}…`).toWellFormed();
/** What is wrong with a name stands in an issue of its own. */
const messageFor = (issue: z.core.$ZodIssue): string => (issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message);

const anyWayWritten = (letter: string): string => `(?:${letter}|\\\\u00${letter.charCodeAt(0).toString(16).replace(/[a-f]/, (digit) => `[${digit}${digit.toUpperCase()}]`)})`;
/** Objects of JavaScript have no place for a field or label of this name: it would be dropped without a word. JSON may write any letter of it by its number. */
const NAMELESS = new RegExp(`"${Array.from('__proto__', anyWayWritten).join('')}"\\s*:`);

/** A half stands in a text as it is, or by its number. */
const HALF = /\\u[dD][89a-fA-F]/;
const hasHead = compiled(head.extend({ slices: z.array(z.unknown()).max(MOST_SLICES) }));
const isPlain = (json: unknown): json is Batch => hasHead(json) && hasSlices(json) && json.slices.every(isSlice);
const hasSlices = (json: unknown): json is { readonly slices: readonly unknown[] } => typeof json === 'object' && json !== null && 'slices' in json && Array.isArray(json.slices);

/** The version is a number where the sender is a program of ours; anything else is told by its type, since it may be of any size. */
function wrongVersion(version: unknown): TelemetryError {
  if (typeof version === 'number') {
    const [older, newer] = version > SCHEMA_VERSION ? ['this program', 'the one that wrote it'] : ['the one that wrote it', 'this program'];
    return new TelemetryError('BATCH_SCHEMA', `The batch has schema version ${version}; this program reads version ${SCHEMA_VERSION}. Update ${older} to the release of ${newer}; until then such batches are refused.`, 'discard');
  }
  const said = version === undefined ? 'no schema version' : `a schema version that is no number but of type ${typeof version}`;
  return new TelemetryError('BATCH_SCHEMA', `The batch has ${said}; this program reads version ${SCHEMA_VERSION}. Only joulebook-agent makes such batches.`, 'discard');
}

/**
 * A field that this schema version does not have is refused by name, never dropped: what it says might change what the others mean.
 * @throws TelemetryError (`discard`) naming what is wrong with the first few fields.
 */
export function decodeBatch(text: string): Batch {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new TelemetryError('BATCH_NOT_JSON', 'The batch is not JSON; it may be cut short.', 'discard', { cause });
  }
  const version = typeof json === 'object' && json !== null && 'schema' in json ? json.schema : undefined;
  if (version !== SCHEMA_VERSION) throw wrongVersion(version);
  if (NAMELESS.test(text)) throw new TelemetryError('BATCH_INVALID', 'The batch is not valid: a field or label is named __proto__.', 'discard');
  // All but a few are right, and only one that is wrong needs to know why.
  if (!HALF.test(text) && text.isWellFormed() && isPlain(json)) return json;
  const result = batch.safeParse(json);
  if (result.success) return result.data;
  const faults = result.error.issues.slice(0, 3).map((issue) => shortened(`${issue.path.join('.') || 'batch'}: ${messageFor(issue)}`));
  throw new TelemetryError('BATCH_INVALID', `The batch is not valid: ${faults.join('; ')}.`, 'discard');
}
