/**
 * The Prometheus text exposition format 0.0.4, and what OpenMetrics adds to it:
 *
 *     # HELP name text        # TYPE name counter       # UNIT …      # EOF
 *     name{label="va\"l\\ue",other="x"} 12.5 1700000000000            timestamp: milliseconds (0.0.4)
 *     name_total{label="x"} 7 1700000000.123 # {trace="a"} 1          timestamp: seconds, exemplar (OpenMetrics)
 *
 * A line that is none of these is counted and left out; a page without a single sample is no metrics page.
 */
import { TelemetryError } from '@joulebook/shared/errors.js';
import { instant, type Instant } from '@joulebook/shared/units.js';

export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  /** May be NaN or infinite: that is what the format says. */
  readonly value: number;
  readonly at?: Instant;
}

export interface Exposition {
  readonly samples: readonly Sample[];
  /** Lines that could not be read. */
  readonly badLines: number;
}

const LONGEST_PAGE = 32 * 1024 * 1024;

/** The name, the braces if any (a quoted value may hold braces), and what follows them. */
const SAMPLE = /^([a-zA-Z_:][\w:]*)\s*(?:\{((?:[^"{}]|"(?:[^"\\]|\\.)*")*)\})?\s*(.*)$/s;
const LABEL = /\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)/sy;
const VALUE = /^([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?|nan)(?:\s+(-?\d+(?:\.\d+)?))?(?:\s+#\s*\{.*)?\s*$/is;

/** @throws TelemetryError (`discard`) NOT_METRICS when the text holds no sample, METRICS_TOO_LONG beyond 32 MiB */
export function parsePrometheusText(text: string): Exposition {
  if (text.length > LONGEST_PAGE) throw new TelemetryError('METRICS_TOO_LONG', `The metrics page is longer than ${LONGEST_PAGE / 2 ** 20} MiB.`, 'discard');
  const samples: Sample[] = [];
  let badLines = 0;
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const sample = parseSample(line);
    if (sample) samples.push(sample);
    else badLines += 1;
  }
  if (samples.length === 0) throw new TelemetryError('NOT_METRICS', `This is not a metrics page: ${looksOf(text)}. Check the address; metrics are usually at /metrics.`, 'discard');
  return { samples, badLines };
}

/** @returns undefined when the line is no sample; comments and empty lines are none either */
export function parseSample(line: string): Sample | undefined {
  const [, name, braces, rest] = SAMPLE.exec(line) ?? [];
  const [, number, time] = VALUE.exec(rest ?? '') ?? [];
  const labels = parseLabels(braces ?? '');
  if (name === undefined || number === undefined || !labels) return undefined;
  return { name, labels, value: numberOf(number), ...(time !== undefined && { at: timeOf(time) }) };
}

function parseLabels(text: string): Map<string, string> | undefined {
  const labels = new Map<string, string>();
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.trimEnd().length) {
    const [, name, value] = LABEL.exec(text) ?? [];
    if (name === undefined || value === undefined) return undefined;
    labels.set(name, value.replace(/\\(.)/gs, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped)));
  }
  return labels;
}

function numberOf(text: string): number {
  if (/^nan$/i.test(text)) return Number.NaN;
  if (/inf/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  return Number(text);
}

/** Milliseconds in 0.0.4, seconds in OpenMetrics: today is 1.7e9 s and 1.7e12 ms, far enough apart to tell by size. */
const timeOf = (text: string): Instant => instant(Math.abs(Number(text)) > 1e11 ? Number(text) / 1000 : Number(text));

function looksOf(text: string): string {
  if (text.trim() === '') return 'it is empty';
  if (/<(?:!doctype|html|head|body)\b/i.test(text.slice(0, 2000))) return 'it is an HTML page';
  if (/^\s*[[{]/.test(text)) return 'it is JSON';
  return 'it holds no sample';
}
