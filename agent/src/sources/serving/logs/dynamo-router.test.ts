import { describe, expect, it } from 'vitest';
import { routerLine } from './dynamo-router.js';
import { haveLogs, ifNoLogs, linesOf } from './rust-tracing.testing.js';

const OLD = '2026-03-04T05:06:07.8Z  INFO dynamo_llm::kv_router::scheduler: ';
const NEW = '2026-08-20T05:06:07.8Z  INFO dynamo_kv_router::scheduling::selector: ';

it.each([
  [`${OLD}Formula for 7000000000000000001 with 4 cached blocks: 12.500 = 1.0 * prefill_blocks + decode_blocks = 1.0 * 12.500 + 0.000`, { says: 'candidate', worker: '7000000000000000001', cachedBlocks: 4, prefillWeight: 1, prefillBlocks: 12.5 }],
  [`${OLD}Formula for worker_id=7000000000000000001 dp_rank=2 with 4 cached blocks: 15.5 = 2.0 * prefill_blocks + decode_blocks = 2.0 * 7.250 + 1.000`, { says: 'candidate', worker: '7000000000000000001', rank: '2', cachedBlocks: 4, prefillWeight: 2, prefillBlocks: 7.25 }],
  [
    `${NEW}Formula for worker_id=7000000000000000001 dp_rank=0 with 4.50 effective cached blocks: 9.1 = prefill_load_scale * adjusted_prefill_blocks + decode_blocks + active_request_cost_blocks = 9.1 (raw_prefill_blocks: 8.100)`,
    { says: 'candidate', worker: '7000000000000000001', rank: '0', cachedBlocks: 4.5, prefillBlocks: 8.1 },
  ],
  [`${OLD}Selected worker: 7000000000000000001, logit: 12.500, cached blocks: 4, tree size: 9, total blocks: 900`, { says: 'decision', worker: '7000000000000000001', cachedBlocks: 4 }],
  [`${NEW}Selected pinned worker: worker_type=prefill, worker_id=7000000000000000001 dp_rank=1, logit=9.1`, { says: 'decision', workerType: 'prefill', worker: '7000000000000000001', rank: '1' }],
  [`${OLD}Formula for 7000000000000000001 with 4 cach`, undefined],
  ['Selected worker: 7, says a prompt', undefined],
])('%s', (line, expected) => {
  expect(routerLine(line)).toEqual(expected);
});

describe.skipIf(!haveLogs)(`real lines${ifNoLogs}`, () => {
  it('1 decision for decode, the candidates of 1 for prefill, ids as they are written', () => {
    const lines = linesOf('dynamo-2025-10-router.log').map(routerLine);
    expect(lines.filter((line) => line?.says === 'decision')).toEqual([{ says: 'decision', worker: '7587890043311737930', cachedBlocks: 0 }]);
    const prefill = lines.flatMap((line) => (line?.says === 'candidate' && line.prefillWeight === 1 ? [line] : []));
    expect(prefill.map(({ worker, prefillBlocks, cachedBlocks }) => [worker, prefillBlocks, cachedBlocks])).toEqual([
      ['7587890043311737928', 121.047, 6],
      ['7587890043311737934', 81.047, 46],
    ]);
    expect(lines.filter((line) => line?.says === 'candidate' && line.prefillWeight === 0)).toHaveLength(2);
  });
});
