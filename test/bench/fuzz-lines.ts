/**
 * A million lines of engines' logs, most of them broken, read by the very pipeline of the agent beside a GPU at a constant power. Goal: no
 * crash; whatever a log says, the joules are those of the GPU, to the microjoule, and no sum of tokens is below zero or no number.
 *
 * The lines are those of real logs where they are at hand, cut, doubled, run together and with signs, numbers, bytes and letters in them
 * that nobody expects.
 */
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Random } from '@joulebook/agent/simulate/random.js';
import { decodeBatch } from '@joulebook/shared/batch.js';
import { replayEndsHere } from '../support/pipe.js';

const REAL = fileURLToPath(new URL('../../../../shared/logs', import.meta.url));
/** Formats by how the names of real logs begin. */
const FORMATS: Readonly<Record<string, string>> = {
  vllm: 'vllm-log', sglang: 'sglang-log', dynamo: 'dynamo-log', tgi: 'tgi-log', lmdeploy: 'lmdeploy-log', trtllm: 'trtllm-log', llamacpp: 'llamacpp-log', ollama: 'ollama-log', litellm: 'litellm-log', envoy: 'envoy-ai-gateway',
};
const OWN: Readonly<Record<string, readonly string[]>> = {
  vllm: ['INFO 07-01 12:00:10 [loggers.py:248] Engine 000: Avg prompt throughput: 96.0 tokens/s, Avg generation throughput: 18.3 tokens/s, Running: 2 reqs, Waiting: 0 reqs, GPU KV cache usage: 1.0%, Prefix cache hit rate: 0.0%'],
  sglang: ['[2026-07-01 12:00:12] Decode batch, #running-req: 2, #token: 1091, token usage: 0.02, cuda graph: True, gen throughput (token/s): 200.00, #queue-req: 0, '],
};
const LINES_PER_FILE = 5000;
const SECONDS = 60;
const WATTS = 300;
const START = Date.UTC(2026, 6, 1, 12);

const timeOf = (second: number): string => new Date(START + second * 1000).toISOString();
const POWER = ['timestamp, index, uuid, power.draw [W]', ...Array.from({ length: SECONDS + 1 }, (_, second) => `${timeOf(second).slice(0, 23).replaceAll('-', '/').replace('T', ' ')}, 0, GPU-0, ${WATTS}.00 W`)].join('\n');

/** Their times, in whatever year they were, become those of the minute in which power was measured. */
const inWindow = (line: string): string => line.replaceAll(/\d{4}([-/])\d\d[-/]\d\d([T ])\d\d:\d\d(?=:\d\d)/g, (_, day: string, time: string) => `2026${day}07${day}01${time}12:00`).replaceAll(/\b\d\d-\d\d \d\d:\d\d(?=:\d\d)/g, '07-01 12:00');

async function samples(): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map(Object.entries(OWN).map(([engine, lines]) => [engine, [...lines]]));
  if (!existsSync(REAL)) {
    console.log('lines: ../shared/logs is not here; lines of vLLM and SGLang written by hand');
    return found;
  }
  for (const name of readdirSync(REAL).filter((each) => each.endsWith('.log'))) {
    const engine = name.split('-', 1)[0] ?? '';
    if (!(engine in FORMATS)) continue;
    const lines = (await readFile(join(REAL, name), 'utf8')).split('\n').slice(0, 400).map(inWindow);
    found.set(engine, [...(found.get(engine) ?? []), ...lines]);
  }
  return found;
}

const ODD = ['-1', '1e309', 'NaN', '\u0000', '\uD800', '9'.repeat(40), '{', '"', '\u202E', '\r', 'null', ', '] as const;
const pick = <T>(random: Random, all: readonly T[]): T | undefined => all[Math.floor(random.between(0, all.length))];

function broken(random: Random, lines: readonly string[]): string {
  const line = pick(random, lines) ?? '';
  const at = Math.floor(random.between(0, line.length + 1));
  const kinds = [
    () => line.slice(0, at), () => line.slice(at), () => line + line, () => line + (pick(random, lines) ?? ''), () => line.slice(0, at) + (pick(random, ODD) ?? '') + line.slice(at + 1),
    () => line.replaceAll(/\d+/g, (digits) => (random.chance(0.3) ? (pick(random, ODD) ?? '') : digits)), () => line.replaceAll(/\d/g, () => String(Math.floor(random.between(0, 10)))), () => line, () => `${line.slice(0, at)}${'x'.repeat(random.chance(0.02) ? 100_000 : 10)}`,
  ] as const;
  return pick(random, kinds)?.() ?? line;
}

interface Sums {
  readonly microjoules: bigint;
  readonly output: number;
}

function sumsOf(batches: string): Sums {
  let [microjoules, output] = [0n, 0];
  for (const line of batches.trim().split('\n')) {
    for (const slice of decodeBatch(line).slices) {
      if (slice.kind === 'energy') microjoules += BigInt(slice.microjoules);
      if (slice.kind !== 'tokens') continue;
      if (!(slice.count >= 0) || !Number.isFinite(slice.count)) throw new Error(`${slice.count} tokens`);
      output += slice.count;
    }
  }
  return { microjoules, output };
}

/** @returns whether all was as it should be */
export async function fuzzLines(lines: number, seed: number): Promise<boolean> {
  const all = await samples();
  const folder = await mkdtemp(join(tmpdir(), 'joulebook-fuzz-lines-'));
  const begun = performance.now();
  const counts = new Map<string, { files: number; refused: number; output: number }>();
  let peak = 0;
  let isRight = true;
  try {
    await writeFile(join(folder, 'power.csv'), POWER);
    const engines = [...all.keys()].toSorted();
    for (let file = 0; file * LINES_PER_FILE < lines; file += 1) {
      const engine = engines[file % engines.length] ?? '';
      const random = new Random(seed + file, 'lines');
      const content = Array.from({ length: LINES_PER_FILE }, () => broken(random, all.get(engine) ?? []));
      await writeFile(join(folder, 'serving.log'), content.join('\n'));
      const window = `{ from: "${timeOf(0)}", to: "${timeOf(SECONDS)}" }`;
      await writeFile(join(folder, 'recording.yaml'), `node: n\nwindow: ${window}\npower: [{ format: nvidia-smi-csv, file: power.csv, tz: UTC }]\nserving: [{ format: ${FORMATS[engine]}, file: serving.log, tz: UTC, deployment: chat }]\n`);
      const { exitCode, stdout, stderr } = await replayEndsHere(folder);
      const known = counts.get(engine) ?? { files: 0, refused: 0, output: 0 };
      const sums = exitCode === 0 ? sumsOf(stdout) : undefined;
      if (sums && sums.microjoules !== BigInt(WATTS * SECONDS) * 1_000_000n) {
        isRight = false;
        console.log(`WRONG    seed ${seed}, file ${file} (${engine}): ${sums.microjoules} µJ of ${WATTS * SECONDS} J`);
      }
      if (exitCode !== 0 && known.refused === 0) console.log(`refused  ${engine}: ${stderr.slice(0, 200)}`);
      counts.set(engine, { files: known.files + 1, refused: known.refused + (exitCode === 0 ? 0 : 1), output: known.output + (sums?.output ?? 0) });
      peak = Math.max(peak, process.memoryUsage.rss() / 2 ** 20);
      if (file % 20 === 19) process.stderr.write(`${(file + 1) * LINES_PER_FILE} lines, RSS ${Math.round(peak)} MiB at most\n`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  console.log(`seed ${seed}: ${lines} lines in ${Math.round((performance.now() - begun) / 1000)} s, no crash, ${isRight ? 'no wrong sum' : 'WRONG SUMS'}; RSS at most ${Math.round(peak)} MiB`);
  for (const [engine, { files, refused, output }] of counts) console.log(`  ${engine.padEnd(10)}${files} files, ${refused} refused, ${output} tokens told`);
  return isRight;
}
