/**
 * The log of SGLang, and of what descends from it (TokenSpeed), directly or through Dynamo. It prints each prefill batch and
 * every 40th decode step by default: who ran, how much, and nearly when. One stream of lines per data-parallel rank; the
 * stages of a pipeline print the same batches, of which only the first stage's count.
 *
 * What counts tokens: the batch lines. Lines that tell requests (`--enable-request-time-stats-logging`, `--log-requests`)
 * count only in a log without batch lines, e.g. the files of `--log-requests-target`: else each token would come twice.
 */
import { instant, type Instant } from '@joulebook/shared/units.js';
import { z } from 'zod';
import type { ServingEvent } from '../../source.js';
import type { LogContext, LogDialect, LogLine, LogParser } from './dialect.js';
import { readLine, type BatchLine, type EngineLine, type Said } from './sglang-line.js';
import { pageRounding } from './sglang-pages.js';
import { readFinishedRequest, requestEvidence } from './sglang-requests.js';
import { schedulers, type Origin } from './sglang-schedulers.js';
import { readStamp } from './sglang-stamp.js';
import type { Written } from './sglang-stream.js';

const options = {
  /** The server's `--decode-log-interval`, where it is not the default and can't be learnt from the log. */
  decodeLogInterval: z.int().min(1).max(10_000).optional(),
};
type Options = z.output<z.ZodObject<typeof options, z.core.$strict>>;

export const sglang: LogDialect<typeof options> = {
  name: 'sglang-log',
  summary: "SGLang's log: Prefill batch and Decode batch lines of any version, else its request lines; decodeLogInterval",
  options,
  isOf: (text) => OWN.test(text),
  // A Decode line tells of 40 steps, and windows wait for each other until the speed is known.
  parser,
};

const OWN = /(?:Prefill|Decode) batch.{0,50}#(?:new-seq|running-req|dp-rank)|Req ?Time ?Stats\(rid=|Finish: obj=(?:Generate|Embedding)ReqInput\(|"event": ?"request\.(?:received|finished)|The server is fired up and ready to roll!|max_total_num_tokens=\d+, chunked_prefill_size=/;

const RETRACTED = 'the KV cache was full and requests were put back; their prompts are computed, and counted as input, again: lower the load or raise --mem-fraction-static';
/** Almost a second: the rest of a stamp that is cut to seconds. */
const CUT_SECONDS = 0.999;
const FINEST = 1e-6;

function parser(context: LogContext, { decodeLogInterval }: Options): LogParser {
  const { label, clock, model } = context;
  const ranks = schedulers({ label, model, decodeLogInterval });
  const rounding = pageRounding(label);
  let engineSaid = '';
  let countsBatches = false;
  let requestsSince: Instant | undefined;

  function skipped(read: LogLine, reason: string): readonly ServingEvent[] {
    context.skip(read, reason);
    return [];
  }

  function engine({ chunkTokens, kvCacheTokens }: EngineLine, at: Instant): ServingEvent[] {
    // Each rank prints it.
    const said = `${chunkTokens} ${kvCacheTokens}`;
    if (said === engineSaid) return [];
    engineSaid = said;
    return [{ kind: 'engine', at, ...(chunkTokens !== undefined && { chunkTokens }), ...(kvCacheTokens !== undefined && { kvCacheTokens }) }];
  }

  function tellOf(said: Said, of: Origin, written: Written, at: Instant): ServingEvent[] {
    if (said.kind === 'engine') return [...ranks.started(of.writer, at, said.chunkTokens), ...engine(said, at)];
    if (said.kind === 'ready') return ranks.ready(of.writer, written);
    if (said.kind === 'retracted') return [{ kind: 'flagged', code: 'REQUESTS_RETRACTED', count: said.requests, detail: `${label}: ${RETRACTED}` }];
    if (said.kind === 'decode') return batch(said, of, written);
    if (said.kind === 'prefill') return [...batch(said, of, written), ...rounding.saw(said.newTokens)];
    ranks.setInterval(said.decodeLogInterval);
    return [];
  }

  function batch(line: BatchLine, of: Origin, written: Written): ServingEvent[] {
    const events = ranks.batch(line, of, written);
    countsBatches ||= events !== undefined;
    return events ?? [];
  }

  function requestLine(read: LogLine): readonly ServingEvent[] {
    const request = readFinishedRequest(read.text);
    if (request === undefined) return [];
    if (request === 'damaged') return skipped(read, 'a request line that is cut off or damaged');
    const printed = clock.at(read, request.stamp ?? readStamp(read.text).stamp?.stamp);
    if (printed === undefined && request.end === undefined) return skipped(read, 'no time: neither the line nor a wrapper says when it was written');
    context.used();
    if (countsBatches) return [];
    const at = instant(request.end ?? Number(printed));
    const event = requestEvidence(request, at, requestsSince ?? at, model);
    requestsSince = at;
    if (!request.absurd) return [event];
    return [event, { kind: 'flagged', code: 'DURATION_REJECTED', count: 1, detail: `${label}: a request is said to have lasted longer than a day (a known fault of some versions): its tokens are counted, when it ran is not known` }];
  }

  return {
    line(read) {
      const known = readLine(read.text);
      if (!known?.said) return known ? skipped(read, 'a batch line that is cut off or damaged') : requestLine(read);
      const at = clock.at(read, known.stamp?.stamp);
      if (at === undefined) return skipped(read, 'no time: neither the line nor a wrapper says when it was written');
      context.used();
      return [...tellOf(known.said, { writer: read.writer, ranks: known.ranks }, writtenAt(read, at, known.stamp?.fine ?? false), at), ...ranks.watermark()];
    },
    quiet(at) {
      return [...ranks.quiet(at), ...ranks.watermark()];
    },
    end() {
      return [...ranks.end(), ...rounding.end()];
    },
  };
}

/** A stamp cut to seconds gives the start of the second; it was written before it was read. */
function writtenAt({ wrapped, arrived }: LogLine, at: Instant, fine: boolean): Written {
  const live = arrived !== undefined;
  if (fine || Math.abs(at - Math.round(at)) > FINEST || (wrapped === undefined && at === arrived)) return { earliest: at, latest: at, fine: true, live };
  const latest = at + CUT_SECONDS;
  return { earliest: at, latest: arrived === undefined ? latest : Math.min(latest, Math.max(arrived, at)), fine: false, live };
}
