import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { instant, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { Agent } from 'undici';
import { parsePrometheusText, type Exposition } from './prometheus-text.js';

export interface Scrape extends Exposition {
  /** The middle of request and answer: the page was made somewhere between. */
  readonly at: Instant;
}

export interface Scraper {
  /** @throws TelemetryError `retry` when there is no answer, `discard` when the answer is no metrics page */
  scrape(now: () => Instant, signal: AbortSignal): Promise<Scrape>;
  close(): Promise<void>;
}

const LONGEST_PAGE_BYTES = 32 * 1024 * 1024;

/** One metrics page over one connection that is kept alive. */
export function scraper(url: URL, timeout: Seconds): Scraper {
  const agent = new Agent({ connections: 1, connectTimeout: timeout * 1000, keepAliveTimeout: 60_000, maxResponseSize: LONGEST_PAGE_BYTES });
  const shown = `${url.origin}${url.pathname}`;
  return {
    async scrape(now, signal) {
      const limit = AbortSignal.timeout(timeout * 1000);
      let text: string;
      let at: Instant;
      try {
        const asked = now();
        const response = await agent.request({ origin: url.origin, path: `${url.pathname}${url.search}`, method: 'GET', headers: { accept: 'text/plain;version=0.0.4' }, signal: AbortSignal.any([signal, limit]) });
        text = await response.body.text();
        at = instant((asked + now()) / 2);
        if (response.statusCode !== 200) throw new TelemetryError('METRICS_REFUSED', `${shown} answered ${response.statusCode}.`, 'retry');
      } catch (cause) {
        if (cause instanceof TelemetryError) throw cause;
        const why = limit.aborted ? `no answer within ${timeout} s` : messageOf(cause);
        throw new TelemetryError('METRICS_UNREACHABLE', `${shown} can't be read: ${why}.`, 'retry', { cause });
      }
      return { ...parsePrometheusText(text), at };
    },
    close: () => agent.destroy(),
  };
}
