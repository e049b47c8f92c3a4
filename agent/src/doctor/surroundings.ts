/** What the agent needs besides sensors: a collector that answers and takes its token, and a clock like its. */
import { messageOf } from '@joulebook/shared/errors.js';
import { Agent, request } from 'undici';
import { collectorAddress } from '../shipper/http.js';
import type { Collectors } from '../shipper/outlet.js';
import { distrust, readTls } from '../shipper/tls.js';

export interface Finding {
  readonly check: string;
  readonly ok: boolean;
  /** What was found, and what to do when it is not right. */
  readonly detail: string;
}

const TIMEOUT_MS = 5000;
/** A collector's Date header has whole seconds. */
const CLOCK_TOLERANCE_SECONDS = 2;

/** Each of the list. @throws UsageError when a certificate can't be read */
export async function examineCollectors({ urls, token, tls = {} }: Collectors): Promise<Finding[]> {
  const dispatcher = new Agent({ connect: { ...readTls(tls), timeout: TIMEOUT_MS } });
  try {
    return (await Promise.all(urls.map((url) => examineCollector(url, token, dispatcher)))).flat();
  } finally {
    await dispatcher.destroy();
  }
}

async function examineCollector(url: string, token: string | undefined, dispatcher: Agent): Promise<Finding[]> {
  const ask = async (path: string, options: { readonly method?: 'POST'; readonly headers?: Record<string, string> } = {}) => {
    const began = Date.now();
    const response = await request(collectorAddress(url, path), { ...options, dispatcher, signal: AbortSignal.timeout(TIMEOUT_MS) });
    await response.body.dump();
    return { status: response.statusCode, date: response.headers['date'], middle: (began + Date.now()) / 2 };
  };
  const { origin } = collectorAddress(url, '/');
  try {
    const ready = await ask('/readyz');
    const findings: Finding[] = [{ check: 'collector', ok: ready.status === 200, detail: ready.status === 200 ? `${origin} answers` : `${origin} answers ${ready.status} to /readyz; look at its log` }];
    // A batch without content: 400 where this token may send, which is all that it has to be good for.
    const allowed = await ask('/v1/batches', { method: 'POST', headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) } });
    const refused = allowed.status === 401 || allowed.status === 403;
    findings.push({ check: 'token', ok: !refused, detail: refused ? `the collector refuses ${token === undefined ? 'a sender without a token; set JOULEBOOK_TOKEN' : 'this token; ask for another'}` : token === undefined ? 'none needed' : 'accepted' });
    if (typeof ready.date === 'string') {
      const offset = Date.parse(ready.date) / 1000 + 0.5 - ready.middle / 1000;
      const ok = Math.abs(offset) <= CLOCK_TOLERANCE_SECONDS;
      findings.push({ check: 'clock', ok, detail: `the collector's clock is ${offset >= 0 ? '+' : ''}${offset.toFixed(1)} s from this one (±0.5 s)${ok ? '' : '; set both by NTP'}` });
    }
    return findings;
  } catch (error) {
    const remedy = distrust(error);
    return [{ check: 'collector', ok: false, detail: `${origin} ${remedy === undefined ? 'does not answer' : 'is not trusted'}: ${messageOf(error)}${remedy === undefined ? '' : `; ${remedy}`}. Batches wait in the spool until it ${remedy === undefined ? 'does' : 'is'}.` }];
  }
}
