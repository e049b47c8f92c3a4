/**
 * Agent and collector as a user runs them, on a stand-in for nvidia-smi whose true energy is known and a small server
 * with vLLM's /metrics whose true tokens are known.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../support/engine.js';
import { energyBetween } from '../support/known-power.js';
import { installStandIn } from '../support/install-stand-in.js';
import { AGENT, COLLECTOR } from '../support/pipe.js';
import { reportSchema, type Report } from '../support/report.js';

const MEASURED_SECONDS = 60;
const TOLERANCE = 0.005;

const trueJoules = (from: number, to: number): number => energyBetween(0, from, to) + energyBetween(1, from, to);

const launch = (args: readonly string[], environment: Record<string, string>) => execa(process.execPath, args, { reject: false, env: environment });
type Child = ReturnType<typeof launch>;

describe('agent and collector, live', () => {
  const engine = new Engine();
  const children: Child[] = [];
  let directory: string;
  let address: string;
  let pids: string;

  const start = (args: readonly string[], environment: Record<string, string> = {}): Child => {
    const child = launch(args, environment);
    children.push(child);
    return child;
  };
  const report = async (query: Record<string, string>): Promise<Report> => reportSchema.parse(await (await fetch(`${address}/v1/report?${new URLSearchParams(query).toString()}`)).json());

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebook-live-'));
    pids = join(directory, 'pids');
    await installStandIn(directory);

    const collector = start([COLLECTOR, 'serve', '--store', join(directory, 'store.duckdb'), '--listen', '127.0.0.1:0']);
    address = await new Promise<string>((resolve, reject) => {
      let said = '';
      const read = (chunk: Buffer): void => {
        said += chunk.toString();
        const found = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
        if (found) resolve(found);
      };
      collector.stdout?.on('data', read);
      collector.stderr?.on('data', read);
      void collector.then(({ exitCode }) => reject(new Error(`the collector ended with ${exitCode}: ${said}`)));
    });

    const config = join(directory, 'agent.yaml');
    await writeFile(config, `node: e2e\nslice: 1s\nlabels: { quantization: fp8 }\ndataDir: ${join(directory, 'agent')}\ncollectorUrl: ${address}\npower: [{ source: nvidia-smi, period: 200ms }]\nserving: [{ source: vllm-metrics, url: '${await engine.listen()}', deployment: chat, interval: 500ms }]\n`);
    void start([AGENT, 'run', '--config', config], { PATH: `${directory}${delimiter}${process.env['PATH'] ?? ''}`, STAND_IN_PIDS: pids });
    await engine.scraped(2);
  }, 60_000);

  afterAll(async () => {
    for (const child of children.toReversed()) {
      child.kill('SIGTERM');
      await child;
    }
    engine.close();
    await rm(directory, { recursive: true, force: true });
  }, 30_000);

  it(`after ${MEASURED_SECONDS} s the joules are the stand-in's within 0.5 %, and every token is there once, across a restart of the engine`, { timeout: (MEASURED_SECONDS + 60) * 1000 }, async () => {
    const from = Math.ceil(Date.now() / 1000) + 2;
    const to = from + MEASURED_SECONDS;
    while (Date.now() / 1000 < to - 4) {
      engine.running = 1;
      engine.produce(100 + Math.floor(Math.random() * 900), Math.floor(Math.random() * 50));
      await sleep(37);
      if (engine.total.finished === 600) {
        // What was produced since the last scrape before a crash is lost to everybody: here nothing was.
        await engine.scraped(2);
        engine.restart();
        await engine.scraped(2);
      }
    }
    engine.running = 0;
    await sleep((to + 8) * 1000 - Date.now());

    const told = await report({ from: String(from), to: String(to) });
    const [row] = told.rows;
    expect(row?.coverage).toBeGreaterThan(0.999);
    expect(Math.abs((row?.joules ?? 0) / trueJoules(from, to) - 1)).toBeLessThan(TOLERANCE);

    const all = await report({});
    const [sums] = all.rows;
    expect(engine.total.finished).toBeGreaterThan(700);
    expect(sums?.tokens).toMatchObject({ input: engine.total.prompt, output: engine.total.generated });
    expect(sums?.requests['ok']).toBe(engine.total.finished);

    const phases = await report({ by: 'phase,deployment,model,quantization', from: String(from), to: String(to) });
    const total = phases.rows.reduce((sum, { joules }) => sum + (joules ?? 0), 0);
    expect(Math.abs(total / (row?.joules ?? 0) - 1)).toBeLessThan(1e-9);
    expect(new Set(phases.rows.map(({ group }) => [group['deployment'], group['model'], group['quantization']].join()))).toEqual(new Set(['chat,toy-8b,fp8']));
    expect(phases.rows.map(({ group }) => group['phase'])).toEqual(expect.arrayContaining(['decode', 'idle']));
  });

  it('when the sensor is killed the agent starts it again and the gap is missing coverage', { timeout: 60_000 }, async () => {
    const from = Math.floor(Date.now() / 1000);
    const running = (await readFile(pids, 'utf8')).trim().split('\n');
    process.kill(Number(running.at(-1)), 'SIGKILL');
    await sleep(14_000);
    expect((await readFile(pids, 'utf8')).trim().split('\n').length).toBeGreaterThan(running.length);

    const told = await report({ from: String(from), to: String(from + 6) });
    expect(told.rows[0]?.coverage).toBeLessThan(0.97);
    expect(told.rows[0]?.coverage).toBeGreaterThan(0.3);
    // It begins with the last reading before, which on a busy machine may be a second older.
    const withBefore = await report({ from: String(from - 4), to: String(from + 6) });
    expect(withBefore.flags.map((flag) => flag.code)).toContain('GAP');
    const after = await report({ from: String(from + 6), to: String(from + 9) });
    expect(after.rows[0]?.coverage).toBeGreaterThan(0.999);
  });

  it('ends within ten seconds of SIGTERM with exit code 0, and the collector has all it said', { timeout: 30_000 }, async () => {
    const agent = children[1];
    const began = performance.now();
    agent?.kill('SIGTERM');
    const ended = await agent;
    expect(ended?.exitCode).toBe(0);
    expect(performance.now() - began).toBeLessThan(10_000);
    const spooled = await report({ from: String(Date.now() / 1000 - 4) });
    expect(spooled.rows[0]?.joules).toBeGreaterThan(0);
  });
});
