import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hear } from './live-log.testing.js';
import { tail, type Batch } from './tail.js';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'joulebook-tail-'));
  file = join(folder, 'engine.log');
});
afterEach(() => rmSync(folder, { recursive: true }));

const linesOf = (batches: readonly Batch[]) => batches.flatMap(({ lines }) => lines);
const looks = (batches: readonly Batch[]) => batches.filter(({ caughtUp }) => caughtUp).length;

/** Does each step when the file has been read to its end some times more, after the lines of the step before came. */
async function read(steps: readonly (readonly [act: () => void, comes: readonly (string | undefined)[]])[], readBack = 0) {
  let done = 0;
  let expected = 0;
  let seen = -2;
  return hear((context) => tail({ file, readBack, pollMs: 30 }, context), (batches) => {
    const count = linesOf(batches).length;
    if (count < expected || looks(batches) < seen + 3) return false;
    const step = steps[done];
    if (!step) return true;
    step[0]();
    done += 1;
    expected += step[1].length;
    seen = looks(batches);
    return false;
  });
}
const append = (text: string | Uint8Array) => () => appendFileSync(file, text);

describe('a growing file', () => {
  it('is read from its end on, line by line, whatever the pieces it is written in', async () => {
    writeFileSync(file, 'before\n');
    const { events } = await read([[append('one\ntw'), ['one']], [append('o\r\n'), ['two']], [append('three'), []], [append('\n'), ['three']]]);
    expect(linesOf(events)).toEqual(['one', 'two', 'three']);
  });

  it('is read back a little, from the first whole line on, marked as old; a half line belongs to what follows', async () => {
    writeFileSync(file, `${'x'.repeat(100)}\nold 1\nold 2\nhal`);
    const { events } = await read([[append('f\nnew\n'), ['half', 'new']]], 25);
    expect(events.filter(({ old }) => old !== undefined).map(({ lines }) => lines)).toEqual([['old 1', 'old 2']]);
    expect(linesOf(events)).toEqual(['old 1', 'old 2', 'half', 'new']);
  });

  it('is read whole when it appears later, also in a folder that does', async () => {
    file = join(folder, 'later', 'engine.log');
    const create = (): void => {
      mkdirSync(join(folder, 'later'));
      writeFileSync(file, 'one\n');
    };
    expect(linesOf((await read([[() => undefined, []], [create, ['one']]], 1000)).events)).toEqual(['one']);
  });

  it('is read to its end when it was renamed, then the new one', async () => {
    writeFileSync(file, '');
    const rotate = (): void => {
      appendFileSync(file, 'last of the old\n');
      renameSync(file, `${file}.1`);
      writeFileSync(file, 'first of the new\n');
    };
    const { events } = await read([[append('one\n'), ['one']], [rotate, ['', '']], [append('two\n'), ['two']]]);
    expect(linesOf(events)).toEqual(['one', 'last of the old', 'first of the new', 'two']);
  });

  it('is read on where it was renamed to, as long as the new one is empty: its writer still has the old one', async () => {
    writeFileSync(file, '');
    const rotate = (): void => {
      renameSync(file, `${file}.1`);
      writeFileSync(file, '');
    };
    const late = (): void => appendFileSync(`${file}.1`, 'late\n');
    expect(linesOf((await read([[rotate, []], [late, ['late']], [append('new\n'), ['new']]])).events)).toEqual(['late', 'new']);
  });

  it('is read from its beginning when it was truncated, without what was left of a half line', async () => {
    writeFileSync(file, '');
    const truncate = (): void => {
      truncateSync(file, 0);
      appendFileSync(file, 'again\n');
    };
    expect(linesOf((await read([[append('one\nhalf a li'), ['one']], [truncate, ['again']]])).events)).toEqual(['one', 'again']);
  });

  it('may vanish and come back', async () => {
    writeFileSync(file, '');
    const { events, logged } = await read([[append('one\n'), ['one']], [() => unlinkSync(file), []], [() => writeFileSync(file, 'two\n'), ['two']]]);
    expect(linesOf(events)).toEqual(['one', 'two']);
    expect(logged).toEqual([]);
  });

  it('keeps no more than 1 MiB of a line, and says that it left one out', async () => {
    writeFileSync(file, '');
    const { events } = await read([[append(`${'x'.repeat(3 * 1024 * 1024)}\nafter\n`), [undefined, 'after']]]);
    expect(linesOf(events)).toEqual([undefined, 'after']);
  });

  it('is text even where it is none: cut characters are put together, rubbish is replaced', async () => {
    writeFileSync(file, '');
    const euro = Buffer.from('€\n');
    const { events } = await read([[append(euro.subarray(0, 1)), []], [append(euro.subarray(1)), ['€']], [append(Buffer.from([0xff, 0x00, 0x0a])), ['x']]]);
    expect(linesOf(events)).toEqual(['€', '\uFFFD\u0000']);
  });

  it('is said to be caught up only when all of it was read', async () => {
    writeFileSync(file, '');
    const { events } = await read([[append('x\n'.repeat(100_000)), Array.from({ length: 100_000 }, () => 'x')]]);
    const full = events.filter(({ lines }) => lines.length > 0);
    expect(full.length).toBeGreaterThan(2);
    expect(full.some(({ caughtUp }) => caughtUp)).toBe(false);
  });

  it('is refused when it is no file', async () => {
    await expect(hear((context) => tail({ file: folder, readBack: 0 }, context), () => false)).rejects.toMatchObject({ code: 'LOG_NOT_A_FILE', remedy: 'disable' });
  });
});
