/**
 * Excerpts of real logs and metrics pages, read by the recorded sources, against totals that are known of them. The excerpts
 * are not part of the project: where `../shared/logs` is absent these tests are skipped.
 *
 * `test/logs/<engine family>.yaml` lists them; every excerpt must stand in one of the lists:
 *
 *   - file: sglang-0.4.10.log
 *     format: sglang-log               # a format of a recording; a file may be listed again with another one (`log` too)
 *     tz: UTC                          # like in a recording; default UTC
 *     year: 2025                       # short for options: { year: 2025 }
 *     options: { decodeLogInterval: 40 }
 *     totals: { input: 6, output: 120, first: 2025-08-08T03:34:59.000Z }
 *     tolerance: { output: 0.02, first: 1 }   # relative; of times in seconds; without one totals are exact
 *     note: why this is what must come out
 *   - file: vllm-page.log
 *     format: vllm-metrics
 *     page: true                       # one page without a time: read after the same page with every value 0
 *     totals: { input: 10, output: 16 }
 *   - file: triton-page.log
 *     format: vllm-metrics
 *     throws: has 1 usable look        # a regular expression for the message
 *   - file: some.log
 *     leftOut: why nothing can be read from it
 *
 * Totals are computed from what the source says:
 *   input, cachedInput, output     booked tokens
 *   requests, steps, windows       how many events of each kind; `iterations` is the sum of their `steps`
 *   ok, aborted, failed, …         requests by outcome, those counted in windows included
 *   prefillTokens, decodeTokens    work: of steps, and prefillTokens of windows
 *   prefillSeconds, decodeSeconds  of steps with only the one kind of work, of requests before and after their first token, and
 *                                  `phaseSeconds` of windows
 *   idleSeconds, holeSeconds       Σ durations of that evidence
 *   first, last                    start of the first evidence and end of the last, ISO
 *   running, waiting, kvUsage      the highest of the gauge
 *   chunkTokens, kvCacheTokens     of the engine, as it said last
 *   skipped                        lines that could not be used
 *   flags                          codes of all flags but SKIPPED_LINES, sorted, joined by a space ('' for none)
 *   version                        of the engine
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { servingFormats } from '@joulebook/agent/sources/index.js';
import { named } from '@joulebook/agent/sources/named.js';
import type { RecordedServing } from '@joulebook/agent/sources/source.js';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { NUMBERS, TIMES, TOTALS, totalsOf, type Total } from './support/log-totals.js';

const lists = fileURLToPath(new URL('logs/', import.meta.url));
const excerpts = fileURLToPath(new URL('../../shared/logs/', import.meta.url));
const present = existsSync(excerpts);

const reading = {
  file: z.string(),
  format: z.string(),
  tz: z.string().default('UTC'),
  year: z.int().optional(),
  options: z.record(z.string(), z.unknown()).default({}),
  page: z.literal(true).optional(),
  note: z.string().optional(),
};
const read = z.strictObject({
  ...reading,
  totals: z.partialRecord(z.enum(TOTALS), z.union([z.number(), z.string()])),
  tolerance: z.partialRecord(z.enum([...NUMBERS, ...TIMES]), z.number().positive()).default({}),
});
const refused = z.strictObject({ ...reading, throws: z.string() });
const leftOut = z.strictObject({ file: z.string(), leftOut: z.string().min(10) });
type Read = z.output<typeof read>;
type Refused = z.output<typeof refused>;

const faults: string[] = [];
const entries = readdirSync(lists)
  .filter((name) => name.endsWith('.yaml'))
  .flatMap((name) => entriesOf(name, parse(readFileSync(join(lists, name), 'utf8')) ?? []));

function entriesOf(name: string, content: unknown): (Read | Refused | z.output<typeof leftOut>)[] {
  const list = z.array(z.record(z.string(), z.unknown())).safeParse(content);
  if (!list.success) faults.push(`test/logs/${name}: is not a list`);
  return (list.data ?? []).flatMap((each) => {
    const shape = 'leftOut' in each ? leftOut : 'throws' in each ? refused : read;
    const result = shape.safeParse(each);
    if (!result.success) faults.push(`test/logs/${name}, ${String(each['file'])}: ${z.prettifyError(result.error)}`);
    return result.success ? [result.data] : [];
  });
}

const titled = <E extends Read | Refused>(list: readonly E[]): [title: string, entry: E][] => list.map((each) => [`${each.file} as ${each.format}`, each]);
const temporary = mkdtempSync(join(tmpdir(), 'joulebook-logs-'));
afterAll(() => rmSync(temporary, { recursive: true }));

function open({ file, format, tz, year, options, page }: Read | Refused): RecordedServing {
  const path = page ? scrapesOf(file) : join(excerpts, file);
  return named('format', servingFormats, format).open({ file: { file: path, label: file }, tz, deployment: 'test' }, { ...options, ...(year !== undefined && { year }) });
}

/** A page tells only what happened since another one: since the same with all at 0. */
function scrapesOf(file: string): string {
  const page = readFileSync(join(excerpts, file), 'utf8');
  const zeros = page.split('\n').filter((line) => !line.startsWith('process_start_time')).map((line) => line.replace(/^([A-Za-z_:][\w:]*(?:\{.*\})?)\s+[-+\w.]+(?:\s+\d+)?\s*$/, '$1 0'));
  const path = join(temporary, file);
  writeFileSync(path, `# scrape 2026-01-01T00:00:00Z\n${zeros.join('\n')}\n# scrape 2026-01-01T00:00:10Z\n${page}\n`);
  return path;
}

const isTime = (name: Total): boolean => TIMES.some((each) => each === name);

function agrees(name: Total, found: number | string | undefined, expected: number | string, tolerance: number | undefined): boolean {
  if (isTime(name)) return Math.abs(Date.parse(String(found)) - Date.parse(String(expected))) <= (tolerance ?? 0) * 1000;
  if (typeof found !== 'number' || typeof expected !== 'number') return found === expected;
  return Math.abs(found - expected) <= Math.max(1e-9, tolerance ?? 0) * Math.max(1e-9, Math.abs(expected));
}

it('has lists in the form above', () => {
  expect(faults).toEqual([]);
});

describe.skipIf(!present)(`excerpts of real logs${present ? '' : ' (skipped: ../shared/logs is not here)'}`, () => {
  it('lists every excerpt, none that is not there, and none twice in one format', () => {
    const there = readdirSync(excerpts).filter((name) => name.endsWith('.log'));
    const listed = entries.map((each) => each.file);
    expect({ missing: there.filter((name) => !listed.includes(name)), unknown: listed.filter((name) => !there.includes(name)) }).toEqual({ missing: [], unknown: [] });
    const uses = entries.map((each) => `${each.file} ${'format' in each ? each.format : 'left out'}`);
    expect(uses.filter((use, index) => uses.indexOf(use) !== index)).toEqual([]);
  });

  it.each(titled(entries.filter((each): each is Read => 'totals' in each)))('%s: its totals', async (_, each) => {
    const found = await totalsOf(open(each).events());
    const wrong = TOTALS.flatMap((name) => {
      const expected = each.totals[name];
      return expected === undefined || agrees(name, found[name], expected, Object.entries(each.tolerance).find(([key]) => key === name)?.[1]) ? [] : [`${name} is ${found[name]}, not ${expected}`];
    });
    expect(wrong, JSON.stringify(found)).toEqual([]);
  });

  it.each(titled(entries.filter((each): each is Refused => 'throws' in each)))('%s: is refused', async (_, each) => {
    await expect(totalsOf(open(each).events())).rejects.toThrow(new RegExp(each.throws));
  });
});
