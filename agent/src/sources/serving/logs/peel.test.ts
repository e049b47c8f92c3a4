import { describe, expect, it } from 'vitest';
import { peel } from './peel.js';

const LINE = 'INFO 05-12 08:01:39 [loggers.py:271] Engine 000: Running: 9 reqs';
/** `wrapper` as text: date, time, zone; `~` when it is rough. */
const seen = (raw: string) => {
  const { text, wrapper, writer, partial } = peel(raw);
  const stamp = wrapper?.stamp;
  const at = stamp && `${wrapper.rough ? '~' : ''}${stamp.year ?? '?'}-${stamp.month}-${stamp.day} ${stamp.hour}:${stamp.minute}:${stamp.second}${stamp.zone === undefined ? '' : ` ${stamp.zone}`}`;
  return [text, at, writer, ...(partial ? ['partial'] : [])];
};

describe('peel', () => {
  it.each<[wrapper: string, raw: string, at: string | undefined, writer?: string | undefined]>([
    ['nothing', LINE, undefined],
    ['a byte order mark and a carriage return', `\uFEFF${LINE}\r`, undefined],
    ['a container runtime', `2026-05-12T08:01:39.331095044Z ${LINE}`, '2026-5-12 8:1:39.331095044 utc'],
    ['a container runtime that trims zeros', `2026-05-12T08:01:39.331Z ${LINE}`, '2026-5-12 8:1:39.331 utc'],
    ['containerd in a zone', `2026-05-12T10:01:39.331095044+02:00 stdout F ${LINE}`, '2026-5-12 10:1:39.331095044 120'],
    ['an export of CloudWatch', `2026-05-12T04:01:44.144-04:00   ${LINE}`, '~2026-5-12 4:1:44.144 -240'],
    ['journald', `May 12 08:01:39 gpu7 vllm[1356]: ${LINE}`, '~?-5-12 8:1:39', 'vllm'],
    ['journald, one digit of the day', `May  2 08:01:39 gpu7 vllm[1356]: ${LINE}`, '~?-5-2 8:1:39', 'vllm'],
    ['journald with a colon in the ident and no host', `Jun 18 08:57:40  llama-Q:[1351]: ${LINE}`, '~?-6-18 8:57:40', 'llama-Q'],
    ['journald with an empty ident', `Jun 18 08:57:40 gpu7 [1351]: ${LINE}`, '~?-6-18 8:57:40', undefined],
    ['journald without a host', `Jun 18 08:57:40 vllm[1351]: ${LINE}`, '~?-6-18 8:57:40', 'vllm'],
    ['journald, iso', `2026-05-12T08:01:39.331095+0200 gpu7 vllm[1356]: ${LINE}`, '2026-5-12 8:1:39.331095 120', 'vllm'],
    ['docker compose', `vllm-1  | ${LINE}`, undefined, 'vllm-1'],
    ['srun', `0: ${LINE}`, undefined, '0'],
    ['mpirun', `[1,0]<stdout>: ${LINE}`, undefined, '1,0'],
    ['SkyPilot', `(head, rank=0, pid=18260) ${LINE}`, undefined, 'head, rank=0, pid=18260'],
    ['Ray, without the address', `(RayWorkerVllm pid=309, ip=10.0.0.2) ${LINE}`, undefined, 'RayWorkerVllm pid=309'],
    ['vLLM, coloured although it is no terminal', `\u001b[1;36m(EngineCore_DP0 pid=437)\u001b[0;0m ${LINE}`, undefined, 'EngineCore_DP0 pid=437'],
    ['a launcher', `2026-05-12 08:01:39,123 - sflow.task.decode_0 - INFO - 0: ${LINE}`, '~2026-5-12 8:1:39.123', 'decode_0/0'],
    ['a router of llama.cpp', '[53409] slot print_timing: id  0 | task 6 | ', undefined, '53409'],
    ['several at once', `2026-05-12T08:01:39.331095044Z stderr F vllm-1  | 0: (APIServer pid=1) ${LINE}`, '2026-5-12 8:1:39.331095044 utc', 'vllm-1/0/APIServer pid=1'],
    ['a rough one around an exact one', `May 12 08:01:39 gpu7 dockerd[1]: 2026-05-12T08:01:39.331095044Z ${LINE}`, '2026-5-12 8:1:39.331095044 utc', 'dockerd'],
    ['an exact one around a rough one', `2026-05-12T08:01:39.331095044Z May 12 08:01:38 gpu7 vllm[1]: ${LINE}`, '2026-5-12 8:1:39.331095044 utc', 'vllm'],
    ['a progress bar', `Capturing batches (bs=120):   0%|          | 0/10 [00:00<?, ?it/s]${LINE}`, undefined],
    ['a progress bar that was painted over', `Loading:   0%|  | 0/10\rLoading:  50%|##| 5/10\r${LINE}`, undefined],
  ])('takes away %s', (_, raw, at, writer) => {
    const text = raw.startsWith('[53409]') ? 'slot print_timing: id  0 | task 6 | ' : LINE;
    expect(seen(raw)).toEqual([text, at, writer]);
  });

  it.each([['\u001b[32mINFO\u001b[0m x'], ['#033[32mINFO#033[0m x'], ['^[[32mINFO^[[0m x'], [String.raw`\u001b[32mINFO\u001b[0m x`], ['\u001b]0;title\u0007INFO x']])('takes away colours as in %j', (raw) => {
    expect(peel(raw)).toEqual({ text: 'INFO x' });
  });

  it("takes a line out of docker's file on disk, and says when it is only a part", () => {
    expect(seen(JSON.stringify({ log: `${LINE}\n`, stream: 'stderr', time: '2026-05-12T08:01:39.3Z' }))).toEqual([LINE, '2026-5-12 8:1:39.3 utc', undefined]);
    expect(seen(JSON.stringify({ log: LINE, stream: 'stderr', time: '2026-05-12T08:01:39.3Z' }))).toEqual([LINE, '2026-5-12 8:1:39.3 utc', undefined, 'partial']);
    expect(seen(`2026-05-12T08:01:39.331095044Z stdout P ${LINE}`).at(-1)).toBe('partial');
  });

  it.each([
    ['a Rust program', '2026-03-04T15:50:01.770028Z  INFO generate{total_time="1ms"}: router: Success'],
    ['a Rust program, five letters', '2026-03-04T15:50:01.770028Z ERROR router::infer: Request failed'],
    ['LMDeploy', '2026-02-05 17:05:17,123 - lmdeploy - INFO - async_engine.py:9 - session=1, input_tokens=3'],
    ['SGLang', '[2026-02-05 17:05:17 DP0 TP0] Decode batch. #running-req: 1, '],
    ['Ollama', '[GIN] 2026/04/02 - 14:43:34 | 200 |  3.864203892s |       ::1 | POST     "/api/chat"'],
    ['llama.cpp, indented', '       eval time =     697.41 ms /    90 tokens (    7.75 ms per token)'],
    ['llama.cpp, with bars', 'slot update_slots: id  3 | task 0 | new prompt, task.n_tokens = 1198'],
    ['an iteration', 'iter = 1, states = {}'],
    ['JSON of an engine', '{"log":{"level":"info"},"time":"2026-05-12T08:01:39Z"}'],
    ['nothing but a progress bar', 'Loading:  50%|##| 5/10 [00:01<00:01,  4.9it/s]'],
  ])('leaves alone what %s prints itself', (_, raw) => {
    expect(peel(raw)).toEqual({ text: raw });
  });

  it.each([[''], ['\r'], ['\u0000\u0001\uFFFD{"log":"'], ['0: '.repeat(1000)], ['('.repeat(10_000)], [' '.repeat(100_000)], ['0%|'.repeat(20_000)]])('comes to an end with rubbish', (raw) => {
    expect(raw.includes(peel(raw).text)).toBe(true);
  });
});
