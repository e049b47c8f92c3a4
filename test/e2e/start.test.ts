/** `npm start` where there is no power sensor: a simulated server is played, and whatever shows its figures says that it is simulated. */
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { detectSources } from '@joulebook/agent/sources/detect.js';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { replayInto } from '../support/pipe.js';
import { reportSchema, type Report } from '../support/report.js';

const START = fileURLToPath(new URL('../../deploy/dist/local/start.js', import.meta.url));
const README = fileURLToPath(new URL('../../README.md', import.meta.url));
const phases = z.object({ prefill: z.number(), decode: z.number(), idle: z.number() });
const truthSchema = z.object({ atSensorGain: z.object({ total: phases }), truth: z.object({ tokens: z.object({ input: z.number(), cachedInput: z.number(), output: z.number() }) }) });

async function freeAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no address');
  return `127.0.0.1:${address.port}`;
}

const launch = (directory: string, address: string) => execa(process.execPath, [START], { reject: false, env: { JOULEBOOK_DATA: directory, JOULEBOOK_LISTEN: address } });

/** Asks until the answer will do; the time limit of the hook ends it otherwise. */
async function until<T>(ask: () => Promise<T>, will: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined && will(answer)) return answer;
    await sleep(100);
  }
}

const sensors = (await detectSources(process.env)).power.length;

describe.skipIf(sensors > 0)(`npm start without a power sensor${sensors > 0 ? ' (skipped: this machine has one)' : ''}`, () => {
  let directory: string;
  let page: string;
  let live: Report;
  let said: string;
  let exitCode: number | undefined;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebook-start-'));
    const address = await freeAddress();
    const program = launch(directory, address);
    const report = async (): Promise<Report> => reportSchema.parse(await (await fetch(`http://${address}/v1/report`)).json());
    live = await until(report, ({ rows }) => (rows[0]?.joules ?? 0) > 0);
    page = await (await fetch(`http://${address}/`)).text();
    program.kill('SIGTERM');
    ({ exitCode, stdout: said } = await program);
  }, 120_000);
  afterAll(() => rm(directory, { recursive: true, force: true }));

  it('says so on the terminal, on the page and in the report, and stops with exit code 0', () => {
    expect(said).toContain('playing a SIMULATED server');
    expect(page).toContain('Simulated data — made up by a model, measured nowhere');
    expect(live.flags.map(({ code }) => code)).toEqual(expect.arrayContaining(['SIMULATED', 'DEMONSTRATION']));
    expect(exitCode).toBe(0);
  });

  it('leaves a recording behind whose report is marked, divided by phase, and holds the truth within what it states', { timeout: 120_000 }, async () => {
    const folder = join(directory, 'simulated');
    const { truth, atSensorGain } = truthSchema.parse(JSON.parse(await readFile(join(folder, 'truth.json'), 'utf8')));
    const { rows, flags } = await replayInto(folder, ['--by', 'phase']);
    expect(flags.map(({ code }) => code)).toContain('SIMULATED');
    const of = (phase: string) => rows.find(({ group }) => group['phase'] === phase);
    expect(of('decode')?.tokens.output).toBe(truth.tokens.output);
    for (const phase of ['prefill', 'decode', 'idle'] as const) {
      const [low, high] = of(phase)?.uncertainty?.joules ?? [Number.NaN, Number.NaN];
      expect(atSensorGain.total[phase], phase).toBeGreaterThan(low);
      expect(atSensorGain.total[phase], phase).toBeLessThan(high);
    }
    expect(of('active')?.joules ?? 0).toBe(0);

    const readme = await readFile(README, 'utf8');
    for (const phase of ['prefill', 'decode', 'idle'] as const) {
      const printed = Number(new RegExp(`│ ${phase} +│ +([\\d,.]+) │`).exec(readme)?.[1]?.replaceAll(',', ''));
      expect(Math.abs(printed / (of(phase)?.joules ?? 0) - 1), `${phase} in the README's example: write it anew by UPDATE_DOCS=1 npx vitest run test/docs.test.ts`).toBeLessThan(0.02);
    }
  });
});
