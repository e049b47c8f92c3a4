/** `record` keeps what `replay` needs: the same joules and tokens come out. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../support/engine.js';
import { installStandIn } from '../support/install-stand-in.js';
import { energyBetween } from '../support/known-power.js';
import { AGENT, replayInto } from '../support/pipe.js';

describe('record', () => {
  const engine = new Engine();
  let directory: string;
  let config: string;
  const record = (folder: string, length: string) => execa(process.execPath, [AGENT, 'record', folder, '--for', length, '--config', config], { reject: false, env: { PATH: `${directory}${delimiter}${process.env['PATH'] ?? ''}` } });

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebook-record-'));
    config = join(directory, 'agent.yaml');
    await installStandIn(directory);
    await writeFile(config, `node: recorded\nlogLevel: warn\npower: [{ source: nvidia-smi, period: 100ms }]\nserving: [{ source: vllm-metrics, url: '${await engine.listen()}', deployment: chat, interval: 200ms }]\n`);
  });
  afterAll(async () => {
    engine.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('keeps readings and evidence from which replay gives the energy that was drawn and every token', { timeout: 60_000 }, async () => {
    const folder = join(directory, 'kept');
    const recording = record(folder, '8s');
    await engine.scraped(3);
    for (let made = 0; made < 40; made += 1) {
      engine.produce(120, 30);
      await sleep(50);
    }
    const ended = await recording;
    expect([ended.exitCode, ended.stderr]).toEqual([0, expect.stringMatching(/replay/)]);
    expect((await readdir(folder)).toSorted()).toEqual(['power-0.jsonl', 'recording.yaml', 'serving-0.jsonl']);

    const told = await replayInto(folder, []);
    const [row] = told.rows;
    const [from, to] = [Date.parse(told.from) / 1000, Date.parse(told.to) / 1000];
    // What came before the first power reading lies outside the window, and is told.
    const all = (kind: 'input' | 'output'): number => (row?.tokens[kind] ?? 0) + (row?.tokensOutside[kind] ?? 0);
    expect([all('input'), all('output')]).toEqual([engine.total.prompt, engine.total.generated]);
    expect(Math.abs((row?.joules ?? 0) / (energyBetween(0, from, to) + energyBetween(1, from, to)) - 1)).toBeLessThan(0.01);
    expect(row?.coverage).toBeGreaterThan(0.99);
  });

  it('does not write over a recording', { timeout: 30_000 }, async () => {
    const folder = join(directory, 'kept');
    const before = await readFile(join(folder, 'power-0.jsonl'), 'utf8');
    const ended = await record(folder, '1s');
    expect(ended.exitCode).toBe(1);
    expect(ended.stderr).toMatch(/can't take a recording/);
    expect(await readFile(join(folder, 'power-0.jsonl'), 'utf8')).toBe(before);
  });
});
