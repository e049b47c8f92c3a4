/** Live sources → a folder that `replay` reads: what each source said, as it said it. */
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sliceClock, type Clock } from '@joulebook/shared/clock.js';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { stringify } from 'yaml';
import type { Deployment } from '../sources/deployments.js';
import { readingLines } from '../sources/power/readings.js';
import { evidenceLine } from '../sources/serving/evidence.js';
import type { LiveContext, LivePower, LiveServing } from '../sources/source.js';

export interface RecordParts {
  readonly folder: string;
  readonly node: string;
  readonly site?: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly power: readonly LivePower[];
  readonly serving: readonly { readonly deployment: string; readonly source: LiveServing; readonly counts: boolean }[];
  readonly deployments: readonly Deployment[];
  readonly clock: Clock;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: LiveContext['log'];
  readonly bill: LiveContext['bill'];
  readonly progress?: NodeJS.WritableStream | undefined;
}

export async function record(parts: RecordParts, signal: AbortSignal): Promise<{ readings: number; evidence: number }> {
  const context: LiveContext = { now: sliceClock(parts.clock), environment: parts.environment, bill: parts.bill, log: parts.log, signal };
  const kept = { readings: 0, evidence: 0 };
  await mkdir(parts.folder, { recursive: true });
  try {
    // Written first: it fails where there is a recording already, before anything is overwritten.
    await writeFile(join(parts.folder, 'recording.yaml'), manifestOf(parts), { flag: 'wx' });
  } catch (error) {
    throw new TelemetryError('RECORDING_EXISTS', `${parts.folder} can't take a recording: ${messageOf(error)}. Choose another folder.`, 'abort', { cause: error });
  }
  const files: WriteStream[] = [];
  const fileOf = (name: string): WriteStream => {
    const file = createWriteStream(join(parts.folder, name));
    files.push(file);
    return file;
  };
  const told = setInterval(() => parts.progress?.write(`\r${kept.readings} readings, ${kept.evidence} pieces of evidence`), 1000).unref();
  try {
    await Promise.all([
      ...parts.power.map(async (source, index) => {
        const lines = readingLines();
        await keep(source.events(context), fileOf(powerFile(index)), lines, (event) => (kept.readings += event.kind === 'reading' ? 1 : 0), source.description, parts.log);
      }),
      ...parts.serving.map(async ({ source }, index) => {
        await keep(source.events(context), fileOf(servingFile(index)), evidenceLine, () => (kept.evidence += 1), source.description, parts.log);
      }),
    ]);
  } finally {
    clearInterval(told);
    for (const file of files) {
      file.end();
      await once(file, 'close');
    }
  }
  return kept;
}

const powerFile = (index: number): string => `power-${index}.jsonl`;
const servingFile = (index: number): string => `serving-${index}.jsonl`;

async function keep<E>(events: AsyncIterable<E>, file: WriteStream, line: (event: E) => string, count: (event: E) => unknown, description: string, log: LiveContext['log']): Promise<void> {
  try {
    for await (const event of events) {
      count(event);
      if (!file.write(line(event))) await once(file, 'drain');
    }
  } catch (error) {
    if (!(error instanceof TelemetryError)) throw error;
    log.warn(`${description}: ${error.message}`, { code: error.code });
  }
}

function manifestOf({ node, site, labels, power, serving, deployments }: RecordParts): string {
  return stringify({
    node,
    ...(site !== undefined && { site }),
    labels,
    power: power.map((_, index) => ({ format: 'readings', file: powerFile(index) })),
    serving: serving.map(({ deployment: name, counts }, index) => {
      const deployment = deployments.find((each) => each.name === name);
      return {
        format: 'evidence',
        file: servingFile(index),
        deployment: name,
        tokens: counts ? 'count' : 'evidence',
        ...(deployment?.model !== undefined && { model: deployment.model }),
        ...(deployment?.devices && { devices: [...deployment.devices] }),
        ...(deployment?.role && { role: deployment.role }),
      };
    }),
  });
}
