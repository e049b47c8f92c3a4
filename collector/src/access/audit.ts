/**
 * Lines about who was let in and who was not, and who changed, deleted or took away what, in the log beside the others and told
 * by `audit: true`. They are written whatever `logLevel` says, unless it is `silent`. Tokens and their hashes are in none of them:
 * ids name them.
 *
 *     {"level":30,"audit":true,"event":"token-created","id":"3f9a1c20b7de","scopes":["ingest:gpu-01"],"by":"token 77…"}
 *     {"level":30,"audit":true,"event":"retained","by":"token 77…","facts":86400,"minutes":0,"hours":0,"factsSince":"2026-10-19T03:00:00.000Z"}
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

/** Who it was: a caller from an address, or the schedule. */
export interface Actor {
  readonly by: string;
  readonly address?: string;
}
export type Act =
  | { readonly event: 'token-created'; readonly id: string; readonly scopes: readonly string[] }
  | { readonly event: 'token-revoked'; readonly id: string }
  /** Rows deleted, and since when facts are kept now. */
  | { readonly event: 'retained'; readonly facts: number; readonly minutes: number; readonly hours: number; readonly factsSince: string | null }
  /** Of what is missing it was said that it is lost for good. */
  | { readonly event: 'losses-accepted'; readonly node: string; readonly batches: number; readonly ranges: readonly Readonly<Record<string, unknown>>[] }
  | { readonly event: 'experiment-started' | 'experiment-stopped'; readonly name: string; readonly nodes: number }
  | { readonly event: 'backed-up'; readonly bytes: number }
  | { readonly event: 'exported'; readonly bytes: number; readonly question: Readonly<Record<string, unknown>> }
  | { readonly event: 'retain-failed' | 'backup-failed' | 'export-failed'; readonly error: string };

export interface Audit {
  acted(act: Act, actor: Actor): void;
  /** At most 5 lines a minute of one address and 100 of all; `untold` counts those left out before. */
  refused(line: RefusedLine): void;
}

export function openAudit(log: FastifyBaseLogger, clock: Clock): Audit {
  const lines = log.child({ audit: true });
  // Of its own from here on, though the log's level changes while it runs.
  lines.level = 'info';
  const silent = (): boolean => log.level === 'silent';
  let since: number = clock.monotonic();
  let told = 0;
  let untold = 0;
  let ofAddress = new Map<string, number>();
  return {
    acted(act, actor) {
      if (!silent()) lines.info({ ...act, ...actor });
    },
    refused(line) {
      if (silent()) return;
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
