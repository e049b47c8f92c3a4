/**
 * What a log of vLLM tells: lines of statistics (always there, every 10 s), iteration lines (on demand), and facts printed at the start.
 *
 * Tokens are booked once. The lines of statistics count what was delivered, iteration lines what was scheduled (with
 * drafts that were not accepted): where both are written the statistics are booked and the iterations tell the work alone.
 * With --disable-log-stats there are none; so iterations are held until a line of statistics came, or until two of them
 * would have: then they are booked, and later statistics are not.
 *
 * Several engines (data-parallel ranks) may write into one file, and several servers, told apart by what a launcher puts in
 * front. Lines that hold a prompt or an answer are dropped by how they begin, before anything else is looked at.
 */
import { instant } from '@joulebook/shared/units.js';
import type { ServingEvent } from '../../source.js';
import { vllmServer, type VllmServer } from './vllm-server.js';
import { messageOf, vllmLine } from './vllm-line.js';
import type { LogDialect, LogLine, LogParser } from './dialect.js';

const options = {};

export const vllmLog: LogDialect<typeof options> = {
  name: 'vllm-log',
  summary: "vLLM's log: tokens and running requests every 10 s; each iteration with --enable-logging-iteration-details",
  options,
  isOf: (text) => OURS.test(text) && messageOf(text) !== undefined,
  parser,
};

/** Before the first line: its statistics come every 10 s, and tell of the time before. */
export const STATISTICS_SECONDS = 15;

const OURS = /Avg prompt (?:throughput|tput): [\d.]+ tok|Iteration\(\d+\)[^:]*: \d+ context requests|vLLM API server version|SpecDecoding metrics: |Initializing an? (?:V[01] )?LLM engine/;

function parser({ label, clock, model, skip, used }: Parameters<(typeof vllmLog)['parser']>[0]): LogParser {
  const servers = new Map<string, VllmServer>();
  const serverOf = (line: LogLine): VllmServer => {
    const name = serverNameOf(line.writer);
    const server = servers.get(name) ?? vllmServer({ label, name, model });
    servers.set(name, server);
    return server;
  };
  return {
    line(line) {
      const message = messageOf(line.text);
      const said = message && vllmLine(message);
      if (!message || !said) return [];
      if (said.says === 'broken') {
        skip(line, said.what);
        return [];
      }
      const at = clock.at(line, message.stamp);
      if (at === undefined) {
        skip(line, 'nothing tells when this line was written');
        return [];
      }
      used();
      return serverOf(line).line(said, at, engineOf(line));
    },
    quiet(at) {
      const events = [...servers.values()].flatMap((server) => server.quiet(at));
      const saids = [...servers.values()].map((server) => server.said(at));
      return [...events, { kind: 'watermark', at: instant(Math.min(at, ...saids, servers.size === 0 ? at - STATISTICS_SECONDS : at)) } satisfies ServingEvent];
    },
    end: () => [...servers.values()].flatMap((server) => server.end()),
  };
}

/** vLLM names its own processes in front of a line; the rest of what stands there tells one server from another. */
function serverNameOf(writer: string | undefined): string {
  const parts = (writer ?? '').split('/').filter((part) => !PROCESS.test(part));
  return parts.map((part) => part.replace(/,? ?pid=\d+/, '')).join('/');
}
const PROCESS = /^(?:APIServer|ApiServer|EngineCore|Worker|RayWorker|DPSupervisor|DPCoordinator)/i;

/** `EngineCore_DP1 pid=437`: which engine wrote an iteration line, in a name that may still stand before the header. */
function engineOf({ writer = '', text }: LogLine): string | undefined {
  const [, index] = /EngineCore_(?:DP)?(\d+)/.exec(writer) ?? /^\W*\(EngineCore_(?:DP)?(\d+) /.exec(text) ?? [];
  return index === undefined ? undefined : String(Number(index));
}

