/** The README's tables come from the code: run with UPDATE_DOCS=1 to write them anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { agentSettings } from '@joulebook/agent/settings.js';
import { livePowerKinds, liveServingKinds, powerFormats, servingFormats } from '@joulebook/agent/sources/index.js';
import { SETTINGS as collectorSettings } from '@joulebook/collector/settings.js';
import { environmentName, type Settings } from '@joulebook/shared/settings.js';
import { expect, it } from 'vitest';
import { z } from 'zod';

const README = fileURLToPath(new URL('../README.md', import.meta.url));
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const cell = (text: string): string => text.replaceAll('|', '\\|');

/** What the schema takes when nothing is said; what a machine decides for itself (its name) is told in words. */
function byDefault(name: string, schema: z.ZodType): string {
  if (name === 'node' || !(schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)) return '';
  const value = schema.def.defaultValue;
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

function settingsTable(settings: Settings): string {
  const rows = Object.entries(settings).map(([name, { schema, description, secret }]) => [`\`${name}\``, `\`${environmentName(name)}\``, byDefault(name, schema), `${cell(description)}${secret ? ' Secret: never logged.' : ''}`]);
  return table(['setting', 'environment', 'default', 'what it is'], rows);
}
const sourcesTable = (sources: readonly { name: string; summary: string }[]): string => table(['name', 'what it reads'], sources.map(({ name, summary }) => [`\`${name}\``, cell(summary)]));

const SECTIONS: Readonly<Record<string, string>> = {
  'agent settings': settingsTable(agentSettings),
  'collector settings': settingsTable(collectorSettings),
  'live sources': sourcesTable([...livePowerKinds, ...liveServingKinds]),
  'recorded formats': sourcesTable([...powerFormats, ...servingFormats]),
};

const sectionOf = (name: string): RegExp => new RegExp(`<!-- ${name} -->\n[\\s\\S]*?\n<!-- /${name} -->`);
const written = (name: string, content: string): string => `<!-- ${name} -->\n${content}\n<!-- /${name} -->`;

if (process.env['UPDATE_DOCS'] === '1') {
  let text = readFileSync(README, 'utf8');
  for (const [name, content] of Object.entries(SECTIONS)) text = text.replace(sectionOf(name), () => written(name, content));
  writeFileSync(README, text);
}

it.each(Object.entries(SECTIONS))('the README says what the code says: %s', (name, content) => {
  expect(sectionOf(name).exec(readFileSync(README, 'utf8'))?.[0]).toBe(written(name, content));
});
