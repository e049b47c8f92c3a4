/** A file from a running collector, written as it comes. */
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { messageOf, TelemetryError, UsageError } from '@joulebook/shared/errors.js';
import type { Said } from '../report/request.js';
import { readAnswer, reasonOf, tlsOf, urlOf, type Credentials } from './ask.js';

/** Writes to a file beside `path` that becomes it when it is whole. @throws TelemetryError (`abort`) */
export async function whole(path: string, write: (partial: string) => Promise<void>): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await write(partial);
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true }).catch(() => undefined);
    if (cause instanceof TelemetryError || cause instanceof UsageError) throw cause;
    throw new TelemetryError('FILE_NOT_WRITTEN', `${path} can't be written: ${messageOf(cause)}`, 'abort', { cause });
  }
}

/**
 * @param sink where the body goes once the collector has agreed
 * @throws as `ask` does
 */
export async function download(base: string, credentials: Credentials, path: string, said: Said, sink: () => Writable): Promise<void> {
  const { origin } = new URL(base);
  const { Agent, fetch } = await import('undici');
  // Making a file of a large store takes a while before the first byte comes.
  const dispatcher = new Agent({ connect: await tlsOf(credentials), headersTimeout: 0, bodyTimeout: 120_000 });
  try {
    const response = await fetch(urlOf(base, path, said), { headers: credentials.token === undefined ? {} : { authorization: `Bearer ${credentials.token}` }, redirect: 'manual', dispatcher }).catch((cause: unknown) => {
      throw new TelemetryError('COLLECTOR_UNREACHABLE', `The collector at ${origin} does not answer: ${reasonOf(cause)}.`, 'abort', { cause });
    });
    if (!response.ok) return void readAnswer(origin, false, response.status, await response.json().catch(() => undefined), z.unknown());
    if (!response.body) throw new TelemetryError('NOT_A_COLLECTOR', `What answers at ${origin} is not a collector of this release.`, 'abort');
    await pipeline(Readable.fromWeb(response.body), sink());
  } finally {
    await dispatcher.destroy();
  }
}

export const downloadTo = (base: string, credentials: Credentials, path: string, said: Said, file: string): Promise<void> =>
  whole(file, (partial) => download(base, credentials, path, said, () => createWriteStream(partial)));
