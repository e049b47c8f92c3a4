/** A question → the operating curve: what a token costs at each value of what was turned up or down, and where it costs least. */
import { EMPTY_BOOK, type Book } from '../book/book.js';
import { formatTime } from '../join/times.js';
import { remembering } from '../store/remembering.js';
import type { Store } from '../store/store.js';
import type { SweepAnswer } from './answer.js';
import { gather } from './gather.js';
import { curveOf } from './points.js';
import type { Axis, SweepRequest } from './question.js';
import { sentencesOf } from './sentence.js';

const GAUGES: Readonly<Record<string, { readonly title: string; readonly unit: string }>> = {
  'gpu.power.limit': { title: 'power limit', unit: 'W' }, 'gpu.clock.sm': { title: 'SM clock', unit: 'MHz' }, 'gpu.temperature': { title: 'GPU temperature', unit: '°C' },
  'serving.requests.running': { title: 'requests running', unit: '' }, 'serving.requests.waiting': { title: 'requests waiting', unit: '' },
};

function axisOf(axis: Axis): { title: string; unit: string } {
  if (axis.kind === 'load') return { title: 'load', unit: 'token/s' };
  if (axis.kind === 'band') return { title: 'requests at once', unit: '' };
  return axis.kind === 'gauge' ? { ...(GAUGES[axis.gauge] ?? { title: axis.gauge, unit: '' }) } : { title: axis.name, unit: '' };
}

export async function sweep(plain: Store, request: SweepRequest, book: Book = EMPTY_BOOK): Promise<SweepAnswer> {
  const store = remembering(plain);
  const gathered = await gather(store, request, book);
  const { told: { extent, boundary, report }, step, bins, left, reasons } = gathered;
  const targeted = request.slo !== undefined || book.slo.length > 0;
  const answer = {
    over: request.over, axis: { ...axisOf(request.axis), numeric: bins.every(({ value }) => value !== null) },
    from: extent && step !== null ? formatTime(extent.from) : null, to: extent && step !== null ? formatTime(extent.to) : null,
    boundary: request.axis.kind === 'band' ? ('gpu' as const) : boundary, currency: book.currency, step: step === null ? null : step / 1e6,
    metrics: request.metrics.map(({ name, title, unit, lowerIsBetter }) => ({ name, title, unit, lowerIsBetter })), wantedInside: targeted ? request.inside : null,
    ...(await curveOf(gathered, request, targeted)), secondsLeftOut: left, reasons: [...reasons], flags: [...report.flags],
  };
  return { ...answer, sentences: sentencesOf(answer) };
}
