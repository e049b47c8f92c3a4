import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Slice } from '@joulebook/shared/slice.js';
import { epochMicros, seconds } from '@joulebook/shared/units.js';
import { EMPTY_BOOK, type Book } from '../book/book.js';
import { openDuckdb } from '../store/duckdb.js';
import { batchOf, energyFact, requestsFact, tokensFact } from '../store/sample-facts.js';
import type { Store } from '../store/store.js';
import { renderStatement } from './render.js';
import { weeklyReview } from './review.js';
import { weeklyReviewOf, type WeeklyQuestion } from './weekly.js';

let store: Store;
let sequence = 0;
beforeEach(async () => {
  store = await openDuckdb(':memory:');
});
afterEach(() => store.close());

const WEEKS = { '2026-W45': '2026-11-03T12:00Z', '2026-W46': '2026-11-10T12:00Z' } as const;
interface Served {
  readonly deployment: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly joules: number;
  readonly tokens: number;
}
async function given(week: keyof typeof WEEKS, served: readonly Served[], withRequests = true): Promise<void> {
  const from = epochMicros(Date.parse(WEEKS[week]) * 1000);
  const moved = <S extends Slice>(slice: S): S => ({ ...slice, from, to: epochMicros(from + 10e6) });
  await store.append(batchOf(served.flatMap(({ deployment, labels = {}, joules, tokens }, index) => [
    moved(energyFact({ device: `GPU-${index}`, deployment, labels, joules, seconds: seconds(10) })), moved(tokensFact({ deployment, labels, count: tokens })),
    ...(withRequests ? [moved(requestsFact({ deployment, labels, outputTokens: tokens }))] : []),
  ]), { sequence: (sequence += 1) }));
}
const asked = (said: Partial<WeeklyQuestion> = {}, book: Book = EMPTY_BOOK) => weeklyReviewOf(store, book, { week: '2026-W46', zone: 'UTC', site: undefined, boundary: undefined, ...said });

it('tells by deployment and by label what moved the figure, largest first, and all of it', async () => {
  await given('2026-W45', [{ deployment: 'chat', labels: { quantization: 'fp16' }, joules: 1000, tokens: 1000 }, { deployment: 'code', joules: 500, tokens: 1000 }]);
  await given('2026-W46', [{ deployment: 'chat', labels: { quantization: 'fp16' }, joules: 250, tokens: 250 }, { deployment: 'chat', labels: { quantization: 'fp8' }, joules: 300, tokens: 750 }, { deployment: 'code', joules: 520, tokens: 1000 }]);
  const review = await asked();
  expect(review).toMatchObject({ figure: 'joulesPerUsefulToken', unit: 'J/token', value: [0.75, 0.535], before: { week: '2026-W45' } });
  expect(review.cuts.map(({ by }) => by)).toEqual([['deployment'], ['deployment', 'quantization']]);
  // Within chat the rate fell from 1 to 0.55 at half of the tokens; half of a hundredth more came from code.
  expect(review.cuts[0]?.groups).toMatchObject([{ group: { deployment: 'chat' }, share: [0.5, 0.5], mix: 0 }, { group: { deployment: 'code' } }]);
  expect(review.cuts[0]?.groups[0]?.rate).toBeCloseTo(-0.225, 12);
  expect(review.cuts[0]?.groups[1]?.effect).toBeCloseTo(0.01, 12);
  // By label nothing became cheaper by itself: another quantization took over.
  const byLabel = review.cuts[1]?.groups ?? [];
  expect(byLabel.filter(({ group }) => group['deployment'] === 'chat').map(({ group, rate }) => [group['quantization'], rate])).toEqual(expect.arrayContaining([['fp8', 0], ['fp16', 0]]));
  for (const { groups, rest } of review.cuts) expect(groups.reduce((sum, { effect }) => sum + effect, rest)).toBeCloseTo(review.change, 12);
  const written: unknown = JSON.parse(renderStatement(review, 'json'));
  expect(weeklyReview.parse(written)).toEqual(written);
});

it('reviews money where there is a price, and raw tokens where no request tells of usefulness', async () => {
  await given('2026-W45', [{ deployment: 'chat', joules: 3.6e6, tokens: 1000 }]);
  await given('2026-W46', [{ deployment: 'chat', joules: 7.2e6, tokens: 1000 }]);
  expect(await asked({ price: 0.5 })).toMatchObject({ figure: 'energyCostPerUsefulToken', value: [0.0005, 0.001] });
  const text = renderStatement(await asked({ price: 0.5 }), 'markdown');
  expect(text).toContain('500 USD per million tokens in 2026-W45, 1,000 in 2026-W46 (+500, +100 %)');
  const [head = '', line = ''] = renderStatement(await asked({ price: 0.5 }), 'csv').split('\n');
  expect(head).toBe('week,figure,unit,by,group,before,after,shareBefore,shareAfter,rate,mix,unused,effect');
  expect(line).toBe('2026-W46,energyCostPerUsefulToken,USD/token,deployment,chat,0.0005,0.001,1,1,0.0005,0,0,0.0005');
});

it('without requests reviews joules per token; numbers below zero stay numbers in csv', async () => {
  await given('2026-W45', [{ deployment: 'chat', joules: 200, tokens: 100 }], false);
  await given('2026-W46', [{ deployment: 'chat', joules: 100, tokens: 100 }], false);
  const review = await asked();
  expect(review).toMatchObject({ figure: 'joulesPerToken', change: -1 });
  expect(renderStatement(review, 'csv').trim().split('\n').at(-1)).toMatch(/,-1$/);
});

it('tells costs of both weeks in the same terms, and where a label changed altogether', async () => {
  await given('2026-W45', [{ deployment: 'chat', labels: { release: 'r1' }, joules: 3.6e6, tokens: 1000 }, { deployment: 'code', labels: { release: 'r1' }, joules: 3.6e6, tokens: 1000 }]);
  await given('2026-W46', [{ deployment: 'chat', labels: { release: 'r2' }, joules: 3.6e6, tokens: 1000 }, { deployment: 'code', labels: { release: 'r1' }, joules: 3.6e6, tokens: 900 }, { deployment: 'code', labels: { release: 'r2' }, joules: 3.6e5, tokens: 100 }]);
  const perHour = { item: 'gpu' as const, perGpuHour: 3, where: { release: ['r2'] } };
  const review = await asked({ price: 0.5 }, { ...EMPTY_BOOK, costs: [perHour] });
  expect([review.figure, review.before.cost, review.after.cost]).toEqual(['energyCostPerUsefulToken', 1, expect.closeTo(1.05, 12)]);
  expect(review.flags.filter(({ code }) => /^(COST|LABEL)/.test(code)).map(({ code, detail }) => `${code} ${detail}`)).toEqual([
    'COST_OF_ENERGY_ALONE There is no all-in cost of 2026-W45 (no entry of the book fits it, or not all of it is known): cost is that of energy in both weeks.',
    "LABEL_REPLACED 'release' changed altogether in chat: no value of it is in both weeks, so there is no mix to compare; the effects of its old and new values together are what the change did, as by deployment.",
  ]);
  const all = await asked({ price: 0.5 }, { ...EMPTY_BOOK, costs: [{ ...perHour, where: {} }] });
  // 20 s and 30 s of GPUs.
  expect([all.before.cost, all.after.cost]).toEqual([expect.closeTo(1 + 60 / 3600, 12), expect.closeTo(1.05 + 90 / 3600, 12)]);
  expect(all.flags.map(({ code }) => code)).not.toContain('COST_OF_ENERGY_ALONE');
});

it('names the week that has nothing to compare', async () => {
  await given('2026-W46', [{ deployment: 'chat', joules: 1, tokens: 1 }]);
  await expect(asked()).rejects.toThrow(/missing in 2026-W45/);
});
