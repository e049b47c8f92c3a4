/**
 * Up to which position the collector has accepted. It may lag behind the truth (a crash before it is written,
 * a full disk): then batches are sent again, which (stream, sequence) makes harmless. It never runs ahead.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceDurably } from './durable-file.js';

/** Nothing acknowledged yet: positions begin at 0. */
export const NOTHING_ACKNOWLEDGED = -1;

const LINE = /^acknowledged (\d{1,15})\n$/;

/** A missing or unreadable cursor means "nothing acknowledged": what is still on disk is sent again. */
export async function readCursor(directory: string): Promise<number> {
  const text = await readFile(join(directory, 'cursor'), 'utf8').catch(() => '');
  const match = LINE.exec(text);
  return match ? Number(match[1]) : NOTHING_ACKNOWLEDGED;
}

export const writeCursor = (directory: string, acknowledged: number): Promise<void> => replaceDurably(join(directory, 'cursor'), `acknowledged ${acknowledged}\n`);
