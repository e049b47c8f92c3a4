/**
 * What a server must do to be a store, tried out on it before the first batch: keep points that are a slot apart, keep a point
 * that is written twice as one, and give back whole numbers to 2^53 and odd texts as they were.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '@joulebook/shared/clock.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import { toEpochMicros } from '@joulebook/shared/units.js';
import type { Engine } from './engine.js';
import { cellOf, type Point } from './points.js';
import { tagOf, textOf } from './tag.js';

const ODD = `a b,c=d"e'f\\g\nh\u00fc{}$.*|`;
/** Three, so that two of them fall into one interval of any length beyond a slot, wherever its ends are. */
const VALUES = [Number.MAX_SAFE_INTEGER, 0, -7] as const;
const FRACTION = 1 / 3;

/** @throws TelemetryError (`abort`) that says what the server does not do */
export async function probe(engine: Engine, clock: Clock): Promise<void> {
  const id = randomUUID().replaceAll('-', '');
  const cell = cellOf(toEpochMicros(clock.wall()));
  const points = VALUES.map((value, sequence): Point => ({ measurement: 'probe', tags: { stream: id, odd: tagOf(ODD) }, fields: { value, sequence, seconds: FRACTION }, cell, sequence }));
  await engine.write(points);
  await engine.write(points);
  await engine.visible();
  const rows = await engine.read({ measurement: 'probe', where: { stream: [id] } });
  await engine.durable();
  const refuse = (what: string): TelemetryError => new TelemetryError('STORE_UNFIT', `${engine.description} can't be a store: ${what}`, 'abort');
  if (rows.length === 0) throw refuse('it answered that it has points and gives none of them back.');
  if (rows.length < points.length) throw refuse('it keeps one of several points that are close to each other. VictoriaMetrics does so with -dedup.minScrapeInterval above 1ms; set it to 1ms.');
  if (rows.length > points.length) throw refuse('it keeps a point that is written twice as two.');
  const values = rows.map(({ fields }) => fields['value'] ?? Number.NaN).toSorted((a, b) => b - a);
  if (VALUES.some((value, index) => values[index] !== value) || rows.some(({ fields }) => fields['seconds'] !== FRACTION)) throw refuse('it does not give numbers back as they were written.');
  if (rows.some(({ tags }) => textOf(tags['odd'] ?? '') !== ODD)) throw refuse('it does not give tags back as they were written.');
}
