import { instant } from '@joulebook/shared/units.js';
import { expect, it } from 'vitest';
import type { ServingFeed } from './serving-feed.js';
import { requestsNotCounted } from './requests-not-counted.js';

const extent = { from: instant(0), to: instant(9) };
const feed = (requestsExtent: ServingFeed['requestsExtent']): ServingFeed => ({ extent, requestsExtent, flagged: [], open: () => ({ upTo: () => [], close: () => Promise.resolve() }) });
const entry = (format: string, file: string, deployment: string, counts: boolean) => ({ counts, entry: { format, file, deployment, tz: 'UTC' } });

it('names the source that counts and how to change it, of each file whose requests are evidence', () => {
  const log = { opened: entry('vllm-log', 'vllm.log', 'chat', true), feed: feed(undefined) };
  const table = { opened: entry('requests', 'r.jsonl', 'chat', false), feed: feed(extent) };
  const other = { opened: entry('requests', 'own.jsonl', 'code', true), feed: feed(extent) };
  const [said, ...more] = requestsNotCounted([log, table, other]);
  expect(more).toEqual([]);
  expect(said).toMatchObject({ code: 'REQUESTS_NOT_COUNTED', count: 1 });
  expect(said?.detail).toMatch(/^r\.jsonl \(requests\) tells requests, but vllm\.log \(vllm-log\) counts for deployment chat.*'tokens: count'/);
  expect(requestsNotCounted([log, other, { ...table, feed: feed(undefined) }])).toEqual([]);
});
