/** Where batches go, as configured: to one collector, or to the first that works of several. */
import { seconds } from '@joulebook/shared/units.js';
import { failover } from './failover.js';
import { httpTransport } from './http.js';
import type { TlsFiles } from './tls.js';
import type { Transport } from './transport.js';

export interface Collectors {
  /** The first that works is kept to. They must share a store. */
  readonly urls: readonly string[];
  readonly token?: string | undefined;
  readonly tls?: TlsFiles | undefined;
}

/** Where there is another to turn to, one that does not answer is not waited for as long: live data would come late. */
const TIMEOUT_AMONG_SEVERAL = seconds(8);

/**
 * @param switched told when batches go to another one of them
 * @throws UsageError when one can't be used as configured
 */
export function transportTo({ urls, token, tls }: Collectors, switched?: (to: Transport) => void): Transport {
  const timeout = urls.length > 1 ? { timeout: TIMEOUT_AMONG_SEVERAL } : {};
  return failover(urls.map((url) => httpTransport({ url, token, tls, ...timeout })), switched && { switched });
}
