import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Folders of a package in the order in which data meets them: a file may import from its own folder and from those before it. */
const FLOW: Readonly<Record<string, readonly (readonly string[])[]>> = {
  agent: [['sources', 'schedule', 'host', 'spool', 'bill', 'version'], ['sampler'], ['attribution'], ['correlator'], ['shipper'], ['recording'], ['simulate'], ['settings', 'metrics'], ['agent', 'doctor'], ['configured'], ['commands'], ['main']],
  collector: [['settings', 'version', 'figures', 'rates'], ['store', 'access'], ['book'], ['ingest', 'join'], ['upkeep', 'report', 'started', 'reload'], ['verify', 'waste', 'statements', 'compare'], ['experiments', 'sweep'], ['evidence'], ['alerts'], ['api'], ['collector'], ['commands'], ['main']],
};

interface Import {
  readonly file: string;
  readonly target: string;
  readonly typeOnly: boolean;
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !/\.(?:test|testing)\.ts$/.test(entry.name) && !entry.parentPath.includes('node_modules'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^(import|export)(\s+type)?[^'"]*?from\s+['"]([^'"]+)['"]/gm)].map((match) => ({
    file,
    typeOnly: match[2] !== undefined,
    target: match[3]?.startsWith('.') ? relative(root, resolve(root, dirname(file), match[3].replace(/\.js$/, '.ts'))) : (match[3] ?? ''),
  }));
}

const files = { shared: sources('shared/src'), agent: sources('agent/src'), collector: sources('collector/src'), deploy: sources('deploy/local') };
const all = Object.values(files).flat().flatMap(importsOf);

describe('imports follow the flow of data', () => {
  it('finds the sources that it is about', () => {
    for (const [name, list] of Object.entries(files)) expect(list.length, name).toBeGreaterThan(0);
    expect(all.length).toBeGreaterThan(100);
  });

  it('shared imports nothing of ours, agent and collector never import each other', () => {
    const crossing = all.filter(({ file, target }) => {
      const from = file.split('/')[0];
      const to = target.startsWith('@joulebook/') ? target.split('/')[1] : target.split('/')[0];
      if (!target.startsWith('@joulebook/') && !/^(shared|agent|collector|deploy)\//.test(target)) return false;
      return from !== to && to !== 'shared' && !(from === 'deploy' && to === 'agent');
    });
    expect(crossing).toEqual([]);
  });

  it.each(Object.keys(FLOW))('%s: a folder imports only what data met before it', (name) => {
    const order = FLOW[name] ?? [];
    const rank = (file: string): number => order.findIndex((names) => names.includes((file.split('/')[2] ?? '').replace(/\.ts$/, '')));
    for (const file of files[name === 'agent' ? 'agent' : 'collector']) expect(rank(file), `${file} is in no folder that this test knows`).toBeGreaterThanOrEqual(0);
    const against = all.filter(({ file, target }) => file.startsWith(`${name}/`) && target.startsWith(`${name}/`) && rank(target) > rank(file));
    expect(against.map(({ file, target }) => `${file} → ${target}`)).toEqual([]);
  });

  it('has no circle of imports that run', () => {
    const graph = new Map<string, string[]>();
    for (const { file, target, typeOnly } of all) if (!typeOnly) graph.set(file, [...(graph.get(file) ?? []), target]);
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      else if (!done.has(file)) {
        for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
        done.add(file);
      }
    };
    for (const file of graph.keys()) visit(file, []);
    expect(circles).toEqual([]);
  });
});
