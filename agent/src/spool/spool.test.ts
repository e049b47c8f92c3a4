import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Flagged } from '../sources/source.js';
import { takeLock } from './lock.js';
import { openSpool, type Spool, type SpoolOptions } from './spool.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'spool-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const batch = (sequence: number, stream: string): Buffer => Buffer.from(`${stream}/${sequence}`);
const text = (value: string) => () => Buffer.from(value);
const segments = async (where = directory): Promise<string[]> => (await readdir(where)).filter((name) => name.endsWith('.segment')).toSorted();

async function drain(spool: Spool): Promise<string[]> {
  const seen: string[] = [];
  const positions: number[] = [];
  for (let record = await spool.take(); record; record = await spool.take({ from: record.position + 1 })) {
    seen.push(record.payload.toString());
    positions.push(record.position);
  }
  for (const position of positions) spool.release(position);
  return seen;
}

/** The id of a process that is gone. */
const ENDED = spawnSync('true').pid;

/** What a killed agent leaves: its files as they are, its lock naming a process that is gone. */
async function killed(files: readonly string[], from: string): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'spool-'));
  for (const file of files) await copyFile(join(from, file), join(copy, file));
  await writeFile(join(copy, 'lock'), JSON.stringify({ pid: ENDED, started: '1', namespace: 'gone' }));
  await utimes(join(copy, 'lock'), 0, 0);
  return copy;
}

async function using<T>(where: string, options: SpoolOptions, work: (spool: Spool) => Promise<T>): Promise<T> {
  const spool = await openSpool(where, options);
  try {
    return await work(spool);
  } finally {
    await spool.close();
  }
}

describe('a spool', () => {
  it('hands records out in order until they are acknowledged, across restarts', async () => {
    await using(directory, {}, async (spool) => {
      for (const word of ['one', 'two', 'three']) await spool.append(text(word));
      expect(await drain(spool)).toEqual(['one', 'two', 'three']);
      await spool.acknowledge(0);
      expect(await drain(spool)).toEqual(['two', 'three']);
      expect(spool.pending).toEqual({ records: 2, bytes: 2 * 8 + 8 });
    });
    await using(directory, {}, async (spool) => {
      expect(await drain(spool)).toEqual(['two', 'three']);
      expect(spool.pending.records).toBe(2);
    });
  });

  it('keeps its stream and never uses a number again after a restart', async () => {
    const names: string[] = [];
    const name = (sequence: number, stream: string): Buffer => {
      names.push(`${stream}/${sequence}`);
      return Buffer.from('x');
    };
    for (let round = 0; round < 4; round += 1) {
      await using(directory, {}, async (spool) => {
        await spool.append(name);
        await spool.append(name);
        await spool.acknowledge(await spool.append(name));
      });
    }
    const stream = names[0]?.slice(0, 32);
    expect(stream).toMatch(/^[0-9a-f]{32}$/);
    expect(names).toEqual(Array.from({ length: 12 }, (_, sequence) => `${stream}/${sequence}`));
  });

  it('begins a new stream at 0 when asked, and keeps the names of what is already spooled', async () => {
    await using(directory, {}, async (spool) => {
      const old = spool.stream;
      await spool.append(batch);
      const renewed = await spool.renewStream();
      await spool.append(batch);
      expect(await drain(spool)).toEqual([`${old}/0`, `${renewed}/0`]);
    });
    await using(directory, {}, async (spool) => {
      await spool.append(batch);
      expect((await drain(spool)).at(-1)).toBe(`${spool.stream}/1`);
    });
  });

  it('deletes the segments that are wholly acknowledged, and only those', async () => {
    await using(directory, { segmentBytes: 60 }, async (spool) => {
      for (let index = 0; index < 10; index += 1) await spool.append(text(`record ${index}….......`));
      const before = await segments();
      expect(before.length).toBe(5);
      for (const position of [9, 5, 0, 1, 3]) await spool.acknowledge(position);
      expect(await segments()).toEqual(before.slice(1));
      expect(spool.pending).toEqual({ records: 5, bytes: 5 * (8 + 18) });
      for (const position of [2, 4, 6, 7, 8]) await spool.acknowledge(position);
      expect(await segments()).toEqual(before.slice(-1));
      expect(spool.pending).toEqual({ records: 0, bytes: 0 });
    });
  });

  it('does not count up again from 0 when all its segments were deleted by hand', async () => {
    const first = await using(directory, {}, async (spool) => {
      await spool.append(text('lost'));
      return spool.stream;
    });
    for (const name of await segments()) await rm(join(directory, name));
    await using(directory, {}, async (spool) => {
      expect(spool.stream).not.toBe(first);
    });
  });

  it('tells a waiting reader of an append, also of one that came before it began to wait', async () => {
    await using(directory, {}, async (spool) => {
      const seen = spool.nextPosition;
      const waiting = spool.appended(seen, new AbortController().signal);
      await spool.append(text('x'));
      await expect(waiting).resolves.toBeUndefined();
      await expect(spool.appended(seen, new AbortController().signal)).resolves.toBeUndefined();
      await expect(spool.appended(spool.nextPosition, AbortSignal.abort())).resolves.toBeUndefined();
    });
  });

  it('refuses a second agent while the first one lives', async () => {
    await using(directory, {}, async () => {
      await expect(openSpool(directory)).rejects.toMatchObject({ code: 'SPOOL_LOCKED', remedy: 'retry' });
    });
    await expect(using(directory, {}, async () => 'opened')).resolves.toBe('opened');
  });

  it('watches a lock whose time lies ahead, and takes it over where nobody touches it', async () => {
    const path = join(directory, 'lock');
    const ahead = new Date(Date.now() + 3600_000);
    await writeFile(path, JSON.stringify({ pid: 1, started: '1', namespace: 'of another boot' }));
    await utimes(path, ahead, ahead);
    const touching = setInterval(() => void utimes(path, ahead, new Date(Date.now() + 3600_000)), 50);
    await expect(takeLock(directory, 300)).rejects.toThrow(/held by process 1/);
    clearInterval(touching);
    await (await takeLock(directory, 300)).release();
  });

  it('takes over the lock of a process that is gone, whose id another process has by now', async () => {
    await writeFile(join(directory, 'lock'), await using(directory, {}, async () => {
      const held = await readFile(join(directory, 'lock'), 'utf8');
      return held.replace(/"started":"\d+"/, '"started":"1"');
    }));
    await expect(using(directory, {}, async () => 'opened')).resolves.toBe('opened');
  });
});

describe('whose folder is deleted while it is open', () => {
  it('makes it again with what is unsent in it, says so, and goes on', async () => {
    const where = join(directory, 'spool');
    const reported: Flagged[] = [];
    await using(where, { report: (flagged) => reported.push(flagged), cursorEveryMs: 0 }, async (spool) => {
      for (const word of ['one', 'two']) await spool.append(text(word));
      await spool.acknowledge(0);
      const before = spool.stream;
      await rm(where, { recursive: true });
      await spool.append(text('three'));
      expect(reported).toMatchObject([{ code: 'SPOOL_MADE_AGAIN', detail: expect.stringContaining('deleted while an agent ran on it; it was made again, and nothing is lost') as unknown }]);
      expect(spool.stream).not.toBe(before);
      await spool.append(text('four'));
      expect(reported).toHaveLength(1);
      await expect(openSpool(where)).rejects.toMatchObject({ code: 'SPOOL_LOCKED' });
      await using(await killed(['0000000000000000.segment', 'cursor', 'stream'], where), {}, async (next) => expect(await drain(next)).toEqual(['two', 'three', 'four']));
    });
    await using(where, {}, async (spool) => expect(await drain(spool)).toEqual(['two', 'three', 'four']));
  });

  it('says how many batches are lost in what it had not open', async () => {
    const reported: Flagged[] = [];
    await using(directory, {}, async (spool) => void (await spool.append(text('one'))));
    await using(directory, { segmentBytes: 1 }, async (spool) => void (await spool.append(text('two'))));
    await using(directory, { segmentBytes: 1, report: (flagged) => reported.push(flagged) }, async (spool) => {
      await rm(directory, { recursive: true });
      await spool.append(text('three'));
      expect(await drain(spool)).toEqual(['two', 'three']);
      expect(reported).toMatchObject([{ code: 'SPOOL_DAMAGED', count: 1, detail: expect.stringContaining('1 unsent batches in it are lost') as unknown }]);
    });
  });

  it('is held up only for as long as it can not be made', async () => {
    const where = join(directory, 'folder', 'spool');
    await using(where, {}, async (spool) => {
      await rm(join(directory, 'folder'), { recursive: true });
      await writeFile(join(directory, 'folder'), '');
      await expect(spool.append(text('one'))).rejects.toMatchObject({ code: 'SPOOL_DISK', remedy: 'retry' });
      await rm(join(directory, 'folder'));
      await spool.appendNamed(Buffer.from('two'));
      expect(await drain(spool)).toEqual(['two']);
    });
  });
});

describe('after a kill', () => {
  it('sends all again where a digit of the cursor has changed, and loses nothing', async () => {
    await using(directory, {}, async (spool) => {
      for (const word of ['one', 'two', 'three']) await spool.append(text(word));
      await spool.take();
      await spool.acknowledge(0);
    });
    const cursor = await readFile(join(directory, 'cursor'), 'utf8');
    expect(cursor).toMatch(/^acknowledged 0 #/);
    await writeFile(join(directory, 'cursor'), cursor.replace(' 0 ', ' 1 '));
    await using(directory, {}, async (spool) => expect(await drain(spool)).toEqual(['one', 'two', 'three']));
  });

  it('begins a new stream after a batch with a name of its own, and after one that was not written', async () => {
    await using(directory, {}, async (spool) => {
      await spool.append(batch);
      const before = spool.stream;
      await spool.appendNamed(Buffer.from('named'));
      expect(spool.stream).not.toBe(before);
      await spool.append(batch);
      expect(await drain(spool)).toEqual([`${before}/0`, 'named', `${spool.stream}/0`]);
    });
  });

  it('sends a batch that told of losses once more where only the account was closed, and tells of nothing twice', async () => {
    const copy = await using(directory, { cursorEveryMs: 1e9 }, async (spool) => {
      // The first writing of the cursor is due at once, later ones are not.
      for (const word of ['first', 'refused']) await spool.append(text(word));
      for (let record = await spool.take(); record; record = await spool.take()) await (record.position === 0 ? spool.acknowledge(0) : spool.refuse(record.position, record.payload));
      expect(spool.losses.account).toMatchObject([{ reason: 'rejected', batches: 1 }]);
      const telling = await spool.tellLosses(() => Buffer.from('told'));
      await spool.take();
      await spool.acknowledge(telling ?? -1);
      return killed((await readdir(directory)).filter((name) => name !== 'lock'), directory);
    });
    await using(copy, {}, async (spool) => {
      expect(await drain(spool)).toEqual(['told']);
      expect(spool.losses).toEqual({ batches: 1, account: [] });
      expect(await spool.tellLosses(() => Buffer.from('twice'))).toBeUndefined();
    });
  });

  it('keeps every whole record, whatever byte the newest segment ends at', async () => {
    const words = ['first', 'second record', '3'];
    const ends = [0];
    await using(directory, {}, async (spool) => {
      for (const word of words) {
        await spool.append(text(word));
        ends.push(spool.pending.bytes);
      }
    });
    const [segment = ''] = await segments();
    for (let length = 0; length <= (ends.at(-1) ?? 0); length += 1) {
      const copy = await killed(['stream', segment], directory);
      await truncate(join(copy, segment), length);
      const reports: Flagged[] = [];
      const whole = ends.filter((end) => end <= length).length - 1;
      await using(copy, { report: (flagged) => reports.push(flagged) }, async (spool) => {
        expect(await drain(spool)).toEqual(words.slice(0, whole));
        expect(reports.map((flagged) => flagged.code)).toEqual(ends.includes(length) ? [] : ['SPOOL_TORN_TAIL']);
        expect(await spool.append(text('after'))).toBe(whole);
      });
      await using(copy, {}, async (spool) => {
        expect(await drain(spool)).toEqual([...words.slice(0, whole), 'after']);
      });
      await rm(copy, { recursive: true });
    }
  });

  it('never hands out a flipped bit, and never uses a number again where one was lost', async () => {
    const words = ['first', 'second', 'third one'];
    const stream = await using(directory, {}, async (spool) => {
      for (const word of words) await spool.append(text(word));
      return spool.stream;
    });
    const [segment = ''] = await segments();
    const sound = await readFile(join(directory, segment));
    const withFlipped = async (bit: number): Promise<void> => {
      const copy = await killed(['stream'], directory);
      const flipped = Buffer.from(sound);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await writeFile(join(copy, segment), flipped);
      const reports: Flagged[] = [];
      await using(copy, { report: (flagged) => reports.push(flagged) }, async (spool) => {
        const kept = await drain(spool);
        expect(kept.length).toBeLessThan(words.length);
        expect(kept).toEqual(words.slice(0, kept.length));
        expect(reports).toHaveLength(1);
        // A length that leads past the end can't be told from a write cut short; the collector refuses the number in that case.
        expect(spool.stream === stream).toBe(reports[0]?.code === 'SPOOL_TORN_TAIL');
      });
      await rm(copy, { recursive: true });
    };
    // Most of it is waiting for the disk: the bits of a byte wait together.
    for (let byte = 0; byte < sound.length; byte += 1) await Promise.all(Array.from({ length: 8 }, (_, bit) => withFlipped(byte * 8 + bit)));
  });

  it('keeps what is before and after damage in an older segment, and says how many were lost', async () => {
    await using(directory, { segmentBytes: 60 }, async (spool) => {
      for (let index = 0; index < 6; index += 1) await spool.append(text(`record ${index}….......`));
    });
    const [, second = ''] = await segments();
    const content = await readFile(join(directory, second));
    content[12] = (content[12] ?? 0) ^ 1;
    await writeFile(join(directory, second), content);
    const reports: Flagged[] = [];
    await using(directory, { report: (flagged) => reports.push(flagged) }, async (spool) => {
      expect((await drain(spool)).map((record) => record[7])).toEqual(['0', '1', '4', '5']);
      expect(reports).toMatchObject([{ code: 'SPOOL_DAMAGED', count: 2 }]);
    });
  });
});

const limit = (bytes: string): void => {
  expect(spawnSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`]).status).toBe(0);
};
const ignore = (): void => undefined;
const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0;

it.skipIf(!hasPrlimit)('answers a disk that is full with `retry`, loses nothing and goes on when there is room', async () => {
  process.on('SIGXFSZ', ignore);
  try {
    await using(directory, {}, async (spool) => {
      await spool.append(text('before'));
      limit('1000');
      await expect(spool.append(() => Buffer.alloc(5000, 'x'))).rejects.toMatchObject({ code: 'SPOOL_DISK', remedy: 'retry' });
      expect(await drain(spool)).toEqual(['before']);
      await spool.append(text('small'));
      limit('unlimited');
      expect(await spool.append(text('after'))).toBe(2);
    });
    await using(directory, { report: () => expect.unreachable() }, async (spool) => {
      expect(await drain(spool)).toEqual(['before', 'small', 'after']);
    });
  } finally {
    limit('unlimited');
    process.off('SIGXFSZ', ignore);
  }
});

it('answers a directory that can not be written with `retry`, but goes on without a cursor', async () => {
  await writeFile(join(directory, 'file'), '');
  await expect(openSpool(join(directory, 'file', 'spool'))).rejects.toMatchObject({ code: 'SPOOL_DISK', remedy: 'retry' });
  await using(directory, {}, async (spool) => {
    for (const word of ['x', 'y']) await spool.append(text(word));
    await mkdir(join(directory, 'cursor.tmp'));
    await spool.take();
    await spool.acknowledge(0);
    expect(await drain(spool)).toEqual(['y']);
  });
  // Sent again: the acknowledgement did not reach the disk.
  await using(directory, {}, async (spool) => expect(await drain(spool)).toEqual(['x', 'y']));
});
