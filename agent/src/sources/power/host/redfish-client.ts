/**
 * One management controller by HTTPS: one request at a time over one kept connection, since controllers are slow and
 * single-threaded; a session where it has them (its slots are few: it is given back), else Basic.
 */
import { TLSSocket } from 'node:tls';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Seconds } from '@joulebook/shared/units.js';
import { buildConnector, Client, type Dispatcher } from 'undici';
import { fieldsOf, parseJson } from '../json-value.js';
import { connectionFault, PinMismatch, samePin } from './redfish-trust.js';

export interface RedfishAccess {
  readonly url: URL;
  /** Absent: no login. */
  readonly login?: { readonly username: string; readonly password: string; readonly basicOnly?: boolean } | { readonly token: string } | undefined;
  /** PEM of the authority that signed the controller's certificate. */
  readonly ca?: string | undefined;
  /** SHA-256 of the one certificate that is accepted, whatever else it says of itself. */
  readonly fingerprint?: string | undefined;
  /** Accept any certificate. */
  readonly insecure?: boolean | undefined;
  readonly timeout: Seconds;
}

export interface RedfishClient {
  /**
   * @param path below the same controller
   * @returns the document; undefined where there is none (404)
   * @throws TelemetryError REDFISH_LOGIN, REDFISH_PRIVILEGE, REDFISH_CERTIFICATE_…: `disable`; REDFISH_UNREACHABLE, REDFISH_UNAVAILABLE, REDFISH_ANSWER: `retry`
   */
  get(path: string, signal: AbortSignal): Promise<unknown>;
  /** Gives the session back. */
  close(): Promise<void>;
}

const SESSIONS = '/redfish/v1/SessionService/Sessions';
const MOST_BYTES = 8 * 1024 * 1024;
/** Giving a session back must not hold up the end. */
const GOODBYE_MS = 2000;

type Session = { readonly kind: 'token'; readonly token: string; readonly location?: string } | { readonly kind: 'basic'; readonly header: string } | { readonly kind: 'none' };

export function redfishClient(access: RedfishAccess): RedfishClient {
  const { url, login, timeout } = access;
  const shown = url.origin;
  const client = new Client(url.origin, { connect: connector(access), pipelining: 1, keepAliveTimeout: 60_000, keepAliveMaxTimeout: 600_000, maxResponseSize: MOST_BYTES });
  let session: Session | undefined;

  async function send(method: 'GET' | 'POST' | 'DELETE', path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal, body?: object): Promise<{ status: number; headers: Dispatcher.ResponseData['headers']; text: string }> {
    const limit = AbortSignal.timeout(timeout * 1000);
    try {
      const response = await client.request({
        method,
        path,
        headers: { accept: 'application/json', 'odata-version': '4.0', ...headers, ...(body && { 'content-type': 'application/json' }) },
        signal: AbortSignal.any([signal, limit]),
        ...(body && { body: JSON.stringify(body) }),
      });
      return { status: response.statusCode, headers: response.headers, text: await response.body.text() };
    } catch (error) {
      if (limit.aborted) throw new TelemetryError('REDFISH_UNREACHABLE', `${shown} did not answer within ${timeout} s.`, 'retry');
      throw connectionFault(shown, error);
    }
  }

  async function logIn(signal: AbortSignal): Promise<Session> {
    if (!login) return { kind: 'none' };
    if ('token' in login) return { kind: 'token', token: login.token };
    const basic: Session = { kind: 'basic', header: `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}` };
    if (login.basicOnly) return basic;
    const { status, headers } = await send('POST', SESSIONS, {}, signal, { UserName: login.username, Password: login.password });
    // Asking with Basic what was refused here would count as a second wrong password.
    if (status === 401 || status === 403) throw refused(status);
    const token = headers['x-auth-token'];
    if ((status !== 201 && status !== 200) || typeof token !== 'string') return basic;
    const location = locationOf(headers['location']);
    return { kind: 'token', token, ...(location !== undefined && { location }) };
  }

  /** A path of this very controller; a token is sent nowhere else. */
  function locationOf(value: string | string[] | undefined): string | undefined {
    if (typeof value !== 'string' || !URL.canParse(value, url.href)) return undefined;
    const target = new URL(value, url);
    return target.origin === url.origin && target.pathname.startsWith('/redfish/') ? target.pathname : undefined;
  }

  const headersOf = (current: Session): Record<string, string> => (current.kind === 'token' ? { 'x-auth-token': current.token } : current.kind === 'basic' ? { authorization: current.header } : {});

  const refused = (status: number): TelemetryError =>
    status === 403
      ? new TelemetryError('REDFISH_PRIVILEGE', `${shown} answered 403: the user may not read this; give it the role ReadOnly or Operator.`, 'disable')
      : new TelemetryError('REDFISH_LOGIN', `${shown} answered 401: ${login ? 'it refuses the user, the password or the token' : 'it wants a login; give username and password'}.`, 'disable');

  return {
    async get(path, signal) {
      if (!path.startsWith('/redfish/')) throw new TelemetryError('REDFISH_ANSWER', `${shown} names a document outside of /redfish/; it is not asked for.`, 'retry');
      session ??= await logIn(signal);
      let answer = await send('GET', path, headersOf(session), signal);
      // A session ends after some idle minutes, or with the controller's restart.
      if (answer.status === 401 && session.kind === 'token' && login && 'username' in login) {
        session = await logIn(signal);
        answer = await send('GET', path, headersOf(session), signal);
      }
      const { status, text } = answer;
      if (status === 404) return undefined;
      if (status === 401 || status === 403) throw refused(status);
      if (status >= 500 || status === 429) throw new TelemetryError('REDFISH_UNAVAILABLE', `${shown} answered ${status}: it is busy or starting.`, 'retry');
      if (status !== 200) throw new TelemetryError('REDFISH_ANSWER', `${shown} answered ${status} to ${path}.`, 'retry');
      const document = parseJson(text, shown);
      if (fieldsOf(document).size === 0) throw new TelemetryError('REDFISH_ANSWER', `${shown} answered ${path} with an empty document.`, 'retry');
      return document;
    },
    async close() {
      const last = session;
      session = undefined;
      // What was given by configuration is someone else's session.
      if (last?.kind === 'token' && last.location !== undefined) await send('DELETE', last.location, headersOf(last), AbortSignal.timeout(GOODBYE_MS)).catch(() => undefined);
      await client.destroy();
    },
  };
}

function connector({ ca, fingerprint, insecure, timeout }: RedfishAccess): buildConnector.connector {
  // A resumed TLS session would not show its certificate again.
  const connect = buildConnector({ timeout: timeout * 1000, maxCachedSessions: 0, rejectUnauthorized: fingerprint === undefined && insecure !== true, ...(ca !== undefined && { ca }) });
  return (options, callback) =>
    connect(options, (...result) => {
      const [error, socket] = result;
      if (error !== null || fingerprint === undefined) return callback(...result);
      const shown = socket instanceof TLSSocket ? socket.getPeerCertificate().fingerprint256 : undefined;
      // Before a byte of a password is sent.
      if (shown !== undefined && samePin(shown, fingerprint)) return callback(null, socket);
      socket.destroy();
      return callback(new PinMismatch(shown), null);
    });
}
