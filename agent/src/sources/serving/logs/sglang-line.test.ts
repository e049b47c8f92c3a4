import { describe, expect, it } from 'vitest';
import { readLine } from './sglang-line.js';

const AT = '[2026-02-03 04:05:06]';

describe('a line of SGLang', () => {
  it.each([
    ['0.2', '[gpu_id=0] Prefill batch. #new-seq: 2, #new-token: 70, #cached-token: 8, cache hit rate: 10.26%, #running-req: 3, #queue-req: 1', { printedAt: 'start', kvUsage: undefined, chunksCountAsCached: false }],
    ['0.4.0', 'Prefill batch. #new-seq: 2, #new-token: 70, #cached-token: 8, cache hit rate: 10.26%, token usage: 0.25, #running-req: 3, #queue-req: 1', { printedAt: 'start', kvUsage: 0.25, chunksCountAsCached: true }],
    ['0.4.10', 'Prefill batch. #new-seq: 2, #new-token: 70, #cached-token: 8, token usage: 0.25, #running-req: 3, #queue-req: 1, ', { printedAt: 'start', chunksCountAsCached: false }],
    ['0.5.4', 'Prefill batch [123], #new-seq: 2, #new-token: 70, #cached-token: 8, token usage: 0.25, #running-req: 3, #queue-req: 1, ', { printedAt: 'start' }],
    ['0.5.9', 'Prefill batch, #new-seq: 2, #new-token: 70, #cached-token: 8, token usage: 0.25, #running-req: 3, #queue-req: 1, cuda graph: False, input throughput (token/s): 12.50', { printedAt: 'end', inputRate: 12.5 }],
    ['0.5.9 on an NPU', 'Prefill batch, #new-seq: 2, #new-token: 70, #cached-token: 8, token usage: 0.25, #running-req: 3, #queue-req: 1, npu graph: False, input throughput (token/s): nan', { printedAt: 'end', inputRate: undefined }],
    ['0.5.18, hybrid', 'Prefill batch [7], #new-seq: 2, #new-token: 70, #cached-token: 8, full token usage: 0.25, mamba usage: 0.75, #running-req: 3, #queue-req: 1, #pending-token: 900, cuda graph: True, input throughput (token/s): 1.00, est. prefill TFLOPS/s (per GPU): 5.10, fwd occupancy: 93.1%', { printedAt: 'end', kvUsage: 0.25 }],
    ['0.5.18, sliding window', 'Prefill batch, #new-seq: 2, #new-token: 70, #cached-token: 8, full token usage: 0.25, swa token usage: 0.75, #running-req: 3, #queue-req: 1, #pending-token: 0, cuda graph: True, input throughput (token/s): 1.00', { kvUsage: 0.25 }],
  ])('tells a prefill in the words of %s', (_, message, own) => {
    expect(readLine(`${AT} ${message}`)?.said).toMatchObject({ kind: 'prefill', sequences: 2, newTokens: 70, cachedTokens: 8, running: 3, queued: 1, moreToCome: true, mixed: 0, neverDecodes: false, ...own });
  });

  it.each([
    ['', 'Prefill batch, #new-seq: 1, #new-token: 70, #cached-token: 0, #queue-req: 0, #unbootstrapped-req: 2, #transferring-req: 1'],
    [' of late 2025', 'Prefill batch, #new-seq: 1, #new-token: 70, #cached-token: 0, token usage: 0.00, #running-req: 0, #queue-req: 0, #prealloc-req: 4, #inflight-req: 3, input throughput (token/s): 0.00, '],
    [' of 0.5.18', 'Prefill batch, #new-seq: 1, #new-token: 70, #cached-token: 0, token usage: 0.00, #running-req: 0, #queue-req: 0, #pending-token: 0, #bootstrap-req: 1, #inflight-req: 3, #optimistic-req: 0, cuda graph: False, input throughput (token/s): 7.29'],
  ])('knows a node that only prefills%s', (_, message) => {
    expect(readLine(`${AT} ${message}`)?.said).toMatchObject({ kind: 'prefill', neverDecodes: true, running: 0, moreToCome: false });
  });

  it('tells how many decoded in the iteration of a mixed chunk', () => {
    expect(readLine(`${AT} Prefill batch(mixed #running-req: 5). #new-seq: 1, #new-token: 70, #cached-token: 0, cache hit rate: 0.00%, #queue-req: 0`)?.said).toMatchObject({ mixed: 5, running: 5 });
  });

  it.each([
    ['0.4.10', 'Decode batch. #running-req: 3, #token: 470, token usage: 0.25, cuda graph: True, gen throughput (token/s): 2.18, #queue-req: 4, ', { speculative: false }],
    ['spec decode', 'Decode batch, #running-req: 3, #token: 470, token usage: 0.25, accept len: 1.57, accept rate: 0.79, cuda graph: True, gen throughput (token/s): 2.18, #queue-req: 4', { acceptLength: 1.57, speculative: true }],
    ['a decode node', 'Decode batch [40], #running-req: 3, #token: 470, token usage: 0.25, accept len: 0.00, pre-allocated usage: 0.58, #prealloc-req: 1, #transfer-req: 2, #retracted-req: 0, cpu graph: True, gen throughput (token/s): 2.18, #queue-req: 4, ', { neverPrefills: true, acceptLength: 1 }],
    ['a hybrid model', 'Decode batch, #running-req: 3, #full token: 470, full token usage: 0.25, mamba num: 3, mamba usage: 0.04, cuda graph: True, gen throughput (token/s): 2.18, #queue-req: 4, est. decode TFLOPS/s (per GPU): 1.00, est. read BW (GB/s per GPU): 9.00', {}],
    ['a sliding window', 'Decode batch, #running-req: 3, #full token: 470, full token usage: 0.25, #swa token: 99, swa token usage: 0.75, gen throughput (token/s): 2.18, #queue-req: 4', {}],
    ['another order', 'Decode batch, #queue-req: 4, gen throughput (token/s): 2.18, largest-len: 9, token usage: 0.25, #token: 470, #running-req: 3', {}],
  ])('tells decode steps in the words of %s', (_, message, own) => {
    expect(readLine(`${AT} ${message}`)?.said).toMatchObject({ kind: 'decode', running: 3, queued: 4, kvTokens: 470, kvUsage: 0.25, rate: 2.18, acceptLength: 1, ...own });
  });

  it('reads TokenSpeed, with its stamp, its ranks, its words and the place in the source', () => {
    const line = readLine('[2026-02-03 04:05:06,789 ATTN TP RANK 2] - INFO - Decode batch. #running-req: 4, #pages(active/cached/total): 80/16/128, page ratio: 0.62, gen throughput (token/s): 90.00, avg_accept_len: 1.50, accept_rate: 0.50, #queue-req: 12 (batch_log.py:151)');
    expect(line?.said).toMatchObject({ kind: 'decode', running: 4, acceptLength: 1.5, queued: 12, kvTokens: undefined, kvUsage: 0.62 });
    expect(line?.stamp).toMatchObject({ fine: true, stamp: { second: 6.789 } });
    expect(line?.ranks).toEqual({ pp: 0, member: 2 });
  });

  it.each([
    ['[2026-02-03 04:05:06 TP0]', { pp: 0, member: 0 }],
    ['[2026-02-03 04:05:06 DP1 TP8 EP8]', { dp: 1, pp: 0, member: 8 }],
    ['[2026-02-03 04:05:06 DP1 PP2 ATTN_CP0 MOE_DP3 TP4 EP4]', { dp: 1, pp: 2, member: 4 }],
    ['[2026-02-03 04:05:06 DP12 TP0 EP0]', { dp: 12, pp: 0, member: 0 }],
    ['[2026-02-03 04:05:06.125]', { pp: 0, member: 0 }],
  ])('knows the ranks in %s', (prefix, ranks) => {
    expect(readLine(`${prefix} The server is fired up and ready to roll!`)).toMatchObject({ ranks, said: { kind: 'ready' } });
  });

  it.each([
    ['a second', '[2026-02-03 04:05:06 TP0]', { year: 2026, month: 2, day: 3, hour: 4, minute: 5, second: 6, zone: undefined }, false],
    ['a millisecond', '[2026-02-03 04:05:06.125 TP0]', { second: 6.125 }, true],
    ['a microsecond of UTC, by Dynamo', '2026-02-03T04:05:06.250907Z  INFO scheduler.log:', { year: 2026, second: 6.250907, zone: 'utc' }, true],
    ['an offset, by Dynamo', '2026-02-03T04:05:06.5+05:30  INFO scheduler.log:', { zone: 330 }, true],
  ])('knows the time to %s', (_, prefix, stamp, fine) => {
    expect(readLine(`${prefix} The server is fired up and ready to roll!`)?.stamp).toMatchObject({ stamp, fine });
  });

  it('finds the line behind progress bars that were not ended', () => {
    expect(readLine(`Capturing batches (bs=8): 12%|█▎  | 1/8 [01:47<12:35][2026-02-03 04:05:05] Capture begin.${AT} The server is fired up and ready to roll!`)?.said).toEqual({ kind: 'ready' });
  });

  it.each([
    ['a prompt', `${AT} Receive: obj=GenerateReqInput(text='${AT} Prefill batch, #new-seq: 1, #new-token: 9, #cached-token: 0, #running-req: 0, #queue-req: 0')`],
    ['a prompt without a stamp in front', `Receive: obj=GenerateReqInput(text='${AT} Prefill batch, #new-seq: 1, #new-token: 9, #cached-token: 0, #running-req: 0, #queue-req: 0')`],
    ['a prompt in JSON', `{"event": "request.received", "obj": {"text": "${AT} Prefill batch, #new-seq: 1, #new-token: 9, #cached-token: 0, #running-req: 0, #queue-req: 0"}}`],
    ['an access line', `${AT} INFO:     192.0.2.7:34498 - "POST /generate HTTP/1.1" 200 OK`],
    ['words alone', 'the Prefill batch. #new-seq: 1'],
    ['nothing', ''],
    ['bytes', '\u0000\u0001�[[[2026'],
  ])('does not take %s for it', (_, text) => {
    expect(readLine(text)).toBeUndefined();
  });

  const DECODE = 'Decode batch, #running-req: 3, #token: 470, token usage: 0.25, gen throughput (token/s): 2.18, #queue-req: 4';
  it.each(Array.from({ length: DECODE.indexOf('#queue-req: ') - 15 }, (_, index) => index + 15))('says that a line cut to %i characters is damaged', (length) => {
    expect(readLine(`${AT} ${DECODE.slice(0, length)}`)).toMatchObject({ said: undefined });
  });

  it('rejects rates that nothing reaches', () => {
    expect(readLine(`${AT} ${DECODE.replace('2.18', '6000000.00')}`)?.said).toMatchObject({ rate: undefined });
  });

  it('reads what the engine says of itself', () => {
    expect(readLine(`${AT} max_total_num_tokens=1000, chunked_prefill_size=64, max_prefill_tokens=16384`)?.said).toEqual({ kind: 'engine', kvCacheTokens: 1000, chunkTokens: 64 });
    expect(readLine(`${AT} max_total_num_tokens=1000, chunked_prefill_size=-1, max_prefill_tokens=16384`)?.said).toEqual({ kind: 'engine', kvCacheTokens: 1000 });
    expect(readLine(`${AT} server_args=ServerArgs(model_path='m', decode_log_interval=10, x=1)`)?.said).toEqual({ kind: 'settings', decodeLogInterval: 10 });
    expect(readLine(`${AT} KV cache pool is full. Retract requests. #retracted_reqs: 2, #new_tokens_gained: 9, #new_token_ratio: 0.1 -> 0.2`)?.said).toEqual({ kind: 'retracted', requests: 2 });
    expect(readLine(`${AT} Decode out of memory happened. #retracted_reqs: 3, #new_token_ratio: 0.1 -> 0.2`)?.said).toEqual({ kind: 'retracted', requests: 3 });
  });
});
