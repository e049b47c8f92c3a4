/**
 * Comparisons of recordings of real machines, through the agent's replay. They are not part of the project: where they are absent
 * these tests are skipped.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { said } from '@joulebook/collector/commands/program.testing.js';
import { comparison, type Comparison } from '@joulebook/collector/compare/answer.js';
import { replayEndsHere } from './support/pipe.js';

const present = existsSync(fileURLToPath(new URL('../../shared/recordings', import.meta.url)));

async function compared(recordings: readonly string[], args: readonly string[]): Promise<Comparison> {
  let batches = '';
  for (const name of recordings) {
    const { exitCode, stdout, stderr } = await replayEndsHere(fileURLToPath(new URL(`recordings/${name}`, import.meta.url)));
    if (exitCode !== 0) throw new Error(stderr);
    batches += stdout;
  }
  const { code, out, err } = await said(['compare', '--input', '-', '--format', 'json', ...args], { stdin: batches });
  if (code !== 0) throw new Error(err);
  return comparison.parse(JSON.parse(out));
}
const holds = (interval: readonly [number, number] | null, value: number): void => expect(interval !== null && interval[0] < value && value < interval[1], `${String(interval)} holds ${value}`).toBe(true);

describe.skipIf(!present)(`comparisons of recordings${present ? '' : ' (skipped: ../shared/recordings is not here)'}`, () => {
  it.each([
    ['int8', 1.877, 0.7183, 2.0667],
    ['nf4', 2.724, 0.7183, 2.6748],
  ])('joulebench at batch 8, context 256: %s costs energy, as its authors published', async (quantization, published, a, b) => {
    const answer = await compared(['joulebench-quant'], ['--a', 'quantization=fp16', '--b', `quantization=${quantization}`, '--where', 'batch=8', '--where', 'context=256']);
    expect(answer).toMatchObject({ design: 'runs', verdict: 'a-better', a: { blocks: 5 }, b: { blocks: 5 } });
    expect([answer.a.estimate, answer.b.estimate]).toEqual([expect.closeTo(a, 4), expect.closeTo(b, 4)]);
    expect(answer.effect.relative).toBeCloseTo(published, 3);
    holds(answer.effect.ci95, published);
  });

  it('joulebench: int8 lowers watts and nearly triples energy per token, and both are said', async () => {
    const args = ['--a', 'quantization=fp16', '--b', 'quantization=int8', '--where', 'batch=8', '--where', 'context=256'];
    const power = expect.stringMatching(/^Mean power fell by 36\.1 % \(from 167\.9 to 107\.2 W\) while energy per output token rose by 187\.7 %/) as unknown;
    expect((await compared(['joulebench-quant'], args)).sentences).toContainEqual(power);
    const watts = await compared(['joulebench-quant'], [...args, '--metric', 'watts']);
    expect([watts.verdict, watts.sentences]).toEqual(['b-better', expect.arrayContaining([power])]);
  });

  it('powertrace, prefix cache off and on: the difference is told, and that four requests in six seconds prove none', async () => {
    const answer = await compared(['powertrace-run1', 'powertrace-run2'], ['--a', 'prefixCache=off', '--b', 'prefixCache=on']);
    // −18.4 % over all tokens; two of the last ones came after the power log had ended.
    expect(Math.abs((answer.effect.unadjusted ?? 0) + 0.184)).toBeLessThan(0.01);
    expect([answer.a.estimate, answer.b.estimate]).toEqual([expect.closeTo(5.391, 2), expect.closeTo(4.42, 2)]);
    expect(['not-comparable', 'no-difference-shown']).toContain(answer.verdict);
    expect(answer.reasons.length).toBeGreaterThan(0);
    expect(answer.sentences[0]).toMatch(/−1[78]\.\d %/);
  });
});
