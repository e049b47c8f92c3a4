/**
 * Energy that was measured outside the window of a recording:
 *
 *     power     ├───────────────────────────────────┤
 *     serving       ├───────────────┤ cut off
 *     window        ├───────────────┤
 *               ├───┤               ├───────────────┤  in no figure, and said where it is more than a little
 *
 * The window is where both sides speak. Who cuts a log, or measures idle GPUs for an hour before the server starts, should
 * hear of the rest; who asked for a window knows.
 */
import { BOUNDARIES, type Boundary } from '@joulebook/shared/slice.js';
import { chooser } from '../sampler/chooser.js';
import { energyBefore, integrator, type Span, type Window } from '../sampler/integrator.js';
import { livePowerKinds } from '../sources/index.js';
import type { Channel, Flagged, RecordedPower } from '../sources/source.js';
import type { Seconds } from '@joulebook/shared/units.js';
import type { Asked } from './extent.js';
import { inTimeOrder } from './merge.js';

/** Of the time of the power readings: a few seconds at either end are always left over. */
const WORTH_SAYING = 0.05;

interface Recorded {
  readonly power: readonly RecordedPower[];
  /** From the first power reading to the last. */
  readonly extent: Window;
  readonly periodOf: (channel: Channel) => Seconds;
}

/** Reads the power once more, where there is something to say. */
export async function energyOutside({ power, extent, periodOf }: Recorded, window: Window, asked: Asked): Promise<Flagged[]> {
  const before = asked.from === undefined ? Math.max(0, window.from - extent.from) : 0;
  const behind = asked.to === undefined ? Math.max(0, extent.to - window.to) : 0;
  if (before + behind <= WORTH_SAYING * (extent.to - extent.from)) return [];
  const spans = integrator(periodOf);
  const choose = chooser(livePowerKinds.map(({ name }) => name), periodOf);
  const sums = new Map<Boundary, number>();
  const add = (span: Span): void => {
    const outside = (before > 0 ? energyBefore(span, window.from) : 0) + (behind > 0 ? span.microjoules - energyBefore(span, window.to) : 0);
    sums.set(span.channel.boundary, (sums.get(span.channel.boundary) ?? 0) + outside);
  };
  for await (const event of inTimeOrder(power.map((source) => source.events()))) {
    if (event.kind === 'break') for (const channel of event.channels) spans.break(channel);
    if (event.kind !== 'reading') continue;
    const { span } = spans.accept(event);
    if (span) for (const chosen of choose.offer(span).spans) add(chosen);
  }
  for (const span of choose.finish()) add(span);
  const boundary = BOUNDARIES.find((each) => sums.has(each));
  if (boundary === undefined) return [];
  const joules = ((sums.get(boundary) ?? 0) / 1e6).toFixed(1);
  const detail = `${joules} J (${boundary}) of ${(before + behind).toFixed(1)} s were measured outside the window, ${before.toFixed(1)} s before and ${behind.toFixed(1)} s behind it, and are in no figure: nothing tells there what was served. Is a log cut off, or of another time? To count that energy without what it was for, ask for the time with --from and --to`;
  return [{ kind: 'flagged', code: 'ENERGY_OUTSIDE', count: 1, detail }];
}
