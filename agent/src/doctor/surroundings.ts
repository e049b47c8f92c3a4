/**
 * What the agent needs besides sensors: a collector that answers, that can be trusted and lets this node send, and a clock like its.
 * It is asked what this agent may do (`GET /v1/access`); nothing is sent that it would have to refuse.
 */
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import { codeOf, messageOf } from '@joulebook/shared/errors.js';
import { Agent, request } from 'undici';
import { z } from 'zod';
import type { Collectors } from '../shipper/collectors.js';
import { collectorAddress } from '../shipper/http.js';
import { distrust, readTls, type Tls } from '../shipper/tls.js';

export interface Finding {
  readonly check: string;
  readonly ok: boolean;
  /** What was found, and what to do when it is not right. */
  readonly detail: string;
}

const TIMEOUT_MS = 5000;
/** A collector's Date header has whole seconds. */
const CLOCK_TOLERANCE_SECONDS = 2;

const access = z.object({ caller: z.string(), scopes: z.array(z.string()), mayIngest: z.boolean() });
const refusal = z.object({ error: z.string(), message: z.string() });

const REMEDIES: Readonly<Record<string, string>> = {
  TOKEN_UNKNOWN: 'set JOULEBOOK_TOKEN to one of this collector',
  TOKEN_EXPIRED: 'set JOULEBOOK_TOKEN to the new one',
  CERTIFICATE_INVALID: 'name another in collectorCert and collectorKey',
  CERTIFICATE_EXPIRED: 'the files of collectorCert and collectorKey are read again by themselves',
};

interface Answer {
  readonly status: number;
  readonly date: string | undefined;
  readonly body: unknown;
  /** Between asking and hearing, milliseconds since 1970. */
  readonly middle: number;
}

/**
 * Each of the list.
 * @param node what this machine is called in its facts
 * @throws UsageError when a certificate can't be read
 */
export async function examineCollectors({ urls, token, tls = {} }: Collectors, node: string): Promise<Finding[]> {
  const own = readTls(tls);
  const dispatcher = new Agent({ connect: { ...own, timeout: TIMEOUT_MS } });
  try {
    return (await Promise.all(urls.map((url) => examineCollector(url, { token, node, own, dispatcher })))).flat();
  } finally {
    await dispatcher.destroy();
  }
}

interface Asking {
  readonly token: string | undefined;
  readonly node: string;
  readonly own: Tls;
  readonly dispatcher: Agent;
}

async function examineCollector(url: string, { token, node, own, dispatcher }: Asking): Promise<Finding[]> {
  const ask = async (path: string, headers: Record<string, string> = {}): Promise<Answer> => {
    const began = Date.now();
    const { statusCode, headers: said, body } = await request(collectorAddress(url, path), { headers, dispatcher, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const answer = await body.json().catch(() => undefined);
    return { status: statusCode, date: typeof said['date'] === 'string' ? said['date'] : undefined, body: answer, middle: (began + Date.now()) / 2 };
  };
  const { origin } = collectorAddress(url, '/');
  try {
    const ready = await ask('/readyz');
    const allowed = await ask(`/v1/access?node=${encodeURIComponent(node)}`, token === undefined ? {} : { authorization: `Bearer ${token}` });
    return [readiness(origin, ready), permission(allowed, node, token !== undefined), ...clock(ready)];
  } catch (error) {
    return [{ check: 'collector', ok: false, detail: `${origin} ${await whyNot(error, collectorAddress(url, '/'), own)}. Batches wait in the spool until it takes them.` }];
  }
}

async function whyNot(error: unknown, address: URL, own: Tls): Promise<string> {
  const mistrusted = distrust(error);
  if (mistrusted !== undefined) return `is not trusted: ${messageOf(error)}; ${mistrusted}`;
  const refused = address.protocol === 'https:' ? await handshakeFault(address, own) : undefined;
  return refused === undefined ? `does not answer: ${messageOf(error)}` : `ends the connection: ${refused}`;
}

/**
 * A server looks at this side's certificate after the handshake, and an HTTP client then knows only that the connection is gone.
 * @returns what it has against this side, and what to do; undefined where that is not known
 */
function handshakeFault({ hostname, port }: URL, own: Tls): Promise<string | undefined> {
  const host = hostname.replace(/^\[|\]$/g, '');
  const socket = connect({ ...own, host, port: Number(port === '' ? 443 : port), ...(isIP(host) === 0 && { servername: host }) });
  let shook = false;
  return new Promise((resolve) => {
    socket.setTimeout(TIMEOUT_MS, () => {
      resolve(undefined);
      socket.destroy();
    });
    socket.once('secureConnect', () => (shook = true)).resume();
    socket.once('error', (error: unknown) => resolve(NO_TLS.includes(codeOf(error) ?? '') ? 'it speaks no TLS; is its address one at http?' : shook ? unwelcome(own) : undefined));
    socket.once('close', () => resolve(shook ? unwelcome(own) : undefined));
  });
}

const NO_TLS: readonly string[] = ['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'];

const unwelcome = ({ cert }: Tls): string =>
  cert === undefined ? 'it asks for a certificate of this agent; name one of its authority in collectorCert and collectorKey' : "it does not take this agent's certificate; name one in collectorCert that its authority signed and that has not expired";

function readiness(origin: string, { status, body }: Answer): Finding {
  const said = refusal.safeParse(body);
  const ok = status === 200;
  return { check: 'collector', ok, detail: ok ? `${origin} answers` : `${origin} answers ${status} to /readyz${said.success ? `: ${said.data.message}` : '; look at its log'}` };
}

const finding = (ok: boolean, detail: string): Finding => ({ check: 'token', ok, detail });

/** May this agent send facts of its node? */
function permission({ status, body }: Answer, node: string, withToken: boolean): Finding {
  const known = access.safeParse(body);
  if (status === 200 && known.success) {
    const { caller, scopes, mayIngest } = known.data;
    if (!mayIngest) return finding(false, `the collector knows ${caller}, but it may not send facts of node '${node}' (it may: ${scopes.join(', ') || 'nothing'}); ask for a token with scope 'ingest:${node}', or set node to what it is for`);
    return finding(true, `the collector lets ${caller} send facts of node '${node}'`);
  }
  const said = refusal.safeParse(body);
  if (!said.success) return finding(false, `what answers ${status} to /v1/access is not a collector of this release; check collectorUrl`);
  const { error, message } = said.data;
  if (error === 'TOKEN_NEEDED') return finding(false, withToken ? `the collector sees no token: ${message} A proxy before it may take it away` : "the collector asks for a token; have one made by 'joulebook token create' and set JOULEBOOK_TOKEN");
  const remedy = REMEDIES[error];
  return finding(false, `the collector answers ${status}: ${message}${remedy === undefined ? '' : ` (${remedy})`}`);
}

function clock({ date, middle }: Answer): Finding[] {
  if (date === undefined || Number.isNaN(Date.parse(date))) return [];
  const offset = Date.parse(date) / 1000 + 0.5 - middle / 1000;
  const ok = Math.abs(offset) <= CLOCK_TOLERANCE_SECONDS;
  const way = offset >= 0 ? 'ahead of' : 'behind';
  return [{ check: 'clock', ok, detail: `the collector's clock is ${Math.abs(offset).toFixed(1)} s ${way} this one (±0.5 s)${ok ? '' : '; facts of different nodes would not be of one moment: let NTP set both'}` }];
}
