/** `doctor` as a person meets it. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { installStandIn } from '../support/install-stand-in.js';
import { AGENT } from '../support/pipe.js';

const diagnosis = z.object({
  ok: z.boolean(),
  power: z.array(z.object({ source: z.string(), state: z.enum(['ok', 'absent', 'failed']), notes: z.array(z.string()), channels: z.array(z.object({ device: z.string(), method: z.string(), watts: z.number().nullable(), booked: z.boolean() })) })),
  serving: z.array(z.object({ source: z.string(), state: z.enum(['ok', 'absent', 'failed']), notes: z.array(z.string()) })),
  surroundings: z.array(z.object({ check: z.string(), ok: z.boolean(), detail: z.string() })),
  agent: z.object({ cpuSeconds: z.number(), rssBytes: z.number() }),
});
const SECRET = 'do-not-tell-8c1f';

const hasSensors = ['/dev/nvidiactl', '/dev/ipmi0', '/sys/class/powercap/intel-rapl:0'].some((path) => existsSync(path));

// Each listens to sensors for some seconds; they wait beside each other.
describe.concurrent('doctor', () => {
  let directory: string;
  const doctor = (args: readonly string[], environment: Record<string, string> = {}) => execa(process.execPath, [AGENT, 'doctor', ...args], { cwd: directory, reject: false, env: environment });

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebook-doctor-'));
    await installStandIn(directory);
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  it.skipIf(hasSensors)(`on a machine with nothing says so in a table, with exit code 3 and no stack trace${hasSensors ? ' (skipped: this machine has sensors)' : ''}`, { timeout: 60_000 }, async () => {
    const ended = await doctor([], { PATH: '/nowhere' });
    expect(ended.exitCode).toBe(3);
    expect(ended.stdout).toMatch(/nvidia-smi\s+│ absent/);
    expect(ended.stdout).toMatch(/Nothing to measure with/);
    expect(`${ended.stdout}${ended.stderr}`).not.toMatch(/\n\s+at /);
  });

  it('says what it found, what would be booked and what is in the way, as JSON too, and tells no secret', { timeout: 60_000 }, async () => {
    const config = join(directory, 'agent.yaml');
    await writeFile(config, `power:\n  - { source: nvidia-smi, period: 200ms }\n  - { source: snmp-pdu, host: 127.0.0.1, port: 1, period: 1s, timeout: 300ms, retries: 0, community: ${SECRET} }\ncollectorUrl: http://127.0.0.1:9\n`);
    const ended = await doctor(['--json', '--config', config], { PATH: `${directory}${delimiter}${process.env['PATH'] ?? ''}`, JOULEBOOK_TOKEN: SECRET });
    expect(ended.exitCode).toBe(3);
    const found = diagnosis.parse(JSON.parse(ended.stdout));
    const smi = found.power.find(({ source }) => source === 'nvidia-smi');
    expect(smi?.state).toBe('ok');
    expect(smi?.channels.map(({ device, booked }) => [device, booked])).toEqual([['GPU-stand-in-0', true], ['GPU-stand-in-1', true]]);
    expect(found.power.find(({ source }) => source === 'snmp-pdu')?.state).not.toBe('ok');
    expect(found.surroundings.filter(({ ok }) => !ok).map(({ check }) => check)).toEqual(['collector']);
    expect(`${ended.stdout}${ended.stderr}`).not.toContain(SECRET);
  });

  it('looks at the recording that is played in the place of sensors, which are not missed', { timeout: 60_000 }, async () => {
    const recording = join(directory, 'recording');
    await mkdir(recording);
    await writeFile(join(recording, 'power.csv'), `timestamp, index, power.draw [W]\n${Array.from({ length: 20 }, (_, second) => `2026/01/15 09:00:${String(second).padStart(2, '0')}.000, 0, 100.00 W\n`).join('')}`);
    await writeFile(join(recording, 'recording.yaml'), 'node: n\npower:\n  - { format: nvidia-smi-csv, file: power.csv, tz: UTC }\n');
    const [played, absent] = await Promise.all(['recording', 'nowhere'].map(async (name) => {
      const config = join(directory, `play-${name}.yaml`);
      await writeFile(config, `play: ${join(directory, name)}\ncollectorUrl: http://127.0.0.1:9\n`);
      return doctor(['--config', config], { PATH: '/nowhere' });
    }));
    expect(played?.stdout).toMatch(/^ok +play: \S+recording is played \(play\) in the place of this machine's sensors and engines: power\.csv/m);
    expect(absent?.stdout).toMatch(/^PROBLEM +play: \S+nowhere can't be played \(play\): /m);
    for (const said of [played, absent]) {
      expect(said?.exitCode).toBe(3);
      expect(said?.stdout).not.toContain('Nothing to measure with');
    }
  });

  it('looks at the serving sources that are configured: is the file there, whose log is it, does the page answer, which counts', { timeout: 60_000 }, async () => {
    const log = join(directory, 'engine.log');
    const stamp = new Date().toISOString().slice(0, 19).replace('T', ' ');
    await writeFile(log, `loading\n[${stamp}] Receive: obj=GenerateReqInput(text='${SECRET}')\n[${stamp}] Prefill batch, #new-seq: 1, #new-token: 100, #cached-token: 0, token usage: 0.00, #running-req: 0, #queue-req: 0, \n`);
    const config = join(directory, 'serving.yaml');
    await writeFile(config, `power: [{ source: nvidia-smi, period: 200ms }]\nserving:
  - { source: log, file: ${log}, deployment: a }
  - { source: vllm-log, file: ${log}, deployment: b }
  - { source: sglang-log, file: ${log}.gone, deployment: c }
  - { source: sglang-metrics, url: 'http://127.0.0.1:9/metrics', deployment: c }
  - { source: log, command: [/nowhere/kubectl], deployment: d }\n`);
    const ended = await doctor(['--json', '--config', config], { PATH: `${directory}${delimiter}${process.env['PATH'] ?? ''}` });
    expect(ended.exitCode).toBe(3);
    const { serving } = diagnosis.parse(JSON.parse(ended.stdout));
    expect(serving.map(({ state }) => state)).toEqual(['ok', 'failed', 'failed', 'failed', 'absent']);
    expect(serving[0]?.notes.join('; ')).toMatch(/a: counts the tokens; log from .*; last written to \d+ s ago; 1 of the last 3 lines tell of work \(sglang-log\); its stamps are taken as /);
    expect(serving[1]?.notes.join('; ')).toContain('none of the last 3 lines is of vllm-log; they look like sglang-log');
    expect(serving[2]?.notes.join('; ')).toMatch(/c: only tells what ran.*engine\.log\.gone can't be read/);
    expect(serving[3]?.notes.join('; ')).toMatch(/c: counts the tokens.*can't be read/);
    expect(serving[4]?.notes.join('; ')).toMatch(/kubectl/);
    expect(`${ended.stdout}${ended.stderr}`).not.toContain(SECRET);
  });
});
