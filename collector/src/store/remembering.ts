/** A store for one answer that is made of several reports: what was asked before is not asked again, and all parts show the same facts. */
import type { StreamSeen } from './ledger.js';
import type { Extent, FactKind, GroupSum, Store, SumQuery } from './store.js';

type Answers = { readonly [K in FactKind]: Map<string, Promise<readonly GroupSum<K>[]>> };

export function remembering(store: Store): Store {
  const sums: Answers = { energy: new Map(), booked: new Map(), asked: new Map(), weighed: new Map(), tokens: new Map(), requests: new Map(), weighedRequests: new Map(), gauge: new Map(), flag: new Map() };
  const extents = new Map<number | undefined, Promise<Extent | null>>();
  let labels: Promise<readonly string[]> | undefined;
  let streams: Promise<readonly StreamSeen[]> | undefined;
  return {
    append: (batch, written) => store.append(batch, written),
    ...(store.resolution && { resolution: store.resolution }),
    seen: (batch, written) => store.seen(batch, written),
    streams: () => (streams ??= store.streams()),
    markLost: (losses) => store.markLost(losses),
    experimentMarks: () => store.experimentMarks(),
    markExperiment: (mark) => store.markExperiment(mark),
    probe: () => store.probe(),
    nodes: () => store.nodes(),
    close: () => store.close(),
    labels: () => (labels ??= store.labels()),
    extent(before) {
      const answer = extents.get(before) ?? store.extent(before);
      extents.set(before, answer);
      return answer;
    },
    sum<K extends FactKind>(query: SumQuery<K>) {
      const known: Map<string, Promise<readonly GroupSum<K>[]>> = sums[query.kind];
      const text = JSON.stringify(query);
      const answer = known.get(text) ?? store.sum(query);
      known.set(text, answer);
      return answer;
    },
  };
}
