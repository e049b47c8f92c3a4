/** Ten seconds at 100 W and then 110 s at 300 W, with a table of requests for some of it. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { instant, type Instant } from '@joulebook/shared/units.js';
import { expect, it } from 'vitest';
import { checkManifest } from './manifest.js';
import { replay, type ReplayOptions } from './replay.js';

const T = 1_768_467_600;
const at = (second: number): Instant => instant(T + second);

/** What is flagged, in facts and in the summary alike, of a recording whose requests tell of this time. */
async function flagged([from, to]: readonly [number, number], options: ReplayOptions = {}, window?: { from: string }): Promise<string[]> {
  const base = mkdtempSync(join(tmpdir(), 'joulebook-outside-'));
  const power = Array.from({ length: 241 }, (_, index) => `${T + index / 2},${index < 20 ? 100 : 300}.${String(index % 10)}`);
  writeFileSync(join(base, 'power.csv'), ['time,watts', ...power, ''].join('\n'));
  writeFileSync(join(base, 'serving.csv'), ['start,firstToken,end,inputTokens,outputTokens', `${T + from},${T + from + 1},${T + to},10,20`, ''].join('\n'));
  const manifest = checkManifest({ power: [{ format: 'csv', file: 'power.csv', device: 'gpu0' }], serving: [{ format: 'requests', file: 'serving.csv' }], ...(window && { window }) }, 'recording.yaml', 'node');
  const facts: string[] = [];
  const said: string[] = [];
  for await (const { slices } of replay({ base, manifest }, options, (summary) => said.push(...summary.flagged.map(({ code, detail }) => `${code}: ${detail}`)))) {
    for (const slice of slices) if (slice.kind === 'flag' && slice.code === 'ENERGY_OUTSIDE') facts.push(`${slice.code}: ${slice.detail}`);
  }
  expect(said.filter((each) => each.startsWith('ENERGY_OUTSIDE'))).toEqual(facts);
  return facts;
}

it('says how much was measured before and behind the window', async () => {
  const [said, ...more] = await flagged([20, 60]);
  expect(more).toEqual([]);
  const [, joules, before, behind] = /^ENERGY_OUTSIDE: ([\d.]+) J \(gpu\) of 80\.0 s .* ([\d.]+) s before and ([\d.]+) s behind it/.exec(said ?? '') ?? [];
  expect([before, behind]).toEqual(['20.0', '60.0']);
  expect(Math.abs(Number(joules) - (9.75 * 100 + 70.25 * 300 + 80 * 0.45))).toBeLessThan(5);
});

it('keeps silent where no more than a twentieth of the time is left over', async () => {
  expect(await flagged([3, 117.5])).toEqual([]);
  expect(await flagged([3, 116])).toHaveLength(1);
});

it('says nothing of an end that was asked for', async () => {
  expect(await flagged([0, 120], { from: at(40), to: at(60) })).toEqual([]);
  expect(await flagged([0, 60], { to: at(60) })).toEqual([]);
  const [said] = await flagged([0, 60], {}, { from: '2026-01-15T09:00:30Z' });
  expect(said).toMatch(/of 60\.0 s .* 0\.0 s before and 60\.0 s behind/);
});
