/**
 * What the bench attribution runs: which evidence, which load, which chunking, which sensor. The scenarios are drawn from a
 * seed; those for tuning and those for the table have different ones, and no two scenarios the same run.
 */
export type Grade = 'iterations' | 'requests' | 'windows';
export type SensorKind = 'counter' | 'instant' | 'average';

export interface BenchScenario {
  readonly name: string;
  readonly grade: Grade;
  readonly sensor: SensorKind;
  /** As a person would write it. */
  readonly options: Readonly<Record<string, unknown>>;
}

interface Evidence {
  readonly label: string;
  readonly grade: Grade;
  readonly serving: Readonly<Record<string, unknown>>;
  /** Engines of this log batch so. */
  readonly batching?: 'chunked' | 'prefillFirst';
}

const EVIDENCE: readonly Evidence[] = [
  { label: 'trtllm-log', grade: 'iterations', serving: { format: 'trtllm-log' } },
  { label: 'vllm-log+iterations', grade: 'iterations', serving: { format: 'vllm-log', iterations: true }, batching: 'chunked' },
  { label: 'sglang-log ms', grade: 'iterations', serving: { format: 'sglang-log', milliseconds: true }, batching: 'prefillFirst' },
  { label: 'requests', grade: 'requests', serving: { format: 'requests' } },
  { label: 'dynamo-trace', grade: 'requests', serving: { format: 'dynamo-trace' } },
  { label: 'llamacpp-log', grade: 'requests', serving: { format: 'llamacpp-log' } },
  { label: 'vllm-log', grade: 'windows', serving: { format: 'vllm-log' }, batching: 'chunked' },
  { label: 'vllm-metrics 10 s', grade: 'windows', serving: { format: 'vllm-metrics', period: '10s' }, batching: 'chunked' },
  { label: 'vllm-metrics 1 s', grade: 'windows', serving: { format: 'vllm-metrics', period: '1s' }, batching: 'chunked' },
  { label: 'sglang-metrics 5 s', grade: 'windows', serving: { format: 'sglang-metrics', period: '5s' }, batching: 'prefillFirst' },
];

const SENSORS: readonly { readonly kind: SensorKind; readonly power: Readonly<Record<string, unknown>> }[] = [
  { kind: 'counter', power: { format: 'readings', period: '200ms', channels: ['counter'] } },
  { kind: 'instant', power: { format: 'nvidia-smi-csv', period: '100ms', columns: ['power.draw.instant'] } },
  { kind: 'average', power: { format: 'nvidia-smi-csv', period: '100ms', columns: ['power.draw.average'] } },
];

const HARDWARE = ['h100-8b', 'h100-8b', 'a100-13b', 'l40s-8b', 'h100-70b-tp4'] as const;
/** Requests per second that keep each busy but not drowned. */
const FULL: Readonly<Record<(typeof HARDWARE)[number], number>> = { 'h100-8b': 16, 'a100-13b': 5, 'l40s-8b': 3.5, 'h100-70b-tp4': 7 };
const LOADS = [0.25, 0.5, 0.8] as const;
const CHUNKS = [512, 2048, 8192] as const;

/** A small generator of repeatable choices (mulberry32). */
function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Every kind of evidence with every kind of sensor, `rounds` times, each with other load, traffic, hardware and clocks. */
export function scenarios(seed: number, rounds: number, duration: string): BenchScenario[] {
  const roll = dice(seed);
  const pick = <T>(list: readonly [T, ...T[]]): T => list[Math.floor(roll() * list.length)] ?? list[0];
  const all: BenchScenario[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const { label, grade, serving, batching = pick(['chunked', 'prefillFirst'] as const) } of EVIDENCE) {
      for (const { kind, power } of SENSORS) {
        const hardware = pick(HARDWARE);
        const load = pick(LOADS);
        const perSecond = FULL[hardware] * load;
        const chunk = pick(CHUNKS);
        const bursty = roll() < 0.4;
        const arrivals = (rate: number): object => (bursty ? { kind: 'gamma', perSecond: rate, cv: 2.5 } : { kind: 'poisson', perSecond: rate });
        const rag = roll() < 0.6;
        const traffic = [
          { work: 'chat', arrivals: arrivals(perSecond * (rag ? 0.7 : 1)) },
          ...(rag ? [{ work: pick(['rag', 'code'] as const), arrivals: arrivals(perSecond * 0.15), aborts: 0.02 }] : []),
        ];
        all.push({
          name: `${label} · ${kind} · ${hardware} · load ${load} · ${batching === 'chunked' ? `chunk ${chunk}` : 'prefill first'}${bursty ? ' · bursts' : ''}`,
          grade,
          sensor: kind,
          options: {
            seed: Math.floor(roll() * 1e9),
            duration,
            hardware,
            engine: { batching, maxBatchedTokens: batching === 'chunked' ? chunk : 8192 },
            traffic,
            pauses: [{ from: 0, to: '5s' }, { from: '100s', to: '115s' }],
            recording: {
              power: [{ ...power, jitter: '5ms', lost: 0.002 }],
              serving: [{ ...serving, clock: { offset: Math.round((roll() - 0.5) * 1000) / 1000 } }],
            },
          },
        });
      }
    }
  }
  return all;
}
