/**
 * A file with every setting, made from the declarations:
 *
 *     # Length of a slice of facts.
 *     # JOULEBOOK_SLICE
 *     #slice: 10s
 *
 * A line that begins with `#name` is what holds where nothing is said.
 */
import { stringify } from 'yaml';
import { z } from 'zod';
import { environmentName, type Setting, type Settings } from './settings.js';

/** What holds where nothing is said; undefined where that is nothing, or the machine's own. */
function defaultOf({ schema, byMachine }: Setting): unknown {
  return !byMachine && (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) ? schema.def.defaultValue : undefined;
}

/** The same for people. */
export function defaultText(setting: Setting): string | undefined {
  const value = defaultOf(setting);
  return value === undefined || typeof value === 'string' ? value : JSON.stringify(value);
}

/** Text is put in quotes where it must be. */
const line = (name: string, value: unknown): string => (value === undefined ? `${name}:` : `${name}: ${stringify(value, { lineWidth: 0 }).trim()}`);

function entry(name: string, setting: Setting, said: string | undefined): string {
  const variable = `${environmentName(name)}${setting.secret ? ' (a secret: rather in the environment than here)' : ''}`;
  return `# ${setting.description}\n# ${variable}\n${said === undefined ? `#${line(name, defaultOf(setting))}` : line(name, said)}\n`;
}

/** @param said what is to stand in the file as said, by name */
export function sampleFile<S extends Settings>(settings: S, head: readonly string[], said: { readonly [K in keyof S]?: string }): string {
  return `${head.map((each) => `# ${each}\n`).join('')}\n${Object.entries(settings).map(([name, one]) => entry(name, one, said[name])).join('\n')}`;
}
