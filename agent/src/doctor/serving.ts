/** Serving sources: each that is configured is looked at; of the others, those that can be found by themselves. */
import { messageOf, TelemetryError } from '@joulebook/shared/errors.js';
import { countingEntries, deploymentsOf } from '../sources/deployments.js';
import type { LiveServingKind } from '../sources/live.js';
import { named } from '../sources/named.js';
import type { LiveContext } from '../sources/source.js';

export interface ServingFinding {
  readonly source: string;
  readonly state: 'ok' | 'absent' | 'failed';
  /** What was found, or why it is not used and what to do. */
  readonly notes: readonly string[];
  /** Of a configured one. */
  readonly deployment?: string;
}

export interface ServingEntry {
  readonly source: string;
  readonly deployment: string;
  readonly role?: 'prefill' | 'decode' | undefined;
  readonly tokens?: 'count' | 'evidence' | undefined;
  readonly options: Readonly<Record<string, unknown>>;
}

export async function examineServing(entries: readonly ServingEntry[] | undefined, kinds: readonly LiveServingKind[], context: LiveContext): Promise<ServingFinding[]> {
  if (entries === undefined) return detected(kinds, context);
  const faults: string[] = [];
  const deploying = entries.map((entry) => ({ ...entry, kind: entry.source, tokensFrom: kinds.find(({ name }) => name === entry.source)?.tokensFrom }));
  const counting = countingEntries(deploying, faults);
  const findings = await Promise.all(entries.map((entry, index) => examine(entry, counting.has(index), kinds, context)));
  return [...findings, ...faults.map((fault): ServingFinding => ({ source: 'deployments', state: 'failed', notes: [fault] })), ...disagreeing(deploying)];
}

async function examine({ source: name, deployment, options }: ServingEntry, counts: boolean, kinds: readonly LiveServingKind[], context: LiveContext): Promise<ServingFinding> {
  if (name === 'role') return { source: name, state: 'ok', deployment, notes: ['a role has nothing to look at'] };
  const part = counts ? 'counts the tokens' : 'only tells what ran';
  try {
    const source = named('source', kinds, name).open(options);
    const found = await source.examine?.(context);
    return { source: name, deployment, state: found?.ok === false ? 'failed' : 'ok', notes: [`${deployment}: ${part}`, source.description, ...(found?.notes ?? ['not looked at: a look would take away what measuring needs'])] };
  } catch (error) {
    return { source: name, deployment, state: error instanceof TelemetryError && error.remedy === 'disable' ? 'absent' : 'failed', notes: [messageOf(error)] };
  }
}

/** One line for all logs, which have no usual place. */
async function detected(kinds: readonly LiveServingKind[], { environment }: LiveContext): Promise<ServingFinding[]> {
  const looks = kinds.filter(({ name, mustBeTold }) => name === 'log' || mustBeTold !== true);
  return Promise.all(
    looks.map(async (kind): Promise<ServingFinding> => {
      const found = await kind.detect(environment);
      return { source: kind.name, state: found.found ? 'ok' : 'absent', notes: found.found ? [] : [found.reason] };
    }),
  );
}

function disagreeing(entries: Parameters<typeof deploymentsOf>[0]): ServingFinding[] {
  try {
    deploymentsOf(entries);
    return [];
  } catch (error) {
    return [{ source: 'deployments', state: 'failed', notes: [messageOf(error)] }];
  }
}
