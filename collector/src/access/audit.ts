/**
 * Lines about who was let in and who was not, in the log beside the others and told by `audit: true`. They are written whatever
 * `logLevel` says, unless it is `silent`. Tokens and their hashes are in none of them: ids name them.
 *
 *     {"level":30,"audit":true,"event":"token-created","id":"3f9a1c20b7de","scopes":["ingest:gpu-01"],"by":"token 77…"}
 *     {"level":40,"audit":true,"event":"refused","reason":"TOKEN_UNKNOWN","address":"10.0.0.9","untold":12}
 */
import type { FastifyBaseLogger } from 'fastify';
import type { Clock } from '@joulebook/shared/clock.js';

const WINDOW_SECONDS = 60;
const MOST_OF_ONE = 5;
const MOST_OF_ALL = 100;

export interface RefusedLine {
  readonly event: 'refused' | 'foreign-node' | 'handshake';
  readonly address: string | undefined;
  readonly reason?: string;
  readonly by?: string | undefined;
  readonly token?: string | undefined;
  readonly node?: string;
  readonly route?: string;
}

export interface Audit {
  changed(line: { readonly event: 'token-created' | 'token-revoked'; readonly id: string; readonly by: string; readonly address: string; readonly scopes?: readonly string[] }): void;
  /** At most 5 lines a minute of one address and 100 of all; `untold` counts those left out before. */
  refused(line: RefusedLine): void;
}

export function openAudit(log: FastifyBaseLogger, clock: Clock): Audit {
  const lines = log.child({ audit: true }, log.level === 'silent' ? {} : { level: 'info' });
  let since: number = clock.monotonic();
  let told = 0;
  let untold = 0;
  let ofAddress = new Map<string, number>();
  return {
    changed: (line) => lines.info(line),
    refused(line) {
      if (clock.monotonic() - since >= WINDOW_SECONDS) {
        since = clock.monotonic();
        told = 0;
        ofAddress = new Map();
      }
      const address = line.address ?? '';
      const before = ofAddress.get(address) ?? 0;
      if (told >= MOST_OF_ALL || before >= MOST_OF_ONE) {
        untold += 1;
        return;
      }
      told += 1;
      ofAddress.set(address, before + 1);
      lines.warn(untold === 0 ? line : { ...line, untold });
      untold = 0;
    },
  };
}
