/** Stands in for nvidia-smi where there is no GPU: its options, its output, two GPUs of known power. */
import { appendFileSync } from 'node:fs';
import { DateTime } from 'luxon';
import { powerAt } from './known-power.js';

const options = process.argv.slice(2).join(' ');
const fields = /--query-gpu=(\S+)/.exec(options)?.[1]?.split(',');
const period = Number(/-lms[= ](\d+)/.exec(options)?.[1]);
const bare = options.includes('nounits');
const UNITS: Readonly<Record<string, string>> = { 'power.draw': 'W', 'power.draw.average': 'W', 'power.draw.instant': 'W', 'utilization.gpu': '%', 'memory.used': 'MiB', 'clocks.sm': 'MHz' };
const GPUS = [0, 1];
/** Nobody is left behind: it ends by itself should its test be killed. */
const LONGEST_LIFE_MS = 300_000;

const say = (lines: readonly string[]): void => void process.stdout.write(lines.map((line) => `${line}\n`).join(''));

function valueOf(field: string, gpu: number, at: number): string {
  switch (field) {
    case 'timestamp':
      return DateTime.fromMillis(Math.round(at * 1000)).toFormat('yyyy/LL/dd HH:mm:ss.SSS');
    case 'index':
      return String(gpu);
    case 'uuid':
      return `GPU-stand-in-${gpu}`;
    case 'name':
      return 'Stand-in';
    case 'power.draw':
      return powerAt(gpu, at).toFixed(2);
    case 'utilization.gpu':
      return '97';
    case 'temperature.gpu':
      return '55';
    default:
      return '[N/A]';
  }
}

function round(asked: readonly string[]): void {
  const at = Date.now() / 1000;
  say(GPUS.map((gpu) => asked.map((field) => `${valueOf(field, gpu, at)}${bare || !UNITS[field] ? '' : ` ${UNITS[field]}`}`).join(', ')));
}

if (!fields) {
  say(GPUS.map((gpu) => `GPU ${gpu}: Stand-in (UUID: GPU-stand-in-${gpu})`));
} else {
  const pids = process.env['STAND_IN_PIDS'];
  if (pids !== undefined && period > 0) appendFileSync(pids, `${process.pid}\n`);
  if (!options.includes('noheader')) say([fields.map((field) => (UNITS[field] ? `${field} [${UNITS[field]}]` : field)).join(', ')]);
  round(fields);
  if (period > 0) loop(fields);
}

function loop(asked: readonly string[]): void {
  const start = performance.now();
  let done = 0;
  const next = (): void => {
    done += 1;
    round(asked);
    setTimeout(next, start + (done + 1) * period - performance.now());
  };
  setTimeout(next, period);
  process.stdout.on('error', () => process.exit(0));
  setTimeout(() => process.exit(0), LONGEST_LIFE_MS).unref();
}
