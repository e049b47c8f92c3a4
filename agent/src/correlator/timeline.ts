/**
 * Evidence → phases over time, for one deployment.
 *
 *   requests   ──┤prefill├──────decode──────┤        the most precise that speaks wins:
 *   windows    ├─────┼─────┼─────┼─────┼─────┤       requests › counter windows › role
 *   holes            ├────┤                          no idle can be claimed here
 *   stretches  ├─────┼─┼──┼─────────────┼────┤       what advance() yields, oldest first
 *
 * The timeline is swept once: `advance(to)` hands out everything before `to` and forgets it. Evidence that comes
 * later about a time already swept is lost for phases (its tokens are not); the sweep waits for it within bounds.
 */
import type { Phase } from '@joulebook/shared/slice.js';
import type { Instant } from '@joulebook/shared/units.js';
import type { RequestEvidence, Role, WindowEvidence } from '../sources/source.js';
import { byRequestTime, pure, type Shares } from './split.js';

export interface Stretch {
  readonly from: Instant;
  readonly to: Instant;
  readonly shares: Shares;
}

export interface Timeline {
  request(evidence: RequestEvidence): void;
  window(evidence: WindowEvidence): void;
  /** Requests are fully known here: nobody running means idle. */
  whole(from: Instant, to: Instant): void;
  hole(from: Instant, to: Instant): void;
  /** Consecutive stretches from the last call's end (or from `begin`) to `to`. */
  advance(to: Instant): Stretch[];
}

/** How many of each are on at a moment of the sweep. */
type Counter = 'requestPrefill' | 'requestDecode' | 'requestActive' | 'requestsWhole' | 'hole' | 'windowPrefill' | 'windowDecode' | 'windowActive' | 'windowIdle' | 'windowUnknown';
type State = Record<Counter, number>;

interface Edge {
  readonly at: Instant;
  readonly counter: Counter;
  readonly step: 1 | -1;
}

export function timeline(options: { readonly begin: Instant; readonly role?: Role | undefined; readonly roleOnly?: boolean }): Timeline {
  const state: State = { requestPrefill: 0, requestDecode: 0, requestActive: 0, requestsWhole: 0, hole: 0, windowPrefill: 0, windowDecode: 0, windowActive: 0, windowIdle: 0, windowUnknown: 0 };
  let edges: Edge[] = [];
  let next = 0;
  let sorted = true;
  let frontier = options.begin;

  const add = (from: Instant, to: Instant, counter: Counter): void => {
    if (to <= from || to <= frontier) return;
    edges.push({ at: from, counter, step: 1 }, { at: to, counter, step: -1 });
    sorted = false;
  };

  return {
    request({ start, firstToken, end }) {
      if (firstToken === undefined) return add(start, end, 'requestActive');
      add(start, firstToken, 'requestPrefill');
      return add(firstToken, end, 'requestDecode');
    },
    window(evidence) {
      add(evidence.from, evidence.to, WINDOW_COUNTER[phaseOfWindow(evidence)]);
    },
    whole: (from, to) => add(from, to, 'requestsWhole'),
    hole: (from, to) => add(from, to, 'hole'),
    advance(to) {
      if (!sorted) {
        edges = edges.slice(next).toSorted((a, b) => a.at - b.at);
        next = 0;
        sorted = true;
      }
      const stretches: Stretch[] = [];
      while (frontier < to) {
        for (let edge = edges[next]; edge && edge.at <= frontier; edge = edges[++next]) state[edge.counter] += edge.step;
        const edge = edges[next];
        const until = edge && edge.at < to ? edge.at : to;
        stretches.push({ from: frontier, to: until, shares: sharesOf(state, options.role, options.roleOnly ?? false) });
        frontier = until;
      }
      return stretches;
    },
  };
}

const WINDOW_COUNTER: Readonly<Record<Phase, Counter>> = {
  prefill: 'windowPrefill',
  decode: 'windowDecode',
  active: 'windowActive',
  idle: 'windowIdle',
  unknown: 'windowUnknown',
};

/** Counters tell a phase only when one side stood still; idle needs a gauge that says nobody was there. */
function phaseOfWindow({ tokens, busy, saturated }: WindowEvidence): Phase {
  const input = tokens.input === undefined && tokens.cachedInput === undefined ? undefined : (tokens.input ?? 0) + (tokens.cachedInput ?? 0);
  const { output } = tokens;
  if (input !== undefined && input > 0 && output === 0) return 'prefill';
  if (output !== undefined && output > 0 && input === 0) return 'decode';
  if ((input ?? 0) > 0 || (output ?? 0) > 0 || saturated) return 'active';
  if (busy === undefined) return 'unknown';
  return busy > 0 ? 'active' : 'idle';
}

function sharesOf(state: State, role: Role | undefined, roleOnly: boolean): Shares {
  if (roleOnly && role) return pure(role);
  const shares = fromRequests(state) ?? fromWindows(state) ?? pure('unknown');
  const running = shares.of.has('prefill') || shares.of.has('decode') || shares.of.has('active');
  return role && running ? pure(role) : shares;
}

function fromRequests(state: State): Shares | undefined {
  if (state.requestActive > 0) return pure('active');
  if (state.requestPrefill > 0 && state.requestDecode > 0) return byRequestTime(state.requestPrefill, state.requestDecode);
  if (state.requestPrefill > 0) return pure('prefill');
  if (state.requestDecode > 0) return pure('decode');
  return state.requestsWhole > 0 && state.hole === 0 ? pure('idle') : undefined;
}

function fromWindows(state: State): Shares | undefined {
  if (state.windowActive > 0 || (state.windowPrefill > 0 && state.windowDecode > 0)) return pure('active');
  if (state.windowPrefill > 0) return pure('prefill');
  if (state.windowDecode > 0) return pure('decode');
  return state.windowIdle > 0 && state.windowUnknown === 0 && state.hole === 0 ? pure('idle') : undefined;
}
