/** Bundles by the command: made of a store that nobody holds, of a file of batches, and of a running collector; then changed in every way. */
import { execFile } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { epochMicros } from '@joulebook/shared/units.js';
import { readBook, type Book } from '../book/book.js';
import { said, serve, type Said } from '../commands/program.testing.js';
import { report } from '../join/report.js';
import { fillMonth, MONTH_BOOK, PRICES } from '../statements/month.testing.js';
import { openDuckdb } from '../store/duckdb.js';
import { verification } from '../verify/verification.js';
import { copyBook } from './book-copy.js';
import { bundleTo } from './bundle.js';
import { checkEvidence } from './check.js';
import { hashOf, manifest, manifestText, sumsText, type Manifest } from './manifest.js';
import { seal } from './seal.js';

const SECRET = 'seven-secret-words';
/** Where alerts go is nobody's business who checks a bundle. */
const BOOK = `${MONTH_BOOK}\nsinks:\n  - { name: pager, kind: webhook, url: "https://hooks.example/${SECRET}" }\n`;
/** Begins an hour before the first fact: 24 of 25 hours are covered. */
const RANGE = ['--from', '2026-09-30T11:00:00Z', '--to', '2026-10-01T12:00:00Z'];

let folder: string;
let bundle: string;
let copy: string;
let made: Said;
let [store, book] = ['', ''];
const pem = (key: KeyObject, type: 'pkcs8' | 'spki'): string => String(key.export({ format: 'pem', type }));
const keys = generateKeyPairSync('ed25519');
const other = generateKeyPairSync('ed25519');
const pathOf = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'evidence-'));
  [store, book, bundle] = [pathOf('store.duckdb'), pathOf('book.yaml'), pathOf('bundle')];
  const filled = await openDuckdb(store);
  await fillMonth(filled, { days: 2, site: 'berlin' });
  await filled.export({ format: 'ndjson', kind: undefined, from: undefined, to: undefined }, pathOf('batches.ndjson'));
  await filled.close();
  await Promise.all([writeFile(book, BOOK), writeFile(pathOf('prices.csv'), PRICES), writeFile(pathOf('key.pem'), pem(keys.privateKey, 'pkcs8')), writeFile(pathOf('key.pub'), pem(keys.publicKey, 'spki')), writeFile(pathOf('other.pub'), pem(other.publicKey, 'spki'))]);
  made = await said(['evidence', '--store', store, '--book', book, ...RANGE, '--out', bundle, '--key', pathOf('key.pem')], { environment: { JOULEBOOK_TOKEN: SECRET, JOULEBOOK_STORE_TOKEN: SECRET } });
}, 60_000);
afterAll(() => rm(folder, { recursive: true }));

let copies = 0;
beforeEach(async () => {
  copy = pathOf(`copy-${(copies += 1)}`);
  await cp(bundle, copy, { recursive: true });
});

const readManifest = async (): Promise<Manifest> => manifest.parse(JSON.parse(await readFile(join(copy, 'manifest.json'), 'utf8')));
const reasonsOf = async (publicKey = undefined as typeof keys.publicKey | undefined): Promise<string[]> => (await checkEvidence(copy, { publicKey, leastCoverage: 0.95 })).reasons.map(({ code, detail }) => `${code} ${detail}`);
async function flip(path: string, at = 0.5): Promise<void> {
  const bytes = await readFile(path);
  const index = Math.floor(bytes.length * at);
  bytes[index] = (bytes[index] ?? 0) ^ 1;
  await writeFile(path, bytes);
}
/** By somebody who knows how bundles are made, and has no key. */
async function reseal(): Promise<void> {
  const { files: _files, signedBy: _signedBy, ...open } = await readManifest();
  await seal(copy, open, undefined);
}

describe('a bundle', () => {
  it('verifies: exit 0, by the key that was given, in a table and as JSON', async () => {
    expect(made).toMatchObject({ code: 0, out: '' });
    expect(made.err).toMatch(/facts, signed by SHA256:/);
    const told = await said(['verify', bundle, '--public-key', pathOf('key.pub')]);
    expect(told).toMatchObject({ code: 0, err: '' });
    expect(told.out).toMatch(/signature .* yes .*the key that was given/);
  });

  it('has what its manifest says and nothing else, and no secret in any file', async () => {
    const { files, question, book: bookPath } = await readManifest();
    expect(files.map(({ path }) => path)).toEqual([
      'book/1-prices.csv', 'book/book.yaml', ...['energy', 'flag', 'gauge', 'requests', 'tokens'].map((kind) => `facts/${kind}.parquet`),
      'figures/books.json', 'figures/report.json', 'figures/statement.html', 'figures/statement.json', 'settings.json', 'streams.json',
    ]);
    expect([question.from, bookPath]).toEqual(['2026-09-30T11:00:00.000Z', 'book/book.yaml']);
    const settings: unknown = JSON.parse(await readFile(join(copy, 'settings.json'), 'utf8'));
    expect(settings).toMatchObject({ store: { kind: 'duckdb', file: store }, retentionRaw: 14 * 86_400 });
    const all = (await readdir(copy, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    for (const entry of all) expect((await readFile(join(entry.parentPath, entry.name))).includes(SECRET), entry.name).toBe(false);
  });

  it('is checked by other tools: SHA256SUMS names every file, and its facts are Parquet', async () => {
    const { files } = await readManifest();
    expect(await readFile(join(copy, 'SHA256SUMS'), 'utf8')).toBe(sumsText(files, hashOf(await readFile(join(copy, 'manifest.json')))));
    const rows = await (await (await DuckDBInstance.create(':memory:')).connect()).runAndReadAll(`SELECT count(*), sum(microjoules)::BIGINT FROM read_parquet('${copy}/facts/energy.parquet')`);
    const { total } = report.parse(JSON.parse(await readFile(join(copy, 'figures/report.json'), 'utf8')));
    expect(rows.getRows()[0]?.map(Number)).toEqual([(await readManifest()).rows.energy, Math.round((total.joules ?? 0) * 1e6)]);
  });

  it('is the same one when it is made of a file of batches, as one file, or by a running collector', async () => {
    const tar = pathOf('one.tar');
    expect(await said(['evidence', pathOf('batches.ndjson'), '--book', book, ...RANGE, '--out', tar])).toMatchObject({ code: 0 });
    expect(await said(['verify', tar])).toMatchObject({ code: 0 });
    const live = pathOf('live');
    await mkdir(live);
    await Promise.all([writeFile(join(live, 'book.yaml'), BOOK), writeFile(join(live, 'prices.csv'), PRICES)]);
    const serving = await serve(['--store', pathOf('served.duckdb'), '--book', join(live, 'book.yaml'), '--retention-raw', 'forever']);
    try {
      // Nobody has told the collector: it goes on with what it read, and so does its evidence.
      await Promise.all([writeFile(join(live, 'book.yaml'), 'sites: { half: a, book'), rm(join(live, 'prices.csv'))]);
      for (const path of ['evidence?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z', 'statements/monthly?month=2020-01', 'statements/weekly?week=2020-W02']) {
        const none = await fetch(`${serving.address}/v1/${path}`);
        expect([none.status, await none.json()], path).toEqual([404, { error: 'NO_FACTS', message: expect.stringMatching(/^There (are no facts|is nothing to compare)/) as unknown }]);
      }
      for (const line of (await readFile(pathOf('batches.ndjson'), 'utf8')).trim().split('\n')) expect((await fetch(`${serving.address}/v1/batches`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: line })).status).toBe(200);
      expect(await said(['evidence', '--collector', serving.address, ...RANGE, '--out', pathOf('served'), '--key', pathOf('key.pem')])).toMatchObject({ code: 0 });
    } finally {
      await serving.stop();
    }
    for (const file of ['figures/report.json', 'figures/statement.json', 'figures/books.json', 'book/book.yaml', 'manifest.pub']) expect(await readFile(join(pathOf('served'), file), 'utf8'), file).toBe(await readFile(join(bundle, file), 'utf8'));
  }, 60_000);

  it('is not made where facts of the range were deleted by retention, though their sums are kept', async () => {
    const kept = pathOf('kept.duckdb');
    const short = await openDuckdb(kept);
    await fillMonth(short, { days: 1, site: 'ohio' });
    expect((await short.retain({ raw: 86_400, minute: null, hour: null })).facts).toBeGreaterThan(0);
    await short.close();
    expect(await said(['evidence', '--store', kept, ...RANGE, '--out', pathOf('kept')])).toMatchObject({ code: 1, err: expect.stringMatching(/facts since 2026-09-30T11:00:00\.000Z are not all .*retentionRaw/) as unknown });
  });

  it('is not made of a range without facts, nor where something is already', async () => {
    const none = await said(['evidence', '--store', store, '--from', '2020-01-01T00:00:00Z', '--to', '2020-01-02T00:00:00Z', '--out', pathOf('none')]);
    expect([none.code, none.err]).toEqual([1, expect.stringContaining('There are no facts of')]);
    const faults = await said(['evidence', '--store', store, '--from', 'monday', '--out', bundle, '--key', book, '--boundary', 'gpus']);
    expect(faults.code).toBe(2);
    for (const fault of [/--from: 'monday'/, /--to: say the range/, /--out: .* is there already/, /--key: .* is no key/, /--boundary: 'gpus'/]) expect(faults.err).toMatch(fault);
    expect((await readdir(folder)).filter((name) => name.includes('partial'))).toEqual([]);
  });
});

describe('a bundle of which one byte was changed names the file', () => {
  it.each([
    'facts/energy.parquet', 'facts/tokens.parquet', 'facts/requests.parquet', 'facts/gauge.parquet', 'facts/flag.parquet', 'book/book.yaml', 'book/1-prices.csv', 'settings.json', 'streams.json',
    'figures/report.json', 'figures/statement.json', 'figures/statement.html', 'figures/books.json', 'manifest.json', 'SHA256SUMS', 'manifest.sig', 'manifest.pub',
  ])('%s', async (file) => {
    for (const at of [0, 0.5, 0.999]) {
      await cp(join(bundle, file), join(copy, file));
      await flip(join(copy, file), at);
      const told = await said(['verify', copy, '--public-key', pathOf('key.pub')]);
      expect(told.code, `${file} at ${at}`).toBe(3);
      expect(told.out).toContain(file.includes('/') || file === 'settings.json' || file === 'streams.json' ? `${file} is not the file that the manifest names` : file);
    }
  }, 60_000);

  it('also in a manifest that is not signed', async () => {
    await reseal();
    await writeFile(join(copy, 'manifest.json'), (await readFile(join(copy, 'manifest.json'), 'utf8')).replace('"made": "20', '"made": "21'));
    expect(await reasonsOf()).toEqual(['FILE_CHANGED SHA256SUMS and manifest.json do not agree: one of them was changed.']);
  });

  it.each([0.00001, 0.01, 0.2, 0.5, 0.8, 0.9999])('as a tar file, at %d of it', async (at) => {
    const tar = `${copy}.tar`;
    await bundleTo(copy, tar);
    await flip(tar, at);
    expect(await said(['verify', tar])).toMatchObject({ code: 3, out: expect.stringMatching(/TAR_DAMAGED|FILE_CHANGED|FILE_MISSING/) as unknown });
  });

  it.each(['SHA256SUMS', 'manifest.json', 'manifest.sig', 'manifest.pub', 'figures/report.json', 'more'])('or in which %s is no plain file', async (name) => {
    await rm(join(copy, name), { force: true });
    await symlink(join(bundle, name), join(copy, name));
    expect(await reasonsOf()).toEqual([`FILE_UNKNOWN ${name} is no plain file: a bundle has neither links nor pipes nor devices.`]);
    await rm(join(copy, name));
    // Who opened it would wait for ever.
    await promisify(execFile)('mkfifo', [join(copy, name)]);
    expect(await reasonsOf()).toEqual([expect.stringMatching(/^FILE_UNKNOWN .* is no plain file/)]);
  }, 2000);

  it('or which lacks a file, or has one more', async () => {
    await rm(join(copy, 'streams.json'));
    await writeFile(join(copy, 'figures/more.json'), '{}');
    expect(await reasonsOf()).toEqual(['FILE_UNKNOWN figures/more.json is in no manifest.', 'FILE_MISSING streams.json is missing.']);
  });

  it('or which is only the beginning of one', async () => {
    const tar = `${copy}.tar`;
    await bundleTo(copy, tar);
    await writeFile(tar, (await readFile(tar)).subarray(0, 20_000));
    expect(await said(['verify', tar])).toMatchObject({ code: 3, out: expect.stringContaining('TAR_DAMAGED') as unknown });
    await mkdir(pathOf('empty'), { recursive: true });
    expect(await said(['verify', pathOf('empty')])).toMatchObject({ code: 3, out: expect.stringContaining('manifest.json is missing') as unknown });
  });
});

describe('a bundle that was made anew by somebody without the key', () => {
  it('with other figures: its facts do not show them', async () => {
    const path = join(copy, 'figures/report.json');
    const shown = report.parse(JSON.parse(await readFile(path, 'utf8')));
    await writeFile(path, JSON.stringify({ ...shown, total: { ...shown.total, joules: 0.9 * (shown.total.joules ?? 0) } }));
    await reseal();
    const reasons = await reasonsOf();
    expect(reasons).toEqual([expect.stringMatching(/^FIGURE_DIFFERS figures\/report\.json: total\.joules: \S+ in the bundle, \S+ anew$/)]);
    expect(await reasonsOf(keys.publicKey)).toEqual([expect.stringContaining('SIGNATURE_MISSING')]);
  });

  it('with other facts: its figures are not theirs', async () => {
    await (await (await DuckDBInstance.create(':memory:')).connect()).run(`COPY (SELECT * FROM read_parquet('${bundle}/facts/energy.parquet') WHERE node <> 'n2') TO '${copy}/facts/energy.parquet' (FORMAT parquet)`);
    await reseal();
    const reasons = (await reasonsOf()).join('\n');
    expect(reasons).toMatch(/FIGURE_DIFFERS figures\/report\.json: /);
    expect(reasons).toMatch(/FIGURE_DIFFERS figures\/statement\.json: sites\./);
  });

  it('as of another version: that is told with all that is shown otherwise, and alone is no fault', async () => {
    const { files: _files, signedBy: _signedBy, ...open } = await readManifest();
    const older = (): Promise<unknown> => seal(copy, { ...open, program: { ...open.program, version: '0.0.9' } }, undefined);
    await older();
    expect(await reasonsOf()).toEqual([]);
    const change = async (name: string, from: string | RegExp, to: string): Promise<void> => writeFile(join(copy, name), (await readFile(join(copy, name), 'utf8')).replace(from, to));
    await change('figures/statement.html', 'Sustainability statement', 'Sustainability statement: 0 t CO2e');
    await change('figures/report.json', /\n *"energyCost": .*/, '');
    // Told twice, of which programs read the last and people the first.
    await change('figures/books.json', '{', '{\n  "closed": true,');
    await writeFile(join(copy, 'figures/statement.csv'), 'energyKwh\n0\n');
    await older();
    expect(await reasonsOf()).toEqual([
      expect.stringMatching(/^PROGRAM_OTHER .*0\.0\.9/), expect.stringMatching(/^FIGURE_DIFFERS figures\/report\.json: \S+\.energyCost: nothing in the bundle/),
      expect.stringMatching(/^FIGURE_DIFFERS figures\/statement\.html: line \d+: .*0 t CO2e/), expect.stringMatching(/^FIGURE_DIFFERS figures\/books\.json: line \d+: .*closed/), 'FIGURE_UNKNOWN figures/statement.csv is nothing that a bundle shows.',
    ]);
  });

  it.each(['/etc/hostname', '../../secret.csv', '../settings.json'])('with a book that names %s: nothing outside its folder is opened', async (file) => {
    await writeFile(pathOf('secret.csv'), 'time,hunter2\n');
    await writeFile(join(copy, 'book/book.yaml'), `sites: { berlin: { tariff: { series: { file: ${file}, column: nope } } } }`);
    await reseal();
    expect(await reasonsOf()).toEqual([`BUNDLE_UNREADABLE book/book.yaml: sites.berlin.tariff.series: '${file}' is not beside the book; a bundle's book names nothing else`]);
  });

  it('with a file of something else for facts: it says which', async () => {
    await cp(join(bundle, 'facts/tokens.parquet'), join(copy, 'facts/energy.parquet'));
    await reseal();
    expect(await reasonsOf()).toEqual([expect.stringMatching(/^BUNDLE_UNREADABLE facts\/energy\.parquet holds no facts of kind energy/)]);
  });
});

describe('the signature', () => {
  it('of another key is not that of whom it should be', async () => {
    expect(await reasonsOf(other.publicKey)).toEqual([expect.stringContaining('SIGNATURE_OTHER_KEY'), expect.stringContaining('SIGNATURE_WRONG')]);
    // A key of one's own proves nothing to who knows the right one.
    const { files: _files, signedBy: _signedBy, ...open } = await readManifest();
    await seal(copy, open, other.privateKey);
    expect((await reasonsOf(keys.publicKey)).join()).toContain('SIGNATURE_OTHER_KEY');
  });

  it('under another manifest is wrong', async () => {
    const before = await readManifest();
    const text = manifestText({ ...before, made: '2020-01-01T00:00:00.000Z' });
    await Promise.all([writeFile(join(copy, 'manifest.json'), text), writeFile(join(copy, 'SHA256SUMS'), sumsText(before.files, hashOf(text)))]);
    expect(await reasonsOf()).toEqual([expect.stringContaining('SIGNATURE_WRONG')]);
  });

  it('that is missing is told, and that there never was one is no fault', async () => {
    await rm(join(copy, 'manifest.sig'));
    expect(await reasonsOf()).toEqual([expect.stringContaining('SIGNATURE_MISSING')]);
    await reseal();
    const { closed, checks } = verification.parse(JSON.parse((await said(['verify', copy, '--json'])).out));
    expect([closed, checks.find(({ check }) => check === 'signature')]).toEqual([true, { check: 'signature', closed: null, looked: expect.stringContaining('not signed') as unknown }]);
  });

  it('needs a key of its kind', async () => {
    await writeFile(pathOf('ec.pub'), String(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'pem', type: 'spki' })));
    expect(await said(['verify', bundle, '--public-key', pathOf('ec.pub')])).toMatchObject({ code: 2, err: expect.stringMatching(/a key of type ec, not Ed25519/) as unknown });
  });
});

it('coverage below what is wanted is a reason, as of a store', async () => {
  expect(await said(['verify', bundle, '--coverage', '0.97'])).toMatchObject({ code: 3, out: expect.stringContaining('was seen for 96.0 %') as unknown });
  expect(await said(['verify', bundle, '--from', '2026-10-01T00:00:00Z'])).toMatchObject({ code: 2, err: expect.stringContaining('--from: a bundle has a range of its own') as unknown });
});

it('in place of a provider the book has what that had told', async () => {
  const text = `sites:\n  de: { pue: 1.2, carbon: { location: { provider: electricitymaps, zone: DE, tokenFile: ${SECRET} } } }\n  fr: { carbon: { market: { provider: electricitymaps, zone: FR, tokenFile: t } } }\n`;
  await writeFile(pathOf('plain.yaml'), 'sites: { de: { pue: 1.2 } }');
  const plain = await readBook(pathOf('plain.yaml'));
  const rates = plain.sites.get('de');
  if (!rates) throw new Error('a book has its sites');
  const span = { from: epochMicros(0), to: epochMicros(7200e6) };
  const told: Book = { ...plain, source: { text, series: new Map() }, sites: new Map([['de', { ...rates, location: ({ from, to }) => [{ from, to: epochMicros(3600e6), value: 380 }, { from: epochMicros(3600e6), to, value: null }] }], ['fr', rates]]) };
  const to = pathOf('provided');
  const notes = await copyBook(told, span, to);
  expect(notes).toEqual([expect.stringContaining('sites.de.carbon.location: what its provider had told'), expect.stringContaining('sites.fr.carbon.market')]);
  expect(await readFile(join(to, 'book.yaml'), 'utf8')).toBe('sites:\n  de:\n    pue: 1.2\n    carbon:\n      location:\n        file: 1-provided.csv\n  fr:\n    carbon:\n      market: untold\n');
  expect(await readFile(join(to, '1-provided.csv'), 'utf8')).toBe('from,to,value\n1970-01-01T00:00:00.000Z,1970-01-01T01:00:00.000Z,380\n');
});
