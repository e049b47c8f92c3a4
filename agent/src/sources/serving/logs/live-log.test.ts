import { instant, toIso, type Instant } from '@joulebook/shared/units.js';
import { UsageError } from '@joulebook/shared/errors.js';
import { appendFileSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { standIns } from '../../power/program.testing.js';
import { all } from '../../recorded-file.testing.js';
import type { LiveContext, ServingEvent } from '../../source.js';
import { zone } from '../../timestamps.js';
import { autoDialect } from './auto-dialect.js';
import type { LogDialect } from './dialect.js';
import { DELAY_GAUGE, liveAutoLog, liveLog, logFrom } from './live-log.js';
import { hear, idsOf, plainDialect, plainParser } from './live-log.testing.js';
import type { LogPlace } from './places.js';
import type { Batch } from './tail.js';

const T = instant(Date.parse('2026-05-12T12:00:00Z') / 1000);
const after = (time: number): Instant => instant(T + time);

/** What is said of batches that come one after the other; the source was started at T. */
const said = (batches: readonly Batch[], { tz, dialect = plainDialect }: { readonly tz?: string; readonly dialect?: LogDialect } = {}): Promise<ServingEvent[]> => {
  const place: LogPlace = {
    name: 'a place',
    async *batches() {
      yield* batches;
    },
  };
  const context: LiveContext = { now: () => T, environment: {}, signal: new AbortController().signal, log: { info: () => undefined, warn: () => undefined }, bill: { read: () => undefined, missed: () => undefined } };
  return all(logFrom(dialect, (each) => dialect.parser(each, {}), place, tz === undefined ? undefined : zone(tz)).events(context));
};
const batch = (time: number, ...lines: readonly (string | undefined)[]): Batch => ({ lines, at: after(time), caughtUp: false });
const look = (time: number): Batch => ({ lines: [], at: after(time), caughtUp: true });
const ends = (events: readonly ServingEvent[]): string[] => events.flatMap((event) => (event.kind === 'request' ? [`${event.id} ${toIso(event.end)}`] : []));

describe('a live log', () => {
  it('dates lines by their stamp, in the zone that brings them near to their arrival, else by their arrival', async () => {
    const events = await said([batch(1.5, 'did 1 at 17:00:01', 'did 2')]);
    expect(ends(events)).toEqual(['#1 2026-05-12T12:00:01.000Z', '#2 2026-05-12T12:00:01.500Z']);
    expect(ends(await said([batch(1.5, 'did 1 at 17:00:01')], { tz: '+04:00' }))).toEqual(['#1 2026-05-12T13:00:01.000Z']);
  });

  it('reads what was there before the start, but tells only facts of it', async () => {
    const events = await said([{ ...batch(0, 'version 3', 'did 1 at 17:00:02', 'did 1 at 16:59:57', 'did nothing'), old: after(-2) }, batch(1.5, 'did 2 at 17:00:01'), look(62)]);
    expect(events.map((event) => event.kind)).toEqual(['engine', 'request', 'idle', 'gauge']);
    expect(ends(events)).toEqual(['#2 2026-05-12T12:00:01.000Z']);
  });

  it('learns the zone of old lines from when the last of them was written', async () => {
    const dated: string[] = [];
    const noting: LogDialect = {
      ...plainDialect,
      parser: (context) => plainParser({ ...context, clock: { at: (line, stamp) => (stamp ? note(context.clock.at(line, stamp)) : undefined) } }),
    };
    const note = (at: Instant | undefined): Instant | undefined => {
      if (at !== undefined) dated.push(toIso(at));
      return at;
    };
    // Of an engine that wrote nothing for two hours, in a zone that is not the host's.
    await said([{ ...batch(0, 'did 1 at 13:29:59', 'did 2 at 13:30:00'), old: after(-7200) }, batch(1.5, 'did 3 at 15:30:01')], { dialect: noting });
    expect(dated.slice(-3)).toEqual(['2026-05-12T09:59:59.000Z', '2026-05-12T10:00:00.000Z', '2026-05-12T12:00:01.000Z']);
  });

  it('leaves out what a container said before the start', async () => {
    const events = await said([batch(0.1, '2026-05-12T11:59:59.900000000Z did 1', '2026-05-12T11:59:59.900000000Z did nothing', '2026-05-12T12:00:00.050000000Z did 2'), look(61)]);
    expect(idsOf(events)).toEqual(['#2']);
    expect(events.filter((event) => event.kind === 'flagged')).toEqual([]);
  });

  it('leaves out evidence of before the start that a later line tells', async () => {
    expect(idsOf(await said([batch(1, 'did 1 at 11:59:59', 'did 2 at 12:00:01')], { tz: 'UTC' }))).toEqual(['#2']);
  });

  it('says what silence means about once a second, when all was read', async () => {
    const events = await said([batch(0.5, 'did 1'), look(0.6), look(1.1), look(1.6), batch(2.4, 'unrelated'), look(2.5), batch(9, 'unrelated')]);
    expect(events.flatMap((event) => (event.kind === 'idle' ? [event.to - T] : [])).map((each) => Math.round(each * 10) / 10)).toEqual([1.1, 2.5]);
  });

  it('counts lines that can not be used, and tells once a minute', async () => {
    const events = await said([batch(1, 'did nothing', undefined), look(30), look(61), batch(62, 'did nothing'), look(122)]);
    expect(events.filter((event) => event.kind === 'flagged')).toMatchObject([
      { code: 'SKIPPED_LINES', count: 1, detail: 'plain-log from a place: 1 line skipped: line 1: it says nothing' },
      { code: 'SKIPPED_LINES', count: 1, detail: 'plain-log from a place: 1 line skipped: line 2: longer than 1 MiB' },
      { code: 'SKIPPED_LINES', count: 1, detail: 'plain-log from a place: 1 line skipped: line 3: it says nothing' },
    ]);
  });

  it('says how late its lines come', async () => {
    const events = await said([batch(1.25, 'did 1 at 12:00:01'), look(11), look(22)], { tz: 'UTC' });
    expect(events.filter((event) => event.kind === 'gauge')).toEqual([{ kind: 'gauge', gauge: DELAY_GAUGE, value: 0.25, at: after(11) }]);
  });

  it('is not whole where its program did not run', async () => {
    expect((await said([{ ...batch(9), missedSince: after(4) }]))[0]).toMatchObject({ kind: 'hole', from: after(4), to: after(9) });
  });

  it('hands out a line that lacks its end when nothing follows', async () => {
    const cut = { ...plainDialect, isCut: (text: string) => !text.endsWith('7') };
    expect(idsOf(await said([batch(0.1, 'did 1'), batch(0.2, '7'), batch(0.3, 'did 2'), look(1.1), look(2.2), batch(2.3, '7')], { dialect: cut }))).toEqual(['#17', '#2']);
  });

  it('finds out of which engine it is', async () => {
    const other: LogDialect = { ...plainDialect, name: 'other-log', isOf: (text) => text.startsWith('made '), parser: () => ({ line: () => [], quiet: () => [], end: () => [] }) };
    const dialect = autoDialect([other, plainDialect]);
    expect(idsOf(await said([batch(0.1, 'loading'), batch(0.2, 'did 1', 'made 1', 'did 2'), look(1.3), batch(1.4, 'did 3')], { dialect }))).toEqual(['#1', '#2', '#3']);
    expect(idsOf(await said([batch(0.1, 'did 1')], { dialect }))).toEqual(['#1']);
  });
});

describe('the place of a live log', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'joulebook-live-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is a file that grows', async () => {
    const file = join(folder, 'engine.log');
    writeFileSync(file, 'version 3\ndid 1\n');
    utimesSync(file, T, T);
    const source = liveLog(plainDialect).open({ file, tz: 'UTC' });
    let written = false;
    const { events } = await hear((context) => source.events(context), (list) => {
      if (!written) appendFileSync(file, 'did 2\n');
      written = true;
      return idsOf(list).length > 0;
    });
    expect(source.description).toBe(`plain-log from ${file}`);
    expect(idsOf(events)).toEqual(['#2']);
  });

  it.each([
    ['container', 'vllm-1', 'docker', 'logs --follow --timestamps --tail 2000 -- vllm-1', 'Z'],
    ['unit', 'vllm@0.service', 'journalctl', '--follow --output short-iso-precise --utc --no-pager --unit vllm@0.service --lines 2000', '+0000 host vllm[1]:'],
  ])('is a %s', async (key, name, program, command, form) => {
    const stand = standIns();
    stand.program(program, `say(new Date(Date.now() + 1000).toISOString().replace('Z', ${JSON.stringify(form)}) + ' did ' + (args === ${JSON.stringify(command)} ? 1 : 2) + '\\n'); setInterval(() => {}, 1000);`);
    const { events } = await hear((context) => liveAutoLog([plainDialect]).open({ [key]: name }).events(context), (list) => idsOf(list).length > 0, { environment: stand.environment });
    expect(idsOf(events).map((id) => id.replace(/^.*#/, '#'))).toEqual(['#1']);
    stand.remove();
  });

  it('is the output of a command', async () => {
    const { events } = await hear((context) => liveLog(plainDialect).open({ command: [process.execPath, '-e', 'console.log("did 5"); setInterval(() => {}, 1000)'] }).events(context), (list) => idsOf(list).length > 0);
    expect(idsOf(events)).toEqual(['#5']);
  });

  it.each<[unknown, string]>([
    [{}, 'plain-log: say where the log is by one of file, unit, container, command'],
    [{ file: 'a', unit: 'b' }, 'plain-log: say where the log is by one of file, unit, container, command'],
    [{ container: '--help' }, 'the name or id of a container'],
    [{ unit: '-x' }, 'the name of a systemd unit'],
    [{ command: [] }, 'command'],
    [{ file: 'a', tz: 'CST' }, 'is an abbreviation that several zones share'],
    [{ file: 'a', tzz: 'UTC' }, "'tzz' is not a setting here; did you mean 'tz'?"],
  ])('must be said right: %j', (options, fault) => {
    const open = (): unknown => liveLog(plainDialect).open(Object.fromEntries(Object.entries(options ?? {})));
    expect(open).toThrow(UsageError);
    expect(open).toThrow(fault);
  });

  it('is not guessed', async () => {
    const answer = await liveLog(plainDialect).detect({});
    expect(answer.found ? '' : answer.reason).toContain('source: plain-log, file: …');
  });
});
