/** Asking a running collector instead of a store. */
import { z } from 'zod';
import { messageOf, TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import { report, type Report } from '../join/report.js';
import type { Said } from '../report/request.js';

const TIMEOUT_MILLISECONDS = 60_000;
const refusal = z.object({ message: z.string(), faults: z.array(z.string()).optional() });

function reportUrl(base: string, said: Said): URL {
  const url = new URL('v1/report', base.endsWith('/') ? base : `${base}/`);
  for (const [name, values] of Object.entries(said)) for (const value of values) url.searchParams.append(name, value);
  return url;
}

/**
 * @throws UsageError for what the collector found wrong with the question
 * @throws TelemetryError (`abort`) when it can't be reached, wants a token, or answers something else
 */
export async function askCollector(base: string, token: string | undefined, said: Said): Promise<Report> {
  // The origin only: an address may carry a password.
  const { origin } = new URL(base);
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(reportUrl(base, said), { headers: token === undefined ? {} : { authorization: `Bearer ${token}` }, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS) });
    body = await response.json().catch(() => undefined);
  } catch (cause) {
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : messageOf(cause);
    throw new TelemetryError('COLLECTOR_UNREACHABLE', `The collector at ${origin} does not answer: ${reason}.`, 'abort', { cause });
  }
  if (response.ok) {
    const read = report.safeParse(body);
    if (read.success) return read.data;
    throw new TelemetryError('NOT_A_COLLECTOR', `What answers at ${origin} is not a collector of this release.`, 'abort');
  }
  const refused = refusal.safeParse(body);
  if (refused.success && refused.data.faults) throw new UsageError(refused.data.faults.map((fault) => `--${fault}`));
  const hint = response.status === 401 ? ' Say it with --token or JOULEBOOK_TOKEN.' : '';
  throw new TelemetryError('COLLECTOR_REFUSED', `The collector at ${origin} answered ${response.status}${refused.success ? `: ${refused.data.message}` : ''}.${hint}`, 'abort');
}
