import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { all, recordedFile } from './recorded-file.testing.js';
import { MAX_LINE_CHARACTERS, textLines } from './text-lines.js';

const linesOf = async (content: string | Uint8Array): Promise<string[]> => (await all(textLines(recordedFile(content)))).map(({ text }) => text);

describe('textLines', () => {
  it('numbers lines from 1 and tells a last line without its end', async () => {
    expect(await all(textLines(recordedFile('a\nb\nc')))).toEqual([
      { number: 1, text: 'a', tooLong: false, terminated: true },
      { number: 2, text: 'b', tooLong: false, terminated: true },
      { number: 3, text: 'c', tooLong: false, terminated: false },
    ]);
  });

  it.each([
    ['CRLF', Buffer.from('a\r\nb\r\n')],
    ['a byte order mark', Buffer.from('﻿a\nb\n')],
    ['gzip', gzipSync('a\nb\n')],
    ['gzip in two members, as appended logs are', Buffer.concat([gzipSync('a\n'), gzipSync('b\n')])],
    ["UTF-16, as PowerShell's > writes it", Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('a\r\nb\r\n', 'utf16le')])],
  ])('reads %s alike', async (_, content) => {
    expect(await linesOf(content)).toEqual(['a', 'b']);
  });

  it('gives what a gzip file holds that was cut off', async () => {
    const text = Array.from({ length: 5000 }, (_, index) => `line ${index} ${Math.sin(index)}`).join('\n');
    const lines = await linesOf(gzipSync(text).subarray(0, 30_000));
    expect(lines.length).toBeGreaterThan(100);
    expect(lines[100]).toBe(text.split('\n')[100]);
  });

  it('refuses damaged gzip data', async () => {
    const damaged = gzipSync('x'.repeat(10_000));
    damaged.fill(0xff, 12, 20);
    await expect(linesOf(damaged)).rejects.toThrow(/power\.csv can't be read to its end.*gzip/);
  });

  it('replaces bytes that are no text and goes on', async () => {
    expect(await linesOf(Buffer.from([0x61, 0xff, 0x0a, 0x62, 0x0a]))).toEqual(['a�', 'b']);
  });

  it('keeps characters that lie over two chunks', async () => {
    const text = 'µ'.repeat(200_001);
    expect(await linesOf(`a${text}\nb`)).toEqual([`a${text}`, 'b']);
  });

  it('does not keep a line longer than 1 MiB, and goes on after it', async () => {
    const lines = await all(textLines(recordedFile(`a\n${'x'.repeat(3 * MAX_LINE_CHARACTERS)}\nb\n`)));
    expect(lines.map(({ number, text, tooLong }) => [number, text, tooLong])).toEqual([[1, 'a', false], [2, '', true], [3, 'b', false]]);
  });

  it('says where it looked for a file that is not there', async () => {
    await expect(all(textLines({ file: '/nowhere/power.csv', label: 'power.csv' }))).rejects.toMatchObject({ code: 'FILE_MISSING', message: 'power.csv does not exist (looked for /nowhere/power.csv).' });
    await expect(all(textLines({ file: '/tmp', label: 'power' }))).rejects.toMatchObject({ code: 'FILE_MISSING' });
  });
});
