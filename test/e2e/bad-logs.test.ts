/** Logs and metrics pages as they come in bad hours: what was told is counted, what is odd is said, and nothing crashes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flagCodes, replayHere } from '../support/pipe.js';
import type { Report } from '../support/report.js';

const T = Date.UTC(2026, 6, 1, 12) / 1000;
const at = (time: number): Date => new Date(Math.floor((T + time) * 1000));
const smiTime = (time: number): string => at(time).toISOString().slice(0, 23).replaceAll('-', '/').replace('T', ' ');
/** One GPU at 300 W, a reading a second. */
const power = (seconds: number): string => ['timestamp, index, uuid, power.draw [W]', ...Array.from({ length: seconds + 1 }, (_, second) => `${smiTime(second)}, 0, GPU-0, 300.00 W`)].join('\n');

const sglangStamp = (time: number): string => `[${at(time).toISOString().slice(0, 19).replace('T', ' ')}]`;
/** Two sequences: a prompt of 1001 tokens, then four Decode lines of 40 steps each, 10 ms a step. The first says a rate over all time since the line before. */
const round = (begin: number, { shown = begin, rest = 1 }: { readonly shown?: number; readonly rest?: number } = {}): string[] => [
  `${sglangStamp(shown)} Prefill batch, #new-seq: 2, #new-token: 1001, #cached-token: 10, token usage: 0.01, #running-req: 0, #queue-req: 0, `,
  ...[1, 2, 3, 4].map((line) => `${sglangStamp(shown + 0.2 + 0.4 * line)} Decode batch, #running-req: 2, #token: ${1011 + 80 * line}, token usage: 0.02, cuda graph: True, gen throughput (token/s): ${(80 / (line === 1 ? rest + 0.6 : 0.4)).toFixed(2)}, #queue-req: 0, `),
];
const OF_ROUND = { input: 1011, cachedInput: 10, output: 4 * 40 * 2 };
const ofRounds = (count: number) => ({ input: count * OF_ROUND.input, cachedInput: count * OF_ROUND.cachedInput, output: count * OF_ROUND.output });
const six = [5, 8, 11, 14, 17, 20];

const vllmStamp = (time: number): string => { const iso = at(time).toISOString(); return `${iso.slice(5, 10)} ${iso.slice(11, 19)}`; };
const statistics = (time: number, prompt: number, generation: number, running: number): string =>
  `INFO ${vllmStamp(time)} [loggers.py:248] Engine 000: Avg prompt throughput: ${prompt.toFixed(1)} tokens/s, Avg generation throughput: ${generation.toFixed(1)} tokens/s, Running: ${running} reqs, Waiting: 0 reqs, GPU KV cache usage: 1.0%, Prefix cache hit rate: 0.0%`;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'joulebook-bad-logs-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Told {
  readonly all: Report;
  readonly tokens: Report['rows'][number]['tokens'] | undefined;
  readonly joules: Readonly<Record<string, number>>;
}

/** Replay and report must both succeed. */
async function told(format: string, content: string | Buffer, seconds: number): Promise<Told> {
  const directory = await mkdtemp(join(folder, 'case-'));
  await writeFile(join(directory, 'power.csv'), power(seconds));
  await writeFile(join(directory, 'serving.log'), content);
  await writeFile(join(directory, 'recording.yaml'), `node: n\npower: [{ format: nvidia-smi-csv, file: power.csv, tz: UTC }]\nserving: [{ format: ${format}, file: serving.log, tz: UTC, deployment: chat }]\nwindow: { from: 2026-07-01T12:00:00Z, to: ${at(seconds).toISOString()} }\n`);
  const all = await replayHere(directory, ['--by', 'phase']);
  return { all, tokens: all.rows[0]?.tokens, joules: Object.fromEntries(all.rows.map(({ group, joules }) => [group['phase'] ?? '', joules ?? 0])) };
}
const measured = ({ joules }: Told): number => Object.values(joules).reduce((sum, each) => sum + each, 0);
const detailsOf = ({ all: { flags } }: Told): string => flags.map(({ code, detail }) => `${code}: ${detail}`).join('\n');

describe('a log in bad hours', { timeout: 60_000 }, () => {
  it('is silent for an hour and goes on: idle between, nothing lost', async () => {
    const result = await told('sglang-log', [...round(5), ...round(10, { rest: 3 }), ...round(3700, { rest: 3688 }), ...round(3705, { rest: 3 })].join('\n'), 3720);
    expect(result.tokens).toMatchObject(ofRounds(4));
    expect(result.joules['idle']).toBeGreaterThan(300 * 3650);
    expect(measured(result)).toBeCloseTo(300 * 3720, 3);
  });

  it('of vLLM is silent for an hour while nobody ran, and for seconds while a prompt was computed', async () => {
    const lines = [statistics(10, 0, 0, 0), statistics(20, 0, 0, 1), statistics(40, 900, 20.5, 1), statistics(50, 0, 30, 0), statistics(60, 0, 0, 0), statistics(3660, 100, 5, 1), statistics(3670, 0, 7, 0), statistics(3680, 0, 0, 0)];
    const result = await told('vllm-log', lines.join('\n'), 3690);
    expect(result.tokens).toMatchObject({ input: 10_000, output: 625 });
    expect(result.joules['idle']).toBeGreaterThan(300 * 3550);
    expect(measured(result)).toBeCloseTo(300 * 3690, 3);
  });

  it.each([
    ['back by 20 s', -20],
    ['back by an hour', -3600],
    ['on by 20 s', 20],
    ['on by an hour', 3600],
  ])('its clock is set %s', async (_, step) => {
    const lines = six.flatMap((begin) => round(begin, { shown: begin < 12 ? begin : begin + step }));
    const result = await told('sglang-log', lines.join('\n'), 30);
    const { input, output } = result.all.rows[0]?.tokensOutside ?? { input: 0, output: 0 };
    expect({ input: (result.tokens?.input ?? 0) + (input ?? 0), output: (result.tokens?.output ?? 0) + (output ?? 0) }).toEqual({ input: ofRounds(6).input, output: ofRounds(6).output });
    expect(measured(result)).toBeCloseTo(300 * 30, 3);
  });

  it('binary garbage, carriage returns and colours between and inside its lines', async () => {
    const garbage = Buffer.from([0x00, 0xff, 0xfe, 0x1b, 0x5b, 0xc3, 0x28, 0x0d, 0x80, 0x0a, 0x00, 0x00, 0xf0, 0x9f, 0x0a]);
    const lines = six.flatMap((begin) => round(begin));
    const content = Buffer.concat(lines.flatMap((line, index) => [Buffer.from(`\u001b[32m${line}\u001b[0m\r\n`), ...(index % 3 === 0 ? [garbage] : [])]));
    const result = await told('log', content, 30);
    expect(result.tokens).toMatchObject(ofRounds(6));
  });

  it('is in the file twice: it says so', async () => {
    const lines = Array.from({ length: 20 }, (_, index) => round(5 + 3 * index)).flat();
    const result = await told('sglang-log', [...lines, ...lines].join('\n'), 80);
    expect(detailsOf(result)).toMatch(/OVERLAPPING_LOGS: serving.log tells 2026-07-01T12:00:0.* twice/);
  });

  it('a line of 10 MB, and a last line that was cut off: counted as skipped', async () => {
    const lines = six.flatMap((begin) => round(begin));
    const content = [...lines.slice(0, 7), `${sglangStamp(9)} Receive: obj=GenerateReqInput(text='${'secret '.repeat(1_500_000)}')`, ...lines.slice(7), `${sglangStamp(25)} Decode batch, #running-req: 2, #tok`].join('\n');
    const result = await told('sglang-log', content, 30);
    expect(result.tokens).toMatchObject(ofRounds(6));
    expect(detailsOf(result)).toMatch(/SKIPPED_LINES: .*line 8: longer than 1 MiB/);
    expect(detailsOf(result)).toMatch(/SKIPPED_LINES: .*line 32: a batch line that is cut off or damaged/);
    expect(JSON.stringify(result.all)).not.toContain('secret');
  });
});

const requestRow = (start: number, inputTokens: number, outputTokens: number): string => JSON.stringify({ id: `r${start}`, start: T + start, firstToken: T + start + 0.5, end: T + start + 2, inputTokens, outputTokens });

describe('requests in bad hours', { timeout: 60_000 }, () => {
  it('none at all: measured, and not known to be idle', async () => {
    const result = await told('requests', '', 10);
    expect([result.joules, result.tokens?.output ?? 0]).toEqual([{ unknown: 3000 }, 0]);
    expect(flagCodes(result.all)).toContain('NO_REQUESTS');
  });

  it('some of more tokens than can be: they ran, and decide no ratio', async () => {
    const result = await told('requests', [requestRow(1, 500, 100), requestRow(4, 1e9, 100), requestRow(7, 500, 1e9)].join('\n'), 10);
    expect(result.tokens).toMatchObject({ input: 500, output: 100 });
    expect(result.all.rows[0]?.requests['ok']).toBe(3);
    expect(detailsOf(result)).toMatch(/IMPLAUSIBLE_TOKENS: .*2 requests .*the first is request r4 in line 2: 1000000000 input tokens/);
  });
});

describe('counters in bad hours', { timeout: 60_000 }, () => {
  interface Page {
    readonly prompt?: number;
    readonly output?: number;
    readonly running?: number;
    readonly model?: string;
  }
  const scrape = (time: number, { prompt, output, running = 1, model = 'm' }: Page): string => {
    const line = (name: string, value: number | undefined): string => (value === undefined ? '' : `vllm:${name}{engine="0",model_name="${model}"} ${value}\n`);
    return `# scrape ${at(time).toISOString()}\n${line('prompt_tokens_total', prompt)}${line('generation_tokens_total', output)}${line('num_requests_running', running)}${line('num_requests_waiting', 0)}`;
  };
  const read = (...pages: readonly Page[]): Promise<Told> => told('vllm-metrics', pages.map((page, second) => scrape(second + 1, page)).join(''), pages.length + 2);

  it('begin again at 0: what was counted since counts, and it is said', async () => {
    const result = await read({ prompt: 100, output: 10 }, { prompt: 150, output: 20 }, { prompt: 30, output: 4 }, { prompt: 60, output: 9 });
    expect(result.tokens).toMatchObject({ input: 50 + 60, output: 10 + 9 });
    expect(flagCodes(result.all)).toContain('COUNTER_RESET');
  });

  it('vanish and come back: what moved meanwhile counts', async () => {
    const result = await read({ prompt: 100, output: 10 }, { output: 15 }, {}, { output: 30 }, { prompt: 180, output: 33 });
    expect(result.tokens).toMatchObject({ input: 80, output: 23 });
  });

  it('change their labels: another series counts from 0', async () => {
    const result = await read({ prompt: 100, output: 10 }, { prompt: 120, output: 12 }, { prompt: 5, output: 3, model: 'n' }, { prompt: 7, output: 4, model: 'n' });
    expect(result.tokens).toMatchObject({ input: 20 + 7, output: 2 + 4 });
  });

  it('are not numbers now and then, and a page is torn', async () => {
    const whole = [1, 2, 3, 4, 5].map((second) => scrape(second, { prompt: 100 * second, output: 10 * second }));
    const odd = whole.map((page, index) => (index === 2 ? page.replace(/ 300\n/, ' NaN\n').replace(/ 30\n/, ' +Inf\n') : index === 3 ? page.slice(0, page.indexOf('vllm:gen') + 20) + '\n' : page));
    const result = await told('vllm-metrics', odd.join(''), 8);
    expect(result.tokens).toMatchObject({ input: 400, output: 40 });
    expect(detailsOf(result)).toMatch(/NO_COUNT: .*vllm:prompt_tokens_total in 1, vllm:generation_tokens_total in 1/);
  });

  it('fall and come back, leap and come back: nothing is counted twice', async () => {
    const result = await read(...[1000, 1010, 505, 510, 1040, 1e12, 1060, 1070].map((output) => ({ prompt: 10 * output, output })));
    expect(result.tokens).toMatchObject({ input: 700, output: 70 });
    expect(flagCodes(result.all)).toContain('COUNTER_WENT_BACK');
    expect(flagCodes(result.all)).not.toContain('COUNTER_RESET');
  });
});
