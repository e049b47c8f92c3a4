import { toIso } from '@joulebook/shared/units.js';
import { utimesSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { z } from 'zod';
import { describe, expect, it } from 'vitest';
import { all, details, flags, recordedFile, refusal } from '../../recorded-file.testing.js';
import type { RecordedFile } from '../../recorded.js';
import type { ServingEvent } from '../../source.js';
import type { LogDialect } from './dialect.js';
import { idsOf, plainDialect } from './live-log.testing.js';
import { autoLog, recordedLog } from './recorded-log.js';

const other: LogDialect = { ...plainDialect, name: 'other-log', isOf: (text) => text.startsWith('made ') };
const dialects: readonly LogDialect[] = [other, plainDialect];
const plain = recordedLog(plainDialect, dialects);
const fileOf = (content: string | Uint8Array, changed = '2026-05-12T13:00:00Z'): RecordedFile => {
  const file = recordedFile(content, 'engine.log');
  utimesSync(file.file, new Date(changed), new Date(changed));
  return file;
};
const entry = (file: RecordedFile, tz = 'UTC') => ({ file, tz, deployment: 'test' });
const read = (content: string | Uint8Array, tz?: string): Promise<ServingEvent[]> => all(plain.open(entry(fileOf(content), tz), {}).events());
const ends = (events: readonly ServingEvent[]): string[] => events.flatMap((event) => (event.kind === 'request' ? [`${event.id} ${toIso(event.end)}`] : []));

describe('a recorded log', () => {
  it('is read in any wrapper, by the wrapper, the stamp or the zone of the entry', async () => {
    const events = await read('2026-05-12T08:01:39.500000000Z vllm-1  | did 1\n2026-05-12T08:01:41.000000000Z did 2 at 10:00:00\ndid 3 at 10:00:00\r\nsomething else\n', '+02:00');
    expect(ends(events)).toEqual(['vllm-1#1 2026-05-12T08:01:39.500Z', '#2 2026-05-12T08:01:41.000Z', '#3 2026-05-12T08:00:00.000Z']);
    expect(plain.open(entry(fileOf('')), {})).toMatchObject({ description: 'engine.log (plain-log)', ordered: true });
  });

  it('is read gzipped', async () => {
    expect(idsOf(await read(gzipSync('did 1 at 10:00:00\n')))).toEqual(['#1']);
  });

  it('may be full of lines that are of nobody’s interest, and of rubbish', async () => {
    const events = await read(Buffer.concat([Buffer.from('noise\n'.repeat(10_000)), Buffer.from([0xff, 0xfe, 0x00, 0x0a]), Buffer.from('did 1 at 10:00:00\n')]));
    expect(idsOf(events)).toEqual(['#1']);
    expect(flags(events)).toEqual([['YEAR_ASSUMED', 1]]);
  });

  it('counts what it can not use, and never quotes it', async () => {
    const events = await read(`did a secret\n${'x'.repeat(2 * 1024 * 1024)}\ndid 1 at 10:00:00\n`);
    expect(details(events).slice(0, 2)).toEqual(['engine.log: 1 line skipped: line 1: it says nothing', 'engine.log: 1 line skipped: line 2: longer than 1 MiB']);
  });

  it('does not believe a number at the very end, where it may have been cut', async () => {
    const events = await read('did 1 at 10:00:00\ndid 2 at 10:00:0');
    expect(idsOf(events)).toEqual(['#1']);
    expect(details(events)[0]).toBe('engine.log: 1 line skipped: line 2: the last line of the file is cut off');
  });

  it('says when the day or the year is only that of the last change of the file', async () => {
    expect(details(await read('did 1 at 10:00:00\n'))[0]).toContain('2026 was taken from the file\'s last change');
    expect(flags(await read('2026-05-12T08:01:39.500000000Z did 1\n'))).toEqual([]);
  });

  it('is an error when it is of another engine, naming that, or of none', async () => {
    expect(await refusal(read('made 1\nmade 2\n'))).toBe('FILE_FORMAT: engine.log is not plain-log: none of its 2 lines tells of work; it looks like other-log.');
    expect(await refusal(read('# HELP vllm:x y\n'))).toBe('FILE_FORMAT: engine.log is not plain-log: none of its 1 lines tells of work; it looks like a Prometheus scrape.');
    expect(await refusal(read('did nothing\n'))).toBe('FILE_FORMAT: engine.log is not plain-log: engine.log: 1 line skipped: line 1: it says nothing.');
    expect(await refusal(read('\n\n'))).toMatch(/^FILE_EMPTY: engine\.log holds no data/);
    expect(await refusal(all(plain.open(entry({ file: '/nowhere/x.log', label: 'x.log' }), {}).events()))).toMatch(/^FILE_MISSING: x\.log/);
  });

  it('has options of its own and of its dialect, and names every fault of both', async () => {
    let given: unknown;
    const noting: LogDialect<{ interval: z.ZodDefault<z.ZodNumber> }> = {
      ...plainDialect,
      options: { interval: z.number().min(1).default(7) },
      parser: (context, own) => {
        given = own;
        return plainDialect.parser(context, {});
      },
    };
    const format = recordedLog(noting, dialects);
    expect(format.optionNames).toEqual(['year', 'interval']);
    expect(() => format.open(entry(fileOf('')), { interval: 0, yaer: 2020 })).toThrow(/interval[^]*'yaer' is not a setting here; did you mean 'year'\?/);
    expect(() => plain.open(entry(fileOf(''), 'CST'), {})).toThrow('abbreviation');
    await all(format.open(entry(fileOf('did 1 at 10:00:00\n')), { year: 2020 }).events());
    expect(given).toEqual({ interval: 7 });
  });
});

describe('a log that nobody named', () => {
  const auto = autoLog(dialects);
  const readAuto = (content: string): Promise<ServingEvent[]> => all(auto.open(entry(fileOf(content)), {}).events());

  it('is of the dialect of most of its lines, wrapped or not', async () => {
    expect(idsOf(await readAuto('loading\nmade 1\n0: did 1 at 10:00:00\n0: did 2 at 10:00:00\n'))).toEqual(['0#1', '0#2']);
    expect(auto.summary).toContain('other-log, plain-log');
  });

  it('is an error when it is of none', async () => {
    expect(await refusal(readAuto('a,b\n1,2\n'))).toBe('FILE_FORMAT: engine.log is not the log of an engine that is known here: none of its 2 lines tells of work; it looks like CSV with the columns a, b.');
  });
});
