import { describe, expect, it } from 'vitest';
import { countingEntries, TOKEN_ORIGINS, type DeploymentEntry } from './deployments.js';
import { liveServingKinds, servingFormats } from './index.js';

const entry = (kind: string, more: Partial<DeploymentEntry> = {}): DeploymentEntry => ({ kind, deployment: 'chat', tokensFrom: [...servingFormats, ...liveServingKinds].find(({ name }) => name === kind)?.tokensFrom, ...more });
const counting = (...entries: readonly DeploymentEntry[]): { readonly counts: string[]; readonly faults: readonly string[] } => {
  const faults: string[] = [];
  const found = countingEntries(entries, faults);
  return { counts: entries.filter((_, index) => found.has(index)).map(({ kind, deployment }) => (deployment === 'chat' ? kind : `${kind} of ${deployment}`)), faults };
};

describe('which of several sources counts', () => {
  it.each([
    ['a metrics page before the log of the same engine', ['vllm-log', 'vllm-metrics'], 'vllm-metrics'],
    ['recorded counters before a log', ['sglang-log', 'counters'], 'counters'],
    ['a log that nobody named before a table of requests', ['requests', 'log'], 'log'],
    ['iterations before pages that may count nothing', ['triton-metrics', 'trtllm-iterations'], 'trtllm-iterations'],
    ['the log of an engine before the counters of a gateway', ['dynamo-metrics', 'vllm-log'], 'vllm-log'],
    ['the counters of a gateway before its requests', ['dynamo-log', 'dynamo-metrics', 'dynamo-trace'], 'dynamo-metrics'],
    ['a client before a gateway', ['litellm-log', 'aiperf'], 'aiperf'],
    ['one alone, whatever it is', ['envoy-ai-gateway'], 'envoy-ai-gateway'],
  ])('%s', (_, kinds, chosen) => {
    expect(counting(...kinds.map((kind) => entry(kind)))).toEqual({ counts: [chosen], faults: [] });
  });

  it('what is said goes before', () => {
    expect(counting(entry('vllm-metrics'), entry('vllm-log', { tokens: 'count' })).counts).toEqual(['vllm-log']);
    expect(counting(entry('vllm-metrics', { tokens: 'evidence' }), entry('vllm-log'), entry('litellm-log')).counts).toEqual(['vllm-log']);
    expect(counting(entry('vllm-metrics', { tokens: 'evidence' }))).toEqual({ counts: [], faults: [] });
  });

  it('two of one kind need a word, and so do two that are said to count', () => {
    const fault = "deployment chat: 2 sources would count its tokens (vllm-metrics, sglang-metrics); say 'tokens: count' for one of them and 'tokens: evidence' for the others";
    expect(counting(entry('vllm-metrics'), entry('vllm-log'), entry('sglang-metrics')).faults).toEqual([fault]);
    expect(counting(entry('vllm-log', { tokens: 'count' }), entry('sglang-log', { tokens: 'count' })).faults).toHaveLength(1);
    expect(counting(entry('vllm-metrics'), entry('sglang-metrics', { tokens: 'count' }))).toEqual({ counts: ['sglang-metrics'], faults: [] });
  });

  it('each deployment by itself; a role has nothing to count', () => {
    const pools = [entry('role', { deployment: 'p', role: 'prefill' }), entry('vllm-metrics', { deployment: 'p', role: 'prefill' }), entry('vllm-log', { deployment: 'd', role: 'decode' })];
    expect(counting(...pools)).toEqual({ counts: ['vllm-metrics of p', 'vllm-log of d'], faults: [] });
  });
});

it('every kind of source says what it counts by', () => {
  for (const kind of [...servingFormats, ...liveServingKinds]) expect(TOKEN_ORIGINS, kind.name).toContain(kind.tokensFrom);
});
