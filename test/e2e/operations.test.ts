/**
 * The agent as a service is run: asked how it is, told to read its settings again by SIGHUP while no collector takes its
 * batches, and stopped. The power is a stand-in's, whose energy is known.
 */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { decodeBatch, type Batch } from '@joulebook/shared/batch.js';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { installStandIn } from '../support/install-stand-in.js';
import { energyBetween } from '../support/known-power.js';
import { AGENT } from '../support/pipe.js';

const WITHIN_MS = 20_000;
const TOKEN = 'only-for-metrics';

/** Takes no batch until it is opened; what is sent again must be what was sent before. */
class Collector {
  readonly batches: Batch[] = [];
  readonly conflicts: string[] = [];
  readonly #bytes = new Map<string, string>();
  isOpen = false;
  readonly #server: Server = createServer((request, response) => {
    void this.#take(request, response);
  });

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no address');
    return `http://127.0.0.1:${address.port}`;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    if (this.isOpen) this.#keep(gunzipSync(body).toString());
    response.writeHead(this.isOpen ? 200 : 503, { 'retry-after': '1' }).end();
  }

  #keep(text: string): void {
    const batch = decodeBatch(text);
    const name = `${batch.stream} ${batch.sequence}`;
    const before = this.#bytes.get(name);
    if (before === undefined) this.batches.push(batch);
    else if (before !== text) this.conflicts.push(name);
    this.#bytes.set(name, text);
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

async function until<T>(what: string, ask: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const end = Date.now() + WITHIN_MS;
  while (Date.now() < end) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await sleep(50);
  }
  throw new Error(`not within ${WITHIN_MS / 1000} s: ${what}`);
}

describe('an agent as a service', { timeout: 3 * WITHIN_MS }, () => {
  const collector = new Collector();
  let folder: string;
  let config: string;
  let url: string;
  let page: string;
  let said = '';
  let agent: ReturnType<typeof start>;

  const start = (environment: Record<string, string>) => execa(process.execPath, [AGENT, 'run', '--config', config], { reject: false, env: environment });
  const settings = (stage: string, more = ''): string => `node: service\nslice: 1s\ndataDir: ${join(folder, 'agent')}\ncollectorUrl: ${url}\nmetricsListen: 127.0.0.1:0\nhostFacts: false\nlabels: { stage: ${stage} }\npower: [{ source: nvidia-smi }]\nserving: []\n${more}`;
  const logged = (message: string, times = 1): Promise<string> => until(`'${message}' in the log: ${said}`, () => said.split('\n').filter((line) => line.includes(message))[times - 1]);
  const ask = (path: string): Promise<Response> => fetch(`${page}${path}`, { headers: { authorization: `Bearer ${TOKEN}` } });
  const metric = async (series: string): Promise<number | undefined> => {
    const line = (await (await ask('/metrics')).text()).split('\n').find((each) => each.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length));
  };
  const reload = async (text: string): Promise<void> => {
    await writeFile(config, text);
    agent.kill('SIGHUP');
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'joulebook-service-'));
    config = join(folder, 'agent.yaml');
    url = await collector.listen();
    await installStandIn(folder);
    await writeFile(config, settings('before'));
    agent = start({ PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}`, JOULEBOOK_METRICS_TOKEN: TOKEN });
    agent.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    page = /http:\/\/127\.0\.0\.1:\d+/.exec(await logged('/metrics is at'))?.[0] ?? '';
  }, WITHIN_MS);
  afterAll(async () => {
    agent.kill('SIGKILL');
    await agent;
    collector.close();
    await rm(folder, { recursive: true });
  });

  it('says how it is: readings, the spool that fills while nobody takes batches, sendings that failed', async () => {
    await until('readings', async () => ((await metric('joulebook_agent_readings_total{source="nvidia-smi"}')) ?? 0) > 5 || undefined);
    await until('batches in the spool', async () => ((await metric('joulebook_agent_spool_batches')) ?? 0) > 1 || undefined);
    expect(await metric('joulebook_agent_spool_open')).toBe(1);
    expect(await metric('joulebook_agent_spool_bytes')).toBeGreaterThan(100);
    expect(await metric('joulebook_agent_sends_total{result="accepted"}')).toBe(0);
    await until('a sending that failed', async () => ((await metric('joulebook_agent_sends_total{result="retried"}')) ?? 0) > 0 || undefined);
    expect(await metric('joulebook_agent_booking_delay_seconds')).toBeLessThan(10);
    expect(await metric('process_resident_memory_bytes')).toBeGreaterThan(1e6);
    expect((await ask('/healthz')).status).toBe(200);
    expect((await ask('/readyz')).status).toBe(200);
  });

  it('tells nobody without the token more than that it is well, and answers nothing else', async () => {
    expect((await fetch(`${page}/metrics`)).status).toBe(401);
    expect((await fetch(`${page}/metrics`, { headers: { authorization: `Bearer ${TOKEN}x` } })).status).toBe(401);
    expect((await fetch(`${page}/readyz`)).status).toBe(200);
    expect((await ask('/elsewhere')).status).toBe(404);
    expect((await fetch(`${page}/metrics`, { method: 'POST' })).status).toBe(405);
  });

  it('refuses settings that can not be used, says why, and goes on as it was', async () => {
    await reload(settings('never', 'slcie: 5s\ncatchUpRate: none\n'));
    const refused = await logged('the settings can not be used');
    expect(refused).toContain("slcie: unknown; did you mean 'slice'?");
    expect(refused).toContain('catchUpRate');
    await reload(settings('never').replace('nvidia-smi', 'nvidia-smy'));
    expect(await logged('the settings can not be used', 2)).toContain('power.0');
    await reload(settings('never', `collectorCa: ${join(folder, 'absent.pem')}\n`));
    expect(await logged('the settings can not be used', 3)).toContain('collectorCa');
    await reload(settings('never').replace(join(folder, 'agent'), join(folder, 'elsewhere')));
    expect(await logged('the settings can not be used', 4)).toContain('dataDir: can not change while the agent runs');
    await reload(settings('before'));
    await logged('nothing has changed');
    expect(await metric('joulebook_agent_reloads_total{result="refused"}')).toBe(4);
    expect((await ask('/readyz')).status).toBe(200);
  });

  it('goes on with other settings, loses nothing that was spooled, and books no moment twice', async () => {
    await reload(settings('after'));
    const begun = z.object({ time: z.number() }).parse(JSON.parse(await logged('the agent goes on with them'))).time / 1000;
    collector.isOpen = true;
    const last = (): Batch | undefined => collector.batches.find(({ slices }) => slices.some(({ labels, from }) => labels?.['stage'] === 'after' && from / 1e6 > begun + 4));
    await until('facts with the new label', last);
    agent.kill('SIGTERM');
    expect((await agent).exitCode).toBe(0);

    expect(collector.conflicts).toEqual([]);
    expect(new Set(collector.batches.map(({ stream }) => stream)).size).toBe(1);
    const sequences = collector.batches.map(({ sequence }) => sequence).toSorted((a, b) => a - b);
    expect(sequences).toEqual(sequences.map((_, index) => index));
    const energy = collector.batches.flatMap(({ slices }) => slices.filter((slice) => slice.kind === 'energy'));
    const lives = ['before', 'after'].map((stage) => {
      const mine = energy.filter(({ labels }) => labels?.['stage'] === stage);
      const [from, to] = [Math.min(...mine.map((slice) => slice.from)) / 1e6, Math.max(...mine.map((slice) => slice.to)) / 1e6];
      // On a busy machine the first lines of the two GPUs may be read some moments apart.
      const spans = [...new Set(mine.map(({ device }) => device))].map((device) => {
        const own = mine.filter((slice) => slice.device === device);
        return (Math.max(...own.map((slice) => slice.to)) - Math.min(...own.map((slice) => slice.from))) / 1e6;
      });
      return { from, to, spans, asked: mine.reduce((sum, { askedSeconds }) => sum + askedSeconds, 0), joules: mine.reduce((sum, { microjoules }) => sum + microjoules, 0) / 1e6, truth: energyBetween(0, from, to) + energyBetween(1, from, to) };
    });
    expect(energy.some(({ labels }) => labels?.['stage'] === 'never')).toBe(false);
    for (const { spans, asked, joules, truth } of lives) {
      expect(spans).toHaveLength(2);
      expect(asked).toBeCloseTo(spans.reduce((sum, each) => sum + each, 0), 2);
      // A sensor takes a moment to start; that is not bridged.
      expect(joules).toBeGreaterThan(0.3 * truth);
      expect(joules).toBeLessThan(1.01 * truth);
    }
    // What was measured until then was booked, not left in the pipeline that ended.
    expect(lives[0]?.to).toBeGreaterThan(begun - 0.05);
    const pause = (lives[1]?.from ?? 0) - (lives[0]?.to ?? 0);
    expect(pause).toBeGreaterThanOrEqual(0);
    expect(pause).toBeLessThan(5);
  });
});
