/**
 * The README's tables and its example come from the code: run with UPDATE_DOCS=1 to write them anew. Every YAML block of the
 * documents says in its first line which file it is of (`# agent.yaml`), and is read as that file is.
 */
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSources } from '@joulebook/agent/configured.js';
import { checkManifest } from '@joulebook/agent/recording/manifest.js';
import { openRecording } from '@joulebook/agent/recording/open.js';
import { agentSettings } from '@joulebook/agent/settings.js';
import { planOf, simulationSchema } from '@joulebook/agent/simulate/recording.js';
import { livePowerKinds, liveServingKinds, powerFormats, servingFormats } from '@joulebook/agent/sources/index.js';
import { readBook } from '@joulebook/collector/book/book.js';
import { METRICS } from '@joulebook/collector/compare/metrics.js';
import { COMPARE_OPTIONS } from '@joulebook/collector/compare/question.js';
import { START_OPTIONS } from '@joulebook/collector/experiments/request.js';
import { openShelf } from '@joulebook/collector/rates/shelf.js';
import { FIGURES } from '@joulebook/collector/figures/table.js';
import { RELOADED, SETTINGS as collectorSettings } from '@joulebook/collector/settings.js';
import { SWEEP_OPTIONS } from '@joulebook/collector/sweep/question.js';
import { COLUMNS, CSV_HEAD, CSV_TAIL } from '@joulebook/collector/statements/columns.js';
import { REVIEW_CSV } from '@joulebook/collector/statements/render-weekly.js';
import { defaultText } from '@joulebook/shared/sample.js';
import { environmentName, loadSettings, type Settings } from '@joulebook/shared/settings.js';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const README = join(ROOT, 'README.md');
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const code = (text: string | undefined): string => (text === undefined ? '' : `\`${text}\``);
const cell = (text: string): string => text.replaceAll('|', '\\|');

function settingsTable(settings: Settings): string {
  const rows = Object.entries(settings).map(([name, one]) => [`\`${name}\``, `\`${environmentName(name)}\``, code(defaultText(one)), `${cell(one.description)}${one.secret ? ' Secret: never logged.' : ''}`]);
  return table(['setting', 'environment', 'default', 'what it is'], rows);
}
const sourcesTable = (sources: readonly { name: string; summary: string }[]): string => table(['name', 'what it reads'], sources.map(({ name, summary }) => [`\`${name}\``, cell(summary)]));

const SECTIONS: Readonly<Record<string, string>> = {
  'agent settings': settingsTable(agentSettings),
  'collector settings': settingsTable(collectorSettings),
  'live sources': sourcesTable([...livePowerKinds, ...liveServingKinds]),
  'recorded formats': sourcesTable([...powerFormats, ...servingFormats]),
};

/** Likewise, in other documents. */
const FIGURES_TABLE = table(['figure', 'unit', 'what it is', 'how'], Object.entries(FIGURES).map(([name, { unit, title, formula }]) => [`\`${name}\``, unit, title, cell(formula)]));
const plainTable = (columns: Readonly<Record<string, string>>): (readonly string[])[] => Object.entries(columns).map(([name, what]) => [`\`${name}\``, what]);
const STATEMENT_COLUMNS = table(['column', 'unit', 'what it is', 'of which figures'], [
  ...plainTable(CSV_HEAD).map(([name = '', what = '']) => [name, '', what, '']),
  ...Object.entries(COLUMNS).map(([name, { unit, title, how }]) => [`\`${name}\``, unit, title, how]),
  ...plainTable(CSV_TAIL).map(([name = '', what = '']) => [name, '', what, '']),
]);
const ELSEWHERE: readonly (readonly [file: string, name: string, content: string])[] = [['docs/money.md', 'figures', FIGURES_TABLE], ['docs/statements.md', 'statement columns', STATEMENT_COLUMNS], ['docs/statements.md', 'review columns', table(['column', 'what it is'], plainTable(REVIEW_CSV))]];

const sectionOf = (name: string): RegExp => new RegExp(`<!-- ${name} -->\n[\\s\\S]*?\n<!-- /${name} -->`);
const written = (name: string, content: string): string => `<!-- ${name} -->\n${content}\n<!-- /${name} -->`;

/** What the commands of the README's example print. Its figures are held against a run of their own by `test/e2e/start.test.ts`. */
async function example(): Promise<string> {
  const folder = join(mkdtempSync(join(tmpdir(), 'joulebook-docs-')), 'simulated');
  const run = async (program: string, args: readonly string[], input = ''): Promise<string> => (await execa(process.execPath, [join(ROOT, program), ...args], { input, maxBuffer: 256 * 1024 * 1024 })).stdout;
  await run('agent/bin/joulebook-agent.js', ['simulate', '--scenario', join(ROOT, 'deploy/local/simulated-server.yaml'), '--out', folder]);
  return run('collector/bin/joulebook.js', ['report', '-', '--by', 'phase', '--price', '0.17'], await run('agent/bin/joulebook-agent.js', ['replay', folder]));
}
const COMMANDS = `$ npx joulebook-agent simulate --scenario deploy/local/simulated-server.yaml --out data/example
$ npx joulebook-agent replay data/example | npx joulebook report - --by phase --price 0.17`;

if (process.env['UPDATE_DOCS'] === '1') {
  let text = readFileSync(README, 'utf8');
  const sections = { ...SECTIONS, 'example report': `\`\`\`\n${COMMANDS}\n${(await example()).trim()}\n\`\`\`` };
  for (const [name, content] of Object.entries(sections)) text = text.replace(sectionOf(name), () => written(name, content));
  writeFileSync(README, text);
  for (const [file, name, content] of ELSEWHERE) writeFileSync(join(ROOT, file), readFileSync(join(ROOT, file), 'utf8').replace(sectionOf(name), () => written(name, content)));
}

it.each(Object.entries(SECTIONS))('the README says what the code says: %s', (name, content) => {
  expect(sectionOf(name).exec(readFileSync(README, 'utf8'))?.[0]).toBe(written(name, content));
});

it('docs/operations.md names what a collector takes over when it is told to read its settings again', () => {
  const [, named = ''] = /<!-- reloaded -->(.*?)<!-- \/reloaded -->/.exec(readFileSync(join(ROOT, 'docs/operations.md'), 'utf8')) ?? [];
  expect(named.replaceAll('`', '').split(', ')).toEqual(RELOADED);
});

it.each(ELSEWHERE)('%s says what the code says: %s', (file, name, content) => {
  expect(sectionOf(name).exec(readFileSync(join(ROOT, file), 'utf8'))?.[0]).toBe(written(name, content));
});

it('docs/comparisons.md names every metric and option of a comparison', () => {
  const text = readFileSync(join(ROOT, 'docs/comparisons.md'), 'utf8');
  expect([...METRICS.keys(), ...COMPARE_OPTIONS.map((option) => `--${option}`)].filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});

it('docs/experiments.md names every option of an experiment and of a sweep', () => {
  const text = readFileSync(join(ROOT, 'docs/experiments.md'), 'utf8');
  const options = [...START_OPTIONS.filter((option) => option !== 'name'), ...SWEEP_OPTIONS];
  expect([...new Set(options)].filter((option) => !text.includes(`\`--${option}\``) && !text.includes(`\`--${option} `))).toEqual([]);
});

interface Snippet {
  readonly where: string;
  readonly file: string;
  readonly text: string;
}

const documents = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)].filter((name) => name.endsWith('.md'));
const snippets = documents.flatMap((document): Snippet[] => {
  const text = readFileSync(join(ROOT, document), 'utf8');
  return [...text.matchAll(/^```ya?ml\n([\s\S]*?)^```/gm)].map(({ 1: content = '', index }) => ({
    where: `${document}:${text.slice(0, index).split('\n').length}`,
    file: /^# (\S+)$/m.exec(content.split('\n')[0] ?? '')?.[1] ?? 'no name in its first line',
    text: content,
  }));
});

const LOG = { info: () => undefined, warn: () => undefined };

/** Reads a block as the program would read the file, up to where it would look at the machine. */
const READERS: Readonly<Record<string, (snippet: Snippet) => Promise<unknown>>> = {
  async 'agent.yaml'({ text }) {
    const file = join(mkdtempSync(join(tmpdir(), 'joulebook-docs-')), 'agent.yaml');
    writeFileSync(file, text);
    const settings = await loadSettings(agentSettings, { environment: {}, file });
    // What is not said would be looked for on this machine.
    return openSources({ ...settings, power: settings.power ?? [], serving: settings.serving ?? [] }, LOG);
  },
  async 'collector.yaml'({ text }) {
    const file = join(mkdtempSync(join(tmpdir(), 'joulebook-docs-')), 'collector.yaml');
    writeFileSync(file, text);
    return loadSettings(collectorSettings, { environment: {}, file });
  },
  async 'book.yaml'({ text }) {
    const file = join(mkdtempSync(join(tmpdir(), 'joulebook-docs-')), 'book.yaml');
    writeFileSync(file, text);
    return readBook(file, openShelf(dirname(file)));
  },
  'recording.yaml': ({ text, where }) => Promise.resolve(openRecording({ base: ROOT, manifest: checkManifest(parse(text), where, 'node') })),
  'scenario.yaml': ({ text, where }) => Promise.resolve(planOf(simulationSchema.parse(parse(text)), where)),
};

describe('YAML in the documents', () => {
  it('is there', () => {
    expect(snippets.map(({ file }) => file)).toEqual(expect.arrayContaining(Object.keys(READERS)));
  });

  it.each(snippets.map((snippet) => [snippet.where, snippet] as const))('%s is understood', async (where, snippet) => {
    const read = READERS[snippet.file];
    if (!read) throw new Error(`${where}: begin the block with '# agent.yaml', '# collector.yaml', '# book.yaml', '# recording.yaml' or '# scenario.yaml'`);
    await expect(read(snippet)).resolves.toBeDefined();
  });
});

it('docs/engines.md names every source and format of an engine', () => {
  const text = readFileSync(join(ROOT, 'docs/engines.md'), 'utf8');
  const names = [...new Set([...liveServingKinds, ...servingFormats].map(({ name }) => name))];
  expect(names.filter((name) => !text.includes(`\`${name}\``) && !text.includes(`source: ${name},`))).toEqual([]);
});
