/** What the serving entries of a configuration or a manifest say together about the deployments. */
import { UsageError } from '@joulebook/shared/errors.js';
import type { Channel, Role } from './source.js';

/**
 * What a source has its token counts from, the surest first. Where several speak of one deployment, the first counts its
 * tokens and the others only tell what ran. Counters hold every token of the engine; a log loses what was not printed, or
 * rounds it; a table of requests holds those of its writer. A gateway sees only what passes it, and may answer by itself.
 */
export const TOKEN_ORIGINS = ['engine counters', 'engine log', 'requests', 'gateway counters', 'gateway requests'] as const;
export type TokenOrigin = (typeof TOKEN_ORIGINS)[number];

/** One deployment as the configuration describes it. */
export interface Deployment {
  readonly name: string;
  readonly model?: string | undefined;
  readonly role?: Role | undefined;
  /** No serving source says anything but the role. */
  readonly roleOnly?: boolean;
  /** Device ids, host indices or names of the configuration; absent: every device of the node. */
  readonly devices?: readonly (string | number)[] | undefined;
}

export interface DeploymentEntry {
  /** The name of the source or format; `role` has no file and no address. */
  readonly kind: string;
  /** Of its kind; absent: of one that is not known. */
  readonly tokensFrom?: TokenOrigin | undefined;
  readonly deployment: string;
  readonly model?: string | undefined;
  readonly role?: Role | undefined;
  readonly devices?: readonly (string | number)[] | undefined;
  readonly tokens?: 'count' | 'evidence' | undefined;
}

/** One deployment per name; entries that speak of the same one must agree. */
export function deploymentsOf(entries: readonly DeploymentEntry[]): Deployment[] {
  const names = [...new Set(entries.map((entry) => entry.deployment))];
  return names.map((name) => {
    const mine = entries.filter((entry) => entry.deployment === name);
    const pick = <K extends 'model' | 'role' | 'devices'>(key: K) => {
      const said = [...new Set(mine.map((entry) => entry[key]).filter((value) => value !== undefined).map((value) => JSON.stringify(value)))];
      if (said.length > 1) throw new UsageError([`deployment ${name}: its serving entries disagree on ${key}: ${said.join(' and ')}`]);
      return mine.find((entry) => entry[key] !== undefined)?.[key];
    };
    return { name, model: pick('model'), role: pick('role'), devices: pick('devices'), roleOnly: mine.every((entry) => entry.kind === 'role') };
  });
}

/** The positions of the entries that count: one per deployment at most, so that no token is counted twice. */
export function countingEntries(entries: readonly DeploymentEntry[], faults: string[]): Set<number> {
  const counting = new Set<number>();
  for (const name of new Set(entries.map((entry) => entry.deployment))) {
    const mine = entries.flatMap((entry, index) => (entry.deployment === name && entry.kind !== 'role' ? [{ entry, index }] : []));
    const said = mine.filter(({ entry }) => entry.tokens === 'count');
    const candidates = said.length > 0 ? said : surest(mine.filter(({ entry }) => entry.tokens === undefined));
    if (candidates.length > 1) {
      faults.push(`deployment ${name}: ${candidates.length} sources would count its tokens (${candidates.map(({ entry }) => entry.kind).join(', ')}); say 'tokens: count' for one of them and 'tokens: evidence' for the others`);
    }
    const [counts] = candidates;
    if (counts) counting.add(counts.index);
  }
  return counting;
}

function surest<E extends { readonly entry: DeploymentEntry }>(open: readonly E[]): E[] {
  const rank = ({ entry }: E): number => (entry.tokensFrom === undefined ? TOKEN_ORIGINS.length : TOKEN_ORIGINS.indexOf(entry.tokensFrom));
  const first = Math.min(...open.map(rank));
  return open.filter((each) => rank(each) === first);
}

/** Whether a device, as a sensor names it, is one that the deployment runs on. */
export const servedBy = ({ devices }: Deployment, { device, index }: Channel): boolean => devices === undefined || devices.some((entry) => entry === device || entry === index || `gpu${entry}` === device || String(entry) === device);
