/** Sequences of which an admin has said that they are lost for good: a point each time, which stays as long as the server keeps points of that day. */
import { epochMicros, type EpochMicros } from '@joulebook/shared/units.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { Loss, Lost } from '../ledger.js';
import type { Engine } from './engine.js';
import { cellOf, type Point } from './points.js';
import { tagOf } from './tag.js';

const timeOf = (time: number | undefined): EpochMicros | undefined => (time === undefined ? undefined : epochMicros(time));

const pointOf = ({ stream, node, first, last, from, to }: Loss, at: EpochMicros): Point => ({
  measurement: 'lost', tags: { stream, node: tagOf(node) }, fields: { sequence: first, last, at, ...(from !== undefined && { from }), ...(to !== undefined && { to }) }, cell: cellOf(at), sequence: first,
});

export async function readLost(engine: Engine): Promise<readonly (readonly [string, Lost])[]> {
  return (await engine.read({ measurement: 'lost' })).flatMap(({ tags: { stream }, fields: { sequence: first, last, at, from, to } }) =>
    stream === undefined || first === undefined || last === undefined || at === undefined ? [] : [[stream, { first, last, from: timeOf(from), to: timeOf(to), at: epochMicros(at) }] as const]);
}

export async function writeLost(engine: Engine, losses: readonly Loss[], at: EpochMicros): Promise<void> {
  const era = await engine.era();
  await engine.write(losses.map((loss) => pointOf(loss, at)));
  await engine.visible();
  const kept = new Set((await readLost(engine)).map(([stream, { first, last }]) => `${stream} ${first} ${last}`));
  if (losses.some(({ stream, first, last }) => !kept.has(`${stream} ${first} ${last}`)) || (await engine.durable()) !== era) {
    throw new TelemetryError('STORE_LOST_POINTS', `${engine.description} did not keep what was said to be lost; say it again.`, 'retry');
  }
}
