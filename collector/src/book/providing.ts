/**
 * Who tells the intensity of a site's grid, in place of a number or a file:
 *
 *     carbon:
 *       location: { provider: electricitymaps, zone: DE, tokenFile: electricitymaps.token }
 *       # or     { provider: watttime, zone: CAISO_NORTH, user: acme, passwordFile: watttime.password, signal: co2_aoer }
 *
 * Secrets stand in files, named from the folder of the book.
 */
import { resolve } from 'node:path';
import { isLoopback } from '@joulebook/shared/listen.js';
import { duration } from '@joulebook/shared/settings.js';
import { epochMicros } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { filled, joined, type Over, type Piece } from '../rates/pieces.js';
import { sameDoubt, type Doubt } from '../rates/provided.js';
import type { ProviderEntry } from '../rates/provider.js';

const name = z.string().min(1);

/** Where a token is sent to. */
const url = z.string().superRefine((text, context) => {
  const address = URL.canParse(text) ? new URL(text) : undefined;
  if (!address || !/^https?:$/.test(address.protocol)) context.addIssue('is not an address like https://api.example.com/v3');
  else if (address.username !== '' || address.password !== '' || address.search !== '' || address.hash !== '') context.addIssue('is to be an address alone, without a password or a question');
  else if (address.protocol === 'http:' && !isLoopback(address.hostname.replace(/^\[|\]$/g, ''))) context.addIssue('would carry the token in clear text; write https://');
});

const common = {
  zone: name,
  /** How long the last value stands in where the newest is not told yet. */
  lastGoodFor: duration.default(86_400),
  /** How far back they are asked for what was never asked. */
  backfill: duration.refine((length) => length <= 3660 * 86_400, 'must be at most 10 years').default(10 * 86_400),
};

const providers = z.discriminatedUnion('provider', [
  z.strictObject({ provider: z.literal('electricitymaps'), url: url.default('https://api.electricitymaps.com/v3'), tokenFile: name, ...common }),
  z.strictObject({ provider: z.literal('watttime'), url: url.default('https://api.watttime.org'), user: name, passwordFile: name, signal: z.enum(['co2_moer', 'co2_aoer']).default('co2_moer'), ...common }),
]);
export type ProviderText = z.infer<typeof providers>;

/** What is wrong is told of the kind that is meant: none of several kinds would say nothing. */
export const providedOr = <T>(other: z.ZodType<T>) =>
  z.unknown().transform((said, context): T | ProviderText => {
    const kind: z.ZodType<T | ProviderText> = typeof said === 'object' && said !== null && 'provider' in said ? providers : other;
    const read = kind.safeParse(said);
    if (read.success) return read.data;
    for (const issue of read.error.issues) context.addIssue({ code: 'custom', path: issue.path, message: issue.code === 'unrecognized_keys' ? `${issue.keys.map((key) => `'${key}'`).join(', ')} is not a setting here` : issue.message });
    return z.NEVER;
  });

const time = z.iso.datetime().transform((text) => epochMicros(Date.parse(text) * 1000));
const during = { from: time, to: time };
/** How sure what a provider had told was, in order and apart: of the book in an evidence bundle, which has files in place of providers. */
export const doubts = z.array(
  z.discriminatedUnion('kind', [
    z.strictObject({ ...during, kind: z.literal('estimated') }),
    z.strictObject({ ...during, kind: z.literal('last'), of: name, since: time }),
    z.strictObject({ ...during, kind: z.literal('untold'), of: name }),
  ]),
);
export type DoubtsText = z.infer<typeof doubts>;

export const doubtsOf = (texts: DoubtsText): Over<Doubt | null> => (span) => joined(filled(texts.map(({ from, to, ...value }): Piece<Doubt | null> => ({ from, to, value })), null, span), sameDoubt);

export function entryOf(text: ProviderText, folder: string): ProviderEntry {
  return text.provider === 'electricitymaps' ? { ...text, tokenFile: resolve(folder, text.tokenFile) } : { ...text, passwordFile: resolve(folder, text.passwordFile) };
}
