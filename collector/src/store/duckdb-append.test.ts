import { DuckDBInstance } from '@duckdb/node-api';
import { messageOf } from '@joulebook/shared/errors.js';
import { expect, it } from 'vitest';
import { commit } from './duckdb-append.js';

it('a COMMIT that fails says why, as the statement itself would, and has stored nothing', async () => {
  const instance = await DuckDBInstance.create(':memory:');
  const [mine, other] = [await instance.connect(), await instance.connect()];
  await mine.run('CREATE TABLE keys (key BIGINT PRIMARY KEY)');
  const meeting = async (end: () => Promise<unknown>): Promise<string> => {
    for (const each of [mine, other]) await each.run('BEGIN; INSERT INTO keys SELECT coalesce(max(key), 0) + 1 FROM keys');
    await commit(other);
    return end().then(() => 'no error', messageOf);
  };
  const said = await meeting(() => mine.run('COMMIT'));
  expect(said).toContain('duplicate key "1"');
  expect(await meeting(() => commit(mine))).toBe(said.replace('"1"', '"2"'));
  expect((await mine.runAndReadAll('SELECT key FROM keys')).getRows()).toEqual([[1n], [2n]]);
  instance.closeSync();
});
