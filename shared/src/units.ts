/**
 * Quantities as distinct types. A number of one unit can't be handed to a function that
 * wants another; the few legal conversions are the functions of this file.
 */
import type { z } from 'zod';

declare const unit: unique symbol;
export type Quantity<U extends string> = number & { readonly [unit]: U };
/** For units that only one side knows, e.g. `Quantity<'token/J'>`: `quantity<'token/J'>(3)`. */
export const quantity = <U extends string>(value: number): Quantity<U> => value as Quantity<U>;

/**
 * A schema whose numbers are a quantity: `inUnit<Seconds>(z.number().min(0))`. Only a type: a transform would be a call for every
 * number that comes in, and there are twelve million in a million facts.
 */
export const inUnit = <Q extends Quantity<string>>(schema: z.ZodType<number, number>): z.ZodType<Q, number> => schema as z.ZodType<Q, number>;

export type Joules = Quantity<'J'>;
/** Integer millionths of a joule: what is booked, so that sums are exact. Safe up to 2^53 µJ = 2.5 MWh per fact. */
export type Microjoules = Quantity<'µJ'>;
export type Watts = Quantity<'W'>;
export type Seconds = Quantity<'s'>;
export type Tokens = Quantity<'token'>;
/** Seconds since 1970-01-01T00:00Z on the slice clock (never stepped back); a double resolves 0.24 µs today. */
export type Instant = Quantity<'s since 1970'>;
/** Integer microseconds since 1970-01-01T00:00Z: how times travel and are stored. */
export type EpochMicros = Quantity<'µs since 1970'>;

export const joules = (value: number): Joules => value as Joules;
export const watts = (value: number): Watts => value as Watts;
export const seconds = (value: number): Seconds => value as Seconds;
export const tokens = (value: number): Tokens => value as Tokens;
export const instant = (value: number): Instant => value as Instant;

export const epochMicros = (value: number): EpochMicros => value as EpochMicros;

/** @throws RangeError when the value is not a safe integer: a fraction of a µJ can't be booked. */
export function microjoules(value: number): Microjoules {
  if (!Number.isSafeInteger(value)) throw new RangeError(`not a whole number of microjoules: ${value}`);
  return value as Microjoules;
}

export const JOULES_PER_KWH = 3.6e6;
const MICRO = 1e6;

export const microjoulesToJoules = (value: Microjoules | bigint): Joules => joules(Number(value) / MICRO);
export const energy = (power: Watts, time: Seconds): Joules => joules(power * time);
export const elapsed = (from: Instant, to: Instant): Seconds => seconds(to - from);
export const later = (at: Instant, by: Seconds): Instant => instant(at + by);
export const toEpochMicros = (at: Instant): EpochMicros => epochMicros(Math.round(at * MICRO));
export const fromEpochMicros = (at: EpochMicros): Instant => instant(at / MICRO);
export const toIso = (at: Instant): string => new Date(Math.round(at * 1e3)).toISOString();
