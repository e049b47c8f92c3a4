/**
 * The additive facts an agent ships. Each stands on an interval [from, to) that lies inside one cell of
 * the UTC-aligned slice grid (10 s live, 1 s in recordings); the first and last of a recording are cut
 * short where its window begins and ends. Facts only ever add up; every figure is a ratio of sums.
 */
import { z } from 'zod';
import { compiled } from './compiled.js';
import { inUnit, seconds, type EpochMicros, type Microjoules, type Seconds } from './units.js';

export const PHASES = ['prefill', 'decode', 'active', 'idle', 'unknown'] as const;
export type Phase = (typeof PHASES)[number];

/** Narrowest first: the order in which a report picks its boundary when none is asked for. */
export const BOUNDARIES = ['gpu', 'module', 'cpu', 'dram', 'server', 'meter'] as const;
export type Boundary = (typeof BOUNDARIES)[number];

/** Disjoint kinds. `input` was computed, `cachedInput` came from a prefix cache; `outside…` lies beyond the observed window. */
export const TOKEN_KINDS = ['input', 'cachedInput', 'output', 'outsideInput', 'outsideOutput'] as const;
export type TokenKind = (typeof TOKEN_KINDS)[number];

export const OUTCOMES = ['ok', 'aborted', 'failed', 'superseded', 'fallback', 'rejected'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** What no honest fact exceeds. A slice is 10 s long, but a table of runs has one of days. */
const LONGEST_SECONDS = 10 * 86_400;
export const MOST_CASES = 1e12;

const count = z.int().min(0, 'must not be negative').max(MOST_CASES, `must be at most ${MOST_CASES} cases`);
/** What is learnt later corrects what was told: then it is negative. Sums of 9,000 of the largest are exact. */
const signedCount = z.int().min(-MOST_CASES, `must be at least ${-MOST_CASES} cases`).max(MOST_CASES, `must be at most ${MOST_CASES} cases`);
/** 10 days of an exabyte in bytes. Beyond, sums would leave what a double holds. */
const MOST_VALUE = 1e24;
const value = z.number().min(-MOST_VALUE, `must be at least ${-MOST_VALUE}`).max(MOST_VALUE, `must be at most ${MOST_VALUE}`);
/** On the latency scale below: from nanoseconds to years. */
const cell = z.int().min(-120, 'must be at least -120').max(120, 'must be at most 120');
/** Tables of runs without a start are laid out from 0 on. */
const time = inUnit<EpochMicros>(z.int().min(0, 'must not be before 1970'));
const bookedEnergy = inUnit<Microjoules>(z.int());
const drawnEnergy = inUnit<Microjoules>(z.int().min(0, 'must not be negative: energy is drawn, never given back'));
/** May be longer than its slice: energy that comes late is booked where there is still room. */
const span = inUnit<Seconds>(z.number().min(0, 'must not be negative').max(LONGEST_SECONDS, `must be at most ${LONGEST_SECONDS} s (10 days)`));
/**
 * Half of a surrogate pair is no character. JSON can write it and JavaScript hold it, but no store and no reader of UTF-8 takes
 * it: one such fact would stop every export and report that it is in.
 */
export const wellFormed = (text: z.ZodString) => text.refine((said) => said.isWellFormed(), 'is not well-formed Unicode: it has half of a surrogate pair');
const name = wellFormed(z.string().min(1).max(512));

const dimensions = {
  from: time,
  to: time,
  site: name.optional(),
  deployment: name.optional(),
  model: name.optional(),
  labels: z.record(name, wellFormed(z.string().max(1024))).optional(),
};

/**
 * Energy of one device at one boundary, in one phase, drawn for one deployment.
 * `askedSeconds` is how long the device should have been seen in this phase, `seconds` how long it was: a stretch
 * without readings is a fact with `seconds` 0, which says "not measured" and never "0 J". Energy that comes after its time was
 * swept is a fact with `askedSeconds` 0, so in one fact `seconds` may be more; in their sums it is not.
 */
export const energySlice = z.strictObject({
  kind: z.literal('energy'),
  ...dimensions,
  device: name,
  boundary: z.enum(BOUNDARIES),
  phase: z.enum(PHASES),
  microjoules: drawnEnergy,
  /** The part of `microjoules` divided by a model rather than seen in a stretch of one phase only. */
  modelledMicrojoules: drawnEnergy,
  seconds: span,
  askedSeconds: span,
  /**
   * The energy if every sensor stood at the low and at the high end of its stated error. One sensor is off the same way
   * all day, so these add up like the energy itself. Absent: the error is not stated (which is not "no error").
   */
  lowMicrojoules: bookedEnergy.optional(),
  highMicrojoules: bookedEnergy.optional(),
  /**
   * By how much the division between phases may be off (95 %), given the energy itself: the model of what work draws is off
   * the same way all day, so these add up. It is no error of the sum over phases.
   */
  divisionMicrojoules: drawnEnergy.optional(),
  /** J²: what reading at instants adds to the error. Independent from slice to slice, so variances add up. */
  samplingVariance: value.min(0, 'must not be negative').optional(),
  /** The nodes that a wide sensor reads for, e.g. those on a PDU's outlets; absent: its own node alone. */
  contains: z.array(name).min(1).max(4096).optional(),
  /** Attributes, not part of the key. */
  source: name,
  method: z.enum(['counter', 'power']),
});

/** Tokens when they were produced. */
export const tokensSlice = z.strictObject({
  kind: z.literal('tokens'),
  ...dimensions,
  tenant: name.optional(),
  token: z.enum(TOKEN_KINDS),
  count: signedCount,
});

/** Requests when they ended, in one joint cell of the latency scale (absent: that latency is not known). */
export const requestsSlice = z.strictObject({
  kind: z.literal('requests'),
  ...dimensions,
  tenant: name.optional(),
  outcome: z.enum(OUTCOMES),
  ttftBucket: cell.optional(),
  tpotBucket: cell.optional(),
  requests: signedCount,
  inputTokens: signedCount,
  cachedInputTokens: signedCount,
  outputTokens: signedCount,
  /** Recordings only: the request this fact is about. */
  request: name.optional(),
  /** Input tokens of each request, cached ones included: band k holds 2^k to 2^(k+1) − 1; 0 tokens are in band 0. */
  inputBand: z.int().min(0).max(60).optional(),
  /** Requests running at a time while it ran, itself included, in the mean over its time; bands as above. */
  concurrencyBand: z.int().min(0).max(60).optional(),
  /** GPU energy of the requests' prefill and decode, of all GPUs they ran on; absent: not told apart by request. */
  prefillMicrojoules: drawnEnergy.optional(),
  decodeMicrojoules: drawnEnergy.optional(),
});

/** The band of a count: 2^k to 2^(k+1) − 1. */
export const bandOf = (cases: number): number => Math.floor(Math.log2(Math.max(1, cases)));

/** Something that has a value at any time: queue depth, KV-cache use, temperature. Mean = valueSeconds / seconds. */
export const gaugeSlice = z.strictObject({
  kind: z.literal('gauge'),
  ...dimensions,
  device: name.optional(),
  gauge: name,
  valueSeconds: value,
  seconds: span,
  max: value,
});

/** A reservation about the facts of this slice; with `of`, it concerns `count` of so many cases. */
export const flagSlice = z.strictObject({
  kind: z.literal('flag'),
  ...dimensions,
  device: name.optional(),
  phase: z.enum(PHASES).optional(),
  code: z.string().regex(/^[A-Z][A-Z0-9_]*$/),
  detail: wellFormed(z.string().max(2000)),
  count,
  of: count.optional(),
});

/** An agent rounds the ends of an error apart, and carries what is left: they may cross by millionths of a joule. Refusing such a fact would lose its batch. */
const ENDS_ROUNDED = 1_000_000;

type Fault = readonly [field: string, message: string];
function energyFaults({ microjoules, modelledMicrojoules, lowMicrojoules, highMicrojoules }: z.infer<typeof energySlice>): Fault[] {
  const faults: Fault[] = [];
  if (modelledMicrojoules > microjoules) faults.push(['modelledMicrojoules', 'is a part of microjoules and must not be more']);
  if (lowMicrojoules !== undefined && highMicrojoules !== undefined && lowMicrojoules - highMicrojoules > ENDS_ROUNDED) faults.push(['lowMicrojoules', 'must not be more than highMicrojoules']);
  return faults;
}

const anySlice = z.discriminatedUnion('kind', [energySlice, tokensSlice, requestsSlice, gaugeSlice, flagSlice]);

/** Of fields that are each right by themselves. */
function faultsOf(fact: z.infer<typeof anySlice>): Fault[] {
  const faults: Fault[] = fact.kind === 'energy' ? energyFaults(fact) : [];
  if (fact.to < fact.from) faults.push(['to', 'must not be before from']);
  // A flag may tell of a month; a measured fact of such a length would keep every other writer of its time apart.
  if (fact.kind !== 'flag' && fact.to - fact.from > LONGEST_SECONDS * 1e6) faults.push(['to', `must be at most ${LONGEST_SECONDS} s (10 days) after from`]);
  return faults;
}

export const slice = anySlice.check(({ value: fact, issues }) => {
  for (const [field, message] of faultsOf(fact)) issues.push({ code: 'custom', path: [field], message, input: fact });
});

const SHAPES = new Map<unknown, (fact: unknown) => boolean>(anySlice.options.map((option) => [option.shape.kind.value, compiled(option)]));
const hasShape = (fact: unknown): fact is Slice => typeof fact === 'object' && fact !== null && 'kind' in fact && SHAPES.get(fact.kind)?.(fact) === true;
/** Is what `slice` takes, as far as its texts are well-formed: a quick yes (compiled.ts). */
export const isSlice = (fact: unknown): fact is Slice => hasShape(fact) && faultsOf(fact).length === 0;
export type EnergySlice = z.infer<typeof energySlice>;
export type TokensSlice = z.infer<typeof tokensSlice>;
export type RequestsSlice = z.infer<typeof requestsSlice>;
export type GaugeSlice = z.infer<typeof gaugeSlice>;
export type FlagSlice = z.infer<typeof flagSlice>;
export type Slice = z.infer<typeof slice>;
export type SliceKind = Slice['kind'];

/** One exponential scale for TTFT and TPOT: bucket k holds (2^((k-1)/4), 2^(k/4)] seconds. */
export const latencyBucket = (latency: Seconds): number => Math.ceil(4 * Math.log2(Math.max(latency, 1e-6)) - 1e-9);
export const latencyBucketUpper = (bucket: number): Seconds => seconds(2 ** (bucket / 4));
