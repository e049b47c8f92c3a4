/**
 * On a machine with an NVIDIA GPU: what its sensors say of the same minutes, as the table of docs/hardware.md.
 *
 *     node test/dist/hardware/compare-sensors.js [--seconds 30] [--gpu GPU-…] [--python python3] [--nvidia-smi nvidia-smi] [--library FILE]
 *
 * Under each load NVML's counter, NVML's and nvidia-smi's average and instant power run side by side over the same
 * stretch, and their energies are compared with the counter's. Loads need PyTorch with CUDA; without it only idle is run.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { integrator, type Span } from '@joulebook/agent/sampler/integrator.js';
import { nvidiaSmiCells } from '@joulebook/agent/sources/power/nvidia/nvidia-smi-row.js';
import { nvml } from '@joulebook/agent/sources/power/nvidia/nvml.js';
import type { Channel, LiveContext, Reading } from '@joulebook/agent/sources/source.js';
import { instant, seconds, watts, type Instant } from '@joulebook/shared/units.js';
import { execa } from 'execa';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    gpu: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    'nvidia-smi': { type: 'string', default: 'nvidia-smi' },
    library: { type: 'string' },
  },
});
const lasting = Number(options.seconds);

/** A load that ends by itself a little after it is needed, should this program be killed. */
const load = (body: string): string => `
import time, torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
b = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
torch.cuda.synchronize()
print("ready", flush=True)
end = time.monotonic() + ${lasting + 20}
while time.monotonic() < end:
${body}
`;
const LOADS: readonly { readonly name: string; readonly script?: string }[] = [
  { name: 'idle' },
  { name: 'matrix product, without a pause', script: load('    for _ in range(20): a @ b\n    torch.cuda.synchronize()') },
  {
    name: '10 Hz, half of the time on',
    script: load('    tick = time.monotonic()\n    while time.monotonic() < tick + 0.05:\n        a @ b\n        torch.cuda.synchronize()\n    time.sleep(max(0, tick + 0.1 - time.monotonic()))'),
  },
];

const COLUMNS = ['energy', 'power.average', 'power.instant', 'power.draw.average', 'power.draw.instant'] as const;
const TITLES = ['NVML counter, J', 'NVML average', 'NVML instant', 'nvidia-smi average', 'nvidia-smi instant'];
/** The load's rise and an average's ramp are left out. */
const SETTLE_SECONDS = 3;

const now = (): Instant => instant(Date.now() / 1000);

async function nvmlReadings(from: () => number, stop: AbortSignal): Promise<Reading[]> {
  const context: LiveContext = { now, environment: process.env, signal: stop, bill: { read: () => undefined, missed: () => undefined }, log: { info: () => undefined, warn: (message) => console.error(message) } };
  const readings: Reading[] = [];
  for await (const event of nvml({ period: seconds(0.1), library: options.library }).events(context)) {
    if (event.kind === 'flagged') console.error(`${event.code}: ${event.detail}`);
    if (event.kind === 'reading' && event.at >= from() && event.channel.boundary === 'gpu') readings.push(event);
  }
  return readings;
}

/** One long-lived nvidia-smi; stamps are those of arrival, as the agent's are. */
async function smiReadings(from: () => number, stop: AbortSignal): Promise<Reading[]> {
  const fields = ['power.draw.average', 'power.draw.instant'] as const;
  const child = execa(options['nvidia-smi'], [`--query-gpu=uuid,${fields.join(',')}`, '--format=csv,noheader,nounits', '-lms', '100'], { stdin: 'ignore', stderr: 'ignore', buffer: false, reject: false, cancelSignal: stop, timeout: (lasting + 60) * 1000, killSignal: 'SIGKILL' });
  const readings: Reading[] = [];
  for await (const line of child) {
    const at = now();
    const [device = '', ...cells] = nvidiaSmiCells(line);
    for (const [place, field] of fields.entries()) {
      const power = Number.parseFloat(cells[place] ?? '');
      const channel: Channel = { id: `smi/${device}/${field}`, device, boundary: 'gpu', source: 'nvidia-smi', measures: 'power', sensor: { gain: { low: -0.05, high: 0.05 } } };
      if (Number.isFinite(power) && at >= from()) readings.push({ kind: 'reading', channel, at, measures: 'power', power: watts(power) });
    }
  }
  return readings;
}

interface Stretch {
  readonly watts: number;
  readonly refresh: number | undefined;
}

/** Mean power over what each channel covered: their first and last readings differ by up to a period. */
function meanPower(readings: readonly Reading[]): Map<string, Stretch> {
  const sums = integrator(() => seconds(1.5));
  const spans = readings.flatMap((reading): Span[] => {
    const { span } = sums.accept(reading);
    return span ? [span] : [];
  });
  const means = new Map<string, Stretch>();
  for (const { channel } of readings) {
    const mine = spans.filter((span) => span.channel.id === channel.id);
    const joules = mine.reduce((sum, { microjoules }) => sum + microjoules, 0) / 1e6;
    const covered = mine.reduce((sum, { from, to }) => sum + (to - from), 0);
    if (covered > 0) means.set(`${channel.device} ${channel.id.slice(channel.id.lastIndexOf('/') + 1)}`, { watts: joules / covered, refresh: channel.sensor.refresh });
  }
  return means;
}

async function underLoad(script: string | undefined, work: () => Promise<void>): Promise<boolean> {
  if (script === undefined) {
    await work();
    return true;
  }
  const child = execa(options.python, ['-c', script], { stdin: 'ignore', stderr: 'ignore', buffer: false, reject: false, timeout: (lasting + 90) * 1000, killSignal: 'SIGKILL', env: options.gpu === undefined ? {} : { CUDA_VISIBLE_DEVICES: options.gpu } });
  try {
    for await (const line of child) {
      if (line.trim() !== 'ready') continue;
      await work();
      return true;
    }
    return false;
  } finally {
    child.kill('SIGKILL');
  }
}

console.log(`| GPU | load | ${TITLES.join(' | ')} | instant changes every |\n|---|---|${'---:|'.repeat(TITLES.length + 1)}`);
for (const { name, script } of LOADS) {
  const all: Reading[] = [];
  const ran = await underLoad(script, async () => {
    const stop = new AbortController();
    let from = Number.POSITIVE_INFINITY;
    const reading = [nvmlReadings(() => from, stop.signal), smiReadings(() => from, stop.signal)];
    await sleep(SETTLE_SECONDS * 1000);
    from = now();
    await sleep(lasting * 1000);
    stop.abort();
    all.push(...(await Promise.all(reading)).flat());
  });
  if (!ran) {
    console.error(`'${name}' was not run: ${options.python} can't import torch with CUDA.`);
    continue;
  }
  const means = meanPower(all);
  for (const device of new Set(all.map(({ channel }) => channel.device))) {
    if (options.gpu !== undefined && options.gpu !== device) continue;
    const counter = means.get(`${device} energy`)?.watts;
    const cells = COLUMNS.map((column) => {
      const mean = means.get(`${device} ${column}`)?.watts;
      if (mean === undefined) return 'not said';
      if (column === 'energy') return (mean * lasting).toFixed(0);
      return counter === undefined ? `${mean.toFixed(1)} W` : `${((mean / counter - 1) * 100).toFixed(2)} %`;
    });
    const refresh = means.get(`${device} power.instant`)?.refresh;
    console.log(`| ${device} | ${name} | ${cells.join(' | ')} | ${refresh === undefined ? 'not found' : `${(refresh * 1000).toFixed(0)} ms`} |`);
  }
}
