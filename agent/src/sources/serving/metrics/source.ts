/** An engine's counters, by scraping its metrics page (live) or from a file of scrapes (recorded). */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { instant, seconds, type Instant, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { liveServingKind, type LiveServingKind } from '../../live.js';
import { lineTally } from '../../line-tally.js';
import { servingFormat, type RecordedServingEntry, type ServingFormat } from '../../recorded.js';
import type { Examination, LiveContext, LiveServing, ServingEvent } from '../../source.js';
import { zone } from '../../timestamps.js';
import { counterWindows, tooFewLooks } from './counter-windows.js';
import { isCount } from './look.js';
import { paceOf } from './pace.js';
import { recordedScrapes } from './recorded-scrapes.js';
import type { Sample } from './prometheus-text.js';
import { scraper } from './scrape.js';
import type { MetricsDialect, Page, Pages } from './dialect.js';
import { countsOnly } from './whole-looks.js';

/** What was not believed is told so often. */
const FLAGGED_SECONDS = 60;

const liveOptions = (usualUrl: string) =>
  z.strictObject({
    url: z.url({ protocol: /^https?$/ }).default(usualUrl),
    interval: duration.prefault('1s').refine((value) => value >= 0.1, 'an interval is at least 100 ms'),
    timeout: duration.prefault('5s'),
  });

export const liveMetrics = (dialect: MetricsDialect): LiveServingKind =>
  liveServingKind({
    name: dialect.name,
    tokensFrom: dialect.tokensFrom ?? 'engine counters',
    summary: `scrapes ${dialect.program}'s metrics page: ${dialect.tells}`,
    options: liveOptions(dialect.usualUrl),
    open: ({ url, interval, timeout }) => metricsAt(dialect, { url, interval: seconds(interval), timeout: seconds(timeout) }),
    async detect() {
      const page = scraper(new URL(dialect.usualUrl), seconds(2));
      try {
        const { samples, at } = await page.scrape(() => instant(Date.now() / 1000), new AbortController().signal);
        dialect.pages().read(samples, at);
        return { found: true, options: { url: dialect.usualUrl } };
      } catch (error) {
        return { found: false, reason: `${messageOf(error)} If ${dialect.program} listens elsewhere, configure it: serving: [{ source: ${dialect.name}, url: … }]` };
      } finally {
        await page.close();
      }
    },
  });

export function metricsAt(dialect: MetricsDialect, { url, interval, timeout }: { readonly url: string; readonly interval: Seconds; readonly timeout: Seconds }): LiveServing {
  const address = new URL(url);
  const description = `${dialect.program} metrics at ${address.origin}${address.pathname} every ${interval} s`;
  return { description, events: (context) => scrapes(dialect, address, description, interval, timeout, context), examine: (context) => lookAtPage(dialect, address, timeout, context) };
}

async function lookAtPage(dialect: MetricsDialect, address: URL, timeout: Seconds, { now, signal }: LiveContext): Promise<Examination> {
  const page = scraper(address, timeout);
  const asked = performance.now();
  try {
    const { samples, at } = await page.scrape(now, signal);
    const took = performance.now() - asked;
    const { look } = dialect.pages().read(samples, at);
    return { ok: true, notes: [`${address.origin}${address.pathname} answers in ${took.toFixed(0)} ms with ${look.counters.size} counters of ${dialect.program}`] };
  } catch (error) {
    return { ok: false, notes: [messageOf(error)] };
  } finally {
    await page.close();
  }
}

/** With what can be no count as NaN, also where the dialect adds it up, and its names to be told. */
function readPage(dialect: MetricsDialect, pages: Pages, samples: readonly Sample[], at: Instant): Page {
  const { look, gauges } = pages.read(countsOnly(samples), at);
  const noCounts = samples.filter((sample) => dialect.isOf(sample) && !sample.name.endsWith('_bucket') && !isCount(sample.value)).map(({ name }) => name);
  return { look: { ...look, ...(noCounts.length > 0 && { noCounts }) }, gauges: gauges.filter(({ value }) => isCount(value)) };
}

async function* scrapes(dialect: MetricsDialect, address: URL, label: string, interval: Seconds, timeout: Seconds, context: LiveContext): AsyncGenerator<ServingEvent> {
  const { signal, log, now } = context;
  const page = scraper(address, timeout);
  const pages = dialect.pages();
  const windows = counterWindows({ label, period: interval });
  let failed = 0;
  let flaggedAt = now();
  let due = performance.now();
  try {
    while (!signal.aborted) {
      try {
        const { samples, at } = await page.scrape(now, signal);
        const { look, gauges } = readPage(dialect, pages, samples, at);
        yield* windows.since(look);
        yield* gauges;
        if (windows.told !== undefined) yield { kind: 'watermark', at: windows.told };
        if (at - flaggedAt >= FLAGGED_SECONDS) {
          flaggedAt = at;
          yield* windows.flagged();
        }
        if (failed > 0) {
          log.info(`${label}: readable again.`, { failed });
          yield { kind: 'flagged', code: 'SCRAPES_FAILED', detail: `${label}: ${failed} scrapes failed before ${new Date(at * 1000).toISOString()}`, count: failed };
        }
        failed = 0;
      } catch (error) {
        if (!(error instanceof TelemetryError)) throw error;
        if (signal.aborted) break;
        // No watermark: the tokens of this time come with the next good scrape.
        if (failed === 0) log.warn(`${label}: ${error.message}`, { code: error.code });
        failed += 1;
      }
      // On the grid of the first scrape: late once does not mean late for ever. What is missed is left out.
      due += interval * 1000 * Math.max(1, Math.ceil((performance.now() - due) / (interval * 1000)));
      await sleep(due - performance.now(), undefined, { signal }).catch(() => undefined);
    }
    yield* windows.end();
  } finally {
    await page.close();
  }
}

export const recordedMetrics = (dialect: MetricsDialect): ServingFormat =>
  servingFormat({
    name: dialect.name,
    tokensFrom: dialect.tokensFrom ?? 'engine counters',
    summary: `scrapes of ${dialect.program}'s metrics page, each after a line \`# scrape <time>\`, or with timestamps on the samples`,
    options: {},
    open(entry) {
      const local = zone(entry.tz);
      return { description: `${entry.file.label} (${dialect.name})`, ordered: true, events: () => recorded(dialect, entry, local) };
    },
  });

async function* recorded(dialect: MetricsDialect, { file }: RecordedServingEntry, local: ReturnType<typeof zone>): AsyncGenerator<ServingEvent> {
  const { label } = file;
  const of = { page: `a ${dialect.program} metrics page`, samples: dialect.samples };
  const times: Instant[] = [];
  for await (const { at } of recordedScrapes(file, local, (sample) => dialect.isOf(sample), lineTally(label), of)) times.push(at);

  const tally = lineTally(label);
  const pages = dialect.pages();
  const windows = counterWindows({ label, period: paceOf(times) ?? seconds(1) });
  let usable = 0;
  for await (const { at, line, samples } of recordedScrapes(file, local, (sample) => dialect.isOf(sample), tally, of)) {
    try {
      const { look, gauges } = readPage(dialect, pages, samples, at);
      yield* windows.since(look);
      yield* gauges;
      usable += 1;
    } catch (error) {
      if (!(error instanceof TelemetryError)) throw error;
      tally.skip(line, `a scrape without ${dialect.samples} counters`);
    }
  }
  tally.judge(dialect.name);
  if (usable < 2) throw tooFewLooks(label, usable);
  yield* windows.end();
  yield* tally.flagged();
}
