/** One small page of a meter or a metrics server, over one connection that is kept alive. Messages name no query and no secret. */
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { instant, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { Agent, type Dispatcher } from 'undici';
import { z } from 'zod';
import { httpLogin, type Credentials } from './http-login.js';

/** An address without a password in it: it stands in descriptions and messages. */
export const addressOption = z.url({ protocol: /^https?$/ }).refine((url) => !URL.canParse(url) || (new URL(url).username === '' && new URL(url).password === ''), "write user and password as options, not into the address");

export interface Answer {
  /** The middle of question and answer. */
  readonly at: Instant;
  readonly text: string;
}

export interface HttpAsker {
  /** Without query. */
  readonly shown: string;
  /**
   * @param path with query
   * @throws TelemetryError HTTP_LOGIN (`disable`), HTTP_STATUS or HTTP_UNREACHABLE (`retry`)
   */
  ask(path: string, now: () => Instant, signal: AbortSignal): Promise<Answer>;
  close(): Promise<void>;
}

export interface HttpAskerOptions {
  readonly timeout: Seconds;
  readonly credentials?: Credentials | undefined;
  readonly token?: string | undefined;
  readonly most?: number;
}

const MOST_BYTES = 1024 * 1024;

export function httpAsker(address: URL, { timeout, credentials, token, most = MOST_BYTES }: HttpAskerOptions): HttpAsker {
  const agent = new Agent({ connections: 1, connectTimeout: timeout * 1000, keepAliveTimeout: 60_000, maxResponseSize: most });
  const shown = `${address.origin}${address.pathname}`;
  const login = httpLogin(credentials);

  const once = async (path: string, signal: AbortSignal): Promise<Dispatcher.ResponseData> => {
    const authorization = token === undefined ? login.header('GET', path) : `Bearer ${token}`;
    return agent.request({ origin: address.origin, path, method: 'GET', headers: authorization === undefined ? {} : { authorization }, signal });
  };

  return {
    shown,
    async ask(path, now, signal) {
      const limit = AbortSignal.timeout(timeout * 1000);
      const either = AbortSignal.any([signal, limit]);
      try {
        let asked = now();
        let response = await once(path, either);
        if (response.statusCode === 401 && login.challenged(headerLines(response.headers['www-authenticate']))) {
          await response.body.dump();
          asked = now();
          response = await once(path, either);
        }
        const text = await response.body.text();
        const at = instant((asked + now()) / 2);
        if (response.statusCode === 401 || response.statusCode === 403) {
          const given = credentials ?? token;
          throw new TelemetryError('HTTP_LOGIN', `${shown} answered ${response.statusCode}: ${given === undefined ? 'it wants a login; give user and password' : 'check user, password or token'}.`, 'disable');
        }
        if (response.statusCode !== 200) throw new TelemetryError('HTTP_STATUS', `${shown} answered ${response.statusCode}; check the address.`, 'retry');
        return { at, text };
      } catch (error) {
        if (error instanceof TelemetryError) throw error;
        throw new TelemetryError('HTTP_UNREACHABLE', `${shown} can't be read: ${limit.aborted ? `no answer within ${timeout} s` : messageOf(error)}.`, 'retry');
      }
    },
    close: () => agent.destroy(),
  };
}

const headerLines = (value: string | string[] | undefined): readonly string[] => (value === undefined ? [] : typeof value === 'string' ? [value] : value);
