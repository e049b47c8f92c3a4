import { array, assert, constantFrom, integer, option, property, record, subarray, tuple } from 'fast-check';
import { expect, it } from 'vitest';
import { cellOf, LEVELS, planOf, type Standing } from './levels.js';

const [MINUTE, HOUR, DAY] = LEVELS;
const NAMES = LEVELS.map(({ name }) => name);
const START = 20_000 * DAY.micros;
const some = (micros: number, most: number) => array(integer({ min: 0, max: most - 1 }).map((cell) => START + cell * micros), { maxLength: 6 });
const time = tuple(integer({ min: 0, max: 4 * 24 }), constantFrom(0, 0, 17e6, 60e6, 1_800e6 + 1)).map(([hours, more]) => START + hours * HOUR.micros + more);
const closed = integer({ min: 0, max: 60 }).map((hours) => START + hours * HOUR.micros);
const question = record({
  from: option(time, { nil: undefined }), to: option(time, { nil: undefined }), step: option(constantFrom(10e6, 60e6, 90e6, HOUR.micros, DAY.micros), { nil: undefined }), usable: subarray(NAMES),
  minute: some(MINUTE.micros, 4 * 1440), hour: some(HOUR.micros, 96), day: some(DAY.micros, 4), since: option(tuple(closed, closed), { nil: undefined }),
});

interface Said {
  readonly minute: readonly number[];
  readonly hour: readonly number[];
  readonly day: readonly number[];
  readonly since: readonly number[] | undefined;
}
/** No cell is touched whose facts are gone: retention waits for them. */
function standingOf({ minute, hour, day, since = [] }: Said): Standing {
  const [minutesSince = 0, factsSince = 0] = since.toSorted((a, b) => a - b);
  return { touched: { minute: minute.filter((cell) => cell >= factsSince), hour: hour.filter((cell) => cell >= factsSince), day }, factsSince, minutesSince, hoursSince: 0 };
}

it('reads each moment of a range once, from rows that are whole there, on their grid, and never from what is gone', () => {
  assert(property(question, ({ from, to, step, usable, ...said }) => {
    const standing = standingOf(said);
    const { factsSince, minutesSince } = standing;
    const { segments, moved } = planOf({ from, to, step }, standing, usable);
    const [begin, end] = [moved.from ?? from ?? 0, moved.to ?? to ?? Number.MAX_SAFE_INTEGER];
    // In order, without a gap and without an overlap.
    expect([segments[0]?.from ?? begin, ...segments.slice(1).map((each) => each.from)]).toEqual([begin, ...segments.slice(0, -1).map((each) => each.to)]);
    expect(segments.at(-1)?.to ?? begin).toBe(Math.max(begin, segments.length === 0 ? begin : end));
    expect(segments.length > 0 || begin >= end).toBe(true);
    const wrong = segments.filter(({ level, from: first, to: last }) => {
      if (!level) return first < factsSince;
      const finer = NAMES.slice(0, NAMES.indexOf(level.name) + 1);
      const touched = finer.flatMap((name) => standing.touched[name].map((cell) => cellOf(cell, level)));
      const offGrid = [first, last].some((edge) => edge % level.micros !== 0 && edge !== Number.MAX_SAFE_INTEGER);
      // What stands in for facts that are gone is there, whatever is not summed above it.
      const standsIn = last <= factsSince && level.name === (last <= minutesSince ? 'hour' : 'minute');
      const unwanted = !standsIn && (!usable.includes(level.name) || (step !== undefined && step % level.micros !== 0));
      return offGrid || unwanted || (last > factsSince && touched.some((cell) => cell >= first && cell < last)) || (level.name === 'minute' && first < minutesSince);
    });
    expect(wrong).toEqual([]);
  }), { numRuns: 2000 });
});

it('looks at few ranges where very many scattered cells are touched', () => {
  const minute = Array.from({ length: 20_000 }, (_, index) => START + 2 * index * MINUTE.micros);
  const { segments } = planOf({}, { touched: { minute, hour: [], day: [] }, factsSince: 0, minutesSince: 0, hoursSince: 0 }, ['minute', 'hour', 'day']);
  expect(segments.length).toBeLessThan(10);
  expect(segments.find(({ level }) => level === undefined)).toEqual({ level: undefined, from: START, to: cellOf(START + 40_000 * MINUTE.micros + HOUR.micros, HOUR) });
});
