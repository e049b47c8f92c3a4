import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { standIns, type StandIns } from '../../power/program.testing.js';
import { childLines, type Printer } from './child-lines.js';
import { hear } from './live-log.testing.js';
import type { Batch } from './tail.js';

let stand: StandIns;
beforeEach(() => {
  stand = standIns();
});
afterEach(() => stand.remove());

const linesOf = (batches: readonly Batch[]) => batches.flatMap(({ lines }) => lines);
const soon = 0.02;
/** Each start of it takes the next line of a script: what it prints before it ends. */
const program = (...runs: readonly string[]): string =>
  stand.program('printer', `const fs = require('fs'); const log = __dirname + '/starts'; fs.appendFileSync(log, args + '\\n');
    const run = ${JSON.stringify(runs)}[fs.readFileSync(log, 'utf8').split('\\n').length - 2]; if (run === undefined) setInterval(() => {}, 1000); else say(run);`);
const starts = (): string[] => readFileSync(join(stand.directory, 'starts'), 'utf8').trim().split('\n');
const printer = (command: string): Printer => ({ name: 'printer', command, args: () => ['a b'] });
const stamping = (command: string): Printer => ({ name: 'printer', command, args: (after) => (after === undefined ? ['all'] : ['since', after]), stamp: /^(\d+) / });

describe('what a program prints', () => {
  it('comes line by line, from both of its outputs', async () => {
    const command = stand.program('both', `say('one\\ntw'); process.stderr.write('x\\n'); setTimeout(() => say('o\\r\\n'), 50); setInterval(() => {}, 1000);`);
    const { events } = await hear((context) => childLines(printer(command), context), (batches) => linesOf(batches).length === 2);
    expect(linesOf(events).join(' ')).toMatch(/^(?:one|twx|o| )+$/);
  });

  it('goes on after its last stamp when it has ended, and what it says again is left out', async () => {
    const command = program('1 a\n2 b\n2 c\n', 'unknown container\n', '1 a\n2 b\n2 c\n2 d\n3 e\n2 late\n');
    const { events, logged } = await hear((context) => childLines(stamping(command), context, soon), (batches) => linesOf(batches).includes('2 late'));
    expect(linesOf(events)).toEqual(['1 a', '2 b', '2 c', '2 d', '3 e', '2 late']);
    expect(starts()).toEqual(['all', 'since 2', 'since 2']);
    expect(events.some(({ missedSince }) => missedSince !== undefined)).toBe(false);
    expect(logged).toEqual(['printer ended; it is started again.', 'printer: lines again.']);
  });

  it('may have been missed while it did not run, where it stamps nothing', async () => {
    const { events } = await hear((context) => childLines(printer(program('a\n', 'b\n')), context, soon), (batches) => linesOf(batches).length === 2);
    expect(linesOf(events)).toEqual(['a', 'b']);
    const missed = events.find(({ missedSince }) => missedSince !== undefined);
    expect(missed?.at).toBeGreaterThanOrEqual(missed?.missedSince ?? Number.NaN);
  });

  it('is known to be over only while it runs', async () => {
    const { events } = await hear((context) => childLines(printer(program('a\n')), context, soon), (batches) => batches.some(({ caughtUp }) => caughtUp));
    expect(events.at(-1)).toMatchObject({ lines: [], caughtUp: true });
  });

  it('says why it ends, in its own words', async () => {
    const { logged } = await hear((context) => childLines(stamping(program('Error: no such thing\n')), context, soon), (batches) => batches.length > 1);
    expect(logged[0]).toBe('printer ended: Error: no such thing; it is started again.');
  });

  it('is refused where there is none', async () => {
    await expect(hear((context) => childLines(printer(join(stand.directory, 'none')), context), () => false)).rejects.toMatchObject({ code: 'LOG_PROGRAM_MISSING', remedy: 'disable' });
  });

  it('is ended with the signal, with what it started', async () => {
    const mark = join(stand.directory, 'ended');
    const command = stand.program('trap', `process.on('SIGTERM', () => { require('fs').writeFileSync(${JSON.stringify(mark)}, ''); process.exit(); }); say('up\\n'); setInterval(() => {}, 1000);`);
    await hear((context) => childLines(printer(command), context), (batches) => linesOf(batches).length > 0);
    expect(existsSync(mark)).toBe(true);
  });
});
