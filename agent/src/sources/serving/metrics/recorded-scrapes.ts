/**
 * Scrapes of a metrics page kept in one file, told apart by one of two things:
 *
 *     # scrape 2026-05-12T08:01:39.331Z          a comment before each page: ISO time or epoch seconds
 *     vllm:prompt_tokens_total{…} 12
 *
 *     vllm:prompt_tokens_total{…} 12 1778572899331      or a timestamp on every sample; those of one time are one scrape
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { instant, type Instant } from '@joulebook/shared/units.js';
import { notThisFormat } from '../../dialects.js';
import type { LineTally } from '../../line-tally.js';
import type { RecordedFile } from '../../recorded.js';
import { textLines } from '../../text-lines.js';
import { parseInstant, type Zone } from '../../timestamps.js';
import { parseSample, type Sample } from './prometheus-text.js';

export interface RecordedScrape {
  readonly at: Instant;
  /** Of the file, where it begins. */
  readonly line: number;
  readonly samples: readonly Sample[];
}

/** Whose page it should be, for messages. */
export interface PageOf {
  readonly page: string;
  readonly samples: string;
}
const VLLM_PAGE: PageOf = { page: 'a vLLM metrics page', samples: 'vllm:' };

const MARK = /^#\s*scrape\b[:\s]*(.*)$/i;

/**
 * In order of time.
 * @param wanted which samples to keep
 * @throws TelemetryError (`abort`) when nothing says when a page was scraped
 */
export async function* recordedScrapes(file: RecordedFile, local: Zone, wanted: (sample: Sample) => boolean, tally: LineTally, of: PageOf = VLLM_PAGE): AsyncGenerator<RecordedScrape, void> {
  /** Samples with a time of their own; only these need the whole file in memory. */
  const stamped = new Map<number, { line: number; samples: Sample[] }>();
  let page: { at: Instant | undefined; line: number; samples: Sample[] } | undefined;
  let last: Instant | undefined;
  let timeless = 0;
  let first = '';

  const whole = function* (): Generator<RecordedScrape> {
    if (!page || page.at === undefined) return;
    const { at, line, samples } = page;
    if (last !== undefined && at <= last) {
      tally.skip(line, 'a scrape that is not later than the one before it');
      return;
    }
    last = at;
    yield { at, line, samples };
  };
  /** A writer stopped in the middle of a number leaves a smaller one, which would look like a restarted server. */
  let before: readonly Sample[] = [];
  const cutShort = (sample: Sample): boolean => {
    const same = before.find(({ name, labels }) => name === sample.name && labels.size === sample.labels.size && [...labels].every(([label, value]) => sample.labels.get(label) === value));
    return same !== undefined && sample.value < same.value;
  };

  for await (const { number, text, tooLong, terminated } of textLines(file)) {
    const line = text.trim();
    if (line !== '' && first === '') first = line;
    const mark = MARK.exec(line);
    if (mark) {
      yield* whole();
      before = page?.samples ?? [];
      const at = parseInstant((mark[1] ?? '').trim(), local, last);
      if (at === undefined) tally.skip(number, 'a scrape without a time that can be read', line);
      page = { at, line: number, samples: [] };
      continue;
    }
    if ((line === '' && !tooLong) || line.startsWith('#')) continue;
    const sample = parseSample(line);
    if (!sample) {
      tally.skip(number, tooLong ? 'longer than 1 MiB' : 'not a sample', tooLong ? undefined : line);
      continue;
    }
    if (!terminated && cutShort(sample)) {
      tally.skip(number, 'cut off');
      continue;
    }
    tally.used();
    if (!wanted(sample)) continue;
    if (page) page.samples.push(sample);
    else if (sample.at === undefined) timeless += 1;
    else {
      const { line: begin, samples } = stamped.get(sample.at) ?? { line: number, samples: [] };
      samples.push(sample);
      stamped.set(sample.at, { line: begin, samples });
    }
  }
  yield* whole();
  if (page) return;
  if (stamped.size === 0) throw noTimes(file, timeless, first, of);
  if (timeless > 0) tally.skip(1, `${timeless} samples without a timestamp among others that have one`);
  for (const [at, { line, samples }] of [...stamped].toSorted(([a], [b]) => a - b)) yield { at: instant(at), line, samples };
}

function noTimes({ label }: RecordedFile, timeless: number, firstLine: string, { page, samples }: PageOf): TelemetryError {
  if (timeless === 0) return new TelemetryError('FILE_FORMAT', notThisFormat(label, `scrapes of ${page}`, `it has no ${samples} sample`, firstLine), 'abort');
  return new TelemetryError('SCRAPE_TIME_MISSING', `${label} does not say when it was scraped: write a line '# scrape <ISO time or epoch seconds>' before each page, e.g. (echo "# scrape $(date +%s.%N)"; curl -s …/metrics) >> ${label} once a second.`, 'abort');
}
