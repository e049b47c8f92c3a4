/**
 * A setting is declared once: type, unit (in its name), default, description, secret or not.
 * Validation, environment names, the sample file and the README's table all come from that declaration.
 * Precedence: flag › environment › file › default.
 */
import { readFile } from 'node:fs/promises';
import { distance } from 'fastest-levenshtein';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { messageOf, UsageError } from './errors.js';

export interface Setting<T extends z.ZodType = z.ZodType> {
  readonly schema: T;
  readonly description: string;
  readonly secret?: boolean;
  /** Its default is another on every machine: the description tells it. */
  readonly byMachine?: boolean;
}
export type Settings = Readonly<Record<string, Setting>>;
export type Values<S extends Settings> = { [K in keyof S]: z.output<S[K]['schema']> };

export const setting = <T extends z.ZodType>(schema: T, description: string, options: { secret?: boolean; byMachine?: boolean } = {}): Setting<T> => ({ schema, description, ...options });

/** `collectorUrl` → `JOULEBOOK_COLLECTOR_URL`. */
export const environmentName = (name: string): string => `JOULEBOOK_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;

/** `collectorUrl` → `--collector-url`. */
export const flagName = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/;
const UNIT_SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };

/** `90s`, `15m`, `30d`, or plain seconds → seconds; undefined if it is none of these. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text.trim());
  return match ? Number(match[1]) * (UNIT_SECONDS[match[2] ?? 's'] ?? 1) : undefined;
}

/** A duration in a file or on the command line: a number of seconds or text like `15m`. Yields seconds. */
export const duration = z.union([z.number(), z.string()]).transform((value, context) => {
  const parsed = typeof value === 'number' ? value : parseDuration(value);
  if (parsed !== undefined && Number.isFinite(parsed) && parsed >= 0) return parsed;
  context.addIssue(`'${value}' is not a duration; write 90s, 15m or 30d`);
  return z.NEVER;
});

export function nearest(name: string, known: readonly string[]): string | undefined {
  const ranked = known.map((other) => [distance(name.toLowerCase(), other.toLowerCase()), other] as const).toSorted((a, b) => a[0] - b[0]);
  const best = ranked[0];
  return best && best[0] <= Math.max(2, name.length / 3) ? best[1] : undefined;
}

const unknownKey = (name: string, known: readonly string[]): string => {
  const guess = nearest(name, known);
  return guess ? `unknown; did you mean '${guess}'?` : `unknown; known are ${known.join(', ')}`;
};

async function readSettingsFile(file: string): Promise<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = parseYaml(await readFile(file, 'utf8'));
  } catch (error) {
    throw new UsageError([`${file}: ${messageOf(error)}`]);
  }
  if (parsed === null || parsed === undefined) return {};
  if (typeof parsed !== 'object' || Array.isArray(parsed)) throw new UsageError([`${file}: expected settings as 'name: value' lines`]);
  return Object.fromEntries(Object.entries(parsed));
}

/**
 * @param flags what the command line said, by setting name; undefined values count as not said
 * @throws UsageError with every fault at once
 */
export async function loadSettings<S extends Settings>(
  settings: S,
  said: { flags?: Readonly<Record<string, unknown>>; environment?: NodeJS.ProcessEnv; file?: string | undefined },
): Promise<Values<S>> {
  const names = Object.keys(settings);
  const faults: string[] = [];
  const fromFile = said.file === undefined ? {} : await readSettingsFile(said.file);
  for (const key of Object.keys(fromFile)) if (!names.includes(key)) faults.push(`${said.file}: ${key}: ${unknownKey(key, names)}`);

  const values: Record<string, unknown> = {};
  for (const [name, { schema, secret }] of Object.entries(settings)) {
    const variable = environmentName(name);
    const candidates: readonly (readonly [unknown, string])[] = [
      [said.flags?.[name], flagName(name)],
      [fromEnvironment(said.environment?.[variable]), variable],
      [fromFile[name], `${said.file}: ${name}`],
    ];
    const [value, where] = candidates.find(([candidate]) => candidate !== undefined) ?? [undefined, name];
    const result = schema.safeParse(value);
    if (result.success) values[name] = result.data;
    else for (const issue of result.error.issues) faults.push(...describeIssue(issue, where, secret ?? false));
  }
  if (faults.length > 0) throw new UsageError(faults);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each value was parsed by the schema of its own name above
  return values as Values<S>;
}

/** Lists and maps come through the environment as YAML, e.g. JOULEBOOK_LABELS='{cooling: liquid}'; all else is text. */
function fromEnvironment(text: string | undefined): unknown {
  if (text === undefined || !/^\s*[[{]/.test(text)) return text;
  try {
    return parseYaml(text);
  } catch {
    return text;
  }
}

function describeIssue(issue: z.core.$ZodIssue, where: string, secret: boolean): string[] {
  const path = [where, ...issue.path.map(String)].join('.');
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => `${path}: '${key}' is not a setting here`);
  return [`${path}: ${secret ? 'not valid' : issue.message}`];
}

/** Every fault of a zod check as `path: message` lines, unknown keys included; for files that are not settings, e.g. a manifest. */
export const describeIssues = (error: z.ZodError, where: string): string[] => error.issues.flatMap((issue) => describeIssue(issue, where, false));
