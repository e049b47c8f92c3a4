/** What was said of experiments: a point each time, which stays as long as the server keeps points of that day. */
import { epochMicros } from '@joulebook/shared/units.js';
import { TelemetryError } from '@joulebook/shared/errors.js';
import type { ExperimentMark } from '../store.js';
import type { Engine } from './engine.js';
import { cellOf, type Point } from './points.js';
import { tagOf, textOf } from './tag.js';

const pointOf = ({ at, text }: ExperimentMark): Point => ({ measurement: 'experiment', tags: { said: tagOf(text) }, fields: { at }, cell: cellOf(at), sequence: 0 });

export async function readMarks(engine: Engine): Promise<readonly ExperimentMark[]> {
  const marks = (await engine.read({ measurement: 'experiment' })).flatMap(({ tags: { said }, fields: { at } }) => (said === undefined || at === undefined ? [] : [{ at: epochMicros(at), text: textOf(said) }]));
  return marks.toSorted((a, b) => a.at - b.at || (a.text < b.text ? -1 : 1));
}

export async function writeMark(engine: Engine, mark: ExperimentMark): Promise<void> {
  const point = pointOf(mark);
  const objection = engine.objection(point);
  if (objection !== undefined) throw new TelemetryError('MARK_TOO_LONG', `${engine.description} would not keep this of the experiment: ${objection}. Name fewer nodes, or choose them by a label or deployment with --where.`, 'abort');
  const era = await engine.era();
  await engine.write([point]);
  await engine.visible();
  const kept = (await readMarks(engine)).some(({ at, text }) => at === mark.at && text === mark.text);
  if (!kept || (await engine.durable()) !== era) throw new TelemetryError('STORE_LOST_POINTS', `${engine.description} did not keep what was said of the experiment; say it again.`, 'retry');
}
