/** Tar files as bundles are, and as somebody may have made them instead. */
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack, type Header } from 'tar-stream';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packTar, unpackTar } from './tar.js';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'tar-'))));
afterAll(() => rm(folder, { recursive: true }));

const FILES = { 'manifest.json': '{}\n', 'facts/energy.parquet': 'x'.repeat(3_000_001), 'facts/none.parquet': '', 'book/1-prices.csv': 'y'.repeat(1024) } as const;

async function write(below: string): Promise<void> {
  for (const [name, content] of Object.entries(FILES)) {
    await mkdir(dirname(join(below, name)), { recursive: true });
    await writeFile(join(below, name), content);
  }
}

const of = (entries: readonly ((Pick<Header, 'name'> & Partial<Header>) | readonly [name: string, content: string])[]): Promise<Buffer> => {
  const tar = pack();
  for (const entry of entries) {
    if ('name' in entry) tar.entry(entry);
    else tar.entry({ name: entry[0] }, entry[1]);
  }
  tar.finalize();
  return buffer(tar);
};

let count = 0;
async function unpacked(bytes: Buffer): Promise<string> {
  const [tar, into] = [join(folder, `${(count += 1)}.tar`), join(folder, `into-${count}`)];
  await Promise.all([writeFile(tar, bytes), mkdir(into)]);
  await unpackTar(tar, into);
  return into;
}

it('is the same file whenever it is made, and gives back what is in it', async () => {
  const from = join(folder, 'from');
  const [one, two] = [join(folder, 'one.tar'), join(folder, 'two.tar')];
  await write(from);
  await packTar(from, Object.keys(FILES), one);
  await utimes(join(from, 'manifest.json'), 1, 1);
  await packTar(from, Object.keys(FILES), two);
  const bytes = await readFile(one);
  expect(bytes.equals(await readFile(two))).toBe(true);
  const into = await unpacked(bytes);
  for (const [name, content] of Object.entries(FILES)) expect((await readFile(join(into, name), 'utf8')) === content, name).toBe(true);
  // What is torn off in the middle is missed.
  for (const end of [100, 600, 514, 20_000, bytes.length - 1600]) await expect(unpacked(bytes.subarray(0, end)), String(end)).rejects.toMatchObject({ code: 'TAR_DAMAGED', remedy: 'abort' });
  await expect(unpackTar(one, join(one, 'no folder'))).rejects.toMatchObject({ code: 'ENOTDIR' });
});

it('holds plain files, each once, none of which is the folder of another', async () => {
  const refused: readonly (readonly [entries: Parameters<typeof of>[0], why: RegExp])[] = [
    [[['a', '1'], ['a', '2']], /'a' twice/],
    [[['a', '1'], ['a/b', '2']], /'a\/b', .* folder/],
    [[['a/b', '1'], ['a', '2']], /'a', .* folder/],
    [[{ name: 'a', type: 'symlink', linkname: '/etc/hostname' }], /'a', which is no plain file/],
    [[{ name: 'a', type: 'link', linkname: 'b' }], /'a', which is no plain file/],
    [[{ name: 'a', type: 'fifo' }], /'a', which is no plain file/],
    [[['../a', '1']], /'\.\.\/a', which is no name/],
    [[['/a', '1']], /'\/a', which is no name/],
    [[['a/../b', '1']], /'a\/\.\.\/b', which is no name/],
  ];
  for (const [entries, why] of refused) await expect(unpacked(await of(entries)), String(why)).rejects.toMatchObject({ code: 'TAR_DAMAGED', remedy: 'abort', message: expect.stringMatching(why) as unknown });
});

it('has its names and sizes guarded by the sum of each header', async () => {
  const bytes = await of([['a', '1'], ['b', '2']]);
  for (const at of [0, 124, 130, 156, 1024]) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    await expect(unpacked(changed), String(at)).rejects.toMatchObject({ code: 'TAR_DAMAGED' });
  }
  // What says nothing of names and contents may change.
  for (const at of [155, 600]) bytes[at] = 0x78;
  expect(await readdir(await unpacked(bytes))).toEqual(['a', 'b']);
});
