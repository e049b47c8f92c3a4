/**
 * A recorded text file as lines, in bounded memory: gzip by its magic bytes, UTF-8 or UTF-16 by its byte order mark
 * (PowerShell's `>` writes UTF-16), CRLF or LF. Bytes that are no text become U+FFFD instead of ending the reading.
 */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { TextDecoder } from 'node:util';
import { constants, createGunzip } from 'node:zlib';
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import type { RecordedFile } from './recorded.js';

export interface TextLine {
  /** From 1. */
  readonly number: number;
  /** Without its line end; empty when the line was too long to be kept. */
  readonly text: string;
  readonly tooLong: boolean;
  /** False for a last line without a line end: the writer may have been stopped in the middle of it. */
  readonly terminated: boolean;
}

export const MAX_LINE_CHARACTERS = 1024 * 1024;
/** A JSON document is parsed whole; V8 can't hold a string of 512 MiB. */
const MAX_DOCUMENT_CHARACTERS = 256 * 1024 * 1024;

export async function* textLines(file: RecordedFile): AsyncGenerator<TextLine, void> {
  for await (const lines of lineGroups(file)) yield* lines;
}

/** The same, as many at once as were read at once: for files of millions of lines, where waiting for each costs more than reading it. */
export async function* lineGroups(file: RecordedFile): AsyncGenerator<readonly TextLine[], void> {
  let number = 0;
  let kept = '';
  let tooLong = false;
  const keep = (piece: string): void => {
    tooLong ||= kept.length + piece.length > MAX_LINE_CHARACTERS;
    kept = tooLong ? '' : kept + piece;
  };
  const take = (terminated: boolean): TextLine => {
    number += 1;
    const line = { number, text: kept.endsWith('\r') ? kept.slice(0, -1) : kept, tooLong, terminated };
    kept = '';
    tooLong = false;
    return line;
  };
  for await (const chunk of textChunks(file)) {
    const lines: TextLine[] = [];
    let from = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', from)) {
      keep(chunk.slice(from, end));
      lines.push(take(true));
      from = end + 1;
    }
    keep(chunk.slice(from));
    if (lines.length > 0) yield lines;
  }
  if (kept !== '' || tooLong) yield [take(false)];
}

/** @throws TelemetryError FILE_FORMAT when the file is too large for one document */
export async function wholeText(file: RecordedFile): Promise<string> {
  const chunks: string[] = [];
  let length = 0;
  for await (const chunk of textChunks(file)) {
    length += chunk.length;
    if (length > MAX_DOCUMENT_CHARACTERS) throw new TelemetryError('FILE_FORMAT', `${file.label} is one JSON document of more than ${MAX_DOCUMENT_CHARACTERS / 2 ** 20} MiB; write it as one JSON object per line (JSONL).`, 'abort');
    chunks.push(chunk);
  }
  return chunks.join('');
}

async function* textChunks(file: RecordedFile): AsyncGenerator<string, void> {
  const gzipped = await isGzipped(file);
  const bytes = createReadStream(file.file);
  // A log of a killed process may be cut anywhere, in the middle of a gzip block too: SYNC_FLUSH gives what is there.
  const stream = gzipped ? pipeline(bytes, createGunzip({ finishFlush: constants.Z_SYNC_FLUSH }), () => {}) : bytes;
  let decoder: TextDecoder | undefined;
  try {
    for await (const chunk of stream) {
      const piece: unknown = chunk;
      if (!(piece instanceof Uint8Array)) continue;
      decoder ??= decoderFor(piece);
      yield decoder.decode(piece, { stream: true });
    }
  } catch (cause) {
    throw new TelemetryError('FILE_FORMAT', `${file.label} can't be read to its end: ${messageOf(cause)}.${gzipped ? ' Its gzip data is damaged.' : ''}`, 'abort', { cause });
  } finally {
    bytes.destroy();
  }
  if (decoder) yield decoder.decode();
}

function decoderFor(start: Uint8Array): TextDecoder {
  if (start[0] === 0xff && start[1] === 0xfe) return new TextDecoder('utf-16le');
  if (start[0] === 0xfe && start[1] === 0xff) return new TextDecoder('utf-16be');
  return new TextDecoder('utf-8');
}

async function isGzipped({ file, label }: RecordedFile): Promise<boolean> {
  try {
    await using handle = await open(file);
    if (!(await handle.stat()).isFile()) throw new TelemetryError('FILE_MISSING', `${label} is not a file; name the file itself.`, 'abort');
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } catch (cause) {
    if (cause instanceof TelemetryError) throw cause;
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    throw new TelemetryError('FILE_MISSING', missing ? `${label} does not exist (looked for ${file}).` : `${label} can't be opened: ${messageOf(cause)}.`, 'abort', { cause });
  }
}
