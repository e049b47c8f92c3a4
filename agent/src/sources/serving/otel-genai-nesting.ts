/**
 * One request is seen by many: an agent, a client library, a gateway and the engine each make a span of it, one in the other.
 *
 *     chat            ├──────────────────────────────┤    client: the network and the gateway in it
 *       POST /v1/chat   ├──────────────────────────┤      not about a model: only a link
 *         llm_request      ├────────────────────┤         the engine: counts
 *
 * The innermost counts. Where a link between two of a trace was not exported, a server's span in another's that says the
 * same tokens is the inner one. Two of servers are two: an agent may ask the same several times at once.
 */
import type { RequestEvidence } from '../source.js';
import type { Span } from './otel-genai-spans.js';

export interface SeenRequest {
  readonly span: Span;
  readonly request: RequestEvidence;
}

/** Clocks of two machines, and what is between the moments that two libraries take. */
const CLOCK_SECONDS = 0.25;
/** Traces of agents are deep, but not endless; a parent may name itself. */
const DEEPEST = 1000;

/** Parents by span, of one trace. */
export type Parents = ReadonlyMap<string, string | undefined>;

/** @returns those that enclose no other request of the trace */
export function innermost<Seen extends SeenRequest>(seen: readonly Seen[], parents: Parents): Seen[] {
  if (seen.length < 2) return [...seen];
  const byId = new Map(seen.flatMap((each) => (each.span.id === undefined ? [] : [[each.span.id, each] as const])));
  const outer = new Set<Seen>();
  for (const each of seen) {
    const { found, broken } = ancestors(each.span, parents);
    const linked = found.flatMap((id) => byId.get(id) ?? []);
    for (const one of linked) outer.add(one);
    // Without its link it looks like a root: what lies around it and says the same saw the same request.
    if (linked.length > 0 || !broken || !each.span.ofServer) continue;
    for (const other of seen) if (!other.span.ofServer && encloses(other.request, each.request) && saysTheSame(other.request, each.request)) outer.add(other);
  }
  return seen.filter((each) => !outer.has(each));
}

/** `broken`: the last of them has a parent that is not in the file. Links that make a circle tell nothing. */
function ancestors({ id, parent }: Span, parents: Parents): { readonly found: readonly string[]; readonly broken: boolean } {
  const found: string[] = [];
  let next = parent;
  while (next !== undefined && parents.has(next) && found.length < DEEPEST) {
    if (next === id) return { found: [], broken: false };
    found.push(next);
    next = parents.get(next);
  }
  return { found, broken: next !== undefined && found.length < DEEPEST };
}

const lasts = ({ start, end }: RequestEvidence): number => end - start;
const encloses = (outer: RequestEvidence, inner: RequestEvidence): boolean => outer.start <= inner.start + CLOCK_SECONDS && outer.end >= inner.end - CLOCK_SECONDS && lasts(outer) >= lasts(inner);

/** Who sees more says how much of the prompt was cached; who was left early may have counted nothing. */
function saysTheSame(a: RequestEvidence, b: RequestEvidence): boolean {
  return agree(promptOf(a), promptOf(b)) && agree(a.tokens.output, b.tokens.output);
}

const agree = (one: number | undefined, other: number | undefined): boolean => one === undefined || other === undefined || one === other;
const promptOf = ({ tokens: { input, cachedInput } }: RequestEvidence): number | undefined => (input === undefined ? undefined : input + (cachedInput ?? 0));
