/** The log of text-generation-inference: a Success line at the end of each request that was answered, in UTC. */
import { UsageError } from '@joulebook/shared/errors.js';
import { dialect } from './format.js';

/** Checking a request before it is queued. */
const VALIDATION_SECONDS = 0.0004;

export const tgiLog = dialect({
  name: 'tgi-log',
  summary: 'a Success line of TGI for each request: total, queue, inference time and time per token',
  file: 'tgi.log',
  speaks: 'engine',
  utc: true,
  options: {},
  write({ clock, pool }) {
    if (pool !== 'serve') throw new UsageError(['tgi-log: TGI has no pools; leave out engine.disaggregated']);
    return {
      start: () => `${clock.local(-20)}Z  INFO text_generation_router::server: router/src/server.rs:2402: Connected\n`,
      request({ id, arrival, scheduled, end, outputTokens, outcome }) {
        if (outcome !== 'ok' || scheduled === undefined) return '';
        const queue = Math.max(0, scheduled - arrival - VALIDATION_SECONDS);
        const inference = end - scheduled;
        return `${clock.local(end)}Z  INFO chat_completions{total_time="${rust(end - arrival)}" validation_time="${rust(VALIDATION_SECONDS)}" queue_time="${rust(queue)}" inference_time="${rust(inference)}" time_per_token="${rust(inference / outputTokens)}" seed="Some(${id})"}: text_generation_router::server: router/src/server.rs:622: Success\n`;
      },
    };
  },
});

/** A Rust Duration as `{:?}` shows it: whole nanoseconds in the largest unit below it, without trailing zeros. */
function rust(time: number): string {
  const nanos = Math.round(time * 1e9);
  const [unit, size, digits] = nanos >= 1e9 ? (['s', 1e9, 9] as const) : nanos >= 1e6 ? (['ms', 1e6, 6] as const) : nanos >= 1e3 ? (['µs', 1e3, 3] as const) : (['ns', 1, 0] as const);
  const text = (nanos / size).toFixed(digits);
  return `${text.includes('.') ? text.replace(/\.?0+$/, '') : text}${unit}`;
}
