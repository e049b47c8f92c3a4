/** For the tests of recorded formats: files of their own, and the real recordings where they are. */
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { RecordedFile } from './recorded.js';
import type { Flagged } from './source.js';

const folder = mkdtempSync(join(tmpdir(), 'joulebook-recorded-'));
let files = 0;

export function recordedFile(content: string | Uint8Array, label = 'power.csv'): RecordedFile {
  files += 1;
  const file = join(folder, `${files}-${label}`);
  writeFileSync(file, content);
  return { file, label };
}

/** Real recordings and captures are not part of the project: tests of them are skipped where they are absent. */
const shared = new URL('../../../../shared/', import.meta.url);
export const isPresent = existsSync(fileURLToPath(shared)) && existsSync(fileURLToPath(new URL('recordings', shared)));
export const ifAbsent = isPresent ? '' : ' (skipped: ../shared/recordings is not here)';
export const sharedPath = (path: string): string => fileURLToPath(new URL(path, shared));
export const sharedFile = (path: string): RecordedFile => ({ file: sharedPath(path), label: path.slice(path.lastIndexOf('/') + 1) });

export async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const event of events) list.push(event);
  return list;
}

const isFlagged = (event: { readonly kind: string }): event is Flagged => event.kind === 'flagged';
export const flags = (events: readonly { readonly kind: string }[]): [code: string, count: number][] => events.filter(isFlagged).map(({ code, count }) => [code, count]);
export const details = (events: readonly { readonly kind: string }[]): string[] => events.filter(isFlagged).map(({ detail }) => detail);

/** How something ends in an error: `CODE: message`; all such errors end the work. */
export async function refusal(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
    return 'no error';
  } catch (error) {
    return error instanceof TelemetryError && error.remedy === 'abort' ? `${error.code}: ${error.message}` : `another error: ${String(error)}`;
  }
}
