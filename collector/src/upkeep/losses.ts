/** An admin says of what a node's agents never sent that it will not come: the books close without it, and reports tell it for ever. */
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { EpochMicros } from '@joulebook/shared/units.js';
import type { Loss } from '../store/ledger.js';
import type { Store } from '../store/store.js';

/**
 * @param noticedBefore what was noticed to be missing later may be on its way
 * @returns what is lost from now on
 * @throws TelemetryError (`abort`) where nothing of the node is missing
 */
export async function acceptLosses(store: Store, node: string, noticedBefore: EpochMicros): Promise<readonly Loss[]> {
  const missing = (await store.streams()).filter((stream) => stream.node === node).flatMap(({ stream, missing: gaps }) => gaps.map((gap) => ({ ...gap, stream, node })));
  const losses = missing.filter(({ since }) => since <= noticedBefore).map(({ since: _since, ...loss }): Loss => loss);
  if (losses.length === 0) {
    const fresh = missing.length > 0 ? ' for longer than a minute, and what came out of order may still be on its way' : '';
    throw new TelemetryError('NOTHING_MISSING', `No batch of '${node}' is missing${fresh}.`, 'abort');
  }
  await store.markLost(losses);
  return losses;
}

export const countOfLosses = (losses: readonly Loss[]): number => losses.reduce((sum, { first, last }) => sum + last - first + 1, 0);
