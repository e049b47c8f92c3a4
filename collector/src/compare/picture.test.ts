import { expect, it } from 'vitest';
import type { Comparison, SideAnswer } from './answer.js';
import { density, picture } from './picture.js';

const side = (name: string, estimate: number): SideAnswer => ({
  name, estimate, ci95: [estimate * 0.98, estimate * 1.02], blocks: 5, from: null, to: null, coverage: 1, watts: 100, joulesPerToken: estimate, tokensPerSecond: null, distribution: [0.97, 0.99, 1, 1.01, 1.04].map((each) => each * estimate),
});
const COMPARISON: Comparison = {
  metric: 'joulesPerToken', title: 'energy per output token', unit: 'J/token', per: 'token', lowerIsBetter: true, a: side('quantization=fp16', 2), b: side('<b a="1">&', 1.5),
  effect: { relative: -0.25, ci95: [-0.27, -0.23], alwaysValid: [-0.3, -0.2], pValue: 0.001, adjusted: false, unadjusted: -0.25 }, verdict: 'b-better', together: 1, minimumDetectableEffect: 0.02, reasons: [], adjustments: [],
  design: 'runs', step: null, sequential: false, boundary: 'gpu', currency: 'USD', precision: { wanted: 0.02, reached: 0.02, blocksPerSide: null, secondsPerSide: null, moreSeconds: null }, also: [], monthly: null, flags: [],
  sentences: ['B is better.'],
};
const svg = (change: Partial<Comparison> = {}, nonce?: string): string => String(picture({ ...COMPARISON, ...change }, nonce));

/** Tags that are opened and never closed, or the other way round; empty for well-formed text. */
function unbalanced(text: string): string[] {
  const open: string[] = [];
  for (const [, closing, name = '', rest = ''] of text.matchAll(/<(\/?)([a-z]+)((?:\s[^<>]*)?)>/gi)) {
    if (closing) {
      if (open.pop() !== name) return [name];
    } else if (!rest.endsWith('/')) open.push(name);
  }
  return open;
}

it('is one well-formed picture that needs nothing from elsewhere', () => {
  const text = svg();
  expect(unbalanced(text)).toEqual([]);
  expect(text.match(/(?:href|src|url\()/g)).toBeNull();
  expect(text).toMatch(/^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"[^>]*role="img" aria-labelledby="comparison-title comparison-desc">/);
  expect(text).not.toMatch(/NaN|Infinity|undefined/);
});

it('tells in words what it shows', () => {
  expect(/<desc id="comparison-desc">([^<]*)<\/desc>/.exec(svg())?.[1]).toBe('A: 2 J/token (95 % interval 1.96 to 2.04), 5 blocks between 1.94 and 2.08. B: 1.5 J/token (95 % interval 1.47 to 1.53), 5 blocks between 1.455 and 1.56. B against A: −25.0 % (95 % interval −27.0 % to −23.0 %). B is better.');
});

it('shows names as text, whatever is in them', () => {
  expect(svg()).toContain('&lt;b a=&quot;1&quot;&gt;&amp;');
});

it('puts B, which needs less, left of A, and the change left of none', () => {
  const x = (pattern: RegExp): number => Number(pattern.exec(svg())?.[1]);
  const [a, b] = [...svg().matchAll(/<path class="ink" d="M([\d.]+)/g)].map(([, at]) => Number(at));
  expect(b).toBeLessThan(a ?? 0);
  expect(x(/<circle class="ink" cx="([\d.]+)"/)).toBeLessThan(x(/<line class="ink" x1="([\d.]+)"[^>]*stroke-dasharray/));
});

it('has the interval for every look where the answer rests on it', () => {
  expect(svg({ sequential: true })).toContain('at every look −30.0 % to −20.0 %');
  expect(svg()).not.toContain('at every look');
});

it('says so where there is nothing to show, and where no interval can be told', () => {
  const nothing = { ...side('x=1', 1), estimate: null, ci95: null, distribution: [] };
  expect(svg({ a: nothing, b: nothing })).toContain('There is nothing to show of these sides.');
  const text = svg({ effect: { ...COMPARISON.effect, relative: null, ci95: null } });
  expect(text).toContain('no interval can be told');
  expect([unbalanced(text), /NaN/.test(text)]).toEqual([[], false]);
});

it('carries the nonce of its page', () => {
  expect(svg({}, 'abc')).toContain('<style nonce="abc">');
});

it('hills hold one: densities add up to 1', () => {
  const [from, to, count] = [-2, 6, 4000];
  const points = Array.from({ length: count }, (_, index) => from + ((index + 0.5) * (to - from)) / count);
  expect(density([1, 1.5, 2, 2.2, 3], points).reduce((sum, height) => sum + (height * (to - from)) / count, 0)).toBeCloseTo(1, 3);
  expect(density([1, 1, 1], [0, 1])).toEqual([0, 0]);
});
