/** Iterations come in the order in which they begin; an engine tells of them when they end. Ranks overlap, so the two differ. */
import type { Happening } from '../trace.js';

const endOf = (happening: Happening): number => (happening.kind === 'iteration' ? happening.iteration.to : happening.request.end);
const before = (a: Happening, b: Happening): boolean => endOf(a) < endOf(b) || (endOf(a) === endOf(b) && a.kind === 'iteration' && b.kind === 'request');

export interface Ended {
  readonly at: number;
  readonly happening: Happening;
}

export function* inOrderOfEnd(happenings: Iterable<Happening>): Generator<Ended, void> {
  /** By end; as long as what runs at once. */
  const open: Happening[] = [];
  for (const happening of happenings) {
    if (happening.kind === 'iteration') {
      for (let first = open[0]; first && endOf(first) <= happening.iteration.from; first = open[0]) {
        open.shift();
        yield { at: endOf(first), happening: first };
      }
    }
    let place = open.length;
    for (let last = open[place - 1]; last && before(happening, last); last = open[place - 1]) place -= 1;
    open.splice(place, 0, happening);
  }
  for (const happening of open) yield { at: endOf(happening), happening };
}
