/**
 * The facts of the bench `ingest`: what an agent sends of a server with 8 GPUs in 10 s, made by the simulator and `replay` and
 * told as a live agent tells them (requests summed by their cell). Other nodes and later moments are copies with devices,
 * stream and amounts of their own, so that a store can't fold them into one.
 *
 *     8 cells of 10 s of one server  ──▶  batch (node, sequence): cell (node + sequence) mod 8, at begin + sequence × 10 s
 */
import { readFile, writeFile } from 'node:fs/promises';
import { readManifest } from '@joulebook/agent/recording/manifest.js';
import { replay } from '@joulebook/agent/recording/replay.js';
import { Random } from '@joulebook/agent/simulate/random.js';
import { planOf, simulationSchema } from '@joulebook/agent/simulate/recording.js';
import { write } from '@joulebook/agent/simulate/write.js';
import { decodeBatch, encodeBatch, SCHEMA_VERSION, type Batch } from '@joulebook/shared/batch.js';
import type { EnergySlice, RequestsSlice, Slice } from '@joulebook/shared/slice.js';
import { epochMicros, microjoules, seconds, type EpochMicros } from '@joulebook/shared/units.js';

export const CELL_SECONDS = 10;
const CELL_MICROS = CELL_SECONDS * 1e6;
const CELLS = 8;
/** One that was just begun is cut, and the sensors' first readings are told as flags. */
const FIRST_CELL = 1;
const SERVER = {
  seed: 3, duration: '100s', hardware: 'h100-8b', engine: { ranks: 8 }, pauses: [],
  traffic: [{ work: 'chat', arrivals: { kind: 'poisson', perSecond: 24 } }, { work: 'rag', arrivals: { kind: 'gamma', perSecond: 2, cv: 2 }, aborts: 0.02 }],
  recording: {
    power: [{ format: 'nvidia-smi-csv', period: '1s' }, { format: 'rapl', period: '1s' }, { format: 'ipmi-dcmi', period: '2s' }],
    serving: [{ format: 'requests' }, { format: 'vllm-metrics', tokens: 'evidence' }],
  },
};

export type Cells = readonly (readonly Slice[])[];

/** Recordings tell each request; a live agent tells how many ended in each cell of the latency scale. */
function asLive(slices: readonly Slice[]): Slice[] {
  const cells = new Map<string, RequestsSlice>();
  const others: Slice[] = [];
  for (const slice of slices) {
    if (slice.kind !== 'requests') {
      others.push(slice);
      continue;
    }
    const { request: _request, inputBand: _band, concurrencyBand: _concurrency, prefillMicrojoules: _prefill, decodeMicrojoules: _decode, ...fact } = slice;
    const key = JSON.stringify([fact.deployment, fact.model, fact.outcome, fact.ttftBucket, fact.tpotBucket]);
    const known = cells.get(key);
    const sum = (name: 'requests' | 'inputTokens' | 'cachedInputTokens' | 'outputTokens'): number => fact[name] + (known?.[name] ?? 0);
    cells.set(key, { ...fact, requests: sum('requests'), inputTokens: sum('inputTokens'), cachedInputTokens: sum('cachedInputTokens'), outputTokens: sum('outputTokens') });
  }
  return [...others, ...cells.values()];
}

/** Simulates the server and replays it, once for all contestants. */
export async function simulatedCells(folder: string): Promise<Cells> {
  await write(planOf(simulationSchema.parse(SERVER), 'the server of the bench ingest'), folder, () => undefined);
  const cells = new Map<number, Slice[]>();
  for await (const batch of replay(await readManifest(folder), { slice: CELL_SECONDS }, () => undefined)) {
    for (const slice of batch.slices) {
      const cell = Math.floor(slice.from / CELL_MICROS);
      const known = cells.get(cell);
      if (known) known.push(slice);
      else cells.set(cell, [slice]);
    }
  }
  return [...cells.keys()].toSorted((a, b) => a - b).slice(FIRST_CELL, FIRST_CELL + CELLS).map((cell) => asLive(cells.get(cell) ?? []));
}

export const writeCells = (path: string, cells: Cells): Promise<void> => writeFile(path, cells.map((slices, sequence) => encodeBatch({ schema: SCHEMA_VERSION, stream: '0'.repeat(32), sequence, node: 'simulated', slices: [...slices] })).join('\n'));
export const readCells = async (path: string): Promise<Cells> => (await readFile(path, 'utf8')).split('\n').map((line) => decodeBatch(line).slices);

/** A share of what was simulated. The parts of an energy stay parts of it. */
function scaled(slice: Slice, share: number): Slice {
  const whole = (value: number): number => Math.round(value * share);
  const optional = (name: 'lowMicrojoules' | 'highMicrojoules' | 'divisionMicrojoules', energy: EnergySlice) => (energy[name] === undefined ? {} : { [name]: microjoules(whole(energy[name])) });
  switch (slice.kind) {
    case 'energy':
      return {
        ...slice, microjoules: microjoules(whole(slice.microjoules)), modelledMicrojoules: microjoules(whole(slice.modelledMicrojoules)), seconds: seconds(slice.seconds * share), askedSeconds: seconds(slice.askedSeconds * share),
        ...optional('lowMicrojoules', slice), ...optional('highMicrojoules', slice), ...optional('divisionMicrojoules', slice),
      };
    case 'tokens':
      return { ...slice, count: whole(slice.count) };
    case 'requests':
      return { ...slice, inputTokens: whole(slice.inputTokens), cachedInputTokens: whole(slice.cachedInputTokens), outputTokens: whole(slice.outputTokens) };
    case 'gauge':
      return { ...slice, valueSeconds: slice.valueSeconds * share };
    case 'flag':
      return slice;
    default:
      return slice satisfies never;
  }
}

export const nodeName = (node: number): string => `gpu-${String(node).padStart(5, '0')}`;
/** A GPU's UUID ends in the node's number; other devices are told apart by their node. */
const deviceOf = (device: string, node: number): string => (/^GPU-[0-9a-f-]{36}$/.test(device) ? `${device.slice(0, -12)}${String(node).padStart(12, '0')}` : device);

/** Of this node, sent as its batch `sequence`: the 10 s that begin then. */
export function batchOf(cells: Cells, begin: EpochMicros, node: number, sequence: number): Batch {
  const from = epochMicros(begin + sequence * CELL_MICROS);
  const place = { from, to: epochMicros(from + CELL_MICROS), labels: { engine: 'vllm', quantization: node % 3 === 0 ? 'fp8' : 'fp16' } };
  const random = new Random(node, String(sequence));
  const slices = (cells[(node + sequence) % cells.length] ?? []).map((slice): Slice => {
    const mine = { ...scaled(slice, 0.95 + 0.05 * random.next()), ...place };
    return 'device' in mine && mine.device !== undefined ? { ...mine, device: deviceOf(mine.device, node) } : mine;
  });
  return { schema: SCHEMA_VERSION, stream: node.toString(16).padStart(32, '0'), sequence, node: nodeName(node), slices };
}

/** What a store must say that it has; the amounts stay below 2^53. */
export interface Truth {
  readonly facts: number;
  readonly gpuMicrojoules: number;
  readonly outputTokens: number;
  readonly requests: number;
}
export const NOTHING: Truth = { facts: 0, gpuMicrojoules: 0, outputTokens: 0, requests: 0 };

export const plus = (a: Truth, b: Truth): Truth => ({ facts: a.facts + b.facts, gpuMicrojoules: a.gpuMicrojoules + b.gpuMicrojoules, outputTokens: a.outputTokens + b.outputTokens, requests: a.requests + b.requests });

export const truthOf = ({ slices }: Batch): Truth => ({
  facts: slices.length,
  gpuMicrojoules: slices.reduce((sum, slice) => sum + (slice.kind === 'energy' && slice.boundary === 'gpu' ? slice.microjoules : 0), 0),
  outputTokens: slices.reduce((sum, slice) => sum + (slice.kind === 'tokens' && slice.token === 'output' ? slice.count : 0), 0),
  requests: slices.reduce((sum, slice) => sum + (slice.kind === 'requests' ? slice.requests : 0), 0),
});
export const isSame = (a: Truth, b: Truth): boolean => a.facts === b.facts && a.gpuMicrojoules === b.gpuMicrojoules && a.outputTokens === b.outputTokens && a.requests === b.requests;
