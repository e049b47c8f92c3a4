/** A simulation in a folder of its own, for tests. */
import { mkdtempSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { readManifest } from '../recording/manifest.js';
import { openRecording, type OpenedRecording } from '../recording/open.js';
import type { ServingEvent } from '../sources/source.js';
import { planOf, simulationSchema } from './recording.js';
import type { Truth } from './trace.js';
import { write } from './write.js';

const folders = mkdtempSync(join(tmpdir(), 'joulebook-simulation-'));
let count = 0;

export const newFolder = (): string => join(folders, String((count += 1)));

export interface Simulated {
  readonly folder: string;
  readonly truth: Truth;
  readonly files: readonly string[];
  read(file: string): Promise<string>;
  open(): Promise<OpenedRecording>;
}

export async function simulated(scenario: object, folder = newFolder()): Promise<Simulated> {
  const { truth, files } = await write(planOf(simulationSchema.parse(scenario), 'scenario'), folder, () => undefined);
  return { folder, truth, files, read: (file) => readFile(join(folder, file), 'utf8'), open: async () => openRecording(await readManifest(folder)) };
}

const phases = z.object({ prefill: z.number(), decode: z.number(), idle: z.number() });
const told = z.object({
  truth: z.object({ duration: z.number(), total: phases }),
  atSensorGain: z.object({ total: phases, devices: z.array(phases), requests: z.array(phases.omit({ idle: true })) }),
  sensors: z.array(z.looseObject({ file: z.string(), boards: z.array(z.looseObject({ gain: z.number() })).optional() })),
  serving: z.array(z.looseObject({ file: z.string() })),
  scenario: z.looseObject({ seed: z.number(), duration: z.number() }),
});

/** What truth.json says. */
export const truthFile = async (folder: string): Promise<z.output<typeof told>> => told.parse(JSON.parse(await readFile(join(folder, 'truth.json'), 'utf8')));

/** What the sources of a folder say; nothing where there is no such source. */
export async function* eventsOf<E>(source: { events(): AsyncIterable<E> } | undefined): AsyncGenerator<E> {
  if (source) yield* source.events();
}

export interface Sums {
  input: number;
  cachedInput: number;
  output: number;
  prefillTokens: number;
  decodeTokens: number;
  /** Time of iterations with prompts only and with decodes only, and of idle. */
  prefillSeconds: number;
  decodeSeconds: number;
  idleSeconds: number;
  requests: number;
}

/** What a serving source says, added up. */
export async function sumsOf(events: AsyncIterable<ServingEvent>): Promise<Sums & { flagged: string[] }> {
  const sums: Sums = { input: 0, cachedInput: 0, output: 0, prefillTokens: 0, decodeTokens: 0, prefillSeconds: 0, decodeSeconds: 0, idleSeconds: 0, requests: 0 };
  const flagged: string[] = [];
  for await (const event of events) {
    if (event.kind === 'flagged') flagged.push(event.code);
    if (event.kind === 'idle') sums.idleSeconds += event.to - event.from;
    if (event.kind === 'request') sums.requests += 1;
    if (event.kind === 'steps') {
      sums.prefillTokens += event.prefillTokens;
      sums.decodeTokens += event.decodeTokens;
      if (event.decodes === 0) sums.prefillSeconds += event.to - event.from;
      if (event.prefills === 0) sums.decodeSeconds += event.to - event.from;
    }
    if (event.kind !== 'steps' && event.kind !== 'window' && event.kind !== 'request') continue;
    for (const kind of ['input', 'cachedInput', 'output'] as const) sums[kind] += event.tokens[kind] ?? 0;
  }
  return { ...sums, flagged };
}
