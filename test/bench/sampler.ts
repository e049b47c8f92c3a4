/**
 * What reading eight GPUs ten times a second costs. Stand-ins take the place of the library and of nvidia-smi, so what the
 * driver itself takes is in no figure; the stand-in nvidia-smi burns 10 ms per start (the least a start of the real one
 * takes), and nothing at all in a second go, so that the ratio can be judged without that assumption. systeminformation
 * starts lspci and, where they are installed, clinfo and X tools too; here lspci is a stand-in that prints eight lines.
 */
import { rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { UsageError } from '@joulebook/shared/errors.js';
import { parseDuration } from '@joulebook/shared/settings.js';
import { execa } from 'execa';
import { fakeNvidiaSmiFolder, fakeNvml, withoutCompiler } from '../support/fake-nvml/fake-nvml.js';
import { childSeconds, cost, type Cost } from './contest.js';

const CONTENDER = fileURLToPath(new URL('sampler-contender.js', import.meta.url));
const GPUS = 8;
const START_COST_MS = '10';
/** CPU against either other way, of the way with a realistic start; MiB; share of ticks. */
const GOALS = { cpuRatio: 1 / 10, rssMiB: 110, missed: 0.001 };

interface Entry {
  readonly label: string;
  readonly contender: string;
  readonly startCostMs?: string;
}
const ENTRIES: readonly Entry[] = [
  { label: 'nvml (this agent)', contender: 'nvml' },
  { label: `nvidia-smi per poll, ${START_COST_MS} ms a start`, contender: 'spawning', startCostMs: START_COST_MS },
  { label: `systeminformation, ${START_COST_MS} ms a start`, contender: 'systeminformation', startCostMs: START_COST_MS },
  { label: 'nvidia-smi per poll, free start', contender: 'spawning', startCostMs: '0' },
  { label: 'systeminformation, free start', contender: 'systeminformation', startCostMs: '0' },
];

/** @returns whether every goal was reached */
export async function sampler(options: readonly string[]): Promise<boolean> {
  const lasting = secondsOf(options);
  if (withoutCompiler !== undefined || process.platform !== 'linux') throw new UsageError([`The bench sampler needs Linux and gcc for its stand-ins${withoutCompiler ? `: ${withoutCompiler}` : ''}.`]);
  const library = await fakeNvml({ DEVICES: GPUS, PERIOD_MS: 97 });
  const folder = await fakeNvidiaSmiFolder();
  try {
    const measured = await startCost(folder);
    console.log(`${GPUS} GPUs at 10 Hz, ${lasting} s each, one after the other. A start of the stand-in nvidia-smi takes ${measured.toFixed(1)} ms of CPU (set: ${START_COST_MS} ms).\n`);
    const results: (Entry & { readonly cost: Cost })[] = [];
    for (const entry of ENTRIES) {
      const environment = { ...process.env, ...library.environment, BENCH_NVML: library.library, PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}`, FAKE_SMI_CPU_MS: entry.startCostMs ?? '0' };
      const { stdout } = await execa(process.execPath, [CONTENDER, entry.contender, String(lasting)], { env: environment, extendEnv: false, stderr: 'inherit', timeout: (lasting + 60) * 1000, killSignal: 'SIGKILL' });
      const result = { ...entry, cost: cost.parse(JSON.parse(stdout)) };
      if (result.cost.readings < GPUS) throw new Error(`${entry.label} read nothing`);
      results.push(result);
    }
    return tell(results);
  } finally {
    await library.remove();
    await rm(folder, { recursive: true });
  }
}

function secondsOf(options: readonly string[]): number {
  try {
    const { values } = parseArgs({ args: [...options], options: { seconds: { type: 'string', default: '60' } } });
    const given = parseDuration(values.seconds);
    if (given !== undefined && given >= 1) return given;
  } catch {
    // Told below, together with a number that is none.
  }
  throw new UsageError(['npm run bench -- sampler [--seconds N], with N at least 1']);
}

/** ms of CPU per start, over twenty. */
async function startCost(folder: string): Promise<number> {
  const script = `for (let n = 0; n < 20; n += 1) require('child_process').execFileSync(process.argv[1], ['--query-gpu=power.draw']); process.stdout.write(require('fs').readFileSync('/proc/self/stat', 'utf8'));`;
  const { stdout } = await execa(process.execPath, ['--eval', script, join(folder, 'nvidia-smi')], { env: { FAKE_SMI_CPU_MS: START_COST_MS } });
  return (childSeconds(stdout) / 20) * 1000;
}

const share = ({ missed, rounds }: Cost): number => missed / Math.max(1, missed + rounds);

function tell(results: readonly (Entry & { readonly cost: Cost })[]): boolean {
  const [own, ...others] = results;
  if (!own) return false;
  console.log('| | CPU s | CPU % of a core | to start, s | RSS MB | missed ticks % | our CPU is |');
  console.log('|---|---:|---:|---:|---:|---:|---:|');
  for (const { label, cost: each } of results) {
    const ratio = each === own.cost ? '' : `1/${(each.cpuSeconds / own.cost.cpuSeconds).toFixed(1)}`;
    console.log(`| ${label} | ${each.cpuSeconds.toFixed(2)} | ${((each.cpuSeconds / each.wallSeconds) * 100).toFixed(2)} | ${each.startSeconds.toFixed(2)} | ${each.rssMiB.toFixed(0)} | ${(share(each) * 100).toFixed(2)} | ${ratio} |`);
  }
  const worst = Math.max(...others.filter(({ startCostMs }) => startCostMs === START_COST_MS).map(({ cost: each }) => own.cost.cpuSeconds / each.cpuSeconds));
  const goals: readonly (readonly [string, boolean])[] = [
    [`CPU at most 1/${1 / GOALS.cpuRatio} of either other way (${START_COST_MS} ms a start): 1/${(1 / worst).toFixed(1)}`, worst <= GOALS.cpuRatio],
    [`RSS at most ${GOALS.rssMiB} MB: ${own.cost.rssMiB.toFixed(0)} MB`, own.cost.rssMiB <= GOALS.rssMiB],
    [`missed ticks under ${GOALS.missed * 100} %: ${(share(own.cost) * 100).toFixed(3)} %`, share(own.cost) < GOALS.missed],
  ];
  console.log(`\n${goals.map(([goal, reached]) => `${reached ? 'reached' : 'MISSED '}  ${goal}`).join('\n')}`);
  return goals.every(([, reached]) => reached);
}
