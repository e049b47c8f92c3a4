import { describe, expect, it } from 'vitest';
import { isLlamacpp, readLine, type ReadLine } from './llamacpp-lines.js';

const at = { slot: 2, task: 31 };
const named = 'slot print_timing: id  2 | task 31 | ';

const line = (message: string, fields: string): ReadLine['said'] => readLine(`INFO [            update_slots] ${message} | tid="1" timestamp=1720000000 ${fields}`).said;

describe('a line of llama.cpp', () => {
  it.each<[text: string, said: ReadLine['said']]>([
    ['slot launch_slot_: id  2 | task 31 | processing task, is_child = 0', { say: 'launch', ...at, child: false }],
    ['slot launch_slot_: id  2 | task 31 | processing task, is_child = 1', { say: 'launch', ...at, child: true }],
    ['slot launch_slot_: id  2 | task 31 | processing task', { say: 'launch', ...at, child: false }],
    ['slot   operator(): id  2 | task 31 | new prompt, n_ctx_slot = 4096, n_keep = 0, task.n_tokens = 700', { say: 'prompt', ...at, tokens: 700 }],
    ['slot update_slots: id  2 | task 31 | new prompt, n_ctx_slot = 4096, n_keep = 0, n_prompt_tokens = 700', { say: 'prompt', ...at, tokens: 700 }],
    ['slot update_slots: id  2 | task 31 | kv cache rm [40, end)', { say: 'chunk', ...at, behind: 40 }],
    ['slot update_slots: id  2 | task 31 | n_tokens = 40, memory_seq_rm [40, end)', { say: 'chunk', ...at, behind: 40 }],
    ['slot   operator(): id  2 | task 31 | cached n_tokens = 40, memory_seq_rm [40, end)', { say: 'chunk', ...at, behind: 40 }],
    ['slot update_slots: id  2 | task 31 | prompt processing progress, n_tokens = 552, batch.n_tokens = 512, progress = 0.788', { say: 'prefilled', ...at, context: 552 }],
    ['slot update_slots: id  2 | task 31 | prompt done, n_past = 700, n_tokens = 148', { say: 'prefilled', ...at, context: 700 }],
    [`${named}prompt processing, n_tokens =   1024, progress = 0.50, t =   4.00 s / 256.00 tokens per second`, { say: 'prefilled', ...at, computed: 1024, took: 4 }],
    [`${named}n_decoded =    150, tg =  50.00 t/s`, { say: 'generated', ...at, tokens: 150, took: 3 }],
    [`${named}n_gen =    150, tg =  50.00 t/s, tg_3s =  49.10 t/s`, { say: 'generated', ...at, tokens: 150, took: 3 }],
    [named, { say: 'block', ...at }],
    [`${named}prompt eval time =    1200.00 ms /   660 tokens (    1.82 ms per token,   550.00 tokens per second)`, { say: 'timing', part: 'prompt', took: 1.2, tokens: 660, ...at, tool: false }],
    [`${named}       eval time =     900.00 ms /    90 tokens (   10.00 ms per token,   100.00 tokens per second)`, { say: 'timing', part: 'eval', took: 0.9, tokens: 90, ...at, tool: false }],
    ['      total time =    2100.00 ms /   750 tokens', { say: 'timing', part: 'total', took: 2.1, tokens: 750, tool: false }],
    ['llama_perf_context_print:        eval time =     900.00 ms /    90 runs   (   10.00 ms per token,   100.00 tokens per second)', { say: 'timing', part: 'eval', took: 0.9, tokens: 90, tool: true }],
    ['srv          stop: cancel task, id_task = 31', { say: 'cancel', task: 31 }],
    ['srv    send_error: task id = 31, error: the request exceeds the available context size', { say: 'error', task: 31 }],
    ['slot      release: id  2 | task 31 | stop processing: n_tokens = 789, truncated = 0', { say: 'release', ...at, context: 789, silent: false }],
    ['slot      release: id  2 | task 31 | stop processing: n_past = 789, truncated = 1', { say: 'release', ...at, context: undefined, silent: false }],
    ['srv  update_slots: all slots are idle', { say: 'idle' }],
    ['main: model loaded', { say: 'loaded' }],
    ['srv  llama_server: model loaded', { say: 'loaded' }],
    ['build: 7502 (0a1b2c3d) with GNU 13.3.0 for Linux x86_64', { say: 'fact', fact: 'version', value: '7502' }],
    ['build_info: b9542-0a1b2c3d', { say: 'fact', fact: 'version', value: 'b9542-0a1b2c3d' }],
    ['llama_context: n_ctx         = 16384', { say: 'fact', fact: 'kvCacheTokens', value: '16384' }],
    ['llama_context: n_batch       = 2048', { say: 'fact', fact: 'chunkTokens', value: '2048' }],
    // Nothing of any interest.
    ['slot get_availabl: id  2 | task -1 | selected slot by LRU, t_last = -1', undefined],
    [`${named}   graphs reused =         42`, undefined],
    [`${named}draft acceptance = 0.92727 (   51 accepted /    55 generated), mean len =  5.64`, undefined],
    ['draft acceptance rate = 0.81944 (  118 accepted /   144 generated)', undefined],
    [`${named}n_gen =    150, tg =   0.00 t/s, tg_3s =   0.00 t/s`, undefined],
    ['llama_context: n_ctx_seq (4096) < n_ctx_train (8192) -- the full capacity of the model will not be utilized', undefined],
    ['srv  log_server_r: done request: POST /v1/chat/completions 127.0.0.1 200', undefined],
    ['', undefined],
    ['\u0000\uFFFD\uFFFD[[[{"', undefined],
  ])('%s', (text, said) => {
    expect(readLine(text).said).toEqual(said);
  });

  it.each([
    ['3.05.120.400 I slot print_timing: id  0 | task 7 | n_gen = 100, tg = 20.00 t/s', 185.1204],
    ['736.46.933.316 I srv  update_slots: all slots are idle', 44_206.933_316],
    // An address that something put there is no clock.
    ['192.0.2.1 I slot print_timing: id  0 | task 7 | n_gen = 100, tg = 20.00 t/s', undefined],
    ['3.65.120.400 I srv  update_slots: all slots are idle', undefined],
  ])('is found behind a clock since the start of the server: %s', (text, uptime) => {
    const read = readLine(text);
    expect(read.said).toBeDefined();
    expect(read.uptime).toBe(uptime);
  });

  it.each([
    ['as text', 'INFO [           print_timings] generation eval time =    3000.00 ms /   150 runs   (   20.00 ms per token,    50.00 tokens per second) | tid="14" timestamp=1720000000 id_slot=2 id_task=31 t_token_generation=3000.0 n_decoded=150'],
    ['as JSON', '{"tid":"14","timestamp":1720000000,"level":"INFO","function":"print_timings","line":327,"msg":"generation eval time =    3000.00 ms /   150 runs   (   20.00 ms per token)","id_slot":2,"id_task":31}'],
    ['with the names of early 2024', '{"timestamp":1720000000,"level":"INFO","function":"print_timings","line":327,"message":"generation eval time =    3000.00 ms /   150 runs   (   20.00 ms per token)","slot_id":2,"task_id":31}'],
  ])('of 2024 %s has its task and an epoch', (_, text) => {
    expect(isLlamacpp(text)).toBe(true);
    expect(readLine(text)).toEqual({ epoch: 1_720_000_000, said: { say: 'timing', part: 'eval', took: 3, tokens: 150, ...at, tool: false } });
  });

  it('of 2024 is understood by its fields, and nothing inside a quoted field is one', () => {
    expect(line('kv cache rm [p0, end)', 'id_slot=2 id_task=31 p0=2050')).toEqual({ say: 'chunk', ...at, behind: 2050 });
    expect(line('slot released', 'id_slot=2 id_task=31 n_ctx=4096 n_past=169 truncated=false')).toEqual({ say: 'release', ...at, context: undefined, silent: true });
    expect(line('slot is processing task', 'id_slot=2 id_task=31')).toEqual({ say: 'launch', ...at, child: false });
    expect(line('slot is processing task', 'id_slot=2 id_task=31 template="x \\" id_slot=9 id_task=9 "')).toEqual({ say: 'launch', ...at, child: false });
    expect(line('build info', 'build=3667 commit="e3fe"')).toEqual({ say: 'fact', fact: 'version', value: '3667' });
    expect(readLine('{"timestamp":1720000000,"level":"INFO","function":"update_sl').said).toBeUndefined();
  });

  it('tells the log of llama.cpp from that of others', () => {
    for (const text of ['slot   operator(): id  2 | task 31 | anything', 'srv  update_slots: all slots are idle', 'llama_print_timings: prompt eval time =      10.00 ms /     5 tokens']) expect(isLlamacpp(text)).toBe(true);
    for (const text of ['prompt eval time =      10.00 ms /     5 tokens', '{"timestamp":"2026-01-01T00:00:00Z","message":"x"}', 'INFO 05-12 08:01:39 [loggers.py:1] Avg prompt throughput: 1 tokens/s', 'slots are idle']) expect(isLlamacpp(text)).toBe(false);
  });
});
