/**
 * A recording made up by a small model of a serving engine, for machines without a GPU: a tensor-parallel pair of GPUs
 * with continuous batching, under load that comes and goes. It is written in the formats of real machines (nvidia-smi
 * CSV, one JSON line per request) and is always the same. None of its figures says anything about any real hardware.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const LENGTH_SECONDS = 240;
const STEP_SECONDS = 0.02;
const SAMPLE_SECONDS = 0.2;
const GPUS = ['GPU-00000000-0000-4000-8000-00000000d0e0', 'GPU-00000000-0000-4000-8000-00000000d0e1'];
const START_EPOCH_SECONDS = Date.UTC(2026, 0, 1) / 1000;
const PREFILL_TOKENS_PER_STEP = 512;
const MOST_RUNNING = 24;

interface Running {
  readonly start: number;
  readonly input: number;
  readonly output: number;
  left: number;
  made: number;
  firstToken?: number;
}

/** Mulberry32: small, seeded, good enough for a demonstration. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const stamp = (epoch: number): string => new Date(Math.round(epoch * 1000)).toISOString().replace(/-/g, '/').replace('T', ' ').replace('Z', '');

export interface Demonstration {
  readonly power: string;
  readonly requests: string;
  readonly manifest: string;
}

export function demonstration(): Demonstration {
  const draw = random(20260101);
  const waiting: Running[] = [];
  const running: Running[] = [];
  const requests: string[] = [];
  const rows = ['timestamp, index, uuid, power.draw [W], utilization.gpu [%], temperature.gpu, clocks.current.sm [MHz], memory.used [MiB]'];
  const temperature = GPUS.map(() => 41);
  let sampled = 0;

  for (let at = 0; at < LENGTH_SECONDS; at += STEP_SECONDS) {
    // A tide of half a minute, and silence at the end so that the loop begins with nobody running.
    const rate = at > LENGTH_SECONDS - 25 ? 0 : 1.1 + Math.sin((2 * Math.PI * at) / 30);
    if (draw() < rate * STEP_SECONDS) waiting.push({ start: at, input: Math.round(200 + 3000 * draw() ** 3), output: Math.round(40 + 400 * draw() ** 2), left: 0, made: 0 });
    while (waiting.length > 0 && running.length < MOST_RUNNING) {
      const next = waiting.shift();
      if (next) running.push({ ...next, left: next.input });
    }

    const prefilling = running.find((request) => request.left > 0);
    const decoding = running.filter((request) => request.firstToken !== undefined);
    if (prefilling) {
      prefilling.left = Math.max(0, prefilling.left - PREFILL_TOKENS_PER_STEP);
      if (prefilling.left === 0) Object.assign(prefilling, { firstToken: at + STEP_SECONDS, made: 1 });
    }
    for (const request of decoding) request.made += 1;
    for (const request of running.filter((each) => each.made >= each.output)) {
      running.splice(running.indexOf(request), 1);
      requests.push(JSON.stringify({ start: START_EPOCH_SECONDS + request.start, firstToken: START_EPOCH_SECONDS + (request.firstToken ?? at), end: START_EPOCH_SECONDS + at + STEP_SECONDS, inputTokens: request.input, cachedInputTokens: 0, outputTokens: request.output, status: 'ok' }));
    }

    const load = prefilling ? 620 : decoding.length > 0 ? 290 + 9 * decoding.length : 92;
    if (at >= sampled * SAMPLE_SECONDS) {
      for (const [index, uuid] of GPUS.entries()) {
        const watts = load * (1 + 0.012 * index) + 8 * (draw() - 0.5);
        temperature[index] = (temperature[index] ?? 41) * 0.99 + 0.01 * (34 + watts / 14);
        rows.push([stamp(START_EPOCH_SECONDS + at), index, uuid, watts.toFixed(2), prefilling || decoding.length > 0 ? 99 : 0, Math.round(temperature[index] ?? 41), load > 100 ? 1755 : 345, 71_234].join(', '));
      }
      sampled += 1;
    }
  }
  return { power: `${rows.join('\n')}\n`, requests: `${requests.join('\n')}\n`, manifest: MANIFEST };
}

const MANIFEST = `# A demonstration: made up by a model, measured nowhere.
node: demonstration
labels: { engine: demonstration }
power:
  - { format: nvidia-smi-csv, file: power.csv, tz: UTC }
serving:
  - { format: requests, file: requests.jsonl, deployment: chat, model: demonstration-8b }
`;

export async function writeDemonstration(folder: string): Promise<void> {
  const { power, requests, manifest } = demonstration();
  await mkdir(folder, { recursive: true });
  await Promise.all([writeFile(join(folder, 'power.csv'), power), writeFile(join(folder, 'requests.jsonl'), requests), writeFile(join(folder, 'recording.yaml'), manifest)]);
}
