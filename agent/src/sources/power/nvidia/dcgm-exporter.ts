/** NVIDIA GPUs by the metrics page of dcgm-exporter: live, or scrapes kept in a file (`# scrape <time>` before each page). */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { duration } from '@joulebook/shared/settings.js';
import { instant, seconds, type Seconds } from '@joulebook/shared/units.js';
import { z } from 'zod';
import { lineTally } from '../../line-tally.js';
import { liveKind, type LivePowerKind } from '../../live.js';
import { polled } from '../../polled.js';
import { powerFormat } from '../../recorded.js';
import { recordedScrapes } from '../../serving/metrics/recorded-scrapes.js';
import { scraper } from '../../serving/metrics/scrape.js';
import type { LivePower } from '../../source.js';
import { zone } from '../../timestamps.js';
import { dcgmPages, isOfDcgm } from './dcgm-exposition.js';

const NAME = 'dcgm-exporter';
const DEFAULT_URL = 'http://localhost:9400/metrics';
const PAGE = { page: 'a dcgm-exporter page', samples: 'DCGM_FI_DEV_' };
/** Of the exporter's own option -c. */
const DEFAULT_COLLECTED = 30;

const collected = duration.prefault(DEFAULT_COLLECTED).refine((value) => value >= 0.1 && value <= 3600, 'the exporter collects every 100 ms to 1 h');
const options = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).default(DEFAULT_URL),
  period: duration.prefault('10s').refine((value) => value >= 0.2 && value <= 600, 'a period is 200 ms to 10 min'),
  timeout: duration.prefault('5s'),
  collected,
});

export const liveDcgmExporter: LivePowerKind = liveKind({
  name: NAME,
  family: 'nvidia',
  summary: 'energy counters and power of NVIDIA GPUs from a dcgm-exporter; collected: its own interval (-c)',
  options,
  open: ({ url, period, timeout, collected: every }) => dcgmExporterAt({ url, period: seconds(period), timeout: seconds(timeout), collected: seconds(every) }),
  async detect() {
    const page = scraper(new URL(DEFAULT_URL), seconds(2));
    try {
      const { samples } = await page.scrape(() => instant(Date.now() / 1000), new AbortController().signal);
      return samples.some(isOfDcgm) ? { found: true, options: {} } : { found: false, reason: `${DEFAULT_URL} is no dcgm-exporter` };
    } catch {
      return { found: false, reason: `no dcgm-exporter answers at ${DEFAULT_URL}` };
    } finally {
      await page.close();
    }
  },
});

export interface DcgmExporterOptions {
  readonly url: string;
  readonly period: Seconds;
  readonly timeout: Seconds;
  /** How often the exporter reads its sensors: asking it faster gives repeats. */
  readonly collected: Seconds;
}

export function dcgmExporterAt({ url, period, timeout, collected: every }: DcgmExporterOptions): LivePower {
  const address = new URL(url);
  const shown = `${address.origin}${address.pathname}`;
  return polled({
    name: NAME,
    description: `${shown} every ${period} s`,
    // Values that do not change for so long are the exporter's pace, not a silence.
    period,
    limit: seconds(timeout + 5),
    open({ now, signal }) {
      const page = scraper(address, timeout);
      const pages = dcgmPages(NAME, every);
      return Promise.resolve({
        async read() {
          const { samples, at } = await page.scrape(now, signal);
          const events = pages.read(samples.filter(isOfDcgm), at);
          if (pages.channels.length === 0 && events.length === 0) throw new TelemetryError('NOT_DCGM_EXPORTER', `${shown} has no power or energy of a GPU: it is of another program, or its counters file leaves them out.`, 'retry');
          return events;
        },
        close: () => page.close(),
      });
    },
  });
}

export const dcgmExporter = powerFormat({
  name: NAME,
  summary: "scrapes of dcgm-exporter, '# scrape <time>' before each page; collected: how often it read its sensors",
  options: { collected },
  open(entry, { collected: every }) {
    const local = zone(entry.tz);
    const { file, devices } = entry;
    return {
      description: `${file.label} (${NAME})`,
      async *events() {
        const tally = lineTally(file.label);
        const pages = dcgmPages(NAME, seconds(every));
        const wanted = devices?.map(String);
        for await (const { at, samples } of recordedScrapes(file, local, isOfDcgm, tally, PAGE)) {
          for (const event of pages.read(samples, at)) {
            const device = event.kind === 'reading' ? event.channel : undefined;
            if (wanted && device && device.boundary === 'gpu' && !wanted.some((each) => [device.device, String(device.index), `gpu${device.index}`].includes(each))) continue;
            yield event;
          }
        }
        if (pages.channels.length === 0) throw new TelemetryError('FILE_FORMAT', `${file.label} holds no power or energy of a GPU under the names of dcgm-exporter.`, 'abort');
        tally.judge(NAME);
        yield* tally.flagged();
      },
    };
  },
});
