/**
 * Logs of engines as they are written, through the built programs: an SGLang log that is rotated meanwhile, a vLLM log beside
 * its metrics page, and a TGI log. Tokens are those of the scripts, each once; phases come; and nothing of what the servers
 * were asked or answered leaves the agent.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '../support/engine.js';
import { liveStack, type LiveStack } from '../support/live-stack.js';
import type { Row } from '../support/report.js';
import { MARKER, sglangServer, tgiServer, vllmServer, type Done } from '../support/scripted-engines.js';

const SCRIPT_SECONDS = 30;
const EVIDENCE_DELAY = 10;
/** Of the time from first to last work: what two neighbouring slices may hold of what was before and after. */
const EDGES = 2;

const secondsOf = (phases: Readonly<Record<string, Row>>, ...names: readonly string[]): number => names.reduce((sum, name) => sum + (phases[name]?.deviceSeconds ?? 0), 0);

describe('logs of engines, live', () => {
  const page = new Engine();
  let directory: string;
  let stack: LiveStack;
  let spooled = '';
  let sglang: Done;
  let vllm: Done;
  let tgi: Done;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'joulebook-logs-'));
    const logs = { sglang: join(directory, 'sglang.log'), vllm: join(directory, 'vllm.log'), tgi: join(directory, 'tgi.log') };
    stack = await liveStack(
      directory,
      `evidenceDelay: ${EVIDENCE_DELAY}s
power: [{ source: nvidia-smi, period: 200ms }]
serving:
  - { source: log, file: ${logs.sglang}, deployment: sglang, devices: [0] }
  - { source: vllm-log, file: ${logs.vllm}, deployment: vllm, devices: [1] }
  - { source: vllm-metrics, url: '${await page.listen()}', deployment: vllm, devices: [1] }
  - { source: tgi-log, file: ${logs.tgi}, deployment: tgi, devices: [9] }
`,
    );
    await page.scraped(2);
    const end = Date.now() / 1000 + SCRIPT_SECONDS;
    const scripts = Promise.all([sglangServer(logs.sglang, end), vllmServer(logs.vllm, page, end), tgiServer(logs.tgi, end)]);
    await sleep(SCRIPT_SECONDS * 750);
    spooled = await stack.spooled();
    stack.open();
    [sglang, vllm, tgi] = await scripts;
    await sleep((EVIDENCE_DELAY + 5) * 1000);
  }, 120_000);

  afterAll(async () => {
    await stack.close();
    page.close();
    await rm(directory, { recursive: true, force: true });
  }, 30_000);

  const ofDeployment = async (deployment: string): Promise<Row | undefined> => (await stack.report({ by: 'deployment' })).rows.find(({ group }) => group['deployment'] === deployment);
  const phasesOf = async (deployment: string, { from, to }: Done): Promise<Readonly<Record<string, Row>>> => {
    const { rows } = await stack.report({ by: 'deployment,phase', from: String(Math.ceil(from)), to: String(Math.floor(to)) });
    return Object.fromEntries(rows.flatMap((row) => (row.group['deployment'] === deployment ? [[row.group['phase'] ?? '', row] as const] : [])));
  };

  it('SGLang: every token is booked once, through both kinds of rotation', async () => {
    const row = await ofDeployment('sglang');
    expect(row?.tokens).toMatchObject({ input: sglang.input + sglang.cachedInput, cachedInput: sglang.cachedInput, output: sglang.output });
  });

  it('SGLang: prefill, decode and idle, and no gap between them', async () => {
    const phases = await phasesOf('sglang', sglang);
    const whole = Math.floor(sglang.to) - Math.ceil(sglang.from);
    expect(secondsOf(phases, 'prefill')).toBeGreaterThan(0.3);
    expect(secondsOf(phases, 'decode')).toBeGreaterThan(5);
    expect(secondsOf(phases, 'prefill', 'decode', 'idle')).toBeGreaterThan(whole - EDGES);
    expect(secondsOf(phases, 'prefill', 'decode', 'idle')).toBeLessThan(whole + 0.01);
    expect(Object.keys(phases)).not.toContain('active');
  });

  it('vLLM: counters and log of one server count once, through a restart, and the agent says which counts', async () => {
    const row = await ofDeployment('vllm');
    expect(row?.tokens).toMatchObject({ input: vllm.input, output: vllm.output });
    expect(row?.requests['ok']).toBe(vllm.requests);
    expect(stack.agentLog()).toMatch(/deployment vllm: its tokens are counted by vLLM metrics at [^;]*; only what ran is told by vllm-log from /);
    const { flags } = await stack.report({});
    expect(flags.map(({ code }) => code)).toContain('COUNTER_RESET');
  });

  it('vLLM: the phases come', async () => {
    // It was idle for some seconds before its first work.
    const phases = await phasesOf('vllm', { ...vllm, from: vllm.from - 3 });
    expect(secondsOf(phases, 'prefill')).toBeGreaterThan(1);
    expect(secondsOf(phases, 'decode')).toBeGreaterThan(2);
    expect(secondsOf(phases, 'idle')).toBeGreaterThan(1);
  });

  it('TGI: every request and its tokens', async () => {
    const row = await ofDeployment('tgi');
    expect(row?.tokens.output).toBe(tgi.output);
    expect(row?.requests['ok']).toBe(tgi.requests);
  });

  it('nothing that was asked or answered is in the spool, in what was sent, in the report or in the agent\'s log', async () => {
    expect(await stack.stopAgent()).toBe(0);
    expect(spooled.includes('"deployment":"sglang"')).toBe(true);
    expect(stack.sent.some((body) => body.includes('SKIPPED_LINES') && body.includes('a batch line that is cut off or damaged'))).toBe(true);
    const everything = [spooled, await stack.spooled(), ...stack.sent, stack.agentLog(), JSON.stringify(await stack.report({ by: 'deployment,tenant,model' }))];
    expect(everything.filter((text) => text.includes(MARKER))).toHaveLength(0);
  });
});
