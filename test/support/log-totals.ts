/** What a serving source said, summed: the totals that `test/logs/*.yaml` speak of. */
import type { EngineFacts, Evidence, ServingEvent, StepsEvidence } from '@joulebook/agent/sources/source.js';
import { OUTCOMES } from '@joulebook/shared/slice.js';

export const NUMBERS = [
  'input', 'cachedInput', 'output', 'requests', 'steps', 'iterations', 'windows', ...OUTCOMES, 'prefillTokens', 'decodeTokens', 'prefillSeconds', 'decodeSeconds',
  'idleSeconds', 'holeSeconds', 'running', 'waiting', 'kvUsage', 'chunkTokens', 'kvCacheTokens', 'skipped',
] as const;
export const TIMES = ['first', 'last'] as const;
export const TEXTS = ['flags', 'version'] as const;
export const TOTALS = [...NUMBERS, ...TIMES, ...TEXTS] as const;
export type Total = (typeof TOTALS)[number];

const PHASE_OF_STEPS = { prefill: ({ prefills, prefillTokens, decodes }: StepsEvidence) => prefills + prefillTokens > 0 && decodes === 0, decode: ({ prefills, prefillTokens, decodes }: StepsEvidence) => prefills + prefillTokens === 0 && decodes > 0 };

const startOf = (event: Evidence): number => (event.kind === 'request' ? event.start : event.from);
const endOf = (event: Evidence): number => (event.kind === 'request' ? event.end : event.to);

export async function totalsOf(events: AsyncIterable<ServingEvent>): Promise<Partial<Record<Total, number | string>>> {
  const sums = new Map<Total, number>();
  const add = (name: Total, amount: number | undefined): void => {
    if (amount !== undefined) sums.set(name, (sums.get(name) ?? 0) + amount);
  };
  const atMost = (name: Total, value: number): void => void sums.set(name, Math.max(sums.get(name) ?? value, value));
  const codes = new Set<string>();
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  let version: string | undefined;
  for (const name of ['requests', 'steps', 'windows', 'skipped'] as const) add(name, 0);

  const evidence = (event: Evidence): void => {
    first = Math.min(first, startOf(event));
    last = Math.max(last, endOf(event));
    if ('tokens' in event) for (const kind of ['input', 'cachedInput', 'output'] as const) add(kind, event.tokens[kind]);
    const took = endOf(event) - startOf(event);
    if (event.kind === 'request') {
      add('requests', 1);
      add(event.outcome, 1);
      if (event.firstToken === undefined) return;
      add('prefillSeconds', event.firstToken - (event.scheduled ?? event.start));
      add('decodeSeconds', event.end - event.firstToken);
    } else if (event.kind === 'steps') {
      add('steps', 1);
      add('iterations', event.steps);
      add('prefillTokens', event.prefillTokens);
      add('decodeTokens', event.decodeTokens);
      if (PHASE_OF_STEPS.prefill(event)) add('prefillSeconds', took);
      if (PHASE_OF_STEPS.decode(event)) add('decodeSeconds', took);
    } else if (event.kind === 'window') {
      add('windows', 1);
      add('prefillTokens', event.prefillTokens);
      add('prefillSeconds', event.phaseSeconds?.prefill);
      add('decodeSeconds', event.phaseSeconds?.decode);
      for (const outcome of OUTCOMES) add(outcome, event.requests?.[outcome]);
    } else add(event.kind === 'idle' ? 'idleSeconds' : 'holeSeconds', took);
  };
  const facts = ({ chunkTokens, kvCacheTokens, version: said }: EngineFacts): void => {
    if (chunkTokens !== undefined) sums.set('chunkTokens', chunkTokens);
    if (kvCacheTokens !== undefined) sums.set('kvCacheTokens', kvCacheTokens);
    version = said ?? version;
  };

  for await (const event of events) {
    if (event.kind === 'engine') facts(event);
    else if (event.kind === 'gauge') {
      const name = GAUGES.get(event.gauge);
      if (name) atMost(name, event.value);
    } else if (event.kind === 'flagged') {
      if (event.code === 'SKIPPED_LINES') add('skipped', event.count);
      else codes.add(event.code);
    } else if (event.kind !== 'watermark') evidence(event);
  }
  return {
    ...Object.fromEntries(sums),
    ...(Number.isFinite(first) && { first: iso(first), last: iso(last) }),
    flags: [...codes].toSorted().join(' '),
    ...(version !== undefined && { version }),
  };
}

const GAUGES: ReadonlyMap<string, Total> = new Map([
  ['serving.requests.running', 'running'],
  ['serving.requests.waiting', 'waiting'],
  ['serving.kv_cache.usage', 'kvUsage'],
]);

const iso = (at: number): string => new Date(Math.round(at * 1000)).toISOString();
