/**
 * Requests of a production service beside a constant 10 kW: the joules per token of its own expected.md, and what is left of them when
 * latencies, endings and retries are made up for its requests: useful tokens are never more than were made, and the useful ones and
 * every kind of waste are all that there was.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Random } from '@joulebook/agent/simulate/random.js';
import { CLASSES } from '@joulebook/collector/join/waste.js';
import { report as reportSchema, type Report } from '@joulebook/collector/join/report.js';
import { OUTCOMES } from '@joulebook/shared/slice.js';
import { assert, asyncProperty, double, integer, record } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { replayEndsHere, reportHere } from './support/pipe.js';

const TRACES = fileURLToPath(new URL('../../shared/recordings/azure-llm-2023', import.meta.url));
const present = existsSync(TRACES);
const WATTS = 10_000;

interface Asked {
  readonly time: string;
  readonly input: string;
  readonly output: string;
}

async function trace(name: string): Promise<Asked[]> {
  const lines = (await readFile(join(TRACES, `AzureLLMInferenceTrace_${name}.csv`), 'utf8')).trim().split(/\r?\n/);
  return lines.slice(1).map((line) => {
    const [time = '', input = '', output = ''] = line.split(',');
    return { time, input, output };
  });
}

const secondOf = (time: string): number => Date.parse(`${time.slice(0, 19).replace(' ', 'T')}Z`) / 1000;
const textOf = (second: number): string => new Date(second * 1000).toISOString().slice(0, 19).replace('T', ' ');

/** The same power at both ends and at every full second between them. */
function power(from: string, to: string): string {
  const between = Array.from({ length: Math.max(0, Math.ceil(secondOf(to)) - secondOf(from)) }, (_, index) => secondOf(from) + 1 + index).filter((second) => second < secondOf(to));
  return ['time,watts', ...[from, ...between.map(textOf), to].map((time) => `${time},${WATTS}`)].join('\n');
}

async function reported(requests: readonly string[], columns: string, [from, to]: readonly [string, string], options: readonly string[]): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-azure-'));
  try {
    await writeFile(join(folder, 'power.csv'), power(from, to));
    await writeFile(join(folder, 'requests.csv'), requests.join('\n'));
    await writeFile(join(folder, 'recording.yaml'), `node: azure
power: [{ format: csv, file: power.csv, tz: UTC, columns: { time: time, watts: watts }, boundary: server }]
serving: [{ format: requests, file: requests.csv, tz: UTC, deployment: chat, columns: { ${columns} } }]
`);
    const batches = await replayEndsHere(folder);
    expect([batches.exitCode, batches.stderr]).toEqual([0, '']);
    const { exitCode, stdout, stderr } = await reportHere(batches.stdout, [...options, '--format', 'json']);
    expect([exitCode, stderr]).toEqual([0, '']);
    return reportSchema.parse(JSON.parse(stdout));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const ends = (requests: readonly Asked[]): readonly [string, string] => [requests[0]?.time ?? '', requests.at(-1)?.time ?? ''];

/** Of every ten: six are answered, and one each is cancelled, fails, is refused by a gate, or answered by another model or a second attempt. */
const ENDINGS = ['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'cancelled', 'failed', 'rejected', 'fallback'] as const;
/** s that the last request may take, all of which has to be measured. */
const LONGEST = 600;
const MADE_UP = 'start: time, inputTokens: input, outputTokens: output, ttft: ttft, tpot: tpot, status: status, id: id, attempt: attempt';

function madeUp(requests: readonly Asked[], seed: number): string[] {
  const random = new Random(seed, 'endings');
  const rows = requests.map(({ time, input, output }, index) => {
    const retried = index > 0 && random.chance(0.1);
    const ending = ENDINGS[Math.floor(random.between(0, ENDINGS.length))] ?? 'ok';
    return [time, input, output, random.lognormal(0.1, 1.2).toFixed(4), random.lognormal(0.02, 0.6).toFixed(4), ending, `r${retried ? index - 1 : index}`, retried ? 2 : 1].join(',');
  });
  return ['time,input,output,ttft,tpot,status,id,attempt', ...rows];
}

describe.skipIf(!present)(`requests of a production service at 10 kW${present ? '' : ' (skipped: ../shared/recordings is not here)'}`, () => {
  it.each([
    ['code', 34_359_481, 139.7318],
    ['conv', 35_017_219, 8.564463],
  ])('%s: %d J, %f J per generated token', async (name, joules, perToken) => {
    const requests = await trace(name);
    const { total } = await reported(['time,input,output', ...requests.map(({ time, input, output }) => `${time},${input},${output}`)], 'start: time, inputTokens: input, outputTokens: output', ends(requests), []);
    expect(Math.round(total.joules ?? 0)).toBe(joules);
    expect(Math.abs((total.joulesPerToken ?? 0) / perToken - 1)).toBeLessThan(1e-6);
  });

  it('with latencies and endings made up, whatever the targets: useful ones and all waste are the whole', async () => {
    const all = await trace('code');
    const seen = new Set<string>();
    await assert(
      asyncProperty(record({ seed: integer({ min: 1, max: 1e6 }), first: integer({ min: 0, max: all.length - 300 }), ttft: double({ min: 0.02, max: 1, noNaN: true }), tpot: double({ min: 0.005, max: 0.06, noNaN: true }) }), async ({ seed, first, ttft, tpot }) => {
        const requests = all.slice(first, first + 300);
        const { total } = await reported(madeUp(requests, seed), MADE_UP, [ends(requests)[0], textOf(secondOf(ends(requests)[1]) + LONGEST)], ['--slo', `ttft=${ttft.toFixed(4)}s,tpot=${tpot.toFixed(4)}s`, '--price', '0.2', '--pue', '1.3']);
        const { spending, tokens, requests: ended, usefulBounds } = total;
        if (!spending || !usefulBounds) throw new Error('no request was judged');
        const sum = (of: 'requests' | 'outputTokens' | 'inputTokens' | 'joules' | 'cost'): number => CLASSES.reduce((whole, name) => whole + (spending[name][of] ?? Number.NaN), 0);
        for (const name of CLASSES) if (spending[name].requests > 0) seen.add(name);

        expect(tokens.useful).toBeLessThanOrEqual(tokens.output ?? 0);
        expect(spending.useful.outputTokens).toBeGreaterThanOrEqual(usefulBounds[0] - 1e-6);
        expect(spending.useful.outputTokens).toBeLessThanOrEqual(usefulBounds[1] + 1e-6);
        expect(sum('requests')).toBeCloseTo(OUTCOMES.reduce((count, outcome) => count + (ended[outcome] ?? 0), 0), 6);
        expect(sum('outputTokens')).toBeCloseTo(tokens.output ?? Number.NaN, 4);
        expect(sum('inputTokens')).toBeCloseTo(tokens.input ?? Number.NaN, 4);
        expect(sum('joules') / (total.joules ?? Number.NaN)).toBeCloseTo(1, 9);
        expect(sum('cost') / (total.energyCost ?? Number.NaN)).toBeCloseTo(1, 9);
      }),
      { numRuns: 5 },
    );
    expect([...seen].toSorted()).toEqual(CLASSES.filter((name) => name !== 'unjudged').toSorted());
  });
});
