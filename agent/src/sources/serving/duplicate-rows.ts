/**
 * Rows of requests without an id that are equal in every column:
 *
 *     start,end,inputTokens,outputTokens
 *     1768467604.119208,1768467606.033883,4153,200      ┐ one request told twice, or two that happen to look the same?
 *     1768467604.119208,1768467606.033883,4153,200      ┘
 *
 * Two requests of a batch may well be equal to the whole second, hardly to a part of it. Nothing tells for sure, so both are
 * counted, and it is said.
 */
import { createHash } from 'node:crypto';
import type { Flagged } from '../source.js';
import type { TableRow } from '../table.js';
import type { RequestRow } from './request-row.js';

export function duplicateRows(label: string) {
  /** Digests: a row may hold a whole prompt. */
  const known = new Set<string>();
  let count = 0;
  let first: number | undefined;

  return {
    see({ cells, line }: TableRow, { start, firstToken = start, end }: RequestRow): void {
      if ([start, firstToken, end].every((at) => Number.isInteger(at))) return;
      const digest = createHash('sha256').update(JSON.stringify(cells)).digest('base64');
      if (known.has(digest)) {
        count += 1;
        first ??= line;
      }
      known.add(digest);
    },
    flagged(): Flagged[] {
      if (count === 0) return [];
      return [{
        kind: 'flagged', code: 'DUPLICATE_ROWS', count,
        detail: `${label}: ${count} rows, the first in line ${first}, are equal to one before them in every column, times to a part of a second included; all are counted. If the file was put together twice, leave the copies out; if they are requests of their own, give them ids (columns: { id: … })`,
      }];
    },
  };
}
