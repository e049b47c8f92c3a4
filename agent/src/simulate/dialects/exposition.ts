/** Pages in Prometheus' text format, as Python's client writes them, and a scraper that keeps each under the time of its look. */
import { duration } from '@joulebook/shared/settings.js';
import { timer } from './timer.js';
import type { EngineParts, EngineWriter } from './format.js';

export interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** Suffix of the name (`_total`, `_sum`, or nothing), labels, value. */
  readonly samples: readonly (readonly [suffix: string, labels: string, value: number])[];
}

/** Python shows a float: `12.0`, `1e+16`. */
const float = (value: number): string => (Number.isInteger(value) && Math.abs(value) < 1e16 ? `${value}.0` : String(value));

export const page = (families: readonly Family[]): string => families.map(({ name, type, help, samples }) => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples.map((sample) => line(name, sample)), ''].join('\n')).join('');

const line = (name: string, [suffix, labels, value]: Family['samples'][number]): string => `${name}${suffix}${labels === '' ? '' : `{${labels}}`} ${float(value)}`;

export interface Histogram {
  observe(value: number): void;
  samples(labels: string): Family['samples'];
}

export function histogram(bounds: readonly number[]): Histogram {
  const counts = bounds.map(() => 0);
  let count = 0;
  let sum = 0;
  return {
    observe(value) {
      count += 1;
      sum += value;
      for (const [place, bound] of bounds.entries()) if (value <= bound) counts[place] = (counts[place] ?? 0) + 1;
    },
    samples: (labels) => [
      ...bounds.map((bound, place) => ['_bucket', `le="${float(bound)}",${labels}`, counts[place] ?? 0] as const),
      ['_bucket', `le="+Inf",${labels}`, count],
      ['_sum', labels, sum],
      ['_count', labels, count],
    ],
  };
}

export const scrapeOptions = {
  period: duration.prefault('1s').refine((value) => value >= 0.1 && value <= 600, 'a scrape every 100 ms to 10 min'),
  jitter: duration.prefault('5ms'),
};

/** How late an answer is at most does not add up: looks stay on the grid of the first. */
export function scraped({ clock, draw }: EngineParts, { period, jitter }: { readonly period: number; readonly jitter: number }, text: () => string): Pick<EngineWriter, 'until' | 'end'> {
  let before = 0;
  const lateness = (): number => {
    const late = draw() * Math.min(jitter, period / 2);
    const step = late - before;
    before = late;
    return step;
  };
  const looks = timer({ first: draw() * period, interval: period, late: lateness });
  const look = (at: number): string => `# scrape ${clock.at(at).toFixed(6)}\n${text()}`;
  return {
    until: (at) => [...looks.next(at)].map(look).join(''),
    end: () => [...looks.next(looks.due)].map(look).join(''),
  };
}
