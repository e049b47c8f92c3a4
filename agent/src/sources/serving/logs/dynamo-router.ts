/**
 * Lines of Dynamo's KV router, in the two grammars it has had:
 *
 *     …::kv_router::scheduler: Formula for 7000000000000000001 with 4 cached blocks: 12.500 = 1.0 * prefill_blocks + decode_blocks = 1.0 * 12.500 + 0.000
 *     …::kv_router::scheduler: Selected worker: 7000000000000000001, logit: 12.500, cached blocks: 4, total blocks: 900
 *     …::scheduling::selector: Formula for worker_id=7… dp_rank=0 with 4.00 effective cached blocks: COST = … (raw_prefill_blocks: 12.500)
 *     …::scheduling::selector: Selected worker: worker_type=prefill, worker_id=7… dp_rank=0, logit=12.500
 *
 * They tell which worker a request went to, and for each candidate how many blocks of its prompt were in its cache. They
 * name no request (before August 2026) and give blocks without their size, so no tokens follow from them: they are
 * recognised, so that a log that holds them is known for Dynamo's, and give no evidence. Ids do not fit a double: text.
 */
export type RouterLine =
  /** What the prompt would cost on this worker. */
  | { readonly says: 'candidate'; readonly worker: string; readonly rank?: string; readonly cachedBlocks: number; readonly prefillWeight?: number; readonly prefillBlocks?: number }
  | { readonly says: 'decision'; readonly worker: string; readonly rank?: string; readonly workerType?: string; readonly cachedBlocks?: number };

const TARGET = /(?:kv_router::scheduler|scheduling::selector)\b/;
const CANDIDATE = /Formula for (?:worker_id=)?(\d+) (?:dp_rank=(\d+) )?with ([\d.]+) (?:effective )?cached blocks:(.*)$/s;
const DECISION = /Selected (?:pinned )?worker: (?:worker_type=(\w+), )?(?:worker_id=)?(\d+)(?:,? dp_rank[=:] ?(\d+))?(.*)$/s;
/** The sum once more with its numbers in it: `= 1.0 * 12.500 + 0.000`. */
const PRODUCT = /=\s*([\d.]+) \* ([\d.]+) \+/;
const RAW_BLOCKS = /raw_prefill_blocks: ([\d.]+)/;

export function routerLine(text: string): RouterLine | undefined {
  if (!TARGET.test(text)) return undefined;
  return candidate(text) ?? decision(text);
}

function candidate(text: string): RouterLine | undefined {
  const [, worker, rank, cached, sum = ''] = CANDIDATE.exec(text) ?? [];
  if (worker === undefined) return undefined;
  const [, weight, blocks] = PRODUCT.exec(sum) ?? [];
  const prefillBlocks = RAW_BLOCKS.exec(sum)?.[1] ?? blocks;
  return {
    says: 'candidate',
    worker,
    ...(rank !== undefined && { rank }),
    cachedBlocks: Number(cached),
    ...(weight !== undefined && { prefillWeight: Number(weight) }),
    ...(prefillBlocks !== undefined && { prefillBlocks: Number(prefillBlocks) }),
  };
}

function decision(text: string): RouterLine | undefined {
  const [, workerType, worker, rank, rest = ''] = DECISION.exec(text) ?? [];
  if (worker === undefined) return undefined;
  const cached = /cached blocks: ([\d.]+)/.exec(rest)?.[1];
  return { says: 'decision', worker, ...(rank !== undefined && { rank }), ...(workerType !== undefined && { workerType }), ...(cached !== undefined && { cachedBlocks: Number(cached) }) };
}
