import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seconds } from '@joulebook/shared/units.js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { standIns, type StandIns } from './power/program.testing.js';
import { firstWords, runProgram } from './program.js';

let stand: StandIns;
beforeEach(() => {
  stand = standIns();
});
afterEach(() => stand.remove());

it('gives what a program says and how it ends', async () => {
  const program = stand.program('tool', `say(args + ' ' + process.env.LC_ALL); process.stderr.write('oh'); process.exitCode = 3;`);
  expect(await runProgram(program, ['a b', '$HOME'], { environment: {}, limit: seconds(10) })).toEqual({ kind: 'ended', exitCode: 3, stdout: 'a b $HOME C', stderr: 'oh' });
});

it('finds it on the PATH it is given, and says when it is not there', async () => {
  stand.program('tool', `say('here')`);
  expect(await runProgram('tool', [], { environment: stand.environment, limit: seconds(10) })).toMatchObject({ stdout: 'here' });
  expect(await runProgram('other-tool', [], { environment: stand.environment, limit: seconds(10) })).toEqual({ kind: 'absent' });
});

it('kills a program that takes too long, with what it started', async () => {
  const pidFile = join(stand.directory, 'pid');
  const program = stand.program('tool', `const child = require('child_process').spawn(process.execPath, ['-e', 'process.on("SIGTERM", () => {}); setTimeout(() => {}, 60000)'], { stdio: 'inherit' });
    require('fs').writeFileSync('${pidFile}', String(child.pid)); process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);`);
  const began = performance.now();
  expect(await runProgram(program, [], { environment: {}, limit: seconds(1) })).toEqual({ kind: 'late', limit: 1 });
  expect(performance.now() - began).toBeLessThan(8000);
  expect(existsSync(pidFile)).toBe(true);
  const pid = Number(readFileSync(pidFile, 'utf8'));
  for (let tries = 0; tries < 50 && isAlive(pid); tries += 1) await sleep(20);
  expect(isAlive(pid)).toBe(false);
});

it('ends with the signal', async () => {
  const program = stand.program('tool', `setInterval(() => {}, 1000)`);
  const signal = AbortSignal.timeout(300);
  expect((await runProgram(program, [], { environment: {}, limit: seconds(30), signal })).kind).toBe('late');
});

it('takes the first thing said to people, errors first', () => {
  expect(firstWords({ stdout: '\n  no GPU \n', stderr: '' })).toBe('no GPU');
  expect(firstWords({ stdout: 'x', stderr: 'ERROR: y\nz' })).toBe('ERROR: y');
  expect(firstWords({ stdout: '', stderr: ' ' })).toBeUndefined();
});

/** A zombie that nobody waits for is dead too. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
