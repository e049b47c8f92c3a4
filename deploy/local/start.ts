/**
 * `npm start`: collector and agent on this machine, with an embedded store under ./data. Where the machine has no power
 * sensor, a server is simulated (`joulebook-agent simulate`) and the agent plays that recording again and again; everything
 * that shows its figures says so.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { detectSources } from '@joulebook/agent/sources/detect.js';
import { execa, type ResultPromise } from 'execa';
import { latestFigures } from './latest.js';

const bin = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const AGENT = bin('../../../agent/bin/joulebook-agent.js');
const COLLECTOR = bin('../../../collector/bin/joulebook.js');
const SCENARIO = bin('../../local/simulated-server.yaml');
const data = process.env['JOULEBOOK_DATA'] ?? './data';
const LISTEN = process.env['JOULEBOOK_LISTEN'] ?? '127.0.0.1:9840';
const LINE_EVERY_SECONDS = 5;
const READY_WITHIN_SECONDS = 30;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Its own process group: Ctrl-C reaches this program alone, which then stops the agent before the collector. */
const start = (script: string, args: readonly string[]): ResultPromise<typeof CHILD> => execa(process.execPath, [script, ...args], CHILD);
const CHILD = { detached: true, stdin: 'ignore', stdout: 'ignore', stderr: 'inherit', reject: false, cleanup: false } as const;

const stopped = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopped.abort());

const detected = await detectSources(process.env);
const simulating = detected.power.length === 0;
for (const { source } of [...detected.power, ...detected.serving]) say(`${source}: found`);
if (detected.absent.length > 0) say(`${detected.absent.length} other sources are not here; 'npx joulebook-agent doctor' says why.`);

const address = `http://${LISTEN}`;
const collector = start(COLLECTOR, ['serve', '--store', join(data, simulating ? 'simulated.duckdb' : 'joulebook.duckdb'), '--listen', LISTEN, '--log-level', 'warn']);
const children: ResultPromise<typeof CHILD>[] = [collector];
process.on('exit', () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
});

try {
  await ready();
  say(`\nJoulebook is at ${address}/   (Ctrl-C stops it)\n`);
  const own = simulating ? ['--node', 'simulated', '--data-dir', join(data, 'simulated-agent'), '--slice', '1s', '--play', await simulate(join(data, 'simulated'))] : ['--data-dir', join(data, 'agent')];
  if (!stopped.signal.aborted) children.push(start(AGENT, ['run', '--collector-url', address, '--log-level', 'warn', ...own]));
  const ended = Promise.race(children.map(async (child) => (await child).exitCode));
  const outcome = await Promise.race([report(), ended]);
  if (!stopped.signal.aborted) {
    say(`A part of Joulebook ended by itself (exit code ${outcome ?? 'unknown'}); stopping the rest.`);
    process.exitCode = 1;
  }
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
} finally {
  // The agent first: its last batch still finds the collector.
  for (const child of children.toReversed()) {
    child.kill('SIGTERM');
    await child;
  }
  say('Stopped.');
}

/** Makes the recording anew, by the command that anybody can run. The collector is up: nobody else plays from this folder. */
async function simulate(folder: string): Promise<string> {
  say('No power sensor found on this machine: playing a SIMULATED server. What is shown was made up by a model and measured nowhere.');
  const simulation = start(AGENT, ['simulate', '--scenario', SCENARIO, '--out', folder]);
  stopped.signal.addEventListener('abort', () => simulation.kill());
  if ((await simulation).failed && !stopped.signal.aborted) throw new Error(`The simulated server could not be written to ${folder}.`);
  return folder;
}

async function ready(): Promise<void> {
  const gone = collector.then(() => 'gone' as const);
  for (let waited = 0; waited < READY_WITHIN_SECONDS && !stopped.signal.aborted; waited += 0.1) {
    const answer = await Promise.race([fetch(`${address}/readyz`).then((response) => response.ok, () => false), gone]);
    if (answer === 'gone') throw new Error(`The collector did not start; is another program using ${LISTEN}? Choose another address with JOULEBOOK_LISTEN=127.0.0.1:9841.`);
    if (answer) return;
    await sleep(100);
  }
}

async function report(): Promise<undefined> {
  while (!stopped.signal.aborted) {
    await sleep(LINE_EVERY_SECONDS * 1000, undefined, { signal: stopped.signal }).catch(() => undefined);
    if (stopped.signal.aborted) return undefined;
    say(await latestFigures(address, simulating));
  }
  return undefined;
}
