/** Facts for tests: say what matters, the rest has plain values. Times are seconds after 2026-01-01T00:00Z. */
import { createHash } from 'node:crypto';
import type { Batch } from '@joulebook/shared/batch.js';
import type { EnergySlice, FlagSlice, RequestsSlice, Slice, TokensSlice } from '@joulebook/shared/slice.js';
import { epochMicros, microjoules, seconds, type EpochMicros } from '@joulebook/shared/units.js';

const ORIGIN = Date.UTC(2026, 0, 1) * 1000;
export const at = (after: number): EpochMicros => epochMicros(ORIGIN + Math.round(after * 1e6));
export const iso = (after: number): string => new Date(at(after) / 1000).toISOString();

type Said<S> = Partial<Omit<S, 'kind' | 'from' | 'to'>> & { from?: number; to?: number };

function span(said: { from?: number; to?: number }): { from: EpochMicros; to: EpochMicros } {
  const from = said.from ?? 0;
  return { from: at(from), to: at(said.to ?? from + 1) };
}

export function energyFact(said: Said<EnergySlice> & { joules?: number } = {}): EnergySlice {
  const { joules = 100, from: _from, to: _to, ...rest } = said;
  const observed = rest.seconds ?? seconds(1);
  return {
    kind: 'energy', device: 'GPU-0', boundary: 'gpu', phase: 'decode', deployment: 'chat', model: 'llama',
    microjoules: microjoules(Math.round(joules * 1e6)), modelledMicrojoules: microjoules(0), askedSeconds: observed,
    source: 'nvml', method: 'counter', ...rest, seconds: observed, ...span(said),
  };
}

export function tokensFact(said: Said<TokensSlice> = {}): TokensSlice {
  return { kind: 'tokens', deployment: 'chat', model: 'llama', token: 'output', count: 10, ...said, ...span(said) };
}

export function requestsFact(said: Said<RequestsSlice> = {}): RequestsSlice {
  return { kind: 'requests', deployment: 'chat', model: 'llama', outcome: 'ok', requests: 1, inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, ...said, ...span(said) };
}

export function flagFact(said: Said<FlagSlice> = {}): FlagSlice {
  return { kind: 'flag', code: 'GAP', detail: 'no readings for 3 s', count: 1, ...said, ...span(said) };
}

const STREAM = '0123456789abcdef0123456789abcdef';
/** A stream is of one node. */
const streamOf = (node: string): string => (node === 'node-1' ? STREAM : createHash('sha256').update(node).digest('hex').slice(0, 32));

export const batchOf = (slices: Slice[], said: Partial<Omit<Batch, 'slices'>> = {}): Batch => ({ schema: 1, stream: streamOf(said.node ?? 'node-1'), sequence: 0, node: 'node-1', ...said, slices });
