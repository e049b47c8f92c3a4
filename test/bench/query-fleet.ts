/** What the fleet of the bench `query` sends: one node serves one deployment of one of six models on its 8 GPUs, a slice each 10 s. */
import type { EmbeddedStore } from '@joulebook/collector/store/upkeep.js';
import type { Slice } from '@joulebook/shared/slice.js';
import { epochMicros, microjoules, seconds } from '@joulebook/shared/units.js';

export const GPUS_PER_NODE = 8;
export const HOUR = 3600;
export const DAY = 86_400;
/** UTC, a whole day. */
export const BEGIN = Date.UTC(2026, 8, 1) / 1000;
export const LABELS = ['engine', 'quantization'] as const;
const SLICES_PER_BATCH = 6;
const PHASES = [['prefill', 2.5], ['decode', 6], ['idle', 1.5]] as const;

/** Phases differ a little from slice to slice and from node to node. */
function slicesOf(node: number, second: number): Slice[] {
  const [from, to] = [epochMicros((BEGIN + second) * 1e6), epochMicros((BEGIN + second + 10) * 1e6)];
  const place = { from, to, site: `site-${node % 2}`, deployment: `chat-${node}`, model: `model-${node % 6}`, labels: { engine: 'vllm', quantization: node % 3 === 0 ? 'fp8' : 'fp16' } };
  const shift = ((node * 31 + second * 7) % 100) / 100;
  const energy = Array.from({ length: GPUS_PER_NODE }, (_, gpu) => PHASES.map(([phase, length], index): Slice => {
    const observed = seconds(Math.round((length + (index === 0 ? shift : index === 1 ? -shift : 0)) * 1e6) / 1e6);
    const drawn = Math.round(observed * (phase === 'idle' ? 90e6 : 520e6)) + gpu;
    return { kind: 'energy', ...place, device: `GPU-${String(node).padStart(8, '0')}-0000-4000-8000-${String(gpu).padStart(12, '0')}`, boundary: 'gpu', phase, microjoules: microjoules(drawn), modelledMicrojoules: microjoules(Math.floor(drawn / 9)),
      seconds: observed, askedSeconds: observed, lowMicrojoules: microjoules(Math.floor(drawn * 0.95)), highMicrojoules: microjoules(Math.ceil(drawn * 1.05)), samplingVariance: 0.25, source: 'nvml', method: 'counter' };
  })).flat();
  const counts = (['input', 'output'] as const).map((token): Slice => ({ kind: 'tokens', ...place, token, count: 4000 + node + (second % 97) }));
  const ended = Array.from({ length: 4 }, (_, index): Slice => ({ kind: 'requests', ...place, outcome: 'ok', ttftBucket: -8 + ((second / 10 + index) % 6), tpotBucket: -20 + (index % 3), requests: 2, inputTokens: 900, cachedInputTokens: 0, outputTokens: 300 }));
  return [...energy, ...counts, ...ended];
}

/** @returns how many facts */
export async function appendHour(store: EmbeddedStore, nodes: number): Promise<number> {
  let facts = 0;
  for (let first = 0; first < HOUR; first += SLICES_PER_BATCH * 10) {
    await Promise.all(Array.from({ length: nodes }, async (_, node) => {
      const slices = Array.from({ length: SLICES_PER_BATCH }, (__, index) => slicesOf(node, first + index * 10)).flat();
      facts += slices.length;
      await store.append({ schema: 1, stream: node.toString(16).padStart(32, '0'), sequence: first / (SLICES_PER_BATCH * 10), node: `node-${node}`, slices });
    }));
  }
  return facts;
}
