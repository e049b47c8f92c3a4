/**
 * What stands under deploy/ says what the programs say. The sample files are printed by the programs: run with UPDATE_DOCS=1
 * to write them anew. The units are held against what they start, and against systemd's own check where it is installed.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { agentSettings } from '@joulebook/agent/settings.js';
import { SETTINGS as collectorSettings } from '@joulebook/collector/settings.js';
import { loadSettings, type Settings } from '@joulebook/shared/settings.js';
import { execa, execaSync } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AGENT, COLLECTOR } from './support/pipe.js';

const DEPLOY = fileURLToPath(new URL('../deploy/', import.meta.url));
const INSTALLED = '/opt/joulebook/';
const textOf = (...path: readonly string[]): string => readFileSync(join(DEPLOY, ...path), 'utf8');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'joulebook-deploy-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const print = async (program: string): Promise<string> => `${(await execa(process.execPath, [program, 'settings'])).stdout}\n`;

interface Program {
  readonly program: string;
  readonly sample: string;
  readonly unit: string;
  readonly settings: Settings;
  /** What the sample says that is not the default. */
  readonly says: Readonly<Record<string, unknown>>;
  /** The setting that must lie in the folder that the unit lets it write. */
  readonly state: string;
}

const PROGRAMS: readonly Program[] = [
  { program: AGENT, sample: 'agent.example.yaml', unit: 'joulebook-agent.service', settings: agentSettings, says: { dataDir: '/var/lib/joulebook-agent', metricsListen: { host: '127.0.0.1', port: 9841 } }, state: '/var/lib/joulebook-agent' },
  { program: COLLECTOR, sample: 'collector.example.yaml', unit: 'joulebook-collector.service', settings: collectorSettings, says: { store: '/var/lib/joulebook/joulebook.duckdb' }, state: '/var/lib/joulebook/joulebook.duckdb' },
];

describe.each(PROGRAMS)('deploy/$sample', ({ program, sample, settings, says }) => {
  it('is what the program prints', async () => {
    const printed = await print(program);
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(join(DEPLOY, sample), printed);
    expect(textOf(sample)).toBe(printed);
  });

  const load = async (text: string): Promise<unknown> => {
    const file = join(folder, sample);
    writeFileSync(file, text);
    return loadSettings(settings, { environment: {}, file });
  };

  it('is read as the defaults, and what a service needs', async () => {
    expect(await load(textOf(sample))).toEqual({ ...(await loadSettings(settings, { environment: {} })), ...says });
  });

  it('has every setting once, and each line that is taken in says the default', async () => {
    const names = textOf(sample).split('\n').flatMap((line) => /^#?([a-zA-Z]+):/.exec(line)?.[1] ?? []);
    expect(names).toEqual(Object.keys(settings));
    const takenIn = textOf(sample).replaceAll(/^#([a-zA-Z]+: )/gm, '$1');
    expect(await load(takenIn)).toEqual(await load(textOf(sample)));
  });
});

/** `Key=value` lines; a key that stands several times has several. */
function directives(unit: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [, key = '', value = ''] of textOf('systemd', unit).matchAll(/^(\w+)=(.*)$/gm)) found.set(key, [...(found.get(key) ?? []), value]);
  return found;
}

const analyze = execaSync('systemd-analyze', ['--version'], { reject: false });

describe.each(PROGRAMS)('deploy/systemd/$unit', ({ program, unit, state }) => {
  const said = directives(unit);
  const one = (key: string): string => said.get(key)?.[0] ?? '';
  const [node = '', script = '', ...args] = one('ExecStart').split(' ');

  it('starts the program with options that it has', async () => {
    expect(node).toMatch(/\/node$/);
    expect(join(DEPLOY, '..', script.replace(INSTALLED, ''))).toBe(program);
    const [command = '', ...options] = args;
    const help = (await execa(process.execPath, [program, command, '--help'])).stdout;
    expect(help).toContain(`${basename(program, '.js')} ${command}`);
    const named = options.filter((option) => option.startsWith('--'));
    expect(named).toEqual(['--config']);
    for (const option of named) expect(help).toContain(`${option} <`);
  });

  it('may write its state folder and nothing else, has no capability, and gains none', () => {
    expect(state.startsWith(`/var/lib/${one('StateDirectory')}`)).toBe(true);
    expect(one('ProtectSystem')).toBe('strict');
    expect(said.get('ReadWritePaths')).toBeUndefined();
    expect(said.get('CapabilityBoundingSet')).toEqual(['']);
    expect(said.get('AmbientCapabilities')).toBeUndefined();
    expect(one('NoNewPrivileges')).toBe('yes');
    expect(textOf('systemd', 'joulebook.sysusers.conf')).toMatch(new RegExp(`^u ${one('User')} +- `, 'm'));
  });

  it.skipIf(analyze.failed)(`is understood by systemd${analyze.failed ? ' (skipped: systemd-analyze is not installed)' : ''}`, async () => {
    const file = join(folder, unit);
    // Node is somewhere else on every machine.
    writeFileSync(file, textOf('systemd', unit).replace(node, process.execPath));
    const { all, exitCode } = await execa('systemd-analyze', ['verify', '--man=no', file], { all: true, reject: false });
    expect(all.split('\n').filter((line) => line.includes(unit))).toEqual([]);
    expect(exitCode).toBe(0);
  });
});
