import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { NO_BILL } from '../../no-bill.testing.js';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { instant, seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LiveContext, PowerEvent } from '../../source.js';
import { nvidiaSmi, probeNvidiaSmi, type NvidiaSmiOptions } from './nvidia-smi.js';
import { fieldsKnown } from './nvidia-smi-fields.js';

/**
 * Stands in for nvidia-smi: a real process that prints what the real one prints. It notes its starts, its end and what
 * it was asked in `notes`; `mode` (a file, so that it can change between starts) says how it behaves.
 */
const FAKE = `
const fs = require('fs');
const dir = __dirname;
const note = (text) => fs.appendFileSync(dir + '/notes', text + '\\n');
const mode = fs.readFileSync(dir + '/mode', 'utf8');
if (process.argv.includes('--help-query-gpu')) {
  note('help');
  const help = dir + '/help';
  if (!fs.existsSync(help)) process.exit(9);
  fs.writeSync(1, fs.readFileSync(help, 'utf8'));
  process.exit(0);
}
note('start ' + process.pid + ' ' + process.argv.slice(2).join(' '));
process.on('exit', () => note('end ' + process.pid));
process.on('SIGTERM', () => { note('term'); if (mode !== 'stubborn') process.exit(0); });
const say = (text) => fs.writeSync(1, text);
const row = (gpu, power) => '2026/07/14 08:12:53.500, ' + gpu + ', GPU-' + gpu + gpu + '-x, NVIDIA H100 80GB HBM3, ' + power + ', 97, 63, 1980, 71234\\n';
const header = 'timestamp, index, uuid, name, power.draw [W], utilization.gpu [%], temperature.gpu, clocks.current.sm [MHz], memory.used [MiB]\\n';
const looping = process.argv.includes('-lms');
if (mode === 'failing') { say("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\\n\\n"); process.exit(9); }
if (mode === 'mute') setInterval(() => {}, 1000);
else {
  say(header);
  let round = 0;
  const rounds = () => {
    round += 1;
    if (mode === 'halves') { const text = row(0, 100 + round) + row(1, 200); say(text.slice(0, 70)); setTimeout(() => say(text.slice(70)), 5); return; }
    if (mode === 'absent') { say(row(0, round < 4 ? '[N/A]' : '77.00') + row(1, 200)); return; }
    if (mode === 'flood') { say(round <= 3 ? 'x'.repeat(200000) : row(0, 1)); if (round === 3) say('\\n'); return; }
    if (mode === 'hangs' && round > 3) return;
    if (mode === 'dies' && round > 3) process.exit(15);
    say(row(0, 100 + round) + row(1, 200));
  };
  rounds();
  if (!looping) process.exit(0);
  setInterval(rounds, 20);
}
`;

let directory: string;
let command: string;
let logged: string[];
beforeEach(async () => {
  logged = [];
  directory = await mkdtemp(join(tmpdir(), 'nvidia-smi-'));
  command = join(directory, 'nvidia-smi.cjs');
  await writeFile(command, `#!${process.execPath}\n${FAKE}`);
  await chmod(command, 0o755);
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

const behave = (mode: string): Promise<void> => writeFile(join(directory, 'mode'), mode);
const notes = async (): Promise<string[]> => (await readFile(join(directory, 'notes'), 'utf8')).trim().split('\n');
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
async function startedPids(): Promise<number[]> {
  return (await notes()).filter((line) => line.startsWith('start')).map((line) => Number(line.split(' ')[1]));
}

type Until = (events: readonly PowerEvent[]) => boolean | Promise<boolean>;

async function run(mode: string, until: Until, options: NvidiaSmiOptions = {}): Promise<PowerEvent[]> {
  await behave(mode);
  const stop = new AbortController();
  const log = { info: (message: string) => logged.push(`info ${message}`), warn: (message: string) => logged.push(`warn ${message}`) };
  const context: LiveContext = { now: () => instant(Date.now() / 1000), environment: { PATH: process.env['PATH'] }, signal: stop.signal, log, bill: NO_BILL };
  const events: PowerEvent[] = [];
  for await (const event of nvidiaSmi({ command, period: seconds(0.02), silence: seconds(0.4), start: seconds(5), restart: seconds(0.05), ...options }).events(context)) {
    if (stop.signal.aborted) continue;
    events.push(event);
    if (await until(events)) stop.abort();
  }
  return events;
}
const readings = (events: readonly PowerEvent[]) => events.filter((event) => event.kind === 'reading');
const breaks = (events: readonly PowerEvent[]) => events.filter((event) => event.kind === 'break');
const codes = (events: readonly PowerEvent[]): string[] => events.flatMap((event) => (event.kind === 'flagged' ? [event.code] : []));
const powers = (events: readonly PowerEvent[], device: string): number[] => readings(events).flatMap((event) => (event.measures === 'power' && event.channel.device === device ? [event.power] : []));

describe('a running nvidia-smi', () => {
  it('gives readings and gauges of every GPU, those of one round with one stamp', async () => {
    const events = await run('normal', (soFar) => readings(soFar).length >= 10);
    const [first, second] = readings(events);
    expect(first?.channel).toMatchObject({ id: 'nvidia-smi/GPU-00-x/power.draw', device: 'GPU-00-x', index: 0, boundary: 'gpu', source: 'nvidia-smi', measures: 'power', sensor: { gain: { low: -0.05, high: 0.05 }, averagedOver: 1, refresh: 0.1 } });
    expect(first?.channel.use).toBeUndefined();
    expect(powers(events, 'GPU-00-x').slice(0, 3)).toEqual([101, 102, 103]);
    expect(second?.at).toBe(first?.at);
    expect(Math.abs((first?.at ?? 0) - Date.now() / 1000)).toBeLessThan(10);
    expect(events.filter((event) => event.kind === 'gauge' && event.device === 'GPU-00-x').slice(0, 4)).toMatchObject([
      { gauge: 'gpu.utilization', value: 0.97 },
      { gauge: 'gpu.temperature', value: 63 },
      { gauge: 'gpu.clock.sm', value: 1980 },
      { gauge: 'gpu.memory.used', value: 71_234 },
    ]);
    expect((await notes())[1]).toMatch(/--query-gpu=timestamp,index,uuid,name,power\.draw,\S+ --format=csv,nounits -lms 20$/);
  });

  it('is asked to end when the signal aborts, and the iterable ends with it', async () => {
    await run('normal', (soFar) => readings(soFar).length >= 4);
    const [pid = 0] = await startedPids();
    expect(isAlive(pid)).toBe(false);
    expect(await notes()).toContain('term');
  });

  it('is killed when it does not end in 2 s', async () => {
    const began = performance.now();
    await run('stubborn', (soFar) => readings(soFar).length >= 4);
    const [pid = 0] = await startedPids();
    expect(isAlive(pid)).toBe(false);
    expect(performance.now() - began).toBeLessThan(6000);
  });

  it('puts rows together that arrive in halves', async () => {
    const events = await run('halves', (soFar) => readings(soFar).length >= 6);
    expect(powers(events, 'GPU-00-x').slice(0, 3)).toEqual([101, 102, 103]);
    expect(codes(events)).toEqual([]);
  });

  it('does not make a reading of [N/A]; says so once and counts the rest', async () => {
    const events = await run('absent', (soFar) => powers(soFar, 'GPU-00-x').length >= 2);
    expect(powers(events, 'GPU-00-x')).toEqual([77, 77]);
    expect(powers(events, 'GPU-11-x').length).toBeGreaterThan(3);
    expect(events.filter((event) => event.kind === 'flagged')).toMatchObject([
      { code: 'MISSING_READINGS', count: 1, device: 'GPU-00-x' },
      { code: 'MISSING_READINGS', count: 2, device: 'GPU-00-x' },
    ]);
  });

  it('drops a line without end and goes on', async () => {
    const events = await run('flood', (soFar) => readings(soFar).length >= 2);
    expect(codes(events)).toEqual(['SKIPPED_LINES']);
  });
});

describe('an nvidia-smi in trouble', () => {
  it('that dies is started again, with a break over every channel in between', async () => {
    const events = await run('dies', (soFar) => breaks(soFar).length >= 3);
    expect(breaks(events)[0]?.channels.map((channel) => channel.device)).toEqual(['GPU-00-x', 'GPU-11-x']);
    expect(breaks(events)[0]?.reason).toContain('exit code 15');
    expect(powers(events, 'GPU-00-x')).toEqual([101, 102, 103, 101, 102, 103, 101, 102, 103]);
  });

  it('that hangs is killed and started again, never two at a time', async () => {
    const events = await run('hangs', (soFar) => breaks(soFar).length >= 2 && readings(soFar).length > 12);
    expect(breaks(events)[0]?.reason).toContain('silent for 0.4 s');
    const pids = await startedPids();
    expect(pids.length).toBeGreaterThanOrEqual(3);
    expect(pids.filter(isAlive)).toEqual([]);
  });

  it('that says nothing at all is given time to start, then killed', async () => {
    const events = await run('mute', (soFar) => codes(soFar).length > 0, { start: seconds(0.3) });
    expect(events).toMatchObject([{ kind: 'flagged', code: 'NVIDIA_SMI_FAILED' }]);
  });

  it('that fails speaks on stdout: no reading, one log line, one flag, however often it is tried; and back again', async () => {
    const events = await run('failing', async (soFar) => {
      if (codes(soFar).length > 0 && (await startedPids()).length === 1) {
        // Let it fail a few times more before the driver is back.
        while ((await startedPids()).length < 3) await new Promise((resolve) => setTimeout(resolve, 20));
        await behave('normal');
      }
      return readings(soFar).length >= 4;
    });
    expect(codes(events)).toEqual(['NVIDIA_SMI_FAILED']);
    expect(events.find((event) => event.kind === 'flagged')?.detail).toContain("couldn't communicate with the NVIDIA driver");
    expect(logged.map((line) => line.slice(0, 4))).toEqual(['warn', 'info']);
  });

  it('that is not there is an error that says to go on without it', async () => {
    await expect(run('normal', () => true, { command: join(directory, 'missing') })).rejects.toMatchObject({ code: 'NVIDIA_SMI_MISSING', remedy: 'disable' });
  });
});

describe('what is asked', () => {
  const HELP = 'List of valid properties\n\n"timestamp"\nThe time.\n\n"power.draw"\nThe last measured power draw.\n\n"power.draw.average" or "gpu.power.draw.average"\n\n"enforced.power.limit" or "gpu.power.current_limit"\n\n"clocks_event_reasons.active" or "clocks_throttle_reasons.active"\n';

  it('is what this nvidia-smi knows, asked once', async () => {
    await writeFile(join(directory, 'help'), HELP);
    await run('dies', (soFar) => breaks(soFar).length >= 2);
    const asked = (await notes()).filter((line) => line.startsWith('start')).map((line) => /--query-gpu=(\S+)/.exec(line)?.[1]);
    expect(new Set(asked)).toEqual(new Set(['timestamp,index,uuid,name,power.draw,utilization.gpu,temperature.gpu,clocks.sm,memory.used,power.draw.average,enforced.power.limit,clocks_event_reasons.active']));
    expect((await notes()).filter((line) => line === 'help')).toHaveLength(1);
  });

  it('is what all know, where it does not say; and it is asked again', async () => {
    await run('dies', (soFar) => breaks(soFar).length >= 2);
    expect((await notes()).filter((line) => line === 'help').length).toBeGreaterThanOrEqual(2);
    expect((await notes())[1]).toContain('memory.used --format');
  });

  it('takes the older of two names where only that is known, and no text for a list', () => {
    expect(fieldsKnown('"power.draw"\n"clocks_throttle_reasons.active"\n')).toMatch(/,clocks_throttle_reasons\.active$/);
    expect(fieldsKnown("NVIDIA-SMI has failed because it couldn't communicate")).toBeUndefined();
  });
});

describe('looking for it', () => {
  it('finds GPUs that say their power', async () => {
    await behave('normal');
    expect(await probeNvidiaSmi(process.env, command)).toEqual({ found: true, gpus: 2 });
  });

  it.each([
    ['failing', 10, /exit code 9: NVIDIA-SMI has failed/],
    ['mute', 0.5, /did not answer within 0\.5 s/],
  ])('says why not: %s', async (mode, patience, reason) => {
    await behave(mode);
    const probe = await probeNvidiaSmi(process.env, command, seconds(patience));
    expect(probe.found ? '' : probe.reason).toMatch(reason);
  });

  it('says that it is not installed', async () => {
    expect(await probeNvidiaSmi({ PATH: directory }, 'nvidia-smi')).toEqual({ found: false, reason: "'nvidia-smi' is not on this machine" });
  });
});
