/** Requests that only tell what ran, since another source counts the tokens of their deployment: a report has none of them, and should say why. */
import type { Flagged } from '../sources/source.js';
import type { OpenedServing } from './open.js';
import type { ServingFeed } from './serving-feed.js';

const nameOf = ({ entry }: OpenedServing): string => `${entry.file ?? 'no file'} (${entry.format})`;

export function requestsNotCounted(serving: readonly { readonly opened: OpenedServing; readonly feed: ServingFeed }[]): Flagged[] {
  return serving.flatMap(({ opened, feed }): Flagged[] => {
    const { deployment } = opened.entry;
    const counting = serving.find((other) => other.opened.counts && other.opened.entry.deployment === deployment);
    if (opened.counts || !feed.requestsExtent || !counting) return [];
    const detail = `${nameOf(opened)} tells requests, but ${nameOf(counting.opened)} counts for deployment ${deployment}, and only one source may: these requests tell what ran and are in no count. To have them one by one, say 'tokens: count' for it in recording.yaml, and 'tokens: evidence' for the other`;
    return [{ kind: 'flagged', code: 'REQUESTS_NOT_COUNTED', count: 1, detail }];
  });
}
