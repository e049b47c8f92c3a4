/**
 * An engine with known truth, for tests: the loop of the PyTorch backend with a host and a device, which prints its
 * iteration log. With overlap a pass starts its batch on the device and waits for the batch of the pass before; without,
 * for its own. Without requests a pass waits for one at its start.
 */
export interface Batch {
  /** Seconds on the device; undefined: nothing is scheduled. */
  readonly device: number | undefined;
  readonly context?: { readonly requests: number; readonly tokens: number };
  readonly decodes?: number;
  /** Seconds that the pass waits for a request before it schedules. */
  readonly waits?: number;
}

export interface Truth {
  readonly from: number;
  readonly to: number;
  readonly batch: Batch;
}

export interface Run {
  readonly lines: readonly string[];
  /** What was on the device, batch by batch. */
  readonly truth: readonly Truth[];
}

const HOST_SECONDS = 0.001;
const PRINT_SECONDS = 0.0001;
const NOTHING = { requests: 0, tokens: 0 };

const stamp = (at: number): string => new Date(Math.floor(at) * 1000).toISOString().slice(0, 19).replace('T', ' ');

export function runEngine(batches: readonly Batch[], { overlap, start }: { readonly overlap: boolean; readonly start: number }): Run {
  const lines: string[] = [];
  const truth: Truth[] = [];
  let now = start;
  let deviceFree = start;
  let resultOfLast = start;
  let previous = 'N/A';
  let marked = start;
  let states = { context: NOTHING, decodes: 0 };
  for (const [number, batch] of batches.entries()) {
    const began = now;
    now += batch.waits ?? 0;
    let result = now;
    if (batch.device !== undefined) {
      now += HOST_SECONDS;
      const from = Math.max(now, deviceFree);
      result = from + batch.device;
      deviceFree = result;
      truth.push({ from, to: result, batch });
      states = { context: batch.context ?? NOTHING, decodes: batch.decodes ?? 0 };
    }
    now = Math.max(now, overlap ? resultOfLast : result);
    resultOfLast = result;
    // The event at the end of a pass is reached when the device has done what was started before it.
    const mark = Math.max(now, deviceFree);
    const scheduled = batch.device === undefined ? 0 : (batch.context?.requests ?? 0) + (batch.decodes ?? 0);
    const { context, decodes } = states;
    lines.push(
      `[TRT-LLM] [I] [_torch][RANK 0] iter = ${number}, global_rank = 0, rank = 0, num_scheduled_requests = ${scheduled}, kv_cache_util = 0.100, currank_total_requests = 0/0, ` +
        `host_step_time = ${(now - began) * 1000}ms, prev_device_step_time = ${previous}, timestamp = ${stamp(now)}, ` +
        `states = {'num_ctx_requests': ${context.requests}, 'num_ctx_tokens': ${context.tokens}, 'num_generation_tokens': ${decodes}}`,
    );
    previous = `${(mark - marked) * 1000}ms`;
    // Neither clock runs while a line is printed.
    marked = mark + PRINT_SECONDS;
    now += PRINT_SECONDS;
  }
  return { lines, truth };
}
