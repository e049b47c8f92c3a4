/**
 * A password, community or key in a source's options: the text itself, or `{ env: NAME }` for the environment variable
 * that holds it, so that a configuration file can be shown to others.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { z } from 'zod';

export const secretOption = z.union([z.string().min(1), z.strictObject({ env: z.string().regex(/^[A-Za-z_]\w*$/) })], 'must be a text or { env: NAME }');
export type Secret = z.output<typeof secretOption>;

/** @throws TelemetryError SECRET_MISSING (`disable`) when the variable is not set */
export function reveal(secret: Secret, environment: NodeJS.ProcessEnv, name: string): string {
  if (typeof secret === 'string') return secret;
  const value = environment[secret.env];
  if (value === undefined || value === '') throw new TelemetryError('SECRET_MISSING', `'${name}' is to be read from the environment variable ${secret.env}, which is not set.`, 'disable');
  return value;
}
