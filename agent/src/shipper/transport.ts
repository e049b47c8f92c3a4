import type { Seconds } from '@joulebook/shared/units.js';

/** What became of a batch. Each is expected, so each is a value; only a fault of the program is thrown. */
export type SendOutcome =
  /** It is the collector's now, durably. `duplicate`: whether it had it before, where it says so. */
  | { readonly kind: 'accepted'; readonly duplicate?: boolean }
  /** Not now. `after`: how long to wait at least, where the other side or the kind of trouble says so. */
  | { readonly kind: 'retry'; readonly code: string; readonly reason: string; readonly after?: Seconds }
  /** Not ever: the same bytes would be refused again. `said`: the collector's own code, where it gives one. */
  | { readonly kind: 'rejected'; readonly code: string; readonly reason: string; readonly said?: string };

export interface Transport {
  /** Where to, for people and logs; without secrets. */
  readonly description: string;
  /** @param batch the encoded batch, gzipped or not */
  send(batch: Uint8Array, signal: AbortSignal): Promise<SendOutcome>;
  close(): Promise<void>;
}
