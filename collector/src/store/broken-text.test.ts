/** Earlier releases took texts with half of a surrogate pair, which no JSON function reads: a store that has one answers all the same. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, expect, it } from 'vitest';
import { buildReport } from '../report/build.js';
import { parseRequest } from '../report/request.js';
import { parseQuestion } from '../verify/question.js';
import { verify } from '../verify/verify.js';
import { openDuckdb } from './duckdb.js';
import { MIGRATIONS } from './migrations.js';
import { at } from './sample-facts.js';

/** The last schema under which such texts came in. */
const BEFORE = 6;
const HALVES = String.raw`{"about":"\\ud800","q":"\ud800\udfffx\ud83d"}`;

const folder = mkdtempSync(join(tmpdir(), 'joulebook-texts-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function brokenStore(): Promise<string> {
  const path = join(folder, 'broken.duckdb');
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  const energy = `('${'a'.repeat(32)}', 0, 'node-1', ${at(0)}, ${at(10)}, NULL, 'chat', 'llama', '${HALVES}', 'GPU-0', 'gpu', 'decode', 7000000, 0, 10, 10, 'nvml', 'counter', NULL, NULL, NULL, '["\\ud800","n"]', NULL)`;
  await connection.run(`CREATE TABLE schema_version (version INTEGER NOT NULL); ${MIGRATIONS.slice(0, BEFORE).join('\n')} INSERT INTO schema_version VALUES (${BEFORE});
    INSERT INTO ledger VALUES ('${'a'.repeat(32)}', 0, 'hash', 'node-1', 1, 1, ${at(0)}, ${at(10)});
    INSERT INTO energy VALUES ${energy};
    INSERT INTO touched VALUES ('minute', ${at(0)})`);
  connection.closeSync();
  instance.closeSync();
  return path;
}

it('a store with halves of pairs in it answers reports, verifications, exports and roll-ups', async () => {
  const store = await openDuckdb(await brokenStore());
  try {
    expect(await store.labels()).toEqual(['about', 'q']);
    expect((await buildReport(store, parseRequest({ by: ['q,about'] }, {}, ''), '')).rows).toMatchObject([{ joules: 7, group: { q: '\ufffdx\ufffd', about: String.raw`\ud800` } }]);
    expect((await verify(store, parseQuestion({}, ''))).closed).toBe(true);
    const exported = join(folder, 'out.ndjson');
    expect(await store.export({ format: 'ndjson', kind: undefined, from: undefined, to: undefined }, exported)).toEqual({ rows: 1 });
    expect(JSON.parse(readFileSync(exported, 'utf8'))).toMatchObject({ slices: [{ labels: { q: '\ufffdx\ufffd', about: String.raw`\ud800` }, contains: ['\ufffd', 'n'] }] });
    expect(await store.rollUp(20)).toMatchObject({ left: 0, faults: [] });
  } finally {
    await store.close();
  }
});
