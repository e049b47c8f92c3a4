import { assert, integer, property, double, constantFrom, record, array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { microjoules, seconds } from '@joulebook/shared/units.js';
import { batchOf, energyFact, flagFact, requestsFact, tokensFact } from '../sample-facts.js';
import { lineOf, type Dialect } from './lines.js';
import { cellOf, factOf, identityOf, pointsOf } from './points.js';
import { quoteName, quoteText, selectOf } from './influxdb.js';
import { wholeParts } from './victoria.js';

const dialect: Dialect = { precision: 'ms', slots: 10_000, field: (name, value) => [`${name}=${value}`] };
const roundTrip = (batch: ReturnType<typeof batchOf>) => pointsOf(batch).map((point) => (point.measurement === 'claim' || point.measurement === 'commit' || point.measurement === 'lost' || point.measurement === 'experiment' || point.measurement === 'probe' ? undefined : factOf(point.measurement, point)?.slice));

describe('facts as points', () => {
  it('come back as they were, with what goes without saying left out', () => {
    const slices = [
      energyFact({ from: 10, to: 20, seconds: seconds(10), labels: { 'a b': '', b: 'x' } }),
      energyFact({ from: 3.5, to: 4.25, seconds: seconds(0.1), askedSeconds: seconds(0.75), modelledMicrojoules: microjoules(5), contains: ['n1', 'n2'], divisionMicrojoules: microjoules(0), samplingVariance: 1 / 3 }),
      requestsFact({ ttftBucket: -4, tpotBucket: 0, inputBand: 9, request: 'r=1' }), flagFact({ of: 10 }), tokensFact({ deployment: undefined, tenant: 'a,b' }),
    ];
    expect(roundTrip(batchOf(slices))).toEqual(slices.map((slice) => JSON.parse(JSON.stringify(slice)) as unknown));
    expect(Object.keys(pointsOf(batchOf(slices))[0]?.fields ?? {})).toEqual(['sequence', 'microjoules', 'seconds']);
  });

  it('are never two on one point: other content, another sequence or another stream is another point', () => {
    const fact = record({ from: integer({ min: 0, max: 40 }), device: constantFrom('a', 'b'), count: integer({ min: 0, max: 3 }) });
    const sequence = constantFrom(0, 1, 9998, 9999, 10_000, 10_001, 19_999, 20_000, Number.MAX_SAFE_INTEGER);
    assert(property(array(fact, { minLength: 1, maxLength: 8 }), sequence, sequence, (facts, first, second) => {
      const slices = facts.map(({ from, device }) => energyFact({ from: from / 2, device }));
      const lines = [...new Set([first, second])].flatMap((number) => ['a', 'b'].flatMap((stream) => pointsOf(batchOf(slices, { sequence: number, stream: stream.repeat(32) }))));
      const keys = lines.map((point) => lineOf(point, dialect).replace(/ [^ ]*microjoules=[^ ]* /, ' '));
      expect(new Set(keys).size).toBe(keys.length);
    }), { numRuns: 300 });
  });

  it('stand within their own cell of ten seconds, and never at 0, which one server takes for now', () => {
    for (const [from, sequence] of [[0, 0], [0, 9999], [9.9, 123], [-cellOf(0), 0]] as const) {
      for (const point of pointsOf(batchOf([tokensFact({ from: Math.max(0, from) })], { sequence }))) {
        const time = Number(lineOf({ ...point, cell: from < 0 ? 0 : point.cell }, dialect).split(' ').at(-1));
        expect(time).toBeGreaterThan(0);
      }
    }
    const [point] = pointsOf(batchOf([tokensFact({ from: 25 })], { sequence: 30_007 }));
    const line = point ? lineOf(point, dialect) : '';
    expect(cellOf(Number(line.split(' ').at(-1)) * 1000)).toBe(point?.cell);
    expect(line).toContain(',turn=3 ');
  });

  it('have one identity in whatever order their tags are', () => expect(identityOf({ b: '1', a: '2' })).toBe(identityOf({ a: '2', b: '1' })));
});

describe('numbers for a server that has none but doubles of its own kind', () => {
  it('are two whole ones that make the very same double', () => {
    assert(property(double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0), (value) => {
      const { mantissa, exponent } = wholeParts(value);
      expect([mantissa, exponent].every(Number.isSafeInteger)).toBe(true);
      expect(mantissa * 2 ** Math.ceil(exponent / 2) * 2 ** Math.floor(exponent / 2)).toBe(value);
    }), { numRuns: 2000 });
  });
});

describe('InfluxQL', () => {
  it('quotes what could end a text or a name', () => {
    expect(quoteText(`x' OR time > 0; DROP DATABASE d --\\`)).toBe(String.raw`'x\' OR time > 0; DROP DATABASE d --\\'`);
    expect(quoteName('a"b\\')).toBe(String.raw`"a\"b\\"`);
    expect(selectOf({ measurement: 'claim', where: { stream: ["f'", 'g'], block: ['0'] }, from: 5, to: 9, fields: ['hash'] }))
      .toBe(String.raw`SELECT "hash" FROM "joulebook_claim" WHERE time >= 5ms AND time < 9ms AND ("stream" = 'f\'' OR "stream" = 'g') AND ("block" = '0') GROUP BY *`);
  });
});
